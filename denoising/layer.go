package denoising

import (
	"fmt"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"

	"learnedopt/optimizer"
	"learnedopt/qp"
)

// A Layer denoises signals of N numbers with a learned D of N−1 rows. It solves the dual program
//
//	minimize ½‖Dᵀu‖² − yᵀDᵀu  subject to  −1 ≤ u ≤ 1,   x = y − Dᵀu
//
// of N−1 unknowns. It belongs to one goroutine and uses all cores.
type Layer struct {
	// N is the length of the signals, at least 2.
	N int

	d, gram   []float64
	batch     qp.Batch
	problems  []qp.Problem
	solutions []qp.Solution
	gradients []qp.Gradient
	upstream  []qp.Upstream
	errs      []error
	x         []float64 // count×N
}

// Layout returns the tensor D of the parameters.
func (l *Layer) Layout() optimizer.Layout {
	layout, err := optimizer.NewLayout(optimizer.Tensor{Name: "D", Shape: []int{l.N - 1, l.N}})
	if err != nil {
		panic(err)
	}
	return layout
}

// Differences writes λ times the matrix of differences, with which the layer is total variation.
func (l *Layer) Differences(theta []float32, lambda float64) {
	clear(theta)
	for i := range l.N - 1 {
		theta[i*l.N+i], theta[i*l.N+i+1] = float32(-lambda), float32(lambda)
	}
}

func (l *Layer) general(a []float64) blas64.General {
	return blas64.General{Rows: l.N - 1, Cols: l.N, Stride: l.N, Data: a}
}

// Forward returns the denoised signals, one after the other; the next call overwrites them.
func (l *Layer) Forward(theta []float32, signals []Signal) ([]float64, error) {
	n, m := l.N, l.N-1
	if len(theta) != m*n {
		panic("denoising: parameters of another length than the layer's")
	}
	if len(l.d) != m*n {
		l.d, l.gram = make([]float64, m*n), make([]float64, m*m)
	}
	for i, v := range theta {
		l.d[i] = float64(v)
	}
	blas64.Gemm(blas.NoTrans, blas.Trans, 1, l.general(l.d), l.general(l.d), 0, blas64.General{Rows: m, Cols: m, Stride: m, Data: l.gram})
	for len(l.problems) < len(signals) {
		p := qp.Problem{Q: l.gram, Linear: make([]float64, m), G: make([]float64, 2*m*m), H: make([]float64, 2*m)}
		for i := range m {
			p.G[2*i*m+i], p.G[(2*i+1)*m+i] = 1, -1
			p.H[2*i], p.H[2*i+1] = 1, 1
		}
		if len(l.problems) > 0 {
			p.G, p.H = l.problems[0].G, l.problems[0].H
		}
		l.problems = append(l.problems, p)
		l.solutions, l.gradients, l.errs = append(l.solutions, qp.Solution{}), append(l.gradients, qp.Gradient{}), append(l.errs, nil)
		l.upstream = append(l.upstream, qp.Upstream{Z: make([]float64, m)})
		l.x = append(l.x, make([]float64, n)...)
	}
	for i, s := range signals {
		l.problems[i].Q = l.gram
		blas64.Gemv(blas.NoTrans, -1, l.general(l.d), vector(s.Noisy), 0, vector(l.problems[i].Linear))
	}
	count := len(signals)
	l.batch.Options.Weak = qp.AsInactive
	if !l.batch.Solve(l.solutions[:count], l.problems[:count], l.errs[:count]) {
		return nil, l.first(count)
	}
	for i, s := range signals {
		x := l.x[i*n : i*n+n]
		copy(x, s.Noisy)
		blas64.Gemv(blas.Trans, -1, l.general(l.d), vector(l.solutions[i].Z), 1, vector(x))
	}
	return l.x[:count*n], nil
}

func (l *Layer) first(count int) error {
	for i, err := range l.errs[:count] {
		if err != nil {
			return fmt.Errorf("denoising: signal %d of the batch: %w", i, err)
		}
	}
	return nil
}

// LossGrad returns the mean square error of the denoised signals and writes its gradient into grad.
func (l *Layer) LossGrad(theta, grad []float32, signals []Signal) (float64, error) {
	x, err := l.Forward(theta, signals)
	if err != nil {
		return 0, err
	}
	n, m, count := l.N, l.N-1, len(signals)
	loss, scale := 0.0, 1/float64(count*n)
	slopes := make([]float64, count*n)
	for i, s := range signals {
		for j, c := range s.Clean {
			e := x[i*n+j] - c
			loss += e * e * scale
			slopes[i*n+j] = 2 * e * scale
		}
		// u's part: x = y − Dᵀu.
		blas64.Gemv(blas.NoTrans, -1, l.general(l.d), vector(slopes[i*n:i*n+n]), 0, vector(l.upstream[i].Z))
	}
	if !l.batch.Gradient(l.gradients[:count], l.upstream[:count], l.errs[:count]) {
		return 0, l.first(count)
	}
	dd, dgram := make([]float64, m*n), make([]float64, m*m)
	for i, s := range signals {
		g := &l.gradients[i]
		for j, v := range g.Q {
			dgram[j] += v
		}
		for k := range m {
			u, q := l.solutions[i].Z[k], g.Linear[k]
			row, slope := dd[k*n:k*n+n], slopes[i*n:i*n+n]
			for j := range row {
				row[j] -= u*slope[j] + q*s.Noisy[j]
			}
		}
	}
	// Q = DDᵀ, whose derivative is symmetric.
	blas64.Gemm(blas.NoTrans, blas.NoTrans, 2, blas64.General{Rows: m, Cols: m, Stride: m, Data: dgram}, l.general(l.d), 1, l.general(dd))
	for i, v := range dd {
		grad[i] = float32(v)
	}
	return loss, nil
}

func vector(x []float64) blas64.Vector { return blas64.Vector{N: len(x), Inc: 1, Data: x} }
