package checkpoints

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
)

// A limit on the size of files makes the kernel refuse a write part way, as a
// full disk does. The limit holds for a whole process, so the test runs in a child process.
func TestSaveOnAFullDisk(t *testing.T) {
	const child = "CHECKPOINTS_TEST_FULL_DISK"
	if os.Getenv(child) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestSaveOnAFullDisk$", "-test.v")
		cmd.Env = append(os.Environ(), child+"=1")
		out, err := cmd.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("--- PASS: TestSaveOnAFullDisk")) {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	folder := t.TempDir()
	path := filepath.Join(folder, "a.mopt")
	if err := Save(path, minimal()); err != nil {
		t.Fatal(err)
	}
	old := bytesOf(t, minimal())
	f := full(t)
	size := len(bytesOf(t, f))

	signal.Ignore(syscall.SIGXFSZ)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	limited := func(n int) error {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: uint64(n), Max: limit.Max}); err != nil {
			t.Fatal(err)
		}
		defer syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit)
		return Save(path, f)
	}
	for _, n := range []int{0, 1, 15, 16, 100, size - 33, size - 1} {
		if err := limited(n); !errors.Is(err, syscall.EFBIG) {
			t.Fatalf("with room for %d bytes: got %v", n, err)
		}
		if data, err := os.ReadFile(path); err != nil || !bytes.Equal(data, old) {
			t.Fatalf("with room for %d bytes: the old file is damaged (%v)", n, err)
		}
		only(t, folder, "a.mopt")
	}
	if err := limited(size); err != nil {
		t.Errorf("with just enough room: %v", err)
	}
}
