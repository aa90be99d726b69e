package tasks

import (
	"math/rand/v2"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"learnedopt/optimizer"
)

func sampled(t *testing.T, f optimizer.Family) optimizer.Problem {
	t.Helper()
	p, err := f.Sample(rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeProblem(p) })
	return p
}

func TestLayouts(t *testing.T) {
	digits, err := New("digits", Options{Units: 1, Layers: 2, Batch: 4})
	if err != nil {
		t.Fatal(err)
	}
	l := optimizer.LayoutOf(sampled(t, digits))
	var got []string
	for _, x := range l.Tensors() {
		got = append(got, x.Name+" "+x.Kind.String())
	}
	if want := "W0 matrix b0 bias W1 matrix b1 bias W2 matrix b2 bias"; strings.Join(got, " ") != want {
		t.Errorf("a classifier's tensors are %v, want %v", got, want)
	}
	pixels := (l.Len() - 1 - 1 - 1 - 10 - 10) // the inputs of W0, which has one unit
	if w := l.Tensors()[0]; w.Inputs() != pixels || w.Outputs() != 1 {
		t.Errorf("%+v has %d inputs and %d outputs, want %d and 1", w, w.Inputs(), w.Outputs(), pixels)
	}
	if w := l.Tensors()[4]; w.Inputs() != 1 || w.Outputs() != 10 {
		t.Errorf("%+v has %d inputs and %d outputs, want 1 and 10", w, w.Inputs(), w.Outputs())
	}
	for _, f := range []optimizer.Family{Quadratic{Dims: 3, Batch: 5}, Rosenbrock{Dims: 3, Batch: 5}} {
		p := sampled(t, f)
		x := optimizer.LayoutOf(p).Tensors()
		if len(x) != 1 || x[0].Shape[0] != 5 || x[0].Shape[1] != 3 || x[0].Kind != optimizer.Vector || x[0].Len() != p.Dim() {
			t.Errorf("%s: %+v", f.Name(), x)
		}
	}
}

// A decorator keeps the layout of the problem that it wraps.
func TestLayoutsOfDecorators(t *testing.T) {
	c, err := NewClassifier(noise(t, 20, 5), ClassifierConfig{Units: 3, Batch: 2})
	if err != nil {
		t.Fatal(err)
	}
	plain := optimizer.LayoutOf(sampled(t, c))
	for _, f := range []optimizer.Family{Perturbed{Family: c, Scale: 2}, RandomScaling{Family: c, Range: 1}} {
		if l := optimizer.LayoutOf(sampled(t, f)); !l.Equal(plain) {
			t.Errorf("%s: %+v, want %+v", f.Name(), l.Tensors(), plain.Tensors())
		}
	}
	both := optimizer.LayoutOf(sampled(t, Joint{[]optimizer.Family{Quadratic{Dims: 2, Batch: 3}, c}}))
	if l := both.Part(6, both.Len()); !l.Equal(plain) || both.Tensors()[0].Len() != 6 {
		t.Errorf("joint: %+v", both.Tensors())
	}
}

func TestGraphLayout(t *testing.T) {
	build := func(tensors []optimizer.Tensor) (*Graph, error) {
		return NewGraph(func(g *gorgonia.ExprGraph) (Expression, error) {
			w := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithShape(2, 3), gorgonia.WithName("w"))
			loss, err := gorgonia.Sum(w)
			return Expression{Params: gorgonia.Nodes{w}, Loss: loss, Tensors: tensors}, err
		})
	}
	p, err := build(nil)
	if err != nil {
		t.Fatal(err)
	}
	if w := p.Layout().Tensors()[0]; w.Name != "w" || w.Kind != optimizer.Matrix || w.Inputs() != 2 {
		t.Errorf("%+v", w)
	}
	p, err = build([]optimizer.Tensor{{Name: "embedding", Shape: []int{2, 3}}})
	if err != nil {
		t.Fatal(err)
	}
	if w := p.Layout().Tensors()[0]; w.Name != "embedding" || w.Kind != optimizer.Vector {
		t.Errorf("%+v", w)
	}
	for word, tensors := range map[string][]optimizer.Tensor{
		"all of them or none": {},
		"its shape is":        {{Shape: []int{3, 2}}},
		"three dimensions":    {{Shape: []int{2, 3}, Kind: optimizer.Convolution}},
	} {
		if _, err := build(tensors); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("error %v, want one that says %q", err, word)
		}
	}
}
