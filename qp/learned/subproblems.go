package learned

import (
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"learnedopt/optimizer"
)

// Subproblems is the family of what the rule of a Lagrangian with Restart minimizes: the augmented Lagrangian of a program of the source, with the
// multipliers of the exact method of multipliers after 0 to 7 moves, from near the minimum before the last move:
//
//	f(u) = (L(x) − min L)/(c·unit²),   x = x_0 + unit·u
//
// with c the largest curvature of L, and the unit such that the root mean square of the gradient at the start u = 0 is 1. x_0 is off the minimum by
// noise of up to half of the way to the next one, as it is for a rule that did not get quite there.
type Subproblems struct {
	Source Source
	// Penalty is that of the Lagrangian; 0 means its default.
	Penalty float64
}

var _ optimizer.Family = Subproblems{}

func (f Subproblems) withDefaults() Subproblems {
	if f.Penalty == 0 {
		f.Penalty = defaultPenalty
	}
	return f
}

// Name implements optimizer.Family.
func (f Subproblems) Name() string {
	f = f.withDefaults()
	return fmt.Sprintf("augmented Lagrangian penalty=%g of %s", f.Penalty, f.Source.Name)
}

// Sample implements optimizer.Family.
func (f Subproblems) Sample(r *rand.Rand) (optimizer.Problem, error) {
	f = f.withDefaults()
	if f.Source.Draw == nil || !(f.Penalty > 0) {
		return nil, fmt.Errorf("learned: subproblems want a Source that draws, and a Penalty of 0 (the default) or more")
	}
	s := &subproblem{}
	if err := s.l.load(f.Source.Draw(r), f.Penalty); err != nil {
		return nil, err
	}
	n, _, _ := s.l.Sizes()
	s.u, s.g = make([]float64, n), make([]float64, n)
	before, at := make([]float64, n), make([]float64, n)
	for moves := r.IntN(8); ; moves-- {
		copy(before, at)
		if err := s.minimize(); err != nil {
			return nil, err
		}
		copy(at, s.l.x)
		y := append([]float64(nil), s.l.y...)
		s.l.move()
		if moves == 0 || floats.Distance(s.l.y, y, math.Inf(1)) <= 1e-6*floats.Norm(y, math.Inf(1)) {
			copy(s.l.y, y)
			break
		}
		s.l.rebase()
	}
	// Back to the last minimization, and to near where it began.
	noise := r.Float64() / 2 * floats.Distance(at, before, 2) / math.Sqrt(float64(n))
	for i := range s.l.x {
		s.l.x[i] = before[i] + noise*r.NormFloat64()
	}
	s.l.rebase()
	for i := range at {
		s.u[i] = (at[i] - s.l.base[i]) / s.l.unit
	}
	s.least = s.l.value(s.g, s.u)
	return s, nil
}

// subproblem is one of Subproblems.
type subproblem struct {
	l     augmented
	least float64
	u, g  []float64
}

var _ optimizer.Curvature = (*subproblem)(nil)

// minimize goes from the base to the minimum of L by Newton's method, which ends after finitely many steps on a piecewise quadratic function.
func (s *subproblem) minimize() error {
	n := len(s.u)
	u := make([]float64, n)
	grad, trial, product, unitVector := make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
	hessian := mat.NewSymDense(n, nil)
	value := s.l.value(grad, u)
	for range 100 {
		if floats.Norm(grad, math.Inf(1)) <= 1e-12 {
			break
		}
		for j := range n {
			unitVector[j] = 1
			s.l.product(product, unitVector)
			unitVector[j] = 0
			product[j] += 1e-10 // a flat direction
			for i := range j + 1 {
				hessian.SetSym(i, j, product[i])
			}
		}
		var cholesky mat.Cholesky
		var step mat.VecDense
		if !cholesky.Factorize(hessian) || cholesky.SolveVecTo(&step, mat.NewVecDense(n, grad)) != nil {
			return fmt.Errorf("learned: the augmented Lagrangian is not convex: Q has a negative eigenvalue")
		}
		slope := floats.Dot(grad, step.RawVector().Data)
		better := false
		for size := 1.0; size > 1e-9; size /= 2 {
			floats.AddScaledTo(trial, u, -size, step.RawVector().Data)
			if v := s.l.value(grad, trial); v <= value-1e-4*size*slope {
				better = v < value
				copy(u, trial)
				value = v
				break
			}
		}
		if !better {
			break // rounding
		}
	}
	s.l.value(grad, u)
	return nil
}

// Dim implements optimizer.Problem.
func (s *subproblem) Dim() int { return len(s.u) }

// Init implements optimizer.Problem.
func (s *subproblem) Init(theta []float32) {
	if len(theta) != len(s.u) {
		panic(errLength)
	}
	clear(theta)
}

// at goes to the point theta and returns the loss.
func (s *subproblem) at(theta []float32) float64 {
	if len(theta) != len(s.u) {
		panic(errLength)
	}
	for i, v := range theta {
		s.u[i] = float64(v)
	}
	// Rounding may leave a minimum a little below the one found.
	return math.Max(s.l.value(s.g, s.u)-s.least, 0)
}

// LossGrad implements optimizer.Problem.
func (s *subproblem) LossGrad(theta, grad []float32) (float64, error) {
	if len(grad) != len(theta) {
		panic(errLength)
	}
	loss := s.at(theta)
	for i, g := range s.g {
		grad[i] = float32(g)
	}
	return loss, nil
}

// Metrics implements optimizer.Curvature.
func (s *subproblem) Metrics() optimizer.Metric { return optimizer.Hessian }

// CurvatureProduct implements optimizer.Curvature, exactly where no row of G is at its kink.
func (s *subproblem) CurvatureProduct(dst, theta, v []float32, metric optimizer.Metric, _ int) error {
	if metric != optimizer.Hessian {
		panic("learned: a subproblem has the metric Hessian only")
	}
	s.at(theta)
	if len(dst) != len(theta) || len(v) != len(theta) {
		panic(errLength)
	}
	for i, x := range v {
		s.u[i] = float64(x)
	}
	s.l.product(s.g, s.u)
	for i, x := range s.g {
		dst[i] = float32(x)
	}
	return nil
}
