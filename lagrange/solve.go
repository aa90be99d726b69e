package lagrange

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"

	"learnedopt/optimizer"
)

// A Problem is: minimize f(x) subject to c(x) = 0, for n unknowns x and k constraints, in float64. Neither slice of a call is kept.
type Problem interface {
	// Value writes c(x) into c and returns f(x).
	Value(c, x []float64) float64
	// Gradient writes ∇f(x) + (∂c/∂x)ᵀ w into dst.
	Gradient(dst, x, w []float64)
}

// Method is the method of multipliers. Its zero value lacks a Rule and the number of Steps.
type Method struct {
	// Rule minimizes the Lagrangian, from a fresh state at each outer iteration.
	Rule optimizer.Rule
	// Steps is the number of its steps in each outer iteration.
	Steps int
	// Outer is the largest number of outer iterations; 0 means 50.
	Outer int
	// Penalty is the first ρ; 0 means 1. It grows tenfold, up to 1e8, when the largest violation has not shrunk to a quarter.
	Penalty float64
	// Tolerance is the largest |c_i| and the largest |∂L/∂x_j| of a solution; 0 means 1e-6.
	Tolerance float64
}

const mostPenalty = 1e8

// A Result is where the method ended.
type Result struct {
	// X is the point, Nu are the multipliers.
	X, Nu []float64
	// Value is f(x), Violation the largest |c_i|.
	Value, Violation float64
	// Penalty is the last ρ, Outer the number of outer iterations and Steps of the rule's steps.
	Penalty float64
	Outer   int
	Steps   int
}

// Validate reports the first mistake in the settings.
func (m Method) Validate() error {
	switch {
	case m.Rule == nil:
		return fmt.Errorf("lagrange: no Rule: choose one that minimizes the Lagrangian")
	case m.Steps < 1:
		return fmt.Errorf("lagrange: %d Steps of the rule in each outer iteration, want at least 1", m.Steps)
	case m.Outer < 0:
		return fmt.Errorf("lagrange: %d Outer iterations, want at least 1 (0 means 50)", m.Outer)
	case !(m.Penalty >= 0) || m.Penalty > mostPenalty:
		return fmt.Errorf("lagrange: Penalty %g, want a number up to %g (0 means 1)", m.Penalty, mostPenalty)
	case !(m.Tolerance >= 0) || math.IsInf(m.Tolerance, 0):
		return fmt.Errorf("lagrange: Tolerance %g, want a positive number (0 means 1e-6)", m.Tolerance)
	}
	return nil
}

// Solve starts at x, which it leaves alone, with k multipliers of 0. The rule sees the displacement from the point at which an outer iteration began, in
// float32; the point itself is float64. The error is a *NotConvergedError, an *optimizer.DivergedError, an
// *optimizer.NeedError or the context's; the result holds the last point in each case.
func (m Method) Solve(ctx context.Context, p Problem, x []float64, k int) (Result, error) {
	if err := m.Validate(); err != nil {
		return Result{}, err
	}
	outer, tolerance := m.Outer, m.Tolerance
	if outer == 0 {
		outer = 50
	}
	if tolerance == 0 {
		tolerance = 1e-6
	}
	r := Result{X: append([]float64(nil), x...), Nu: make([]float64, k), Penalty: m.Penalty}
	if r.Penalty == 0 {
		r.Penalty = 1
	}
	in := &inner{problem: p, result: &r, x: make([]float64, len(x)), grad: make([]float64, len(x)), c: make([]float64, k), w: make([]float64, k)}
	in.value(r.X)
	r.Violation = largest(in.c)
	for {
		before := r.Violation
		out, err := optimizer.Run(ctx, m.Rule, in, m.Steps)
		r.Steps += max(0, len(out.Losses)-1)
		r.Outer++
		if err != nil {
			return r, err
		}
		if out.Diverged != nil {
			return r, fmt.Errorf("lagrange: outer iteration %d: %w", r.Outer, out.Diverged)
		}
		for i, d := range out.Theta {
			r.X[i] += float64(d)
		}
		r.Value, _ = in.value(r.X)
		r.Violation = largest(in.c)
		for i, c := range in.c {
			r.Nu[i] += r.Penalty * c
		}
		// With the new multipliers this is the gradient of L before they moved.
		p.Gradient(in.grad, r.X, r.Nu)
		slope := largest(in.grad)
		if r.Violation <= tolerance && slope <= tolerance {
			return r, nil
		}
		if r.Outer == outer {
			return r, &NotConvergedError{r.Violation, slope, r.Penalty, r.Outer}
		}
		if r.Violation > before/4 && r.Violation > tolerance {
			r.Penalty = min(10*r.Penalty, mostPenalty)
		}
	}
}

// inner is the Lagrangian as a function of the displacement from the result's point.
type inner struct {
	problem Problem
	result  *Result
	x, grad []float64 // n
	c, w    []float64 // k
}

var _ optimizer.Problem = (*inner)(nil)

// value returns f and L at a point and leaves c there.
func (in *inner) value(x []float64) (f, lagrangian float64) {
	f = in.problem.Value(in.c, x)
	lagrangian = f
	for i, c := range in.c {
		lagrangian += (in.result.Nu[i] + in.result.Penalty/2*c) * c
	}
	return f, lagrangian
}

// Dim implements optimizer.Problem.
func (in *inner) Dim() int { return len(in.x) }

// Init implements optimizer.Problem.
func (in *inner) Init(theta []float32) {
	if len(theta) != len(in.x) {
		panic(errStart)
	}
	clear(theta)
}

// LossGrad implements optimizer.Problem.
func (in *inner) LossGrad(theta, grad []float32) (float64, error) {
	if len(theta) != len(in.x) || len(grad) != len(in.x) {
		panic(errStart)
	}
	for i, d := range theta {
		in.x[i] = in.result.X[i] + float64(d)
	}
	_, loss := in.value(in.x)
	for i, c := range in.c {
		in.w[i] = in.result.Nu[i] + in.result.Penalty*c
	}
	in.problem.Gradient(in.grad, in.x, in.w)
	for i, g := range in.grad {
		grad[i] = float32(g)
	}
	return loss, nil
}

// largest returns the largest magnitude, NaN if there is one.
func largest(x []float64) float64 { return floats.Norm(x, math.Inf(1)) }
