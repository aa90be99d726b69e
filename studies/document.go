package studies

import (
	"math"

	"learnedopt/baselines"
	"learnedopt/internal/gemm"
	"learnedopt/optimizer"
)

// A document is the rule that the tutorial "First-Order Approximations of the Natural Gradient without the Tears" takes for natural gradients (gebob19/naturalgradient,
// natural_grad.py at 0e2f3a1). For each tensor, with g its gradient of the minibatch as a matrix, or a bias as a column,
//
//	G X = g,   G = mean over S draws of u uᵀ,   by 100 iterations of conjugate gradients from 0, without damping
//	θ ← Adam(0.001) of clip(X, −10, 10)
//
// u is the mean over the minibatch of the gradients for labels drawn from the model, S times. Without draws it is g, and X is not clipped.
type document struct {
	// draws is S, 0 for the labels of the data.
	draws int
	// each, if set, is called in each step with X as Adam gets it, and with the largest |x| of X before clipping.
	each func(natural []float32, largest float64)
}

var _ optimizer.Rule = document{}

const (
	documentIterations = 100
	documentTolerance  = 1e-5 // of jax.scipy.sparse.linalg.cg, relative to the norm of g
	documentClip       = 10
	longestStep        = 1e30
	documentRate       = 0.001
)

// Needs implements optimizer.Rule.
func (d document) Needs() optimizer.Needs { return optimizer.Needs{Theta: true, Factors: d.draws > 0} }

// Start implements optimizer.Rule.
func (d document) Start(layout optimizer.Layout) optimizer.State {
	n := layout.Len()
	s := &documentState{document: d, layout: layout, adam: baselines.Adam{LearningRate: documentRate}.Start(layout), natural: make([]float32, n), kernel: gemm.Default()}
	for _, x := range []*[]float32{&s.r, &s.p, &s.ap} {
		*x = make([]float32, n)
	}
	s.scores = make([][]float32, max(1, d.draws))
	return s
}

type documentState struct {
	document
	layout   optimizer.Layout
	adam     optimizer.State
	natural  []float32
	scores   [][]float32 // u of each draw
	r, p, ap []float32   // of conjugate gradients
	inner    []float32   // uᵀx
	kernel   *gemm.Kernel
}

// Update implements optimizer.State. An error is one of the factors.
func (s *documentState) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	if s.draws == 0 {
		s.scores[0] = p.Grad
	} else if err := s.draw(p); err != nil {
		return 0, err
	}
	for _, t := range s.layout.Tensors() {
		s.solve(t, p.Grad)
	}
	largest := 0.0
	for i, x := range s.natural {
		largest = max(largest, math.Abs(float64(x)))
		if s.draws > 0 {
			s.natural[i] = min(max(x, -documentClip), documentClip)
		}
	}
	if s.each != nil {
		s.each(s.natural, largest)
	}
	p.Grad = s.natural
	return s.adam.Update(dst, p)
}

// draw computes the mean gradients for drawn labels.
func (s *documentState) draw(p optimizer.Point) error {
	blocks, err := p.Curvature.(optimizer.Factorer).Factors(p.Theta, optimizer.Sampled(s.draws), p.Step)
	if err != nil {
		return err
	}
	for k := range s.scores {
		if s.scores[k] == nil {
			s.scores[k] = make([]float32, len(s.natural))
		}
		for _, b := range blocks {
			rows := len(b.In) / b.Inputs
			out := gemm.Matrix{Data: b.Out[k*b.Outputs:], Rows: rows, Cols: b.Outputs, RowStride: s.draws * b.Outputs, ColStride: 1}
			u := s.scores[k][b.Weights:][:(b.Inputs+1)*b.Outputs]
			s.kernel.Mul(gemm.Of(u, b.Inputs, b.Outputs), gemm.Of(b.In, rows, b.Inputs).T(), out, false)
			bias := u[b.Inputs*b.Outputs:]
			clear(bias)
			for i := range rows {
				for j, x := range out.Data[i*out.RowStride:][:b.Outputs] {
					bias[j] += x
				}
			}
			for i := range u {
				u[i] /= float32(rows)
			}
		}
	}
	return nil
}

// solve writes the X of a tensor.
func (s *documentState) solve(t optimizer.Tensor, grad []float32) {
	rows, cols := t.Len(), 1
	if len(t.Shape) == 2 {
		rows, cols = t.Shape[0], t.Shape[1]
	}
	part := func(x []float32) []float32 { return x[t.From : t.From+rows*cols] }
	x, r, p, ap := part(s.natural), part(s.r), part(s.p), part(s.ap)
	clear(x)
	copy(r, part(grad))
	copy(p, r)
	rr := inner(r, r)
	least := documentTolerance * documentTolerance * rr
	for k := 0; k < documentIterations && rr > least; k++ {
		s.times(t, ap, p, rows, cols)
		along := rr / inner(p, ap)
		if !(along < longestStep) { // no curvature is left, or float32 overflows
			break
		}
		step := float32(along)
		for i := range x {
			x[i] += float32(step * p[i])
			r[i] -= float32(step * ap[i])
		}
		next := inner(r, r)
		ratio := float32(next / rr)
		for i, v := range r {
			p[i] = v + float32(ratio*p[i])
		}
		rr = next
	}
}

// times writes G·x of a tensor into dst.
func (s *documentState) times(t optimizer.Tensor, dst, x []float32, rows, cols int) {
	if len(s.inner) < cols*cols {
		s.inner = make([]float32, cols*cols)
	}
	small := gemm.Of(s.inner[:cols*cols], cols, cols)
	for k, u := range s.scores {
		u := gemm.Of(u[t.From:t.From+rows*cols], rows, cols)
		s.kernel.Mul(small, u.T(), gemm.Of(x, rows, cols), false)
		for i := range small.Data {
			small.Data[i] /= float32(len(s.scores))
		}
		s.kernel.Mul(gemm.Of(dst, rows, cols), u, small, k > 0)
	}
}

func inner(a, b []float32) (sum float64) {
	for i, x := range a {
		sum += float64(x) * float64(b[i])
	}
	return sum
}
