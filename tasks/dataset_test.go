package tasks

import (
	"strings"
	"testing"
)

func TestDatasetDeliversUnitPixels(t *testing.T) {
	train := Part{Pixels: []byte{0, 51, 255, 1, 2, 3}, Labels: []byte{2, 0}}
	d, err := NewDataset("tiny", 1, 3, 3, train, Part{}, Part{Pixels: []byte{7, 8, 9}, Labels: []byte{1}})
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float32, 3)
	d.Image(x, Train, 0)
	if x[0] != 0 || x[1] != 51./255 || x[2] != 1 {
		t.Errorf("pixels 0, 51, 255 are delivered as %v", x)
	}
	if d.Len(Train) != 2 || d.Len(Valid) != 0 || d.Len(Test) != 1 || d.Label(Train, 0) != 2 || d.Label(Test, 0) != 1 {
		t.Error("wrong lengths or labels")
	}
	if rows, cols := d.Shape(); rows != 1 || cols != 3 || d.Classes() != 3 || d.Name() != "tiny" {
		t.Error("wrong shape, classes or name")
	}
	all := Part{Pixels: make([]byte, 259), Labels: []byte{0}}
	for px := range all.Pixels {
		all.Pixels[px] = byte(px)
	}
	bytes, err := NewDataset("bytes", 7, 37, 2, all, Part{}, Part{})
	if err != nil {
		t.Fatal(err)
	}
	image := make([]float32, 259)
	bytes.Image(image, Train, 0)
	for px, got := range image {
		if want := float32(float64(byte(px)) / 255); got != want {
			t.Errorf("byte %d is delivered as %v, want %v", byte(px), got, want)
		}
	}
	mustPanic(t, errIndex, func() { d.Image(x, Valid, 0) })
	mustPanic(t, errIndex, func() { d.Label(Test, -1) })
	mustPanic(t, errSplit, func() { d.Len(3) })
	mustPanic(t, "tasks: dst has 2 elements; want 3, one for each coordinate", func() { d.Image(x[:2], Train, 0) })
}

func TestNewDatasetRejects(t *testing.T) {
	good := Part{Pixels: []byte{1, 2}, Labels: []byte{0}}
	for _, c := range []struct {
		train, valid Part
		rows         int
		want         string
	}{
		{Part{}, good, 1, "no training images"},
		{Part{Pixels: []byte{1}, Labels: []byte{0}}, Part{}, 1, "train split has 1 labels and 1 bytes"},
		{good, Part{Pixels: []byte{1, 2, 3}, Labels: []byte{0}}, 1, "valid split"},
		{good, Part{Pixels: []byte{1, 2}, Labels: []byte{2}}, 1, "label 0 of the valid split is 2, want below 2"},
		{good, Part{}, 0, "want at least 1×1"},
	} {
		if _, err := NewDataset("x", c.rows, 2, 2, c.train, c.valid, Part{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
}
