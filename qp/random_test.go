package qp

import (
	"encoding/gob"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"testing"
)

// count returns how many random problems to draw: all with METAOPT_ALL=1.
func count(all int) int {
	switch {
	case os.Getenv("METAOPT_ALL") == "1":
		return all
	case testing.Short():
		return all / 100
	}
	return all / 25
}

// drawShape draws sizes up to 100 and structure. One in four is nearly degenerate: slacks and multipliers down to nothing,
// equal rows, and rows that are sums of others.
func drawShape(r *rand.Rand, largest int) (*drawn, bool) {
	n := 1 + r.IntN(largest)
	s := shape{n: n, p: r.IntN(n/2 + 1), m: r.IntN(largest + 1), rank: r.IntN(n + 1), active: r.Float64(), margin: 0.1,
		diagonal: r.IntN(4) == 0, bounds: r.IntN(4) == 0}
	degenerate := r.IntN(4) == 0
	if degenerate {
		s.margin = 0
	}
	d := draw(r, s)
	if degenerate {
		for i := range s.m {
			// Some rows become weakly active, up to one part in 10⁶.
			if d.lambda[i] == 0 && r.IntN(3) == 0 {
				d.H[i] = dot(d.G[i*n:i*n+n], d.z) + 1e-6*r.Float64()
			}
		}
		if s.m > 1 {
			copy(d.G[:n], d.G[n:2*n])
			d.H[0] = d.H[1]
			d.lambda[0] = 0
		}
		if s.p > 2 {
			for j := range n {
				d.A[j] = d.A[n+j] + d.A[2*n+j]
			}
			d.B[0] = d.B[1] + d.B[2]
		}
		// q again, for the changed rows.
		for j := range n {
			g := 0.0
			if s.diagonal {
				g = d.Q[j] * d.z[j]
			} else {
				g = dot(d.Q[j*n:j*n+n], d.z)
			}
			for i := range s.p {
				g += d.A[i*n+j] * d.nu[i]
			}
			for i := range s.m {
				g += d.G[i*n+j] * d.lambda[i]
			}
			d.Linear[j] = -g
		}
	}
	return d, degenerate
}

// TestRandomProblems solves problems with known solutions in units from 1e-6 to 1e6: each is solved, or the solver says that it
// is not.
func TestRandomProblems(t *testing.T) {
	total := count(10000)
	var s InteriorPoint
	var out Solution
	unsolved, iterations, worst := 0, 0, 0.0
	for i := range total {
		r := rand.New(rand.NewPCG(16, uint64(i)))
		d, degenerate := drawShape(r, 100)
		d.rescale(r, 6)
		err := s.Solve(&out, &d.Problem)
		iterations += out.Iterations
		var not *NotConvergedError
		if errors.As(err, &not) {
			unsolved++
			t.Logf("problem %d (degenerate %v): %v", i, degenerate, err)
			continue
		}
		if err != nil {
			t.Fatalf("problem %d: %v", i, err)
		}
		e := d.errorOf(&out)
		worst = max(worst, e)
		if !(e <= 1e-8) {
			n, p, m := d.Sizes()
			t.Errorf("problem %d (n %d, p %d, m %d, degenerate %v): error %.2e, residuals %.1e", i, n, p, m, degenerate, e, out.Residuals)
		}
	}
	t.Logf("%d problems, %d not converged, %.1f iterations on average, largest error %.1e", total, unsolved, float64(iterations)/float64(total), worst)
	if unsolved*1000 > total {
		t.Errorf("%d of %d problems were not solved; one in 1,000 is allowed", unsolved, total)
	}
}

// TestNoSolution gives the solver problems that have none; each gets the right error, with a certificate that is checked here.
func TestNoSolution(t *testing.T) {
	total := count(2000)
	var s InteriorPoint
	var out Solution
	for i := range total {
		r := rand.New(rand.NewPCG(17, uint64(i)))
		n := 1 + r.IntN(40)
		kind := i % 4
		d := draw(r, shape{n: n, p: r.IntN(n/2 + 1), m: 2 + r.IntN(60), rank: r.IntN(n + 1), active: 0.5, margin: 0.1, diagonal: r.IntN(3) == 0, bounds: r.IntN(3) == 0})
		var want string
		switch kind {
		case 0: // a row of a nonnegative sum of others, with a right-hand side that they exclude
			want = "infeasible"
			for j := range n {
				d.Linear[j] += d.lambda[0] * d.G[j] // bounded below still
			}
			clear(d.G[:n])
			d.H[0] = -1
			for range 1 + r.IntN(3) {
				i, f := 1+r.IntN(len(d.H)-1), r.ExpFloat64()
				for j := range n {
					d.G[j] -= f * d.G[i*n+j]
				}
				d.H[0] -= f * d.H[i]
			}
		case 1: // a direction without cost and limits, along which the objective falls
			want = "unbounded"
			unbound(r, d)
		case 2:
			want = "input"
			fields := [][]float64{d.Q, d.Linear, d.A, d.B, d.G, d.H}
			f := fields[r.IntN(len(fields))]
			for len(f) == 0 {
				f = fields[r.IntN(len(fields))]
			}
			f[r.IntN(len(f))] = []float64{math.NaN(), math.Inf(1), math.Inf(-1)}[r.IntN(3)]
		case 3:
			want = "input"
			fields := []*[]float64{&d.Q, &d.A, &d.G, &d.H, &d.B}
			f := fields[r.IntN(len(fields))]
			*f = append(*f, make([]float64, 1+r.IntN(3))...)
			if len(d.Q) == n*n || len(d.Q) == n {
				if len(d.A) == n*len(d.B) && len(d.G) == n*len(d.H) {
					continue // the longer Q has a size that is allowed
				}
			}
		}
		if kind < 2 {
			d.rescale(r, 3)
		}
		err := s.Solve(&out, &d.Problem)
		var (
			infeasible *InfeasibleError
			unbounded  *UnboundedError
			input      *InputError
		)
		switch {
		case want == "infeasible" && errors.As(err, &infeasible):
			checkInfeasible(t, d, infeasible)
		case want == "unbounded" && errors.As(err, &unbounded):
			checkUnbounded(t, d, unbounded)
		case want == "input" && errors.As(err, &input):
		default:
			t.Errorf("problem %d: %v, want it to be %s", i, err, want)
		}
	}
}

