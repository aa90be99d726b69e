package qp

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

// TestADMM holds the method to the interior point: solution, multipliers and gradient, as exact as its tolerance.
func TestADMM(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	for k := range 12 {
		n := 4 + r.IntN(20)
		d := draw(r, shape{n: n, p: n / 5, m: 1 + n/3, rank: n, active: 0.5, margin: 0.3, diagonal: k%3 == 0, bounds: k%4 == 0})
		s := &ADMM{Options: Options{Tolerance: 1e-9, MaxIterations: 40000}}
		var out Solution
		if err := s.Solve(&out, &d.Problem); err != nil {
			t.Fatalf("problem %d: %v", k, err)
		}
		exact, want := mustSolve(t, &d.Problem)
		scale := 1 + norm(want.Z) + norm(want.Lambda) + norm(want.Nu)
		near(t, "z", out.Z, want.Z, 1e-5*scale)
		near(t, "ν", out.Nu, want.Nu, 1e-5*scale)
		near(t, "λ", out.Lambda, want.Lambda, 1e-5*scale)
		up := Upstream{Z: normal(r, n)}
		var got, g Gradient
		if err := s.Gradient(&got, up); err != nil {
			t.Fatal(err)
		}
		if err := exact.Gradient(&g, up); err != nil {
			t.Fatal(err)
		}
		near(t, "∂ℓ/∂q", got.Linear, g.Linear, 1e-4*(1+norm(g.Linear)))
		near(t, "∂ℓ/∂G", got.G, g.G, 1e-4*(1+norm(g.G)))
		// From the solution on, a looser tolerance is met at the first check.
		loose := &ADMM{Options: Options{Tolerance: 1e-4}}
		from := *want
		if err := loose.SolveFrom(&from, &d.Problem); err != nil {
			t.Fatal(err)
		}
		if from.Iterations > 10 {
			t.Errorf("problem %d: %d iterations from the solution", k, from.Iterations)
		}
	}
}

func TestADMMAnswers(t *testing.T) {
	var out Solution
	var not *NotConvergedError
	infeasible := &Problem{Q: []float64{1}, Linear: []float64{0}, G: []float64{1, -1}, H: []float64{1, -2}}
	if err := (&ADMM{}).Solve(&out, infeasible); !errors.As(err, &not) {
		t.Errorf("infeasible: %v", err)
	}
	s := &ADMM{Fixed: 5}
	if err := s.Solve(&out, degenerate()); err != nil || out.Iterations != 5 || math.IsNaN(out.Value) {
		t.Errorf("five iterations: %v, %d", err, out.Iterations)
	}
	var input *InputError
	if err := (&ADMM{Penalty: -1}).Solve(&out, degenerate()); !errors.As(err, &input) {
		t.Errorf("a negative penalty: %v", err)
	}
}
