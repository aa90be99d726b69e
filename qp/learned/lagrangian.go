package learned

import (
	"fmt"
	"math"

	"learnedopt/optimizer"
	"learnedopt/qp"
)

// Lagrangian solves by the method of multipliers with any rule inside: the rule takes steps on the augmented Lagrangian, then
// the multipliers move. It needs no factorisation and some (p + m + n)n multiplications in a step, beside what the rule takes. What the rule
// sees is scaled: the Hessian is at most about I, and the gradient has a root mean square of 1 at the first step.
//
// It is first order: its tolerance is 1e-6 unless set, and Acceptable 1e-4. It belongs to one goroutine.
type Lagrangian struct {
	// Options of the solver. MaxIterations is the largest number of steps of the rule; 0 means 4,000. There is no Smoothing.
	Options qp.Options
	// Rule takes the steps. It may read the loss, the point and the number of steps beside the gradient, and must not return to
	// earlier points.
	Rule optimizer.Rule
	// Steps is the number of its steps between two moves of the multipliers; 0 means 20.
	Steps int
	// Penalty is ρ, times the square of the largest singular value of (A; G), relative to the objective's size; 0 means 10.
	Penalty float64
	// Restart starts the rule afresh at each move of the multipliers, in units in which the gradient's root mean square is 1 there: as
	// it was meta-trained on Subproblems. Otherwise it goes on with the state that it has.
	Restart bool
	// Fixed, if not 0, is a number of steps after which a Solve returns without an error whatever the residuals are.
	Fixed int
	// Each, if set, is called after every move of the multipliers with the present point, which it must not keep, and ends the solve
	// by returning false.
	Each func(*qp.Solution) bool

	l              augmented
	u, grad        []float64
	theta, g, step []float32
	solution       bool
}

var _ qp.Solver = (*Lagrangian)(nil)

const (
	defaultSteps   = 20
	defaultPenalty = 10
)

// Solve implements qp.Solver. The error is an *qp.InputError, a *qp.NotConvexError for a diagonal Q, a *qp.NotConvergedError, an
// *optimizer.NeedError or an *optimizer.DivergedError. With a *qp.NotConvergedError dst holds the last point.
func (s *Lagrangian) Solve(dst *qp.Solution, p *qp.Problem) error {
	s.solution = false
	tolerance, acceptable, limit := s.Options.Tolerance, s.Options.Acceptable, s.Options.MaxIterations
	every, penalty := s.Steps, s.Penalty
	switch {
	case s.Rule == nil:
		return &qp.InputError{Field: "Rule", Index: -1, Reason: "choose one that minimizes the augmented Lagrangian"}
	case s.Options.Smoothing != 0:
		return &qp.InputError{Field: "Smoothing", Index: -1, Reason: "a Lagrangian has none; use a qp.InteriorPoint"}
	case !(tolerance >= 0) || !(acceptable >= 0) || !(penalty >= 0) || math.IsInf(penalty, 0):
		return &qp.InputError{Field: "Options", Index: -1, Reason: "want a Tolerance, an Acceptable and a Penalty of 0 (the default) or larger"}
	case limit < 0 || every < 0 || s.Fixed < 0:
		return &qp.InputError{Field: "Options", Index: -1, Reason: "want numbers of steps of 0 (the default) or more"}
	}
	if tolerance == 0 {
		tolerance = 1e-6
	}
	if acceptable == 0 {
		acceptable = 1e-4
	}
	if every == 0 {
		every = defaultSteps
	}
	if penalty == 0 {
		penalty = defaultPenalty
	}
	if limit == 0 {
		limit = 4000
	}
	if s.Fixed > 0 {
		limit = s.Fixed
	}
	needs := s.Rule.Needs()
	if err := needs.Met(optimizer.Needs{Theta: true, Loss: true, Total: true}); err != nil {
		return err
	}
	if err := s.l.load(p, penalty); err != nil {
		return err
	}
	n, _, _ := s.l.Sizes()
	s.u, s.grad = resize(s.u, n), resize(s.grad, n)
	clear(s.u)
	if len(s.theta) != n {
		s.theta, s.g, s.step = make([]float32, n), make([]float32, n), make([]float32, n)
	}
	state := s.Rule.Start(optimizer.Flat(n))
	for t := 0; ; {
		point := optimizer.Point{Grad: s.g, Theta: s.theta, Loss: s.l.value(s.grad, s.u), Step: t, Total: limit}
		if t > 0 && (t%every == 0 || t == limit) {
			s.l.move()
			s.l.Write(dst, p, s.l.x, s.l.y, t)
			if r := worst(dst.Residuals); t == limit || s.Fixed == 0 && r <= tolerance || s.Each != nil && !s.Each(dst) {
				if s.Fixed == 0 && s.Each == nil && !(r <= acceptable) {
					return &qp.NotConvergedError{Iterations: t, Residuals: dst.Residuals, Reason: "the largest number of the rule's steps"}
				}
				s.solution = true
				return nil
			}
			if !s.Restart {
				s.l.refresh()
			} else {
				if !s.l.rebase() {
					s.solution = true // nothing is left to do
					return nil
				}
				clear(s.u)
				state = s.Rule.Start(optimizer.Flat(n))
			}
			point.Loss = s.l.value(s.grad, s.u)
		}
		for i, g := range s.grad {
			s.g[i], s.theta[i] = float32(g), float32(s.u[i])
		}
		move, err := optimizer.CheckedUpdate(state, needs, t, s.step, point)
		if err != nil {
			return fmt.Errorf("learned: the rule on the augmented Lagrangian: %w", err)
		}
		if move&optimizer.Return != 0 {
			return &qp.InputError{Field: "Rule", Index: -1, Reason: "it returns to earlier points, of which the multipliers know nothing; take the rule inside it"}
		}
		for i, d := range s.step {
			s.u[i] += float64(d)
		}
		t++
	}
}

func worst(r qp.Residuals) float64 { return max(r.Primal, r.Dual, r.Gap) }

// Gradient implements qp.Solver, by the linear system of the optimality conditions at the approximate point: see qp.Equilibrated.Gradient. It
// panics if the last Solve returned an error.
func (s *Lagrangian) Gradient(dst *qp.Gradient, up qp.Upstream) error {
	if !s.solution {
		panic(errUnsolved)
	}
	return s.l.Gradient(dst, up)
}
