//go:build !windows

package durable

import (
	"errors"
	"os"
	"syscall"
)

// syncFolder syncs a folder, so that a rename survives a crash. Not every file system can do it.
func syncFolder(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}
