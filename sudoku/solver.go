package sudoku

import (
	"math"

	"learnedopt/qp"
)

// A Solver solves puzzles with the true rules of the game, as one quadratic program each:
//
//	minimize ½ε‖z‖² − pᵀz  subject to the rules and z ≥ 0
//
// Its constraints are kept as lists. It belongs to one goroutine.
type Solver struct {
	cells   int
	solver  qp.InteriorPoint
	problem qp.Problem
	out     qp.Solution
}

// NewSolver returns a solver for boards of size n.
func NewSolver(n int, epsilon float64) *Solver {
	a, rows := IndependentRules(n)
	width := len(a) / rows
	s := &Solver{cells: n * n * n * n}
	// The numbers need only tell a digit from others, but their last digits cost iterations.
	s.solver.Options.Tolerance = 1e-8
	s.problem = qp.Problem{Q: make([]float64, width), Linear: make([]float64, width), A: a, B: make([]float64, rows), G: make([]float64, width*width), H: make([]float64, width)}
	for i := range rows {
		s.problem.B[i] = 1
	}
	for j := range width {
		s.problem.Q[j] = epsilon
		s.problem.G[j*width+j] = -1
	}
	return s
}

// Solve returns the solution of a puzzle as numbers, which the next call overwrites.
func (s *Solver) Solve(given []uint8) ([]float64, error) {
	Encode(s.problem.Linear, given)
	for j, v := range s.problem.Linear {
		s.problem.Linear[j] = -v
	}
	err := s.solver.Solve(&s.out, &s.problem)
	return s.out.Z, err
}

// Iterations returns the number of factorisations of the last Solve.
func (s *Solver) Iterations() int { return s.out.Iterations }

// Ceiling returns the score of puzzles of size 2 in the published network with the true rules in place of the learned ones, and how far
// the number farthest from 0 and 1 is.
func Ceiling(puzzles []Puzzle, epsilon float64) (score Score, fraction float64, err error) {
	s := NewSolver(2, epsilon)
	for _, p := range puzzles {
		z, err := s.Solve(p.Given)
		if err != nil {
			return score, fraction, err
		}
		score.add(z, p)
		for _, v := range z {
			fraction = max(fraction, math.Min(math.Abs(v), math.Abs(1-v)))
		}
	}
	return score.mean(len(puzzles)), fraction, nil
}
