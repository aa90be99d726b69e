package qp

import "math"

// An Equilibrated is a problem in units in which the numbers of each of its rows and columns, and its right-hand sides, are about 1: the
// units in which the solvers work, for solvers outside of this package. Rows are those of A, then those of G. The zero value is ready for
// Load. It belongs to one goroutine.
type Equilibrated struct {
	at      approximate
	written bool
}

// Load copies and equilibrates a problem. An error is an *InputError, or a *NotConvexError for a diagonal Q with a negative number. That a
// dense Q is positive semidefinite is not checked: this would take a factorisation.
func (e *Equilibrated) Load(p *Problem) error {
	e.written = false
	if err := e.at.take(p); err != nil {
		return err
	}
	e.at.room()
	if e.at.q.diagonal {
		return e.at.checkConvex()
	}
	return nil
}

// Sizes returns n, p and m.
func (e *Equilibrated) Sizes() (n, equalities, inequalities int) { return e.at.n, e.at.p, e.at.m }

// Vectors returns q, b and h, which are not to be changed.
func (e *Equilibrated) Vectors() (linear, b, h []float64) { return e.at.lin, e.at.b, e.at.h }

// Hessian writes Qx into dst, both n numbers.
func (e *Equilibrated) Hessian(dst, x []float64) { e.at.q.mul(dst, x) }

// Rows writes Ax and Gx into dst: p + m numbers.
func (e *Equilibrated) Rows(dst, x []float64) {
	e.at.a.mul(dst[:e.at.p], x)
	e.at.g.mul(dst[e.at.p:], x)
}

// AddTransposed adds Aᵀν + Gᵀλ to dst for y = (ν, λ), p + m numbers.
func (e *Equilibrated) AddTransposed(dst, y []float64) {
	e.at.a.addTransposed(dst, y[:e.at.p])
	e.at.g.addTransposed(dst, y[e.at.p:])
}

// Read writes the point of a solution in the user's units into x (n) and y = (ν, λ). It panics if the sizes are not those of the problem.
func (e *Equilibrated) Read(x, y []float64, from *Solution) {
	s := &e.at
	if len(from.Z) != s.n || len(from.Nu) != s.p || len(from.Lambda) != s.m || len(from.Slack) != s.m {
		panic(errWarm)
	}
	s.from(from)
	copy(x, s.x)
	copy(y, s.dual)
}

// Write turns a point x (n) with the multipliers y = (ν, λ), λ ≥ 0, into a solution in the user's units, with its residuals and the given
// number of iterations. Slacks are those of x, or 0 where it violates a row. p is the problem that was loaded.
func (e *Equilibrated) Write(dst *Solution, p *Problem, x, y []float64, iterations int) {
	s := &e.at
	copy(s.x, x)
	copy(s.dual, y)
	e.Rows(s.rows, x)
	copy(s.rows, s.b)
	for i, h := range s.h {
		s.rows[s.p+i] = math.Min(s.rows[s.p+i], h)
	}
	dst.resize(s.n, s.p, s.m)
	s.write(dst, p, s.residuals(), iterations)
	e.written = true
}

// Gradient is that of a Solver at the point that was written last, by the linear system of InteriorPoint.Gradient with the rows active whose
// multiplier is larger than their slack. Where the point is not the solution, the derivative is as wrong as the point. It panics if no point was
// written.
func (e *Equilibrated) Gradient(dst *Gradient, up Upstream) error {
	if !e.written {
		panic(errUnsolved)
	}
	return e.at.gradient(dst, up)
}
