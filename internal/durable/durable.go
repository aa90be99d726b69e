// Package durable writes files so that a crash, a full disk or a failing disk cannot damage
// them: the old content stays intact until the new content is complete.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Replace writes data to the file at path: it writes a temporary file in the same folder, syncs it,
// renames it, and syncs the folder. A new file gets mode 0644 less the umask; an old file
// keeps its mode. After an error path holds its old content and no temporary file is left, unless only the
// sync of the folder failed: then path holds the new content. A process that is killed may leave a temporary file;
// Clean removes it.
//
// Where path is a symbolic link, the file that it leads to is replaced and the link stays. A device, a pipe and whatever else
// Direct names cannot be replaced: data is written into it.
func Replace(path string, data []byte) (err error) {
	if Direct(path) {
		return writeInto(path, data)
	}
	path = Target(path)
	t, err := create(path)
	if err != nil {
		return err
	}
	open := true
	defer func() {
		if err == nil {
			return
		}
		if open {
			t.Close()
		}
		os.Remove(t.Name())
	}()
	if info, err := os.Stat(path); err == nil {
		if err := attempt(Chmod, path, func() error { return t.Chmod(info.Mode().Perm()) }); err != nil {
			return err
		}
	}
	if err := write(t, path, data); err != nil {
		return err
	}
	if err := attempt(Sync, path, t.Sync); err != nil {
		return err
	}
	open = false
	if err := attempt(Close, path, t.Close); err != nil {
		return err
	}
	if err := attempt(Rename, path, func() error { return os.Rename(t.Name(), path) }); err != nil {
		return err
	}
	folder := filepath.Dir(path)
	return attempt(SyncFolder, path, func() error { return syncFolder(folder) })
}

// Target returns the path of the file that Replace replaces: where symbolic links lead from path, or path itself.
func Target(path string) string {
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		if target, err := filepath.EvalSymlinks(path); err == nil {
			return target
		}
	}
	return path
}

// Direct reports whether Replace writes into path as it is: path exists and is neither a regular file nor a folder, or is below
// /dev or /proc, where /dev/stdout may lead to a regular file that others have open.
func Direct(path string) bool {
	info, err := os.Stat(path)
	if err != nil || info.IsDir() {
		return false
	}
	if !info.Mode().IsRegular() {
		return true
	}
	whole, err := filepath.Abs(path)
	whole = filepath.ToSlash(whole)
	return err == nil && (strings.HasPrefix(whole, "/proc/") || strings.HasPrefix(whole, "/dev/") && !strings.HasPrefix(whole, "/dev/shm/"))
}

func writeInto(path string, data []byte) error {
	var f *os.File
	err := attempt(Create, path, func() (err error) {
		f, err = os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		return err
	})
	if err != nil {
		return err
	}
	return errors.Join(write(f, path, data), attempt(Close, path, f.Close))
}

// temporary is the pattern of Replace's temporary files for path.
func temporary(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".tmp")
}

// create makes a temporary file with mode 0644 less the umask.
func create(path string) (f *os.File, err error) {
	err = attempt(Create, path, func() error {
		for n := 0; ; n++ {
			f, err = os.OpenFile(fmt.Sprintf("%s%d-%d", temporary(path), os.Getpid(), n), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
			if !errors.Is(err, fs.ErrExist) {
				return err
			}
		}
	})
	return f, err
}

// Clean removes the temporary files for path that killed processes left. No other process
// may be writing to it.
func Clean(path string) error {
	left, err := filepath.Glob(escape(temporary(path)) + "*")
	if err != nil {
		return err
	}
	for _, name := range left {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}

// escape returns a pattern for filepath.Glob that matches only the path itself.
func escape(path string) string {
	var b []byte
	for i := range len(path) {
		switch c := path[i]; c {
		case '*', '?', '[':
			b = append(b, '[', c, ']')
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

// A Log is a file that grows line by line. It belongs to one goroutine.
type Log struct{ f *os.File }

// OpenLog opens the file at path to append lines after its first size bytes; it cuts off everything after
// them. If size is 0 it makes the file if there is none. A file that is shorter than size is an error.
func OpenLog(path string, size int64) (*Log, error) {
	var f *os.File
	err := attempt(Create, path, func() (err error) {
		f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
		return err
	})
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.Size() < size:
		err = fmt.Errorf("%s has %d bytes where %d had been written", path, info.Size(), size)
	default:
		if err = attempt(Truncate, path, func() error { return f.Truncate(size) }); err == nil {
			_, err = f.Seek(size, 0)
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &Log{f}, nil
}

// Append writes a line, which must end with a newline, by one call.
func (l *Log) Append(line []byte) error { return write(l.f, l.f.Name(), line) }

// Sync makes sure that the written lines survive a crash.
func (l *Log) Sync() error { return attempt(Sync, l.f.Name(), l.f.Sync) }

// Close closes the file.
func (l *Log) Close() error { return l.f.Close() }
