package optimizer

import (
	"fmt"
	"slices"
)

// A Kind says what a tensor of parameters does in its model.
type Kind uint8

const (
	// Vector is the kind of a tensor about which nothing more is known.
	Vector Kind = iota
	// Bias is added to outputs.
	Bias
	// Matrix multiplies inputs. It has two dimensions: the inputs and the outputs.
	Matrix
	// Convolution is a kernel. It has three dimensions or more, and one of them counts output channels.
	Convolution
)

// String returns the kind's name.
func (k Kind) String() string {
	if names := [...]string{"vector", "bias", "matrix", "convolution"}; int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// A Tensor is a named part of the parameters θ. Its elements lie in θ one after another, in row-major order.
type Tensor struct {
	// Name is the tensor's name in its model; it may be empty.
	Name string
	// Shape holds the dimensions. A scalar has none.
	Shape []int
	// Kind says what the tensor does in its model.
	Kind Kind
	// OutputAxis is the index in Shape of the dimension that counts outputs. For a matrix W it is 1 in the
	// product xW (this library, Gorgonia, GoMLX, flax) and 0 in Wx (PyTorch). Only matrices and convolutions
	// use it.
	OutputAxis int
	// From is the index of the tensor's first coordinate in θ. NewLayout sets it.
	From int
}

// Len returns the number of the tensor's coordinates.
func (t Tensor) Len() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// Outputs returns a matrix's number of outputs or a convolution's number of output channels. For other tensors
// it returns 0.
func (t Tensor) Outputs() int {
	if t.Kind != Matrix && t.Kind != Convolution {
		return 0
	}
	return t.Shape[t.OutputAxis]
}

// Inputs returns the fan-in: the number of weights that contribute to one output. For tensors other than
// matrices and convolutions it returns 0.
func (t Tensor) Inputs() int {
	if t.Outputs() == 0 {
		return 0
	}
	return t.Len() / t.Outputs()
}

// AroundOutputs returns the numbers of elements of the dimensions before and after the axis of outputs: element (a, o, b)
// is at (a·Outputs + o)·after + b. For tensors other than matrices and convolutions both are 0.
func (t Tensor) AroundOutputs() (before, after int) {
	if t.Outputs() == 0 {
		return 0, 0
	}
	before, after = 1, 1
	for axis, d := range t.Shape {
		switch {
		case axis < t.OutputAxis:
			before *= d
		case axis > t.OutputAxis:
			after *= d
		}
	}
	return before, after
}

// InferTensor guesses the kind of a parameter from its shape, by the conventions of most Gorgonia models: a batch
// of inputs multiplies a matrix from the left, x·W, and kernels are (output channels, input channels, height, width).
//
//	(i, o), i > 1, o > 1     a matrix with o outputs
//	(o, i, h, w)             a convolution with o output channels
//	(n) or (1, n)            a bias
//	all others               a vector
func InferTensor(name string, shape []int) Tensor {
	t := Tensor{Name: name, Shape: slices.Clone(shape)}
	switch {
	case len(shape) == 4:
		t.Kind = Convolution
	case len(shape) == 2 && shape[0] > 1 && shape[1] > 1:
		t.Kind, t.OutputAxis = Matrix, 1
	case len(shape) == 1, len(shape) == 2 && shape[0] == 1:
		t.Kind = Bias
	}
	return t
}

func (t Tensor) validate() error {
	for _, d := range t.Shape {
		if d < 0 {
			return fmt.Errorf("optimizer: tensor %q of shape %v; a dimension must not be negative", t.Name, t.Shape)
		}
	}
	switch axes := len(t.Shape); {
	case t.Kind == Matrix && axes != 2:
		return fmt.Errorf("optimizer: tensor %q is a matrix of shape %v; a matrix has two dimensions", t.Name, t.Shape)
	case t.Kind == Convolution && axes < 3:
		return fmt.Errorf("optimizer: tensor %q is a convolution of shape %v; a convolution has three dimensions or more", t.Name, t.Shape)
	case t.Kind > Convolution:
		return fmt.Errorf("optimizer: tensor %q is of %v; there is no such kind", t.Name, t.Kind)
	case (t.Kind == Matrix || t.Kind == Convolution) && (t.OutputAxis < 0 || t.OutputAxis >= axes):
		return fmt.Errorf("optimizer: tensor %q of shape %v has its outputs along axis %d; it must be 0 to %d", t.Name, t.Shape, t.OutputAxis, axes-1)
	}
	return nil
}

// A Layout lists the tensors that make up the n parameters θ, in their order in θ. It is immutable. The zero
// value is not a valid layout: use NewLayout, Flat or Slices.
type Layout struct {
	tensors []Tensor
	n       int
}

// NewLayout returns the layout of the given tensors, one after the other, and sets their From. Tensors
// without elements are allowed. It returns an error if a tensor's shape does not fit its kind, or if all
// tensors together have no coordinate.
func NewLayout(tensors ...Tensor) (Layout, error) {
	l := Layout{tensors: slices.Clone(tensors)}
	for i := range l.tensors {
		t := &l.tensors[i]
		if err := t.validate(); err != nil {
			return Layout{}, err
		}
		t.Shape, t.From = slices.Clone(t.Shape), l.n
		l.n += t.Len()
	}
	if l.n == 0 {
		return Layout{}, fmt.Errorf("optimizer: a layout of %d tensors without a coordinate", len(tensors))
	}
	return l, nil
}

// Flat returns the layout of n parameters whose tensors are unknown: one vector. It panics if n is not positive.
func Flat(n int) Layout {
	if n <= 0 {
		panic(fmt.Sprintf("optimizer: a layout of %d coordinates; want at least 1", n))
	}
	return Layout{[]Tensor{{Shape: []int{n}}}, n}
}

// Slices returns the layout of parameters that lie in several slices: one vector for each slice. It panics if
// all slices together have no element.
func Slices[F float32 | float64](theta [][]F) Layout {
	var l Layout
	for _, x := range theta {
		l.tensors = append(l.tensors, Tensor{Shape: []int{len(x)}, From: l.n})
		l.n += len(x)
	}
	if l.n == 0 {
		panic(fmt.Sprintf("optimizer: a layout of %d slices without an element", len(theta)))
	}
	return l
}

// Len returns the number of coordinates n.
func (l Layout) Len() int { return l.n }

// Tensors returns the tensors in their order. The slice and the shapes are the layout's own and must not be changed.
func (l Layout) Tensors() []Tensor { return l.tensors }

// Equal says whether two layouts have the same tensors, with the same names and kinds.
func (l Layout) Equal(m Layout) bool {
	return l.n == m.n && slices.EqualFunc(l.tensors, m.tensors, func(a, b Tensor) bool {
		return a.Name == b.Name && a.Kind == b.Kind && slices.Equal(a.Shape, b.Shape) &&
			(a.Outputs() == 0 || a.OutputAxis == b.OutputAxis)
	})
}

// Definition returns the data that Equal compares, as a value with exported fields. It is saved with a run, and
// compared before the saved run is continued.
func (l Layout) Definition() any {
	type tensor struct {
		Name, Shape, Kind string
		OutputAxis        int // 0 unless the tensor is a matrix or a convolution
	}
	tensors := make([]tensor, len(l.tensors))
	for i, t := range l.tensors {
		tensors[i] = tensor{Name: t.Name, Shape: fmt.Sprint(t.Shape), Kind: t.Kind.String()}
		if t.Outputs() != 0 {
			tensors[i].OutputAxis = t.OutputAxis
		}
	}
	return tensors
}

// Part returns the layout of the coordinates from … to−1 alone. A tensor that lies only partly inside becomes a
// vector with the same name. It panics unless 0 ≤ from < to ≤ n.
func (l Layout) Part(from, to int) Layout {
	if from < 0 || from >= to || to > l.n {
		panic(fmt.Sprintf("optimizer: the coordinates from %d to %d of a layout of %d", from, to-1, l.n))
	}
	part := Layout{n: to - from}
	for _, t := range l.tensors {
		begin, end := max(t.From, from), min(t.From+t.Len(), to)
		if begin >= end {
			continue
		}
		if end-begin < t.Len() {
			t = Tensor{Name: t.Name, Shape: []int{end - begin}}
		}
		t.From = begin - from
		part.tensors = append(part.tensors, t)
	}
	return part
}

// A Laid is a Problem that knows its tensors.
type Laid interface {
	Layout() Layout
}

// LayoutOf returns a problem's layout: its own if it is Laid, otherwise Flat of its dimension.
func LayoutOf(p Problem) Layout {
	if l, ok := p.(Laid); ok {
		return l.Layout()
	}
	return Flat(p.Dim())
}
