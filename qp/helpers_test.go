package qp

import (
	"math"
	"math/rand/v2"
	"testing"
)

// drawn is a problem made around a known solution, and that solution.
type drawn struct {
	Problem
	z, nu, lambda []float64
}

// shape says what to draw.
type shape struct {
	n, p, m, rank int
	// active is the share of inequalities that hold with equality at the solution; margin is the least slack or multiplier
	// of an inequality.
	active, margin float64
	// diagonal makes Q diagonal, bounds G the rows of ± the identity.
	diagonal, bounds bool
}

// draw makes a problem with the given solution by choosing b, h and q.
func draw(r *rand.Rand, s shape) *drawn {
	n, p, m := s.n, s.p, s.m
	d := &drawn{Problem: Problem{Q: make([]float64, n*n), Linear: make([]float64, n), A: normal(r, p*n), B: make([]float64, p), G: normal(r, m*n), H: make([]float64, m)},
		z: normal(r, n), nu: normal(r, p), lambda: make([]float64, m)}
	if s.diagonal {
		d.Q = make([]float64, n)
		for i := range s.rank {
			d.Q[i] = 0.1 + r.ExpFloat64()
		}
	} else if s.rank > 0 {
		root := normal(r, n*s.rank)
		for i := range n {
			for j := range n {
				d.Q[i*n+j] = dot(root[i*s.rank:][:s.rank], root[j*s.rank:][:s.rank])
			}
		}
	}
	if s.bounds {
		clear(d.G)
		for i := range m {
			d.G[i*n+i%n] = 1 - 2*float64(i/n%2)
		}
	}
	for i := range p {
		d.B[i] = dot(d.A[i*n:i*n+n], d.z)
	}
	for i := range m {
		d.H[i] = dot(d.G[i*n:i*n+n], d.z)
		if r.Float64() < s.active {
			d.lambda[i] = s.margin + r.ExpFloat64()
		} else {
			d.H[i] += s.margin + r.ExpFloat64()
		}
	}
	for j := range n {
		g := 0.0
		switch {
		case s.diagonal:
			g = d.Q[j] * d.z[j]
		default:
			g = dot(d.Q[j*n:j*n+n], d.z)
		}
		for i := range p {
			g += d.A[i*n+j] * d.nu[i]
		}
		for i := range m {
			g += d.G[i*n+j] * d.lambda[i]
		}
		d.Linear[j] = -g
	}
	return d
}

// rescale changes the units of every row, every variable and the objective by up to 10^±exponent; the known solution with them.
func (d *drawn) rescale(r *rand.Rand, exponent float64) {
	n, p, m := d.Sizes()
	unit := func() float64 { return math.Pow(10, exponent*(2*r.Float64()-1)) }
	objective := unit()
	columns := make([]float64, n)
	for j := range columns {
		columns[j] = unit()
		d.z[j] /= columns[j]
		d.Linear[j] *= columns[j] * objective
	}
	for i := range d.Q {
		if len(d.Q) == n {
			d.Q[i] *= columns[i] * columns[i] * objective
		} else {
			d.Q[i] *= columns[i/n] * columns[i%n] * objective
		}
	}
	rows := func(a, right, dual []float64, count int) {
		for i := range count {
			f := unit()
			right[i] *= f
			dual[i] *= objective / f
			for j := range n {
				a[i*n+j] *= f * columns[j]
			}
		}
	}
	rows(d.A, d.B, d.nu, p)
	rows(d.G, d.H, d.lambda, m)
}

// errorOf returns how far a solution is from satisfying the optimality conditions in the user's units. A row's violation counts
// relative to the sum of magnitudes in the row, with each variable at least of the size that it has at the known solution;
// the objective relative to its terms.
func (d *drawn) errorOf(s *Solution) float64 {
	n, p, m := d.Sizes()
	worst := 0.0
	size := func(j int) float64 { return max(math.Abs(s.Z[j]), math.Abs(d.z[j])) }
	for i := range p {
		sum, scale := -d.B[i], math.Abs(d.B[i])
		for j := range n {
			sum += d.A[i*n+j] * s.Z[j]
			scale += math.Abs(d.A[i*n+j]) * size(j)
		}
		worst = max(worst, math.Abs(sum)/scale)
	}
	for i := range m {
		sum, scale := -d.H[i], math.Abs(d.H[i])
		for j := range n {
			sum += d.G[i*n+j] * s.Z[j]
			scale += math.Abs(d.G[i*n+j]) * size(j)
		}
		worst = max(worst, sum/scale)
		if s.Lambda[i] < 0 {
			return math.Inf(1)
		}
	}
	terms := 0.0
	for j, q := range d.Linear {
		terms += math.Abs(q * d.z[j])
	}
	// A value below the known optimum shows an infeasible point, one above it a point that is not optimal.
	return max(worst, math.Abs(s.Value-d.Value(d.z))/max(terms, math.SmallestNonzeroFloat64))
}

func normal(r *rand.Rand, n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = r.NormFloat64()
	}
	return x
}

func mustSolve(t testing.TB, p *Problem) (*InteriorPoint, *Solution) {
	t.Helper()
	s, out := &InteriorPoint{}, &Solution{}
	if err := s.Solve(out, p); err != nil {
		t.Fatal(err)
	}
	return s, out
}

// near fails if two slices differ by more than tolerance anywhere.
func near(t *testing.T, what string, got, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d numbers, want %d", what, len(got), len(want))
	}
	for i := range got {
		if !(math.Abs(got[i]-want[i]) <= tolerance) {
			t.Errorf("%s: number %d is %.12g, want %.12g (within %g)", what, i, got[i], want[i], tolerance)
			return
		}
	}
}
