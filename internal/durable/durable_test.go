package durable

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// Whatever operation fails, the file has its old content, or its new content if only the sync of the folder failed, and
// no other file is left.
func TestReplaceWhereOneOperationFails(t *testing.T) {
	broken := errors.New("broken")
	for _, op := range []Op{Create, Chmod, Write, Sync, Close, Rename, SyncFolder} {
		for _, short := range []int{0, 2, 100} {
			folder := t.TempDir()
			path := filepath.Join(folder, "a [file]")
			if err := Replace(path, []byte("old")); err != nil {
				t.Fatal(err)
			}
			var err error = broken
			if op == Write {
				err = &ShortWrite{Bytes: short, Err: broken}
			}
			asked := 0
			mend := Break(func(o Op, p string) error {
				if o != op {
					return nil
				}
				if asked++; p != path {
					t.Errorf("%s asks about %s", op, p)
				}
				return err
			})
			err = Replace(path, []byte("new one"))
			mend()
			if asked != 1 || !errors.Is(err, broken) || !strings.Contains(err.Error(), string(op)) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: error %v", op, err)
			}
			want := "old"
			if op == SyncFolder {
				want = "new one"
			}
			if got := read(t, path); got != want {
				t.Errorf("%s: the file holds %q, want %q", op, got, want)
			}
			if entries, _ := os.ReadDir(folder); len(entries) != 1 {
				t.Errorf("%s leaves %v", op, entries)
			}
		}
	}
}

func TestReplaceKeepsTheMode(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no modes")
	}
	path := filepath.Join(t.TempDir(), "a")
	for _, mode := range []os.FileMode{0o600, 0o640} {
		if err := Replace(path, []byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if err := Replace(path, []byte("y")); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode() != mode {
			t.Errorf("mode %v, %v; want %v", info.Mode(), err, mode)
		}
	}
}

// Clean removes the temporary files that a killed process left for this path, and nothing else.
func TestClean(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "a[1]*")
	for _, name := range []string{".a[1]*.tmp17-0", ".a[1]*.tmp4-2", ".a1x.tmp17-0", "a[1]*", ".b.tmp1-0"} {
		if err := os.WriteFile(filepath.Join(folder, name), nil, 0o644); err != nil {
			t.Skip(err) // the system does not allow this name
		}
	}
	if err := Clean(path); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 3 {
		t.Errorf("%v is left, %v", entries, err)
	}
	// The temporary file of a killed process with our process number is no obstacle.
	if err := os.WriteFile(temporary(path)+"-0", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Replace(path, []byte("x")); err != nil {
		t.Error(err)
	}
}

func TestLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, err := OpenLog(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"one\n", "two\n", "half a li"} {
		if err := l.Append([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(l.Sync(), l.Close()); err != nil {
		t.Fatal(err)
	}
	if l, err = OpenLog(path, 8); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	mend := Break(func(op Op, _ string) error { return &ShortWrite{Bytes: 3, Err: broken} })
	if err := l.Append([]byte("three\n")); !errors.Is(err, broken) || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
	if err := l.Sync(); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	mend()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := read(t, path); got != "one\ntwo\nthr" {
		t.Errorf("the log holds %q", got)
	}
	if _, err := OpenLog(path, 100); err == nil || !strings.Contains(err.Error(), "11 bytes") {
		t.Errorf("a log that is too short: %v", err)
	}
	if got := read(t, path); got != "one\ntwo\nthr" {
		t.Errorf("that changed it to %q", got)
	}
}
