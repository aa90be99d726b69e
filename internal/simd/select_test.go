package simd

import (
	"errors"
	"slices"
	"testing"
	"time"
)

func TestSelect(t *testing.T) {
	paths := Paths()
	if paths[len(paths)-1] != "go" {
		t.Errorf("Paths() = %v: want go at the end", paths)
	}
	for _, name := range paths {
		if k, err := Select(name); err != nil || k.Path != name {
			t.Errorf("Select(%q) = %v, %v", name, k, err)
		}
	}
	want := paths[0]
	if want == "avx512bf16" {
		want = paths[1]
	}
	if k, err := Select(""); err != nil || k.Path != want {
		t.Errorf("Select of nothing = %v, %v: want %s", k, err, want)
	}
	var e *PathError
	if k, err := Select("sse9"); k != nil || !errors.As(err, &e) || e.Name != "sse9" || !slices.Equal(e.Paths, paths) {
		t.Errorf("Select(sse9) = %v, %v", k, err)
	}
}

func TestPeak(t *testing.T) {
	for _, k := range available() {
		// An emulated CPU on a busy machine has no least rate.
		if r := Peak(k, 1, time.Millisecond); !(r > 0 && r < 1e5) {
			t.Errorf("%s: peak of %g GFLOP/s", k.Path, r)
		}
	}
}