// unbound makes a problem unbounded along a random ray.
func unbound(r *rand.Rand, d *drawn) {
	n, p, m := d.Sizes()
	ray := normal(r, n)
	if len(d.Q) == n || r.IntN(2) == 0 {
		// Along one variable.
		clear(ray)
		ray[r.IntN(n)] = 1
	}
	square := dot(ray, ray)
	orthogonal := func(row []float64) {
		f := dot(row, ray) / square
		for j := range row {
			row[j] -= f * ray[j]
		}
	}
	if len(d.Q) == n {
		for j, v := range ray {
			if v != 0 {
				d.Q[j] = 0
			}
		}
	} else {
		for i := range n {
			orthogonal(d.Q[i*n : i*n+n])
		}
		for j := range n {
			column := make([]float64, n)
			for i := range n {
				column[i] = d.Q[i*n+j]
			}
			orthogonal(column)
			for i := range n {
				d.Q[i*n+j] = column[i]
			}
		}
	}
	for i := range p {
		orthogonal(d.A[i*n : i*n+n])
		d.B[i] = dot(d.A[i*n:i*n+n], d.z)
	}
	for i := range m {
		row := d.G[i*n : i*n+n]
		orthogonal(row)
		if r.IntN(2) == 0 {
			for j := range row {
				row[j] -= r.Float64() * ray[j] / square
			}
		}
		d.H[i] = dot(row, d.z) + 0.1 + r.Float64()
	}
	orthogonal(d.Linear)
	for j := range ray {
		d.Linear[j] -= ray[j] / square
	}
}

// checkInfeasible checks Farkas' conditions in the user's units.
func checkInfeasible(t *testing.T, d *drawn, e *InfeasibleError) {
	t.Helper()
	p := &d.Problem
	n, _, _ := p.Sizes()
	right := 0.0
	for i, v := range e.Nu {
		right += v * p.B[i]
	}
	for i, v := range e.Lambda {
		if v < 0 {
			t.Errorf("multiplier %d of a certificate is %g", i, v)
		}
		right += v * p.H[i]
	}
	if math.Abs(right+1) > 1e-9 {
		t.Errorf("certificate: bᵀν + hᵀλ = %g, want −1", right)
	}
	// What the certificate leaves to a z of the size of the known point.
	residual, left := 0.0, 0.0
	for j := range n {
		sum := 0.0
		for i, v := range e.Nu {
			sum += v * p.A[i*n+j]
		}
		for i, v := range e.Lambda {
			sum += v * p.G[i*n+j]
		}
		residual = max(residual, math.Abs(sum))
		left += math.Abs(sum * d.z[j])
	}
	if left > 1e-6 {
		t.Errorf("certificate: it excludes only z of %g times the size", 1/left)
	}
	if residual > 2*e.Residual+1e-12 {
		t.Errorf("certificate: residual %g, said to be %g", residual, e.Residual)
	}
}

// checkUnbounded follows the ray until the objective has fallen by the sum of its terms at the known point.
func checkUnbounded(t *testing.T, d *drawn, e *UnboundedError) {
	t.Helper()
	p := &d.Problem
	n, _, _ := p.Sizes()
	if got := dot(p.Linear, e.Ray); math.Abs(got+1) > 1e-9 {
		t.Errorf("ray: qᵀd = %g, want −1", got)
	}
	fall := 0.0
	for j, q := range p.Linear {
		fall += math.Abs(q * d.z[j])
	}
	along := func(what string, row []float64, scale float64, both bool) {
		t.Helper()
		sum := 0.0
		for j, v := range e.Ray {
			sum += fall * v * row[j]
			scale += math.Abs(d.z[j] * row[j])
		}
		if sum > 1e-6*scale || both && sum < -1e-6*scale {
			t.Errorf("ray: %s moves by %g, at a size of %g", what, sum, scale)
		}
	}
	for i := range p.B {
		along("a row of Ad", p.A[i*n:i*n+n], math.Abs(p.B[i]), true)
	}
	for i := range p.H {
		along("a row of Gd", p.G[i*n:i*n+n], math.Abs(p.H[i]), false)
	}
	if len(p.Q) == n*n {
		for i := range n {
			along("a row of Qd", p.Q[i*n:i*n+n], math.Abs(p.Linear[i]), true)
		}
	}
}

// TestShortSteps solves a problem that came up while a Sudoku layer was trained: with the second-order correction alone, steps became
// short and the products λ_i s_i stayed of very different size.
func TestShortSteps(t *testing.T) {
	f, err := os.Open("testdata/short-steps.gob")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var p Problem
	if err := gob.NewDecoder(f).Decode(&p); err != nil {
		t.Fatal(err)
	}
	_, out := mustSolve(t, &p)
	if r := out.Residuals.worst(); r > 1e-12 || out.Iterations > 25 {
		t.Errorf("residual %g after %d factorisations", r, out.Iterations)
	}
}
