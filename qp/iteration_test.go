package qp

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

// TestIteration holds the map to ADMM, which it is: the same point after the same number of steps, and the same gradient.
func TestIteration(t *testing.T) {
	r := rand.New(rand.NewPCG(31, 1))
	for k := range 6 {
		n := 5 + r.IntN(20)
		d := draw(r, shape{n: n, p: n / 4, m: n / 2, rank: n, active: 0.5, margin: 0.3, diagonal: k%3 == 0, bounds: k%2 == 0})
		const steps = 30
		admm := &ADMM{Fixed: steps}
		var got Solution
		// x = 0, no multipliers and Gx = min(0, h), as Cold has it.
		want := Solution{Z: make([]float64, n), Nu: make([]float64, len(d.B)), Lambda: make([]float64, len(d.H)), Slack: make([]float64, len(d.H))}
		for i, h := range d.H {
			want.Slack[i] = max(h, 0)
		}
		if err := admm.SolveFrom(&want, &d.Problem); err != nil {
			t.Fatal(err)
		}
		var it Iteration
		if err := it.Load(&d.Problem, 0); err != nil {
			t.Fatal(err)
		}
		v := make([]float64, n+len(d.B)+len(d.H))
		it.Cold(v)
		for range steps {
			it.Step(v, v)
		}
		it.Write(&got, &d.Problem, v, steps)
		near(t, "z", got.Z, want.Z, 1e-9*(1+norm(want.Z)))
		near(t, "ν", got.Nu, want.Nu, 1e-9*(1+norm(want.Nu)))
		near(t, "λ", got.Lambda, want.Lambda, 1e-9*(1+norm(want.Lambda)))
		near(t, "s", got.Slack, want.Slack, 1e-9*(1+norm(want.Slack)))
		near(t, "residuals", []float64{got.Residuals.Primal, got.Residuals.Dual, got.Residuals.Gap}, []float64{want.Residuals.Primal, want.Residuals.Dual, want.Residuals.Gap}, 1e-8)
		up := Upstream{Z: normal(r, n)}
		var a, b Gradient
		if err := errors.Join(admm.Gradient(&a, up), it.Gradient(&b, up)); err != nil {
			t.Fatal(err)
		}
		near(t, "∂ℓ/∂q", b.Linear, a.Linear, 1e-6*(1+norm(a.Linear)))
	}
}

// TestIterationAdjoint compares with differences of steps. T is linear in each piece, so that differences are exact but for rounding, 1e-16/1e-6, if no row of G
// changes sides.
func TestIterationAdjoint(t *testing.T) {
	r := rand.New(rand.NewPCG(31, 2))
	for k := range 6 {
		n := 4 + r.IntN(10)
		d := draw(r, shape{n: n, p: n / 3, m: n, rank: n, active: 0.5, margin: 0.3, diagonal: k%3 == 0, bounds: k%2 == 0})
		var it Iteration
		if err := it.Load(&d.Problem, 0.5); err != nil {
			t.Fatal(err)
		}
		_, p, m := it.Sizes()
		size := n + p + m
		v, up := normal(r, size), normal(r, size)
		got, plus, minus := make([]float64, size), make([]float64, size), make([]float64, size)
		it.Adjoint(got, up, v)
		const step = 1e-6
		want := make([]float64, size)
		for i := range v {
			keep := v[i]
			v[i] = keep + step
			it.Step(plus, v)
			v[i] = keep - step
			it.Step(minus, v)
			v[i] = keep
			for j := range plus {
				want[i] += up[j] * (plus[j] - minus[j]) / (2 * step)
			}
		}
		near(t, "adjoint", got, want, 1e-7*(1+norm(want)))
	}
}

