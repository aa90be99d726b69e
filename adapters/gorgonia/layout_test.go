package gorgoniaopt_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	gorgoniaopt "learnedopt/adapters/gorgonia"
	"learnedopt/optimizer"
)

// A layout is a tensor of some shape and its place in the backing memory.
type layout struct {
	shape   []int
	tensor  *tensor.Dense
	backing *tensor.Dense // all of the memory
}

// layouts returns tensors with every kind of memory layout, filled with 2, 3, 4, … in memory order.
func layouts(t *testing.T, of tensor.Dtype) map[string]func() layout {
	t.Helper()
	fresh := func(shape ...int) *tensor.Dense {
		size := tensor.Shape(shape).TotalSize()
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(tensor.Range(of, 2, size+2)))
	}
	slice := func(of *tensor.Dense, by ...tensor.Slice) *tensor.Dense {
		v, err := of.Slice(by...)
		if err != nil {
			t.Fatal(err)
		}
		return v.(*tensor.Dense)
	}
	turned := func(d *tensor.Dense, axes ...int) *tensor.Dense {
		if err := d.T(axes...); err != nil {
			t.Fatal(err)
		}
		return d
	}
	flatOf := func(d *tensor.Dense) *tensor.Dense { // another view of the same memory
		if of == tensor.Float32 {
			return tensor.New(tensor.WithShape(len(d.Float32s())), tensor.WithBacking(d.Float32s()))
		}
		return tensor.New(tensor.WithShape(len(d.Float64s())), tensor.WithBacking(d.Float64s()))
	}
	make1 := func(build func() (whole, view *tensor.Dense)) func() layout {
		return func() layout {
			whole, view := build()
			return layout{slices.Clone(view.Shape()), view, flatOf(whole)}
		}
	}
	return map[string]func() layout{
		"rows": make1(func() (a, b *tensor.Dense) { a = fresh(3, 4); return a, a }),
		"four": make1(func() (a, b *tensor.Dense) { a = fresh(2, 3, 2, 2); return a, a }),
		"columns": make1(func() (a, b *tensor.Dense) {
			a = tensor.New(tensor.WithShape(3, 4), tensor.AsFortran(tensor.Range(of, 2, 14)))
			return a, a
		}),
		// Gorgonia gives column-major vectors one stride for two dimensions.
		"column vector": make1(func() (a, b *tensor.Dense) {
			a = tensor.New(tensor.WithShape(5, 1), tensor.AsFortran(tensor.Range(of, 2, 7)))
			return a, a
		}),
		"transposed":  make1(func() (a, b *tensor.Dense) { a = fresh(4, 3); return a, turned(a) }),
		"permuted":    make1(func() (a, b *tensor.Dense) { a = fresh(2, 3, 4); return a, turned(a, 2, 0, 1) }),
		"slice":       make1(func() (a, b *tensor.Dense) { a = fresh(5, 6); return a, slice(a, tensor.S(1, 4), tensor.S(2, 5)) }),
		"column":      make1(func() (a, b *tensor.Dense) { a = fresh(5, 6); return a, slice(a, nil, tensor.S(2)) }),
		"row":         make1(func() (a, b *tensor.Dense) { a = fresh(5, 6); return a, slice(a, tensor.S(3)) }),
		"every other": make1(func() (a, b *tensor.Dense) { a = fresh(9); return a, slice(a, tensor.S(0, 8, 2)) }),
		"one element": make1(func() (a, b *tensor.Dense) { a = fresh(3, 3); return a, slice(a, tensor.S(1), tensor.S(1)) }),
		"of a transposed": make1(func() (a, b *tensor.Dense) {
			a = fresh(5, 6)
			return a, slice(turned(a), tensor.S(1, 4), tensor.S(0, 2))
		}),
		"inner turned": make1(func() (a, b *tensor.Dense) { a = fresh(2, 3, 4); return a, turned(a, 0, 2, 1) }),
		// Gorgonia gives a column-major single element no strides.
		"one by one": make1(func() (a, b *tensor.Dense) {
			a = tensor.New(tensor.WithShape(1, 1), tensor.AsFortran(tensor.Range(of, 2, 3)))
			return a, a
		}),
		"planes": make1(func() (a, b *tensor.Dense) {
			a = fresh(3, 4, 5)
			return a, slice(a, nil, tensor.S(1, 3), tensor.S(0, 4))
		}),
	}
}

// at returns the elements of a tensor in row-major order of their indices, by Gorgonia's own At.
func at(t *testing.T, d *tensor.Dense) (x []float64) {
	t.Helper()
	shape := d.Shape()
	index := make([]int, len(shape))
	for range max(1, shape.TotalSize()) {
		var v any
		var err error
		switch {
		case len(shape) == 0:
			v = d.Data()
		case len(d.Strides()) != len(shape): // At cannot
			v = d.Get(slices.Max(index))
		default:
			v, err = d.At(index...)
		}
		if err != nil {
			t.Fatal(err)
		}
		switch v := v.(type) {
		case float32:
			x = append(x, float64(v))
		case float64:
			x = append(x, v)
		}
		for k := len(index) - 1; k >= 0; k-- {
			if index[k]++; index[k] < shape[k] {
				break
			}
			index[k] = 0
		}
	}
	return x
}

