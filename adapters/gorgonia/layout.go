package gorgoniaopt

import (
	"fmt"
	"slices"
	"unsafe"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// An array gives access to the elements of a value in place: element (i_1, …, i_d) is at Σ i_k strides_k.
// Either f32 or f64 is nil.
type array struct {
	f32            []float32
	f64            []float64
	shape, strides []int
	size           int
}

// single is the shape and the strides of a scalar: no dimensions, so one element.
var single = []int{}

// read returns the elements of a value.
func read(v gorgonia.Value) (array, error) {
	switch v := v.(type) {
	case *gorgonia.F32:
		return array{f32: unsafe.Slice((*float32)(v), 1), shape: single, strides: single, size: 1}, nil
	case *gorgonia.F64:
		return array{f64: unsafe.Slice((*float64)(v), 1), shape: single, strides: single, size: 1}, nil
	case *tensor.Dense:
		return readDense(v)
	}
	return array{}, fmt.Errorf("a value of type %T; want *tensor.Dense, *gorgonia.F32 or *gorgonia.F64", v)
}

func readDense(d *tensor.Dense) (array, error) {
	switch {
	case !d.IsNativelyAccessible():
		return array{}, fmt.Errorf("a tensor in the memory of another device; copy it to the host")
	case d.IsMasked() && len(d.Mask()) > 0:
		return array{}, fmt.Errorf("a masked tensor; multiply by the mask in the graph")
	}
	a := array{shape: d.Shape(), strides: d.Strides(), size: 1}
	for _, n := range a.shape {
		a.size *= n
	}
	held := 0
	switch d.Dtype() {
	case tensor.Float32:
		a.f32 = d.Float32s()
		held = len(a.f32)
	case tensor.Float64:
		a.f64 = d.Float64s()
		held = len(a.f64)
	default:
		return array{}, fmt.Errorf("elements of type %v; want float32 or float64, of which solvers know no others", d.Dtype())
	}
	if len(a.strides) != len(a.shape) {
		// Gorgonia's column-major vectors (n, 1) and (1, n) have one stride.
		switch {
		case a.size == 1:
			a.strides = a.shape // any strides will do: the indices are 0
		case len(a.strides) == 1 && slices.Max(a.shape) == a.size:
			a.shape = []int{a.size}
		default:
			return array{}, fmt.Errorf("shape %v with strides %v; Materialize it", a.shape, a.strides)
		}
	}
	last := 0
	for i, n := range a.shape {
		if last += (n - 1) * a.strides[i]; a.strides[i] < 0 {
			return array{}, fmt.Errorf("strides %v; Materialize it", a.strides)
		}
	}
	if a.size > 0 && last >= held {
		return array{}, fmt.Errorf("shape %v with strides %v over %d elements; Materialize it", a.shape, a.strides, held)
	}
	return a, nil
}

// contiguous reports whether the elements lie in row-major order without gaps.
func (a *array) contiguous() bool {
	next := 1
	for i := len(a.shape) - 1; i >= 0; i-- {
		if a.shape[i] != 1 && a.strides[i] != next {
			return false
		}
		next *= a.shape[i]
	}
	return true
}

// gather writes the elements, rounded to float32, in row-major order of their indices.
func (a *array) gather(dst []float32) {
	switch {
	case a.f64 != nil:
		each(dst, a.f64, a.shape, a.strides, func(flat []float32, own []float64, stride int) {
			for i := range flat {
				flat[i] = float32(own[i*stride])
			}
		})
	case a.contiguous():
		copy(dst, a.f32)
	default:
		each(dst, a.f32, a.shape, a.strides, func(flat, own []float32, stride int) {
			for i := range flat {
				flat[i] = own[i*stride]
			}
		})
	}
}

// add adds src to the elements. src is in row-major order.
func (a *array) add(src []float32) {
	if a.f64 != nil {
		each(src, a.f64, a.shape, a.strides, addRow[float64])
	} else {
		each(src, a.f32, a.shape, a.strides, addRow[float32])
	}
}

func addRow[T float32 | float64](flat []float32, own []T, stride int) {
	for i, u := range flat {
		own[i*stride] += T(u)
	}
}

// copyTo writes the elements, as float64, in row-major order of their indices.
func (a *array) copyTo(dst []float64) {
	if a.f64 != nil {
		each(dst, a.f64, a.shape, a.strides, copyRow[float64])
	} else {
		each(dst, a.f32, a.shape, a.strides, copyRow[float32])
	}
}

func copyRow[T float32 | float64](flat []float64, own []T, stride int) {
	for i := range flat {
		flat[i] = float64(own[i*stride])
	}
}

// set overwrites the elements with src, in copyTo's order.
func (a *array) set(src []float64) {
	if a.f64 != nil {
		each(src, a.f64, a.shape, a.strides, setRow[float64])
	} else {
		each(src, a.f32, a.shape, a.strides, setRow[float32])
	}
}

func setRow[T float32 | float64](flat []float64, own []T, stride int) {
	for i, x := range flat {
		own[i*stride] = T(x)
	}
}

// zero sets the elements to 0. It leaves memory between the elements alone; the method Zero of a
// tensor that is a view clears that memory too.
func (a *array) zero() {
	zeroAll(a.f32, a.shape, a.strides)
	zeroAll(a.f64, a.shape, a.strides)
}

func zeroAll[T float32 | float64](own []T, shape, strides []int) {
	switch {
	case own == nil:
	case len(shape) == 0:
		own[0] = 0
	case len(shape) == 1 && strides[0] == 1:
		clear(own[:shape[0]])
	case len(shape) == 1:
		for i := range shape[0] {
			own[i*strides[0]] = 0
		}
	default:
		for i := range shape[0] {
			zeroAll(own[i*strides[0]:], shape[1:], strides[1:])
		}
	}
}

// element returns the k-th element in row-major order.
func (a *array) element(k int) float64 {
	i := 0
	for d, at := range index(k, a.shape) {
		i += at * a.strides[d]
	}
	if a.f64 != nil {
		return a.f64[i]
	}
	return float64(a.f32[i])
}

// each calls row for each innermost row of own and its part of flat, and returns the
// rest of flat.
func each[S, T float32 | float64](flat []S, own []T, shape, strides []int, row func(flat []S, own []T, stride int)) []S {
	switch len(shape) {
	case 0:
		row(flat[:1], own, 1)
		return flat[1:]
	case 1:
		row(flat[:shape[0]], own, strides[0])
		return flat[shape[0]:]
	}
	for i := range shape[0] {
		flat = each(flat, own[i*strides[0]:], shape[1:], strides[1:], row)
	}
	return flat
}

// index returns the indices of the k-th element of a shape in row-major order.
func index(k int, shape []int) []int {
	at := make([]int, len(shape))
	for i := len(shape) - 1; i >= 0; i-- {
		at[i], k = k%shape[i], k/shape[i]
	}
	return at
}
