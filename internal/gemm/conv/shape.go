package conv

import (
	"errors"
	"fmt"
)

// Panics after a caller's mistake.
const (
	errBatch  = "conv: New: a minibatch needs at least one image"
	errPoint  = "conv: wrong length of theta, x, y or grad"
	errVector = "conv: product: wrong length of a vector"
	errUnset  = "conv: product: no point has been set"
)

// kernel is the number of rows and of columns of every kernel.
const kernel = 3

// A Shape is the shape of a convolutional classifier. It has one convolutional layer for each element of Filters.
type Shape struct {
	// Channels, Rows and Cols are the size of an input image.
	Channels, Rows, Cols int
	// Filters are the numbers of output channels of the convolutional layers.
	Filters []int
	Classes int
}

// A Layer is the size of one convolutional layer: it maps images of Inputs channels to images of Outputs channels,
// and Rows×Cols pixels to ⌊Rows/2⌋×⌊Cols/2⌋.
type Layer struct{ Rows, Cols, Inputs, Outputs int }

// Validate returns an error if a number is not positive, if there is no convolutional layer, or if the images are too small for so many layers.
func (s Shape) Validate() error {
	if s.Channels < 1 || s.Rows < 1 || s.Cols < 1 || s.Classes < 1 {
		return fmt.Errorf("conv: images of %d channels of %d×%d pixels in %d classes: all must be positive", s.Channels, s.Rows, s.Cols, s.Classes)
	}
	if len(s.Filters) == 0 {
		return errors.New("conv: no convolutional layer; there must be at least one")
	}
	for l, k := range s.Layers() {
		if k.Outputs < 1 {
			return fmt.Errorf("conv: layer %d has %d channels; it must have at least one", l+1, k.Outputs)
		}
		if k.Rows < 2 || k.Cols < 2 {
			return fmt.Errorf("conv: images of %d×%d pixels are too small for %d layers, each of which halves them; take at most %d", s.Rows, s.Cols, len(s.Filters), l)
		}
	}
	return nil
}

// Layers returns the sizes of the convolutional layers.
func (s Shape) Layers() []Layer {
	var all []Layer
	rows, cols, in := s.Rows, s.Cols, s.Channels
	for _, out := range s.Filters {
		all = append(all, Layer{rows, cols, in, out})
		rows, cols, in = rows/2, cols/2, out
	}
	return all
}

// Features returns the number of inputs of the dense layer.
func (s Shape) Features() int {
	layers := s.Layers()
	return layers[len(layers)-1].features()
}

// Size returns the number of coordinates of θ.
func (s Shape) Size() int {
	n := (s.Features() + 1) * s.Classes
	for _, k := range s.Layers() {
		n += k.weights() + k.Outputs
	}
	return n
}

// features returns the number of elements of a pooled image.
func (k Layer) features() int { return k.Rows / 2 * (k.Cols / 2) * k.Outputs }

// weights returns the number of weights, without the biases.
func (k Layer) weights() int { return kernel * kernel * k.Inputs * k.Outputs }
