package tasks

import (
	"fmt"
	"sync"

	"learnedopt/internal/gemm"
	"learnedopt/internal/precondition"
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

// A Part is the raw content of one split: N images of F numbers and N labels.
type Part struct {
	// Pixels are N×F bytes, image after image. An image is its channels one after the other, and a
	// channel its rows one after the other.
	Pixels []byte
	// Labels are N class numbers.
	Labels []byte
}

// maxClasses is the largest number of classes: a label is a byte.
const maxClasses = 256

// A Dataset is a set of labelled images in three splits, or a table of numbers: see LoadTable. It is immutable and
// safe for concurrent use. An image has F = channels·rows·cols numbers: element (channel·rows + row)·cols + col
// is a pixel of one channel. Pixels are stored as bytes, which takes a quarter of the memory of float32,
// and delivered as float32 px/255 in [0, 1].
type Dataset struct {
	name                 string
	channels, rows, cols int
	classes              int
	parts                [splits]Part

	// A table has numbers in place of pixels, N×F, and the targets of a regression in place of labels. It has F columns, one row and
	// one channel. A regression has 0 classes.
	table   *TableConfig
	numbers [splits][]float32
	targets [splits][]float32

	// A resized set has the set it was made from and the side of its images; else they are nil and 0.
	original *Dataset
	side     int
	mu       sync.Mutex
	resized  map[int]*Dataset // by side; only the original has it
}

// NewDataset builds a data set of rows×cols images of one channel and the given number of
// classes. It keeps the slices, which must not be changed afterwards. The
// training split must not be empty.
func NewDataset(name string, rows, cols, classes int, train, valid, test Part) (*Dataset, error) {
	return NewChannels(name, 1, rows, cols, classes, train, valid, test)
}

// NewChannels is NewDataset for images of several channels, for example 3 for colours.
func NewChannels(name string, channels, rows, cols, classes int, train, valid, test Part) (*Dataset, error) {
	if channels < 1 || rows < 1 || cols < 1 || classes < 2 || classes > maxClasses {
		return nil, fmt.Errorf("tasks: data set %s: %d×%d images of %d channels in %d classes: want at least 1×1 of 1 in 2 to 256",
			name, rows, cols, channels, classes)
	}
	d := &Dataset{name: name, channels: channels, rows: rows, cols: cols, classes: classes, parts: [splits]Part{train, valid, test}}
	if len(train.Labels) == 0 {
		return nil, fmt.Errorf("tasks: data set %s: no training images", name)
	}
	for s, part := range d.parts {
		if n := len(part.Labels); len(part.Pixels) != n*d.Features() {
			return nil, fmt.Errorf("tasks: data set %s: %s split has %d labels and %d bytes of %d×%d×%d images, want %d bytes",
				name, Split(s), n, len(part.Pixels), channels, rows, cols, n*d.Features())
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

// Shape returns the images' rows and columns.
func (d *Dataset) Shape() (rows, cols int) { return d.rows, d.cols }

// Channels returns the number of channels of an image: 1 for grey, 3 for colours.
func (d *Dataset) Channels() int { return d.channels }

// Features returns the number F = channels·rows·cols of an image's numbers.
func (d *Dataset) Features() int { return d.channels * d.rows * d.cols }

// Classes returns the number of classes, 0 for a regression.
func (d *Dataset) Classes() int { return d.classes }

// kind returns the kind of the tasks on the data set.
func (d *Dataset) kind() kindOfTask {
	switch {
	case d.table == nil:
		return images
	case d.table.Regression:
		return regressions
	}
	return tables
}

// describe sets the options that say how the data set was made of its source.
func (d *Dataset) describe(o *Options) {
	o.ImageSize, o.Target, o.Columns = d.side, "", ""
	if d.table != nil {
		if o.Target = d.table.Target; d.table.Raw {
			o.Columns = rawColumns
		}
	}
}

// regression reports whether examples have a number to predict in place of a label.
func (d *Dataset) regression() bool { return d.table != nil && d.table.Regression }

// outputs returns the number of a network's outputs: the classes, or 1 for a regression.
func (d *Dataset) outputs() int { return max(d.classes, 1) }

// Len returns the number of examples in a split.
func (d *Dataset) Len(s Split) int { return len(d.part(s).Labels) + len(d.targets[s]) }

// Label returns the class of image i of a split.
func (d *Dataset) Label(s Split, i int) int {
	labels := d.part(s).Labels
	if i < 0 || i >= len(labels) {
		panic(errIndex)
	}
	return int(labels[i])
}

// Target returns the number to predict of example i of a split. It panics if the data set is not a regression.
func (d *Dataset) Target(s Split, i int) float32 {
	d.part(s)
	if i < 0 || i >= len(d.targets[s]) {
		panic(errIndex)
	}
	return d.targets[s][i]
}

// Image writes the F numbers of example i of a split into dst: an image's scaled to [0, 1], channel after channel; a
// table's in the order of its columns.
func (d *Dataset) Image(dst []float32, s Split, i int) {
	f := d.Features()
	precondition.Length("tasks", "dst", dst, f)
	part := d.part(s)
	if i < 0 || i >= d.Len(s) {
		panic(errIndex)
	}
	if d.table != nil {
		copy(dst, d.numbers[s][i*f:i*f+f])
		return
	}
	gemm.Default().Pixels(dst, part.Pixels[i*f:i*f+f])
}

func (d *Dataset) part(s Split) *Part {
	if s < 0 || s >= splits {
		panic(errSplit)
	}
	return &d.parts[s]
}