// TestEquilibrated writes the interior point's solution, and expects no residual, the same numbers and the same derivative.
func TestEquilibrated(t *testing.T) {
	r := rand.New(rand.NewPCG(31, 3))
	for k := range 6 {
		n := 5 + r.IntN(20)
		d := draw(r, shape{n: n, p: n / 4, m: n / 2, rank: n, active: 0.5, margin: 0.3, diagonal: k%3 == 0, bounds: k%2 == 0})
		d.rescale(r, 3)
		exact, want := mustSolve(t, &d.Problem)
		var e Equilibrated
		if err := e.Load(&d.Problem); err != nil {
			t.Fatal(err)
		}
		_, p, m := e.Sizes()
		x, y := make([]float64, n), make([]float64, p+m)
		e.Read(x, y, want)
		// The optimality conditions by the methods that a solver has.
		linear, _, h := e.Vectors()
		g, rows := make([]float64, n), make([]float64, p+m)
		e.Hessian(g, x)
		e.AddTransposed(g, y)
		for i, q := range linear {
			g[i] += q
		}
		near(t, "gradient of the Lagrangian", g, make([]float64, n), 1e-9)
		e.Rows(rows, x)
		for i, row := range rows[p:] {
			if row > h[i]+1e-9 {
				t.Errorf("row %d is %g above its bound", i, row-h[i])
			}
		}
		var got Solution
		e.Write(&got, &d.Problem, x, y, 7)
		if got.Residuals.worst() > 1e-9 || got.Iterations != 7 || math.Abs(got.Value-want.Value) > 1e-9*(1+math.Abs(want.Value)) {
			t.Errorf("residuals %v, %d iterations, value %g, want %g", got.Residuals, got.Iterations, got.Value, want.Value)
		}
		for i := range got.Z {
			if math.Abs(got.Z[i]-want.Z[i]) > 1e-9*math.Abs(want.Z[i])+1e-300 {
				t.Errorf("z_%d = %g, want %g", i, got.Z[i], want.Z[i])
			}
		}
		// A point beside it has a primal residual: by how much Ax is off, in units of x.
		if p > 0 {
			x[0] += 0.5
			var off Solution
			e.Write(&off, &d.Problem, x, y, 0)
			e.Rows(rows, x)
			_, b, _ := e.Vectors()
			violation := 0.0
			for i, v := range b {
				violation = max(violation, math.Abs(rows[i]-v))
			}
			for i, v := range h {
				violation = max(violation, rows[p+i]-v)
			}
			near(t, "primal residual", []float64{off.Residuals.Primal}, []float64{violation / max(1, norm(x))}, 1e-12)
			x[0] -= 0.5
			e.Write(&got, &d.Problem, x, y, 7)
		}
		up := Upstream{Z: normal(r, n)}
		var a, b Gradient
		if err := errors.Join(exact.Gradient(&a, up), e.Gradient(&b, up)); err != nil {
			t.Fatal(err)
		}
		near(t, "∂ℓ/∂q", b.Linear, a.Linear, 1e-6*norm(a.Linear))
	}
	var input *InputError
	if err := new(Equilibrated).Load(&Problem{}); !errors.As(err, &input) {
		t.Errorf("no numbers: %v", err)
	}
	var not *NotConvexError
	if err := new(Equilibrated).Load(&Problem{Q: []float64{-1}, Linear: []float64{1}}); !errors.As(err, &not) {
		t.Errorf("a negative Q: %v", err)
	}
	if err := new(Iteration).Load(degenerate(), -1); !errors.As(err, &input) {
		t.Errorf("a negative penalty: %v", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("no panic for a step after a gradient")
		}
	}()
	var it Iteration
	if err := it.Load(degenerate(), 0); err != nil {
		t.Fatal(err)
	}
	n, p, m := it.Sizes()
	v := make([]float64, n+p+m)
	var out Solution
	it.Write(&out, degenerate(), v, 0)
	if err := it.Gradient(new(Gradient), Upstream{Z: make([]float64, n)}); err != nil {
		t.Fatal(err)
	}
	it.Step(v, v)
}