// Weights and gradients may have any memory layouts, and different ones. Memory between the
// elements of a view is not touched.
func TestLayouts(t *testing.T) {
	for _, dtype := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		every := layouts(t, dtype)
		for name, build := range every {
			for gradName, buildGrad := range every {
				w, g := build(), buildGrad()
				if !slices.Equal(w.shape, g.shape) {
					continue
				}
				what := fmt.Sprintf("%v, weights %s, gradient %s", dtype, name, gradName)
				rule := decayed{}
				theta, grad := at(t, w.tensor), at(t, g.tensor)
				if slices.Max(grad) < 2 {
					t.Fatalf("%s: gradient %v", what, grad)
				}
				theta32, grad32, update := make([]float32, len(theta)), make([]float32, len(theta)), make([]float32, len(theta))
				for i := range theta {
					theta32[i], grad32[i] = float32(theta[i]), float32(grad[i])
				}
				if _, err := rule.Start(optimizer.Flat(len(theta))).Update(update, optimizer.Point{Grad: grad32, Theta: theta32}); err != nil {
					t.Fatal(err)
				}
				weightsBefore, gradBefore := at(t, w.backing), at(t, g.backing)

				solver := gorgoniaopt.New(rule)
				if err := solver.Step([]gorgonia.ValueGrad{&parameter{"w", w.tensor, g.tensor}}); err != nil {
					t.Errorf("%s: %v", what, err)
					continue
				}
				for i, got := range at(t, w.tensor) {
					want := theta[i] + float64(update[i])
					if dtype == tensor.Float32 {
						want = float64(theta32[i] + update[i])
					}
					if math.Float64bits(got) != math.Float64bits(want) {
						t.Errorf("%s: element %d is %v, want %v", what, i, got, want)
					}
				}
				for i, x := range at(t, g.tensor) {
					if x != 0 {
						t.Errorf("%s: gradient %d is %v after the step", what, i, x)
					}
				}
				// Values in memory are distinct. Values that belong to no element must have stayed.
				for i, x := range at(t, w.backing) {
					if inside := slices.Contains(theta, weightsBefore[i]); inside == (x == weightsBefore[i]) {
						t.Errorf("%s: memory at %d was %v and is %v", what, i, weightsBefore[i], x)
					}
				}
				for i, x := range at(t, g.backing) {
					if inside := slices.Contains(grad, gradBefore[i]); inside && x != 0 || !inside && x != gradBefore[i] {
						t.Errorf("%s: gradient memory at %d was %v and is %v", what, i, gradBefore[i], x)
					}
				}
			}
		}
	}
}

// A guard restores weights in every layout, in their own precision, and ZeroGrads stays within a view.
func TestLayoutsOfAGuard(t *testing.T) {
	for _, dtype := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		for name, build := range layouts(t, dtype) {
			w, g := build(), build()
			want, memory := at(t, w.tensor), at(t, w.backing)
			before, grad := at(t, g.backing), at(t, g.tensor)
			solver, nodes := gorgoniaopt.New(jump{}), []gorgonia.ValueGrad{&parameter{"w", w.tensor, g.tensor}}
			for step := range 3 { // keeps, leaps, goes back
				if err := solver.StepLoss(nodes, gorgonia.NewF32(1)); err != nil {
					t.Errorf("%v, %s: %v", dtype, name, err)
				}
				if moved := !slices.Equal(at(t, w.tensor), want); moved != (step < 2) {
					t.Errorf("%v, %s: after step %d the weights are %v, they began as %v", dtype, name, step, at(t, w.tensor), want)
				}
			}
			if !slices.Equal(at(t, w.backing), memory) {
				t.Errorf("%v, %s: memory between the elements changed", dtype, name)
			}
			g = build()
			if err := gorgoniaopt.ZeroGrads([]gorgonia.ValueGrad{&parameter{"w", w.tensor, g.tensor}}); err != nil {
				t.Fatal(err)
			}
			for i, x := range at(t, g.backing) {
				if inside := slices.Contains(grad, before[i]); inside && x != 0 || !inside && x != before[i] {
					t.Errorf("%v, %s: ZeroGrads left %v at %d, where %v was", dtype, name, x, i, before[i])
				}
			}
		}
	}
}

// jump keeps θ_0, leaps by 1/3 twice, and goes back.
type jump struct{}

func (jump) Needs() optimizer.Needs                 { return optimizer.Needs{Loss: true, NonFinite: true} }
func (jump) Start(optimizer.Layout) optimizer.State { return new(jumpState) }

type jumpState int

func (s *jumpState) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	for i := range dst {
		dst[i] = 1 / float32(3)
	}
	*s++
	return []optimizer.Move{optimizer.Keep, 0, optimizer.Return}[*s-1], nil
}
