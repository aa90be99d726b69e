//go:build unix

package htmlreport

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func TestAPipeIsRefusedAtOnce(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, logFile), 0o600); err != nil {
		t.Skip("no pipes: ", err)
	}
	done := make(chan error, 1)
	go func() {
		f, err := (folder{dir, "."}).open(logFile)
		if err == nil {
			f.Close()
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil {
			t.Error("a pipe was opened")
		}
	case <-time.After(10 * time.Second):
		t.Error("a pipe without a writer holds the reader up")
	}
}
