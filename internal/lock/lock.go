// Package lock gives a folder to one process at a time. The system takes a lock back when
// its process ends, however it ends: what a dead process leaves is a file that no one holds.
package lock

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// FileName is the name of the lock's file in a folder.
const FileName = "lock"

// A Holder is a process that holds, or held, a folder.
type Holder struct {
	PID  int    `json:"pid"`
	Host string `json:"host"`
}

// A HeldError says who holds a folder. The zero Holder is one that could not be read, as on Windows.
type HeldError struct {
	Folder string
	Holder
}

// Error implements error.
func (e *HeldError) Error() string {
	if e.Holder == (Holder{}) {
		return "another process is writing to " + e.Folder
	}
	return fmt.Sprintf("process %d on %s is writing to %s", e.PID, e.Host, e.Folder)
}

// A Lock is a folder that this process holds.
type Lock struct {
	f     *flock.Flock
	stale *Holder
}

// Take takes the folder's lock, or returns a *HeldError at once.
func Take(folder string) (*Lock, error) {
	path := filepath.Join(folder, FileName)
	for {
		l := &Lock{f: flock.New(path)}
		ok, err := l.f.TryLock()
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
		if !l.current(path) { // the holder before removed the file in between
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

// Stale returns the process that held the folder until it was killed; nil if the last one
// gave it back.
func (l *Lock) Stale() *Holder { return l.stale }

// Release gives the folder back and removes the file.
func (l *Lock) Release() error {
	err := os.Remove(l.f.Path()) // first: whoever takes it then sees that the file is another one
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		err = nil // Windows does not remove what is open
	}
	return errors.Join(err, l.f.Unlock())
}

// current says whether the locked file is the one at path.
func (l *Lock) current(path string) bool {
	at, err := os.Stat(path)
	if err != nil {
		return false
	}
	locked, err := l.f.Stat()
	return err == nil && os.SameFile(at, locked)
}

// sign writes who holds the folder.
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

// read returns who signed last.
func read(path string) *Holder {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	var h Holder
	data, err := io.ReadAll(io.LimitReader(f, 4096)) // it is a file of anybody's
	if err != nil || json.Unmarshal(data, &h) != nil || h.PID == 0 {
		return nil
	}
	return &h
}
