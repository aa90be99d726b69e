// Package lock gives a folder to one process at a time. The system releases a lock when
// its process ends, however it ends: a dead process only leaves a lock file that no process holds.
package lock

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/gofrs/flock"
)

// FileName is the name of the lock's file in a folder.
const FileName = "lock"

// heldExtension ends the name of the lock's file on a file system without locks.
const heldExtension = ".held"

// A Holder is a process that holds, or held, a folder.
type Holder struct {
	PID  int    `json:"pid"`
	Host string `json:"host"`
}

// A HeldError says which process holds a folder. The zero Holder means that this could not be read, as on Windows.
type HeldError struct {
	Folder string
	Holder
	// File, if set, is the lock file on a file system without locks. It outlives a process that is killed, and then somebody must
	// remove it.
	File string
}

// Error implements error.
func (e *HeldError) Error() string {
	text := "another process is writing to " + e.Folder
	if e.Holder != (Holder{}) {
		text = fmt.Sprintf("process %d on %s is writing to %s", e.PID, e.Host, e.Folder)
	}
	if e.File != "" {
		text += fmt.Sprintf(", or was killed there: the file system has no locks; if it is gone, remove %s", e.File)
	}
	return text
}

// A Lock is a folder that this process holds.
type Lock struct {
	f     *flock.Flock // nil on a file system without locks, where the file itself is the lock
	path  string
	stale *Holder
}

// Take takes the folder's lock, or returns a *HeldError at once.
func Take(folder string) (*Lock, error) {
	path := filepath.Join(folder, FileName)
	for {
		l := &Lock{f: flock.New(path), path: path}
		ok, err := tryLock(l.f)
		if unsupported(err) {
			return take(folder, path)
		}
		if err != nil {
			return nil, fmt.Errorf("locking %s: %w", folder, err)
		}
		if !ok {
			held := &HeldError{Folder: folder}
			if h := read(path); h != nil {
				held.Holder = *h
			}
			return nil, held
		}
		if !l.current(path) { // the previous holder removed the file in the meantime
			l.f.Unlock()
			continue
		}
		l.stale = read(path)
		if err := l.sign(path); err != nil {
			return nil, errors.Join(fmt.Errorf("locking %s: %w", folder, err), l.Release())
		}
		return l, nil
	}
}

// tryLock is a variable for tests: few machines have a file system without locks.
var tryLock = (*flock.Flock).TryLock

// unsupported reports whether a file system has no locks, as some network file systems.
func unsupported(err error) bool {
	for _, e := range []error{syscall.ENOLCK, syscall.ENOSYS, syscall.EOPNOTSUPP, syscall.ENOTSUP} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// take takes the folder by the existence of a file beside the lock file at path: only one process can make it.
func take(folder, path string) (*Lock, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // the attempt to lock it has made it
		return nil, fmt.Errorf("locking %s: %w", folder, err)
	}
	path += heldExtension
	l := &Lock{path: path}
	// The file appears with its content: a temporary file is linked to its name, which fails if the name is taken.
	own, err := os.CreateTemp(folder, FileName+"-*")
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", folder, err)
	}
	defer os.Remove(own.Name())
	if err := errors.Join(own.Close(), l.sign(own.Name())); err != nil {
		return nil, fmt.Errorf("locking %s: %w", folder, err)
	}
	switch err := os.Link(own.Name(), path); {
	case errors.Is(err, fs.ErrExist):
		held := &HeldError{Folder: folder, File: path}
		if h := read(path); h != nil {
			held.Holder = *h
		}
		return nil, held
	case err != nil:
		return nil, fmt.Errorf("locking %s: the file system has neither locks nor hard links: %w; choose a folder on another one", folder, err)
	}
	return l, nil
}

// Stale returns the process that held the folder before and was killed; nil if the last process
// released the folder.
func (l *Lock) Stale() *Holder { return l.stale }

// Release releases the folder and removes the lock file.
func (l *Lock) Release() error {
	err := os.Remove(l.path) // before unlocking: a process that takes the lock then sees that the file was replaced
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		err = nil // Windows does not remove open files
	}
	if l.f == nil {
		return err
	}
	return errors.Join(err, l.f.Unlock())
}

// current reports whether the locked file is still the file at path.
func (l *Lock) current(path string) bool {
	at, err := os.Stat(path)
	if err != nil {
		return false
	}
	locked, err := l.f.Stat()
	return err == nil && os.SameFile(at, locked)
}

// sign writes this process as the holder into the lock file.
func (l *Lock) sign(path string) error {
	host, err := os.Hostname()
	if err != nil {
		host = "an unknown host"
	}
	data, err := json.Marshal(Holder{os.Getpid(), host})
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

// read returns the holder in the lock file, nil if there is none.
func read(path string) *Holder {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	return Read(f)
}

// Read returns the holder in a lock file, nil if there is none.
func Read(f io.Reader) *Holder {
	var h Holder
	data, err := io.ReadAll(io.LimitReader(f, 4096)) // anybody may have written the file
	if err != nil || json.Unmarshal(data, &h) != nil || h.PID == 0 {
		return nil
	}
	return &h
}

// Alive reports whether the holder may still run. It is false if it ran on this machine and no process has its number any more.
func (h Holder) Alive() bool {
	if host, err := os.Hostname(); err != nil || host != h.Host {
		return true
	}
	if h.PID < 0 {
		return false
	}
	p, err := os.FindProcess(h.PID)
	if err != nil {
		return false
	}
	defer p.Release()
	err = p.Signal(syscall.Signal(0))
	return err == nil || errors.Is(err, os.ErrPermission)
}

// Files are the names that a lock's file has in a folder.
func Files() []string { return []string{FileName, FileName + heldExtension} }
