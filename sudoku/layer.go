package sudoku

import (
	"fmt"
	"math"
	"math/rand/v2"

	"learnedopt/optimizer"
	"learnedopt/qp"
)

// A Layer maps a puzzle p to the solution of
//
//	minimize ½ε‖z‖² − pᵀz  subject to  Az = b,  z ≥ 0,   b = A exp(w)
//
// with A (Rows×N³) and w (N³) learned. b is such that z = exp(w) > 0 satisfies the constraints, whatever A is.
type Layer struct {
	// Rows is the number of equalities; the published network has 40.
	Rows int
	// Width is N³.
	Width int
	// Epsilon is ε; the published network has 0.1.
	Epsilon float64
	// Smoothing is that of qp.Options; the published network has 0. Near the true rules a board's active constraints depend on
	// each other: the exact solution has no derivative there, or one that says little about what lies to its sides.
	Smoothing float64

	z0, b  []float64
	batch  qp.Batch
	probs  []qp.Problem
	outs   []qp.Solution
	grads  []qp.Gradient
	ups    []qp.Upstream
	errs   []error
	a      []float64
	target []float64
}

// NewLayer returns a layer for boards of size 2, as published but for a Smoothing of 1e-4: with it training comes about four
// times as near to the true rules in the same steps (metaopt reproduce sudoku).
func NewLayer() *Layer { return &Layer{Rows: 40, Width: 64, Epsilon: 0.1, Smoothing: 1e-4} }

// Layout returns the tensors A and w of the parameters.
func (l *Layer) Layout() optimizer.Layout {
	layout, err := optimizer.NewLayout(
		optimizer.Tensor{Name: "A", Shape: []int{l.Rows, l.Width}}, optimizer.Tensor{Name: "w", Shape: []int{l.Width}})
	if err != nil {
		panic(err)
	}
	return layout
}

// Init writes a start: A uniform on [0, 1), w = 0, as published.
func (l *Layer) Init(r *rand.Rand, theta []float32) {
	for i := range theta {
		theta[i] = 0
		if i < l.Rows*l.Width {
			theta[i] = r.Float32()
		}
	}
}

// load sets the problems of puzzles for parameters.
func (l *Layer) load(theta []float32, puzzles []Puzzle) {
	if len(theta) != (l.Rows+1)*l.Width {
		panic("sudoku: parameters of another length than the layer's")
	}
	l.a, l.z0, l.b = resize(l.a, l.Rows*l.Width), resize(l.z0, l.Width), resize(l.b, l.Rows)
	for i := range l.a {
		l.a[i] = float64(theta[i])
	}
	for j := range l.z0 {
		l.z0[j] = math.Exp(float64(theta[len(l.a)+j]))
	}
	for i := range l.b {
		l.b[i] = 0
		for j, z := range l.z0 {
			l.b[i] += l.a[i*l.Width+j] * z
		}
	}
	// Parameters and gradients are float32.
	l.batch.Options = qp.Options{Weak: qp.AsInactive, Tolerance: 1e-9, Acceptable: 1e-6, Smoothing: l.Smoothing}
	if len(l.probs) < len(puzzles) {
		shared := qp.Problem{Q: make([]float64, l.Width), G: make([]float64, l.Width*l.Width), H: make([]float64, l.Width)}
		for j := range l.Width {
			shared.Q[j] = l.Epsilon
			shared.G[j*l.Width+j] = -1
		}
		l.probs, l.outs, l.errs = make([]qp.Problem, len(puzzles)), make([]qp.Solution, len(puzzles)), make([]error, len(puzzles))
		l.grads, l.ups = make([]qp.Gradient, len(puzzles)), make([]qp.Upstream, len(puzzles))
		for i := range l.probs {
			l.probs[i] = shared
			l.probs[i].Linear = make([]float64, l.Width)
			l.ups[i].Z = make([]float64, l.Width)
		}
	}
	for i, p := range puzzles {
		l.probs[i].A, l.probs[i].B = l.a, l.b
		Encode(l.probs[i].Linear, p.Given)
		for j, v := range l.probs[i].Linear {
			l.probs[i].Linear[j] = -v
		}
	}
}

func resize(x []float64, n int) []float64 {
	if len(x) == n {
		return x
	}
	return make([]float64, n)
}

// LossGrad returns the mean square error of the solutions, over all numbers and puzzles, and writes its gradient into grad. Puzzles
// whose program is not solved are an error.
func (l *Layer) LossGrad(theta, grad []float32, puzzles []Puzzle) (float64, error) {
	l.load(theta, puzzles)
	n := len(puzzles)
	if !l.batch.Solve(l.outs[:n], l.probs[:n], l.errs[:n]) {
		return 0, l.first(n)
	}
	l.target = resize(l.target, l.Width)
	loss, scale := 0.0, 1/float64(n*l.Width)
	for i, p := range puzzles {
		Encode(l.target, p.Solution)
		for j, z := range l.outs[i].Z {
			d := z - l.target[j]
			loss += d * d * scale
			l.ups[i].Z[j] = 2 * d * scale
		}
	}
	if !l.batch.Gradient(l.grads[:n], l.ups[:n], l.errs[:n]) {
		return 0, l.first(n)
	}
	da, db := make([]float64, len(l.a)), make([]float64, l.Rows)
	for i := range n {
		for k, v := range l.grads[i].A {
			da[k] += v
		}
		for k, v := range l.grads[i].B {
			db[k] += v
		}
	}
	for j, z := range l.z0 {
		sum := 0.0
		for k, v := range db {
			da[k*l.Width+j] += v * z
			sum += v * l.a[k*l.Width+j]
		}
		grad[len(l.a)+j] = float32(z * sum)
	}
	for k, v := range da {
		grad[k] = float32(v)
	}
	return loss, nil
}

func (l *Layer) first(n int) error {
	for i, err := range l.errs[:n] {
		if err != nil {
			return fmt.Errorf("sudoku: puzzle %d of the batch: %w", i, err)
		}
	}
	return nil
}

// A Score says how well puzzles were solved.
type Score struct {
	// Boards is the share of boards of which every cell is right, Cells that of cells.
	Boards, Cells float64
	// Loss is the mean square error.
	Loss float64
}

// Evaluate solves puzzles with the given parameters.
func (l *Layer) Evaluate(theta []float32, puzzles []Puzzle) (Score, error) {
	var s Score
	const chunk = 150
	for from := 0; from < len(puzzles); from += chunk {
		part := puzzles[from:min(from+chunk, len(puzzles))]
		l.load(theta, part)
		if !l.batch.Solve(l.outs[:len(part)], l.probs[:len(part)], l.errs[:len(part)]) {
			return s, l.first(len(part))
		}
		for i, p := range part {
			s.add(l.outs[i].Z, p)
		}
	}
	return s.mean(len(puzzles)), nil
}

// add counts one board.
func (s *Score) add(z []float64, p Puzzle) {
	board, right := Decode(z, len(p.Given)), 0
	for i, v := range board {
		if v == p.Solution[i] {
			right++
		}
	}
	if right == len(board) {
		s.Boards++
	}
	s.Cells += float64(right) / float64(len(board))
	target := make([]float64, len(z))
	Encode(target, p.Solution)
	for j, v := range z {
		s.Loss += (v - target[j]) * (v - target[j]) / float64(len(z))
	}
}

func (s Score) mean(n int) Score {
	return Score{s.Boards / float64(n), s.Cells / float64(n), s.Loss / float64(n)}
}
