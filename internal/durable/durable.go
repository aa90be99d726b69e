// Package durable writes files so that whatever happens, a crash, a full disk or a
// failing one, what was there before is intact until what is new is there as a whole.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Replace writes data to the file at path: into a temporary file in the same folder, synced,
// renamed, and the folder synced. A new file gets mode 0644 less the umask, an old one
// keeps its mode. On an error path holds what it held before, unless the folder alone
// could not be synced, and no temporary file is left; a process that is killed may leave one,
// which Clean removes.
func Replace(path string, data []byte) (err error) {
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

// temporary is the pattern of Replace's temporary files for path.
func temporary(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".tmp")
}

// create makes a temporary file, whose mode the umask limits.
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

// escape makes a path match itself alone.
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

// OpenLog opens the file at path for lines after its first size bytes, and cuts off what follows
// them. With size 0 it makes the file if there is none; one that is shorter is an error.
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

// Append writes a line, which has its end, in one call.
func (l *Log) Append(line []byte) error { return write(l.f, l.f.Name(), line) }

// Sync makes what was written last.
func (l *Log) Sync() error { return attempt(Sync, l.f.Name(), l.f.Sync) }

// Close closes the file.
func (l *Log) Close() error { return l.f.Close() }
