// Package layers makes Gorgonia graphs of small neural networks run at the
// speed of their arithmetic. It has an engine whose matrix products run in package
// gemm, and the layers of a classifier as single operations that own the
// memory of their results.
package layers

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"learnedopt/internal/gemm"
)

// An Engine is Gorgonia's engine with two changes. It multiplies float32 matrices
// with package gemm, transposed and sliced ones in place, and its
// softmax is right for logits of any size. It has no state, so machines may share one. Give it to a machine by
// gorgonia.WithEngine.
type Engine struct {
	gorgonia.StandardEngine
}

var (
	_ tensor.Engine   = Engine{}
	_ tensor.MatMuler = Engine{}
)

// MatMul implements tensor.MatMuler: prealloc = a·b. If an operand is not a float32
// matrix with strides, tensor.StdEng computes the product.
func (e Engine) MatMul(a, b, prealloc tensor.Tensor) error {
	x, okA := matrix(a)
	y, okB := matrix(b)
	z, okC := matrix(prealloc)
	if !okA || !okB || !okC || z.ColStride != 1 && z.RowStride != 1 || x.Cols != y.Rows || z.Rows != x.Rows || z.Cols != y.Cols {
		return e.StandardEngine.MatMul(a, b, prealloc)
	}
	if z.ColStride != 1 { // column-major
		x, y, z = y.T(), x.T(), z.T()
	}
	gemm.Default().Mul(z, x, y, false)
	return nil
}

// matrix returns a tensor as a matrix, if package gemm can read it.
func matrix(t tensor.Tensor) (gemm.Matrix, bool) {
	d, ok := t.(*tensor.Dense)
	if !ok || d.Dtype() != tensor.Float32 || !d.IsNativelyAccessible() || d.IsMasked() {
		return gemm.Matrix{}, false
	}
	shape, strides := d.Shape(), d.Strides()
	if len(shape) != 2 || len(strides) != 2 {
		return gemm.Matrix{}, false
	}
	m := gemm.Matrix{Data: d.Float32s(), Rows: shape[0], Cols: shape[1], RowStride: strides[0], ColStride: strides[1]}
	return m, m.Fits()
}
