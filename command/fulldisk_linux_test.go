package command

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// This test runs on a disk of 1 MiB that is almost full, and then read-only.
func TestAFullAndAReadOnlyDisk(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("this needs the right to mount a file system: %v", err)
	}
	defer syscall.Unmount(disk, 0)
	t.Chdir(disk)
	args := slices.Concat([]string{"meta-train", "-q", "--out", "run", "--meta-steps", "200"}, tiny)
	filler := func(size int) {
		t.Helper()
		if err := os.WriteFile("filler", make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// There is room for two states, but not for the growing log.
	filler(1<<20 - 80<<10)
	a := cli(t.Context(), args...)
	if a.code != exitFailure || !strings.Contains(a.stderr, "no space left") || !strings.Contains(a.stderr, "--resume run") {
		t.Fatalf("exit %d: %s", a.code, a.stderr)
	}
	state := readFile(t, filepath.Join("run", stateFile))
	if err := syscall.Mount("", disk, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	fail(t, exitFailure, []string{"meta-train", "-q", "--resume", "run"}, "read-only file system")
	fail(t, exitFailure, []string{"meta-train", "-q", "--out", "other"}, "read-only file system", "--out")
	if readFile(t, filepath.Join("run", stateFile)) != state {
		t.Error("the state changed")
	}
	if err := syscall.Mount("", disk, "", syscall.MS_REMOUNT, "size=1m"); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove("filler"); err != nil {
		t.Fatal(err)
	}
	succeed(t, "meta-train", "-q", "--resume", "run")
	if err := os.Rename("run", filepath.Join(t.TempDir(), "run")); err == nil {
		t.Error("one file system?") // a rename would make the next run start anew
	}
	resumed := filepath.Join(disk, "resumed")
	if err := os.Rename("run", resumed); err != nil {
		t.Fatal(err)
	}
	succeed(t, args...)
	sameRun(t, resumed, "run")
	if err := os.Chdir("/"); err != nil { // to unmount it
		t.Fatal(err)
	}
}
