package denoising

import (
	"fmt"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/mat"

	"learnedopt/optimizer"
	"learnedopt/qp"
)

// A Layer denoises signals y of N numbers with a learned D of N−1 rows,
//
//	z = argmin ½‖z − y‖² + ‖Dz‖₁,   x = z   or   x = 55 + V(z − 55) + c.
//
// It solves the dual program
//
//	minimize ½‖Dᵀu‖² − yᵀDᵀu  subject to  −1 ≤ u ≤ 1,   z = y − Dᵀu
//
// of N−1 unknowns. It belongs to one goroutine and uses all cores.
type Layer struct {
	// N is the length of the signals, at least 2.
	N int
	// Map says that V (N×N) and c (N) are learned too. Total variation draws neighbouring pieces together; a linear map takes part
	// of that back. 55 is in the middle of the heights.
	Map bool

	d, gram   []float64
	batch     qp.Batch
	problems  []qp.Problem
	solutions []qp.Solution
	gradients []qp.Gradient
	upstream  []qp.Upstream
	errs      []error
	z, x      []float64 // count×N
	v         []float64 // N×N
}

// middle is that of the heights.
const middle = 55

// Layout returns the tensors of the parameters: D, and V and c if there is a map.
func (l *Layer) Layout() optimizer.Layout {
	tensors := []optimizer.Tensor{{Name: "D", Shape: []int{l.N - 1, l.N}}}
	if l.Map {
		tensors = append(tensors, optimizer.Tensor{Name: "V", Shape: []int{l.N, l.N}}, optimizer.Tensor{Name: "c", Shape: []int{l.N}})
	}
	layout, err := optimizer.NewLayout(tensors...)
	if err != nil {
		panic(err)
	}
	return layout
}

// Differences writes λ times the matrix of differences, V = I and c = 0, with which the layer is total variation.
func (l *Layer) Differences(theta []float32, lambda float64) {
	clear(theta)
	for i := range l.N - 1 {
		theta[i*l.N+i], theta[i*l.N+i+1] = float32(-lambda), float32(lambda)
	}
	if l.Map {
		for i := range l.N {
			theta[(l.N-1+i)*l.N+i] = 1
		}
	}
}

// Fit writes λ times the matrix of differences and the V and c with which the mean square error of total variation on the signals is least,
// by least squares with a small penalty on V − I. The layer has a Map.
func (l *Layer) Fit(theta []float32, lambda float64, signals []Signal) error {
	if !l.Map {
		panic("denoising: Fit of a layer without a map")
	}
	n := l.N
	l.Differences(theta, lambda)
	// Inputs z − 55 and 1, outputs x − z.
	in, out := mat.NewDense(len(signals), n+1, nil), mat.NewDense(len(signals), n, nil)
	for i, s := range signals {
		row, target := in.RawRowView(i), out.RawRowView(i)
		TautString(row[:n], s.Noisy, lambda)
		for j, c := range s.Clean {
			target[j] = c - row[j]
			row[j] -= middle
		}
		row[n] = 1
	}
	var gram, right, change mat.Dense
	gram.Mul(in.T(), in)
	right.Mul(in.T(), out)
	// A tenth of the noise's variance for each signal.
	for j := range n + 1 {
		gram.Set(j, j, gram.At(j, j)+10*float64(len(signals)))
	}
	if err := change.Solve(&gram, &right); err != nil {
		return fmt.Errorf("denoising: the map's least squares: %w", err)
	}
	for i := range n {
		for j := range n {
			theta[(n-1+i)*n+j] += float32(change.At(j, i))
		}
		theta[(2*n-1)*n+i] = float32(change.At(n, i))
	}
	return nil
}

func (l *Layer) general(a []float64) blas64.General {
	return blas64.General{Rows: l.N - 1, Cols: l.N, Stride: l.N, Data: a}
}

// Forward returns the denoised signals, one after the other; the next call overwrites them.
func (l *Layer) Forward(theta []float32, signals []Signal) ([]float64, error) {
	n, m := l.N, l.N-1
	if len(theta) != l.Layout().Len() {
		panic("denoising: parameters of another length than the layer's")
	}
	if len(l.d) != m*n {
		l.d, l.gram = make([]float64, m*n), make([]float64, m*m)
	}
	for i := range l.d {
		l.d[i] = float64(theta[i])
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
		l.x, l.z = append(l.x, make([]float64, n)...), append(l.z, make([]float64, n)...)
	}
	for i, s := range signals {
		l.problems[i].Q = l.gram
		blas64.Gemv(blas.NoTrans, -1, l.general(l.d), vector(s.Noisy), 0, vector(l.problems[i].Linear))
	}
	count := len(signals)
	// Parameters and gradients are float32.
	l.batch.Options = qp.Options{Weak: qp.AsInactive, Tolerance: 1e-9}
	if !l.batch.Solve(l.solutions[:count], l.problems[:count], l.errs[:count]) {
		return nil, l.first(count)
	}
	for i, s := range signals {
		z := l.z[i*n : i*n+n]
		copy(z, s.Noisy)
		blas64.Gemv(blas.Trans, -1, l.general(l.d), vector(l.solutions[i].Z), 1, vector(z))
	}
	copy(l.x, l.z[:count*n])
	if l.Map {
		l.v = make([]float64, n*n)
		for i := range l.v {
			l.v[i] = float64(theta[m*n+i])
		}
		for i := range l.z[:count*n] {
			l.z[i] -= middle
			l.x[i] = middle + float64(theta[(m+n)*n+i%n])
		}
		blas64.Gemm(blas.NoTrans, blas.Trans, 1, l.batched(l.z, count), l.square(l.v), 1, l.batched(l.x, count))
	}
	return l.x[:count*n], nil
}

func (l *Layer) square(a []float64) blas64.General {
	return blas64.General{Rows: l.N, Cols: l.N, Stride: l.N, Data: a}
}

func (l *Layer) batched(a []float64, count int) blas64.General {
	return blas64.General{Rows: count, Cols: l.N, Stride: l.N, Data: a[:count*l.N]}
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
	}
	if l.Map {
		dv, dz := make([]float64, n*n), make([]float64, count*n)
		blas64.Gemm(blas.Trans, blas.NoTrans, 1, l.batched(slopes, count), l.batched(l.z, count), 0, l.square(dv))
		blas64.Gemm(blas.NoTrans, blas.NoTrans, 1, l.batched(slopes, count), l.square(l.v), 0, l.batched(dz, count))
		for i, v := range dv {
			grad[m*n+i] = float32(v)
		}
		for j := range n {
			sum := 0.0
			for i := range count {
				sum += slopes[i*n+j]
			}
			grad[(m+n)*n+j] = float32(sum)
		}
		slopes = dz // ∂ℓ/∂z
	}
	for i := range signals {
		// u's part: z = y − Dᵀu.
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
