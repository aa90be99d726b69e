package optimizer_test

import (
	"fmt"
	"strings"
	"testing"

	"learnedopt/optimizer"
)

func mlp(t *testing.T) optimizer.Layout {
	t.Helper()
	l, err := optimizer.NewLayout(
		optimizer.Tensor{Name: "kernel", Shape: []int{3, 3, 2, 4}, Kind: optimizer.Convolution, OutputAxis: 3},
		optimizer.Tensor{Name: "w", Shape: []int{5, 7}, Kind: optimizer.Matrix, OutputAxis: 1},
		optimizer.Tensor{Name: "b", Shape: []int{7}, Kind: optimizer.Bias},
		optimizer.Tensor{Name: "none", Shape: []int{0, 9}},
		optimizer.Tensor{Name: "scale"})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLayout(t *testing.T) {
	l := mlp(t)
	if l.Len() != 72+35+7+1 {
		t.Errorf("%d coordinates, want 115", l.Len())
	}
	want := []struct{ from, n, in, out int }{{0, 72, 18, 4}, {72, 35, 5, 7}, {107, 7, 0, 0}, {114, 0, 0, 0}, {114, 1, 0, 0}}
	for i, x := range l.Tensors() {
		if got := (struct{ from, n, in, out int }{x.From, x.Len(), x.Inputs(), x.Outputs()}); got != want[i] {
			t.Errorf("%s: %+v, want %+v", x.Name, got, want[i])
		}
	}
	turned := optimizer.Tensor{Shape: []int{7, 5}, Kind: optimizer.Matrix}
	if turned.Inputs() != 5 || turned.Outputs() != 7 {
		t.Errorf("PyTorch's matrix has %d inputs and %d outputs, want 5 and 7", turned.Inputs(), turned.Outputs())
	}
}

func TestLayoutIsACopy(t *testing.T) {
	shape := []int{2, 3}
	tensors := []optimizer.Tensor{{Name: "w", Shape: shape}}
	l, err := optimizer.NewLayout(tensors...)
	if err != nil {
		t.Fatal(err)
	}
	shape[0], tensors[0].Name = 9, "x"
	if w := l.Tensors()[0]; w.Shape[0] != 2 || w.Name != "w" {
		t.Errorf("the layout changed to %+v", w)
	}
}

func TestLayoutPart(t *testing.T) {
	l := mlp(t)
	p := l.Part(80, 114)
	got := p.Tensors()
	if p.Len() != 34 || len(got) != 2 {
		t.Fatalf("%d coordinates in %d tensors, want 34 in 2", p.Len(), len(got))
	}
	if w := got[0]; w.Name != "w" || w.From != 0 || w.Len() != 27 || w.Kind != optimizer.Vector || len(w.Shape) != 1 {
		t.Errorf("a part of the matrix is %+v, want a vector of 27", w)
	}
	if b := got[1]; b.From != 27 || b.Len() != 7 || b.Kind != optimizer.Bias {
		t.Errorf("the bias is %+v, want it whole at 27", b)
	}
	whole := l.Part(0, l.Len())
	if whole.Len() != l.Len() || len(whole.Tensors()) != 4 || whole.Tensors()[0].Kind != optimizer.Convolution {
		t.Errorf("the whole is %+v", whole)
	}
	for _, c := range [][2]int{{-1, 3}, {3, 3}, {0, 116}} {
		mustPanic(t, fmt.Sprintf("optimizer: the coordinates from %d to %d of a layout of 115", c[0], c[1]-1), func() { l.Part(c[0], c[1]) })
	}
}

func TestLayoutEqual(t *testing.T) {
	l := mlp(t)
	if !l.Equal(mlp(t)) {
		t.Error("two of the same are not equal")
	}
	for what, m := range map[string]optimizer.Layout{
		"flat": optimizer.Flat(l.Len()), "part": l.Part(0, 114), "slices": optimizer.Slices([][]float64{make([]float64, 72), make([]float64, 43)}),
	} {
		if l.Equal(m) {
			t.Errorf("%s is equal", what)
		}
	}
	square := func(axis int, kind optimizer.Kind, name string) optimizer.Layout {
		m, err := optimizer.NewLayout(optimizer.Tensor{Name: name, Shape: []int{3, 3}, Kind: kind, OutputAxis: axis})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	a := square(0, optimizer.Matrix, "w")
	for what, b := range map[string]optimizer.Layout{
		"other axis": square(1, optimizer.Matrix, "w"), "other kind": square(0, optimizer.Vector, "w"), "other name": square(0, optimizer.Matrix, "v"),
	} {
		if a.Equal(b) {
			t.Errorf("%s is equal", what)
		}
	}
	if !square(0, optimizer.Vector, "w").Equal(square(1, optimizer.Vector, "w")) {
		t.Error("the output axis of a vector counts")
	}
}

func TestLayoutErrors(t *testing.T) {
	for word, tensors := range map[string][]optimizer.Tensor{
		"without a coordinate": {{Shape: []int{0}}},
		"negative":             {{Shape: []int{2, -1}}},
		"two dimensions":       {{Shape: []int{2}, Kind: optimizer.Matrix}},
		"three dimensions":     {{Shape: []int{2, 2}, Kind: optimizer.Convolution}},
		"axis 2":               {{Shape: []int{2, 2}, Kind: optimizer.Matrix, OutputAxis: 2}},
		"axis -1":              {{Shape: []int{2, 2}, Kind: optimizer.Matrix, OutputAxis: -1}},
		"kind 9":               {{Shape: []int{2}, Kind: 9}},
	} {
		if _, err := optimizer.NewLayout(tensors...); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("error %v, want one that says %q", err, word)
		}
	}
	mustPanic(t, "optimizer: a layout of 0 coordinates; want at least 1", func() { optimizer.Flat(0) })
	mustPanic(t, "optimizer: a layout of 2 slices without an element", func() { optimizer.Slices([][]float32{{}, {}}) })
}

// laid is a bowl that knows its tensors.
type laid struct{ *bowl }

func (l laid) Layout() optimizer.Layout { return optimizer.Slices([][]float32{{0}, {0, 0}}) }

// seen records the layout that the rule was started on.
type seen struct {
	descent
	layout *optimizer.Layout
}

func (s seen) Start(layout optimizer.Layout) optimizer.State {
	*s.layout = layout
	return s.descent.Start(layout)
}

func TestRunTellsTheLayout(t *testing.T) {
	var got optimizer.Layout
	if _, err := optimizer.Run(t.Context(), seen{layout: &got}, laid{sound(3)}, 1); err != nil || len(got.Tensors()) != 2 {
		t.Errorf("started on %+v: %v", got, err)
	}
	if _, err := optimizer.Run(t.Context(), seen{layout: &got}, sound(3), 1); err != nil || !got.Equal(optimizer.Flat(3)) {
		t.Errorf("started on %+v: %v", got, err)
	}
}

func TestInferTensor(t *testing.T) {
	for _, c := range []struct {
		shape   []int
		kind    optimizer.Kind
		in, out int
	}{
		{[]int{784, 20}, optimizer.Matrix, 784, 20},
		{[]int{8, 3, 5, 5}, optimizer.Convolution, 75, 8},
		{[]int{20}, optimizer.Bias, 0, 0},
		{[]int{1, 20}, optimizer.Bias, 0, 0},
		{[]int{20, 1}, optimizer.Vector, 0, 0},
		{[]int{}, optimizer.Vector, 0, 0},
		{[]int{2, 2, 2}, optimizer.Vector, 0, 0},
	} {
		x := optimizer.InferTensor("x", c.shape)
		if _, err := optimizer.NewLayout(x); err != nil || x.Name != "x" || x.Kind != c.kind || x.Inputs() != c.in || x.Outputs() != c.out {
			t.Errorf("%v: %+v with %d inputs and %d outputs: %v", c.shape, x, x.Inputs(), x.Outputs(), err)
		}
	}
}
