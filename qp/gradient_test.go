package qp

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// loss is a linear loss of all that a solution holds.
type loss struct{ z, nu, lambda []float64 }

func (l *loss) upstream(value float64) Upstream {
	return Upstream{Z: l.z, Nu: l.nu, Lambda: l.lambda, Value: value}
}

func (l *loss) of(s *Solution, value float64) float64 {
	return dot(l.z, s.Z) + dot(l.nu, s.Nu) + dot(l.lambda, s.Lambda) + value*s.Value
}

// TestGradientsAgainstDifferences compares the derivatives with respect to every number of Q, q, A, b, G and h with central
// differences, for a loss of z, ν, λ and the value, at problems where slacks and multipliers are at least 0.3. The step 1e-4 makes an
// error of about 1e-8 times third derivatives; a second step of half the size takes it out (Richardson), and leaves 1e-12/1e-4 of rounding.
func TestGradientsAgainstDifferences(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	problems := 25
	if testing.Short() {
		problems = 6
	}
	for k := range problems {
		n := 2 + r.IntN(6)
		s := shape{n: n, p: r.IntN(n / 2), m: r.IntN(6), rank: n, active: 0.3, margin: 0.3, diagonal: k%5 == 3, bounds: k%5 == 4}
		d := draw(r, s)
		// Away from problems whose active rows nearly depend on each other.
		active := 0
		for _, v := range d.lambda {
			if v > 0 {
				active++
			}
		}
		if active+s.p > n-1 {
			continue
		}
		for i := range n {
			if s.diagonal {
				d.Q[i]++
				d.Linear[i] -= d.z[i]
			} else {
				d.Q[i*n+i]++
				d.Linear[i] -= d.z[i]
			}
		}
		l := &loss{normal(r, n), normal(r, s.p), normal(r, s.m)}
		value := r.NormFloat64()
		solver, _ := mustSolve(t, &d.Problem)
		var g Gradient
		if err := solver.Gradient(&g, l.upstream(value)); err != nil {
			t.Fatal(err)
		}
		p := &d.Problem
		for f, x := range [...][]float64{p.Q, p.Linear, p.A, p.B, p.G, p.H} {
			got := [...][]float64{g.Q, g.Linear, g.A, g.B, g.G, g.H}[f]
			scale := 1 + norm(got)
			for i := range x {
				central := func(step float64) float64 {
					keep := x[i]
					defer func() { x[i] = keep }()
					var v [2]float64
					for side, sign := range [...]float64{1, -1} {
						x[i] = keep + sign*step
						_, out := mustSolve(t, p)
						v[side] = l.of(out, value)
					}
					return (v[0] - v[1]) / (2 * step)
				}
				want := (4*central(5e-5) - central(1e-4)) / 3
				if math.Abs(got[i]-want) > 1e-7*scale {
					t.Errorf("problem %d: ∂ℓ/∂%s[%d] = %.10g, differences %.10g", k, fields[f], i, got[i], want)
				}
			}
		}
	}
}

// degenerate is the projection of (1, 2, 3) on the simplex, which is (0, 0, 1) with the second constraint weakly active.
func degenerate() *Problem { return simplex(1, 1, 2, 3) }

func TestWeaklyActive(t *testing.T) {
	s, out := mustSolve(t, degenerate())
	if !slices.Equal(out.WeaklyActive, []int{1}) {
		t.Fatalf("weakly active rows %v, want [1]", out.WeaklyActive)
	}
	var g Gradient
	var weak *WeaklyActiveError
	if err := s.Gradient(&g, Upstream{Z: []float64{0, 1, 0}}); !errors.As(err, &weak) || !slices.Equal(weak.Rows, []int{1}) {
		t.Errorf("error %v, want a *WeaklyActiveError of row 1", err)
	}
	// The value has a derivative all the same.
	if err := s.Gradient(&g, Upstream{Value: 1}); err != nil {
		t.Errorf("derivative of the value: %v", err)
	}
	near(t, "∂value/∂q", g.Linear, []float64{0, 0, 1}, 2e-6)

	s.Options.Weak = AsInactive
	if err := s.Solve(out, degenerate()); err != nil {
		t.Fatal(err)
	}
	got := jacobian(t, s, 3, func(g *Gradient) []float64 { return g.Linear })
	// The derivative of the problem whose second constraint is z_2 ≥ −1e-3, which has the same solution.
	loose := degenerate()
	loose.H[1] = 1e-3
	other, out2 := mustSolve(t, loose)
	near(t, "the looser problem's solution", out2.Z, []float64{0, 0, 1}, 1e-9)
	near(t, "one-sided derivative", got, jacobian(t, other, 3, func(g *Gradient) []float64 { return g.Linear }), 1e-5)
	near(t, "one-sided derivative", got, []float64{0, 0, 0, 0, -0.5, 0.5, 0, 0.5, -0.5}, 1e-5)
}

// TestSmoothing checks the point of the central path and its derivatives at the degenerate problem.
func TestSmoothing(t *testing.T) {
	const mu = 1e-3
	solve := func(p *Problem) (*InteriorPoint, *Solution) {
		s, out := &InteriorPoint{Options: Options{Smoothing: mu}}, &Solution{}
		if err := s.Solve(out, p); err != nil {
			t.Fatal(err)
		}
		return s, out
	}
	s, out := solve(degenerate())
	for i, l := range out.Lambda {
		if math.Abs(l*out.Slack[i]-mu) > 1e-12 {
			t.Errorf("λ·s = %g, want %g", l*out.Slack[i], mu)
		}
	}
	if gap := out.Value - (-2.5); gap < 0 || gap > 3*mu {
		t.Errorf("the value is %g above the minimum, want 0 to mμ = %g", gap, 3*mu)
	}
	got := jacobian(t, s, 3, func(g *Gradient) []float64 { return g.Linear })
	want := make([]float64, 9)
	for j := range 3 {
		const step = 1e-5
		var v [2]*Solution
		for side, sign := range [...]float64{1, -1} {
			p := degenerate()
			p.Linear[j] += sign * step
			_, v[side] = solve(p)
		}
		for i := range 3 {
			want[i*3+j] = (v[0].Z[i] - v[1].Z[i]) / (2 * step)
		}
	}
	// The curvature of the barrier is about 1/√μ³ = 3e4: differences of 1e-5 are off by some 1e-10·3e4.
	near(t, "derivative of the smoothed solution", got, want, 1e-5)
}

func TestGradientOfNothingPanics(t *testing.T) {
	for name, f := range map[string]func(){
		"unsolved": func() { (&InteriorPoint{}).Gradient(&Gradient{}, Upstream{}) },
		"length": func() {
			s, _ := mustSolve(t, degenerate())
			s.Gradient(&Gradient{}, Upstream{Z: []float64{1}})
		},
		"failed": func() {
			s, out := mustSolve(t, degenerate())
			_ = s.Solve(out, &Problem{})
			s.Gradient(&Gradient{}, Upstream{})
		},
		"warm": func() { (&InteriorPoint{}).SolveFrom(&Solution{}, degenerate()) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}
