package qp

import (
	"fmt"
	"math"
)

// A Problem is a convex quadratic program in n variables with p equalities and m inequalities:
//
//	minimize ½ zᵀQz + qᵀz  subject to  Az = b,  Gz ≤ h
//
// Matrices are row by row. Solvers neither keep nor change the slices.
type Problem struct {
	// Q has n² numbers, of which the symmetric part counts, or its n diagonal numbers, or none, which means 0.
	Q []float64
	// Linear is q and has n numbers; it says what n is.
	Linear []float64
	// A has p·n numbers and B, which is b, p.
	A, B []float64
	// G has m·n numbers and H, which is h, m.
	G, H []float64
}

// Sizes returns n, p and m.
func (p *Problem) Sizes() (n, equalities, inequalities int) {
	return len(p.Linear), len(p.B), len(p.H)
}

// Value returns ½ zᵀQz + qᵀz.
func (p *Problem) Value(z []float64) float64 {
	n, value := len(p.Linear), 0.0
	for i, zi := range z {
		value += p.Linear[i] * zi
		switch {
		case len(p.Q) == n:
			value += p.Q[i] * zi * zi / 2
		case len(p.Q) > 0:
			value += dot(p.Q[i*n:i*n+n], z) * zi / 2
		}
	}
	return value
}

// Validate reports the first mistake in sizes or numbers as an *InputError. It does not check that Q is
// positive semidefinite: Solve does.
func (p *Problem) Validate() error {
	n, e, m := p.Sizes()
	if n == 0 {
		return &InputError{"Linear", -1, "no numbers: its length is the number of variables, at least 1"}
	}
	if l := len(p.Q); l != 0 && l != n && l != n*n {
		return &InputError{"Q", -1, fmt.Sprintf("%d numbers for %d variables; want %d (all), %d (the diagonal) or 0 (zero)", l, n, n*n, n)}
	}
	if len(p.A) != e*n {
		return &InputError{"A", -1, fmt.Sprintf("%d numbers; want %d = %d rows, as B has, of %d", len(p.A), e*n, e, n)}
	}
	if len(p.G) != m*n {
		return &InputError{"G", -1, fmt.Sprintf("%d numbers; want %d = %d rows, as H has, of %d", len(p.G), m*n, m, n)}
	}
	sum := 0.0
	for _, x := range [...][]float64{p.Q, p.Linear, p.A, p.B, p.G, p.H} {
		sum += zeroed(x)
	}
	if sum == 0 {
		return nil
	}
	for i, x := range [...][]float64{p.Q, p.Linear, p.A, p.B, p.G, p.H} {
		for j, v := range x {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return &InputError{fields[i], j, fmt.Sprintf("%v is not a finite number; leave an unbounded row out", v)}
			}
		}
	}
	return nil
}

// zeroed returns Σ 0·x_i: 0 if all numbers are finite, else NaN. In four sums, because the matrices of large sparse problems are mostly read for
// this, and a sum has to wait for the one before.
func zeroed(x []float64) float64 {
	var a, b, c, d float64
	for len(x) >= 4 {
		a += x[0] * 0
		b += x[1] * 0
		c += x[2] * 0
		d += x[3] * 0
		x = x[4:]
	}
	for _, v := range x {
		a += v * 0
	}
	return a + b + c + d
}

var fields = [...]string{"Q", "Linear", "A", "B", "G", "H"}

// A Solution is a point with its multipliers.
type Solution struct {
	// Z is z (n), Nu ν (p), Lambda λ (m) and Slack s = h − Gz (m).
	Z, Nu, Lambda, Slack []float64
	// Value is ½ zᵀQz + qᵀz.
	Value float64
	// Residuals say how exact the point is.
	Residuals Residuals
	// Iterations is the number of factorisations.
	Iterations int
	// WeaklyActive are the rows of G that hold with equality and have a zero multiplier, in ascending order.
	WeaklyActive []int
}

// Residuals are relative to the equilibrated problem, whose rows, columns, right-hand sides and objective
// have entries of about 1.
type Residuals struct {
	// Primal is the largest violation of Az = b and Gz + s = h.
	Primal float64
	// Dual is the largest |Qz + q + Aᵀν + Gᵀλ|.
	Dual float64
	// Gap is the larger of the duality gap and the largest λ_i s_i.
	Gap float64
}

// worst returns the largest residual.
func (r Residuals) worst() float64 { return max(r.Primal, r.Dual, r.Gap) }

func (s *Solution) resize(n, p, m int) {
	s.Z, s.Nu = grow(s.Z, n), grow(s.Nu, p)
	s.Lambda, s.Slack = grow(s.Lambda, m), grow(s.Slack, m)
	s.WeaklyActive = s.WeaklyActive[:0]
}

// grow returns a slice of n numbers with x's memory, if that is enough.
func grow(x []float64, n int) []float64 {
	if cap(x) >= n {
		return x[:n]
	}
	return make([]float64, n)
}
