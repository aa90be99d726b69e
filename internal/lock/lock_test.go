package lock

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gofrs/flock"
)

func TestAFolderIsHeldOnce(t *testing.T) {
	dir := t.TempDir()
	l, err := Take(dir)
	if err != nil {
		t.Fatal(err)
	}
	if l.Stale() != nil {
		t.Errorf("held before by %v", l.Stale())
	}
	_, err = Take(dir)
	var held *HeldError
	if !errors.As(err, &held) || held.Folder != dir {
		t.Fatalf("error %v", err)
	}
	if runtime.GOOS != "windows" {
		if host, _ := os.Hostname(); held.PID != os.Getpid() || held.Host != host {
			t.Errorf("held by %+v", held)
		}
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) > 0 && runtime.GOOS != "windows" {
		t.Errorf("left over: %v", entries)
	}
	if _, err := Take(filepath.Join(dir, "none")); err == nil || errors.As(err, &held) {
		t.Errorf("no such folder: %v", err)
	}
}

// Without locks in the file system the lock file itself is the lock. Of many who try at once one gets it, and who is refused learns
// what to do if the holder was killed.
func TestAFileSystemWithoutLocks(t *testing.T) {
	defer func(old func(*flock.Flock) (bool, error)) { tryLock = old }(tryLock)
	tryLock = func(f *flock.Flock) (bool, error) {
		file, err := os.OpenFile(f.Path(), os.O_CREATE|os.O_RDWR, 0o600) // as flock does before it is refused
		if err != nil {
			return false, err
		}
		file.Close()
		return false, &os.PathError{Op: "flock", Path: f.Path(), Err: syscall.ENOLCK}
	}
	for range 20 {
		dir := t.TempDir()
		var (
			wg    sync.WaitGroup
			taken atomic.Int32
			locks = make(chan *Lock, 8)
		)
		for range 8 {
			wg.Go(func() {
				l, err := Take(dir)
				var held *HeldError
				switch {
				case err == nil:
					taken.Add(1)
					locks <- l
				case !errors.As(err, &held) || held.File != filepath.Join(dir, "lock.held") || !strings.Contains(err.Error(), "remove "+held.File):
					t.Errorf("error %v", err)
				}
			})
		}
		wg.Wait()
		if taken.Load() != 1 {
			t.Fatalf("%d hold the folder", taken.Load())
		}
		if err := (<-locks).Release(); err != nil {
			t.Fatal(err)
		}
		if entries, _ := os.ReadDir(dir); len(entries) > 0 {
			t.Errorf("left over: %v", entries)
		}
		l, err := Take(dir)
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Release()
	}
}

// The lock of a dead process can be taken, and Stale reports that process.
func TestAStaleLock(t *testing.T) {
	for text, want := range map[string]*Holder{
		`{"pid":17,"host":"there"}` + "\n": {17, "there"},
		``:                                 nil,
		`{"pid":1`:                         nil,
		`{"pid":17,"host":"there, with a longer name"}  `: {17, "there, with a longer name"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, FileName), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		l, err := Take(dir)
		if err != nil {
			t.Fatal(err)
		}
		if s := l.Stale(); (s == nil) != (want == nil) || s != nil && *s != *want {
			t.Errorf("%q: stale %+v, want %+v", text, s, want)
		}
		if h := read(filepath.Join(dir, FileName)); h == nil || h.PID != os.Getpid() {
			t.Errorf("%q: signed by %+v", text, h)
		}
		if err := l.Release(); err != nil {
			t.Error(err)
		}
	}
}

// The lock file is removed and made again many times, and there is never more than one holder.
func TestNeverTwoHolders(t *testing.T) {
	dir := t.TempDir()
	var (
		inside, took atomic.Int64
		wg           sync.WaitGroup
	)
	deadline := time.Now().Add(300 * time.Millisecond)
	for range 8 {
		wg.Go(func() {
			for time.Now().Before(deadline) {
				l, err := Take(dir)
				var held *HeldError
				if errors.As(err, &held) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if n := inside.Add(1); n != 1 {
					t.Errorf("%d holders", n)
				}
				took.Add(1)
				inside.Add(-1)
				if err := l.Release(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if took.Load() < 2 {
		t.Errorf("taken %d times: no test", took.Load())
	}
}
