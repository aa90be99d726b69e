package layers

import (
	"math"

	"gorgonia.org/tensor"

	"learnedopt/internal/gemm/mlp"
)

var _ tensor.SoftMaxer = Engine{}

// SoftMax implements tensor.SoftMaxer. tensor.StdEng v0.9.24 shifts every row
// along the last axis by the first element of the whole tensor instead of an element of the
// row itself: rows that differ by a hundred overflow or vanish. It also starts a
// goroutine for each row. Tensors that are not contiguous or not float32, and other
// axes, are left to tensor.StdEng.
func (e Engine) SoftMax(x tensor.Tensor, axis int, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	r, ok := alongRows(axis, opts, x)
	if !ok {
		return e.StandardEngine.SoftMax(x, axis, opts...)
	}
	p := make([]float64, r.width)
	r.each(func(dst []float32, rows [][]float32) {
		sum, _ := mlp.Exponentials(p, rows[0])
		for j := range dst {
			dst[j] = float32(p[j] / sum)
		}
	})
	return r.result, nil
}

// LogSoftMax implements tensor.SoftMaxer; see SoftMax.
func (e Engine) LogSoftMax(x tensor.Tensor, axis int, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	r, ok := alongRows(axis, opts, x)
	if !ok {
		return e.StandardEngine.LogSoftMax(x, axis, opts...)
	}
	p := make([]float64, r.width)
	r.each(func(dst []float32, rows [][]float32) {
		sum, top := mlp.Exponentials(p, rows[0])
		log := math.Log(sum)
		for j, v := range rows[0] {
			dst[j] = float32(float64(v-top) - log)
		}
	})
	return r.result, nil
}

// SoftMaxB implements tensor.SoftMaxer: dx = y∘(dy − Σ y∘dy), row by row.
func (e Engine) SoftMaxB(output, grad tensor.Tensor, axis int, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	r, ok := alongRows(axis, opts, output, grad)
	if !ok {
		return e.StandardEngine.SoftMaxB(output, grad, axis, opts...)
	}
	r.each(func(dst []float32, rows [][]float32) {
		sum := 0.0
		for j, y := range rows[0] {
			sum += float64(y) * float64(rows[1][j])
		}
		for j, y := range rows[0] {
			dst[j] = float32(float64(y) * (float64(rows[1][j]) - sum))
		}
	})
	return r.result, nil
}

// LogSoftMaxB implements tensor.SoftMaxer: dx = dy − exp(y)·Σ dy, row by row.
func (e Engine) LogSoftMaxB(output, grad tensor.Tensor, axis int, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	r, ok := alongRows(axis, opts, output, grad)
	if !ok {
		return e.StandardEngine.LogSoftMaxB(output, grad, axis, opts...)
	}
	r.each(func(dst []float32, rows [][]float32) {
		sum := 0.0
		for _, d := range rows[1] {
			sum += float64(d)
		}
		for j, y := range rows[0] {
			dst[j] = float32(float64(rows[1][j]) - math.Exp(float64(y))*sum)
		}
	})
	return r.result, nil
}

// rowwise is an operation on the rows along the last axis of tensors of one
// shape.
type rowwise struct {
	result *tensor.Dense
	in     [][]float32
	width  int
}

// alongRows returns the rows of the inputs and a result to write; ok is false if the operation has to be left to
// tensor.StdEng. The result may be one of the inputs.
func alongRows(axis int, opts []tensor.FuncOpt, inputs ...tensor.Tensor) (*rowwise, bool) {
	r := &rowwise{}
	shape := inputs[0].Shape()
	if shape.Dims() == 0 || axis != -1 && axis != shape.Dims()-1 || shape.TotalSize() == 0 {
		return nil, false
	}
	r.width = shape[shape.Dims()-1]
	for _, t := range inputs {
		x, ok := plain(t)
		if !ok || !t.Shape().Eq(shape) {
			return nil, false
		}
		r.in = append(r.in, x.Float32s())
	}
	o := tensor.ParseFuncOpts(opts...)
	switch {
	case o.Incr() != nil:
		return nil, false
	case o.Reuse() != nil:
		x, ok := plain(o.Reuse())
		if !ok || !x.Shape().Eq(shape) {
			return nil, false
		}
		r.result = x
	case o.Safe():
		r.result = tensor.New(tensor.WithShape(shape.Clone()...), tensor.Of(tensor.Float32))
	default:
		return nil, false
	}
	return r, true
}

func (r *rowwise) each(f func(dst []float32, rows [][]float32)) {
	out, rows := r.result.Float32s(), make([][]float32, len(r.in))
	for at := 0; at < len(out); at += r.width {
		for i, x := range r.in {
			rows[i] = x[at : at+r.width]
		}
		f(out[at:at+r.width], rows)
	}
}

// plain returns a tensor as a float32 tensor, if its elements are in row-major
// order without gaps.
func plain(t tensor.Tensor) (*tensor.Dense, bool) {
	d, ok := t.(*tensor.Dense)
	return d, ok && d.Dtype() == tensor.Float32 && d.IsNativelyAccessible() && !d.RequiresIterator() && d.DataOrder().IsRowMajor()
}
