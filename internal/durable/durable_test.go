package durable

import (
	"errors"
	"fmt"
	"io/fs"
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

// A device or a pipe is written to and stays what it is.
func TestDevicesAndPipesAreNotReplaced(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no such files")
	}
	dir := t.TempDir()
	null := filepath.Join(dir, "null")
	if err := os.Symlink("/dev/null", null); err != nil {
		t.Skip(err)
	}
	if !Direct(null) { // otherwise Replace would replace the machine's device
		t.Fatal("/dev/null is taken for a file")
	}
	if err := Replace(null, []byte("lost")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(null); err != nil || info.Mode()&fs.ModeDevice == 0 {
		t.Errorf("/dev/null is %v: %v", info.Mode(), err)
	}
	// The file that /dev/fd leads to is written to at its end, and keeps its identity.
	path := filepath.Join(dir, "output")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("before, "); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("/dev/fd/%d", f.Fd())
	if _, err := os.Stat(name); err != nil {
		t.Skip(err)
	}
	if err := Replace(name, []byte("then")); err != nil {
		t.Fatal(err)
	}
	before, _ := f.Stat()
	after, err := os.Stat(path)
	if data, _ := os.ReadFile(path); err != nil || string(data) != "before, then" || !os.SameFile(before, after) {
		t.Errorf("the file holds %q; the same one: %v", data, os.SameFile(before, after))
	}
}

// The target of a symbolic link is replaced, and the link stays.
func TestLinksAreFollowed(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	target, link := filepath.Join(other, "file"), filepath.Join(dir, "link")
	if err := os.WriteFile(target, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Skip(err)
	}
	if err := Replace(link, []byte("new")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(link)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Fatalf("the link is %v: %v", info, err)
	}
	if data, err := os.ReadFile(target); err != nil || string(data) != "new" {
		t.Errorf("the target holds %q: %v", data, err)
	}
	if left, _ := os.ReadDir(other); len(left) != 1 {
		t.Errorf("%d files are left", len(left))
	}
}
