package durable

import (
	"fmt"
	"os"
	"sync/atomic"
)

// An Op is an operation on a file system that can fail.
type Op string

// The operations.
const (
	Create     Op = "create"
	Chmod      Op = "chmod"
	Write      Op = "write"
	Truncate   Op = "truncate"
	Sync       Op = "sync"
	Close      Op = "close"
	Rename     Op = "rename"
	SyncFolder Op = "sync folder"
)

// A Fault decides whether an operation on the file at path fails: if it returns an error, the operation fails with
// that error. If it returns a *ShortWrite for a write, some bytes are written first.
type Fault func(op Op, path string) error

// A ShortWrite is the error of a write that wrote only its first bytes.
type ShortWrite struct {
	Bytes int
	Err   error
}

// Error implements error.
func (e *ShortWrite) Error() string { return fmt.Sprintf("after %d bytes: %v", e.Bytes, e.Err) }

// Unwrap returns the cause.
func (e *ShortWrite) Unwrap() error { return e.Err }

var fault atomic.Pointer[Fault]

// Break makes every operation of this process call f first, until mend is called. It is for tests with
// a broken disk.
func Break(f Fault) (mend func()) {
	fault.Store(&f)
	return func() { fault.Store(nil) }
}

func injectedFault(op Op, path string) error {
	if f := fault.Load(); f != nil {
		return (*f)(op, path)
	}
	return nil
}

func attempt(op Op, path string, do func() error) error {
	if err := injectedFault(op, path); err != nil {
		return &os.PathError{Op: string(op), Path: path, Err: err}
	}
	return do()
}

// write writes data to f, the file at path or its temporary file.
func write(f *os.File, path string, data []byte) error {
	err := injectedFault(Write, path)
	if err == nil {
		_, err = f.Write(data)
		return err
	}
	if short, ok := err.(*ShortWrite); ok {
		if _, err := f.Write(data[:min(short.Bytes, len(data))]); err != nil {
			return err
		}
	}
	return &os.PathError{Op: string(Write), Path: path, Err: err}
}
