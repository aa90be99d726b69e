//go:build !windows

package checkpoints

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"github.com/google/renameio/v2"
)

func replace(path string, data []byte) error {
	folder := filepath.Dir(path)
	// The temporary file goes into the same folder: renameio would otherwise
	// try the system's, which two renames prove to be on the same disk.
	err := renameio.WriteFile(path, data, 0o644, renameio.WithTempDir(folder))
	if err != nil {
		return err
	}
	return syncFolder(folder)
}

// syncFolder makes a rename last. Not every file system can sync a folder.
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
