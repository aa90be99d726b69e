package checkpoints

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// only fails unless the folder holds exactly one entry, and so no temporary file.
func only(t *testing.T, folder, name string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].Name() != name {
		t.Errorf("the folder holds %v, want only %s", entries, name)
	}
}

func TestSaveAndLoad(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "a.mopt")
	for _, f := range []*File{minimal(), full(t)} {
		if err := Save(path, f); err != nil {
			t.Fatal(err)
		}
		got, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(f, got, sameBits); d != "" {
			t.Error(d)
		}
		if data, err := os.ReadFile(path); err != nil || !bytes.Equal(data, bytesOf(t, f)) {
			t.Errorf("Save and Write differ, %v", err)
		}
	}
	only(t, folder, "a.mopt")
	if runtime.GOOS == "windows" {
		return
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := Save(path, minimal()); err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode() != 0o640 {
		t.Errorf("the mode became %v, %v", fi.Mode(), err)
	}
}

func TestSaveInTheWorkingFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := Save("a.mopt", full(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := Load("a.mopt"); err != nil {
		t.Fatal(err)
	}
	only(t, ".", "a.mopt")
}

func TestSaveFailureLeavesTheOldFile(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "a.mopt")
	if err := Save(path, full(t)); err != nil {
		t.Fatal(err)
	}
	err := Save(path, &File{})
	if fe := formatError(t, err); fe.Offset != -1 || !strings.Contains(err.Error(), path) {
		t.Errorf("an invalid file: %v", err)
	}
	if _, err := Load(path); err != nil {
		t.Error(err)
	}
	only(t, folder, "a.mopt")

	if err := Save(filepath.Join(folder, "none", "a.mopt"), minimal()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such folder: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(path, "full"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Save(path, minimal()); err == nil {
		t.Error("saved over a folder")
	}
	only(t, folder, "a.mopt")
}

func TestLoadNamesThePath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.mopt")
	if _, err := Load(path); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("no such file: %v", err)
	}
	data := bytesOf(t, full(t))
	bad := seal([]byte{0x80})
	for _, b := range [][]byte{{}, []byte("text"), data[:30], bad} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(path)
		formatError(t, err)
		if !strings.Contains(err.Error(), path) {
			t.Errorf("%q does not name the file", err)
		}
	}
}
