package tasks

import (
	"fmt"

	"learnedopt/internal/gemm"
)

// A Split is one of the three disjoint parts of a data set.
type Split int

const (
	// Train is the split on which optimizees are trained.
	Train Split = iota
	// Valid is the split on which choices (learning rates, early stopping) are made.
	Valid
	// Test is the split on which results are reported.
	Test

	splits = 3
)

// String returns "train", "valid" or "test".
func (s Split) String() string {
	switch s {
	case Train:
		return "train"
	case Valid:
		return "valid"
	case Test:
		return "test"
	}
	return fmt.Sprintf("Split(%d)", int(s))
}

// A Part is the raw content of one split: N images of F pixels and N labels.
type Part struct {
	// Pixels are N×F bytes, image after image.
	Pixels []byte
	// Labels are N class numbers.
	Labels []byte
}

// A Dataset is a set of labelled images in three splits. It is immutable and
// safe for concurrent use. Pixels are stored as bytes, which takes a quarter of the memory of float32,
// and delivered as float32 px/255 in [0, 1].
type Dataset struct {
	name                string
	rows, cols, classes int
	parts               [splits]Part
}

// NewDataset builds a data set of rows×cols images of the given number of
// classes. It keeps the slices, which must not be changed afterwards. The
// training split must not be empty.
func NewDataset(name string, rows, cols, classes int, train, valid, test Part) (*Dataset, error) {
	if rows < 1 || cols < 1 || classes < 2 || classes > 256 {
		return nil, fmt.Errorf("tasks: data set %s: %d×%d images in %d classes: want at least 1×1 in 2 to 256", name, rows, cols, classes)
	}
	d := &Dataset{name: name, rows: rows, cols: cols, classes: classes, parts: [splits]Part{train, valid, test}}
	if len(train.Labels) == 0 {
		return nil, fmt.Errorf("tasks: data set %s: no training images", name)
	}
	for s, part := range d.parts {
		if n := len(part.Labels); len(part.Pixels) != n*rows*cols {
			return nil, fmt.Errorf("tasks: data set %s: %s split has %d labels and %d bytes of %d×%d images, want %d bytes",
				name, Split(s), n, len(part.Pixels), rows, cols, n*rows*cols)
		}
		for i, label := range part.Labels {
			if int(label) >= classes {
				return nil, fmt.Errorf("tasks: data set %s: label %d of the %s split is %d, want below %d", name, i, Split(s), label, classes)
			}
		}
	}
	return d, nil
}

// Name returns the data set's name, such as "mnist".
func (d *Dataset) Name() string { return d.name }

// Shape returns the images' rows and columns; an image has F = rows·cols pixels.
func (d *Dataset) Shape() (rows, cols int) { return d.rows, d.cols }

// Classes returns the number of classes.
func (d *Dataset) Classes() int { return d.classes }

// Len returns the number of images in a split.
func (d *Dataset) Len(s Split) int { return len(d.part(s).Labels) }

// Label returns the class of image i of a split.
func (d *Dataset) Label(s Split, i int) int {
	labels := d.part(s).Labels
	if i < 0 || i >= len(labels) {
		panic(errIndex)
	}
	return int(labels[i])
}

// Image writes the F pixels of image i of a split into dst, scaled to [0, 1].
func (d *Dataset) Image(dst []float32, s Split, i int) {
	f := d.rows * d.cols
	checkLengths(len(dst), f, errVector)
	part := d.part(s)
	if i < 0 || i >= len(part.Labels) {
		panic(errIndex)
	}
	gemm.Default().Pixels(dst, part.Pixels[i*f:i*f+f])
}

func (d *Dataset) part(s Split) *Part {
	if s < 0 || s >= splits {
		panic(errSplit)
	}
	return &d.parts[s]
}
