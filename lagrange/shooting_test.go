package lagrange

import (
	"context"
	"fmt"
	"math"
	"testing"

	"learnedopt/baselines"
	"learnedopt/rules"
)

// descent is gradient descent with rate α on f(r) = Σ r_i², r = diag(s)θ − y, as a learned optimizer of one parameter: K steps a window, each
//
//	r_i ← (1 − 2αs_i²) r_i
//
// and after T steps f is Σ (1 − 2αs_i²)^{2T} c_i². The loss is f at the end of the last window, or of each.
type descent struct {
	squares []float64 // s_i²
	steps   int       // K
	windows int
	each    bool
}

func (d *descent) counts(k int) bool { return d.each || k == d.windows-1 }

func (d *descent) Forward(end []float64, k int, r, phi []float64) (loss float64) {
	for i, s := range d.squares {
		end[i] = r[i]
		for range d.steps {
			end[i] *= 1 - 2*phi[0]*s
		}
		if d.counts(k) {
			loss += end[i] * end[i]
		}
	}
	return loss
}

// Backward goes back through the steps one by one, as backpropagation does.
func (d *descent) Backward(dr, dphi []float64, k int, r, phi, w []float64) {
	path := make([]float64, d.steps+1)
	for i, s := range d.squares {
		path[0] = r[i]
		for t := range d.steps {
			path[t+1] = (1 - 2*phi[0]*s) * path[t]
		}
		up := w[i]
		if d.counts(k) {
			up += 2 * path[d.steps]
		}
		for t := d.steps - 1; t >= 0; t-- {
			dphi[0] -= 2 * s * path[t] * up
			up *= 1 - 2*phi[0]*s
		}
		dr[i] += up
	}
}

// The closed form: five curvatures from 0.02 to 1 and 100 steps.
var (
	curvatures = []float64{0.02, 0.05, 0.15, 0.4, 1}
	residuals  = []float64{1, -1, 0.5, 2, 1}
)

const horizon = 100

func closed(alpha float64) (loss, slope float64) {
	for i, s := range curvatures {
		f := 1 - 2*alpha*s
		loss += math.Pow(f, 2*horizon) * residuals[i] * residuals[i]
		slope -= 4 * horizon * s * math.Pow(f, 2*horizon-1) * residuals[i] * residuals[i]
	}
	return loss, slope
}

// root returns the rate at which a slope changes its sign.
func root(slope func(alpha float64) float64) float64 {
	lo, hi := 1e-3, 1.2
	for range 100 {
		if mid := (lo + hi) / 2; slope(mid) < 0 {
			lo = mid
		} else {
			hi = mid
		}
	}
	return (lo + hi) / 2
}

// truncated returns the meta-gradient of windows of K steps whose starts count as constants.
func truncated(alpha float64, steps int) float64 {
	d := &descent{squares: curvatures, steps: steps, windows: horizon / steps, each: true}
	s := Shooting{Unroll: d, Start: residuals, Windows: d.windows, Parameters: 1}
	x := s.Unknowns([]float64{alpha})
	grad := make([]float64, len(x))
	s.Gradient(grad, x, make([]float64, s.Constraints()))
	return grad[0]
}

// whole returns the exact meta-gradient of f_T: one window over the whole horizon.
func whole(alpha float64) float64 {
	s := Shooting{Unroll: &descent{squares: curvatures, steps: horizon, windows: 1}, Start: residuals, Windows: 1, Parameters: 1}
	grad := make([]float64, 1)
	s.Gradient(grad, []float64{alpha}, nil)
	return grad[0]
}

// TestShootingGradient compares with differences of the value and the constraints: the step 1e-6 leaves 1e-10 of rounding, and as much of the third derivative.
func TestShootingGradient(t *testing.T) {
	d := &descent{squares: curvatures, steps: 4, windows: 3, each: true}
	s := Shooting{Unroll: d, Start: residuals, Windows: 3, Parameters: 1}
	x := s.Unknowns([]float64{0.3})
	w, c := make([]float64, s.Constraints()), make([]float64, s.Constraints())
	if s.Value(c, x); largest(c) != 0 {
		t.Errorf("the states of a run violate the constraints by %g", largest(c))
	}
	for i := range w {
		w[i] = math.Sin(float64(3 * i))
	}
	for i := range x {
		x[i] += 0.1 * math.Cos(float64(5*i))
	}
	got := make([]float64, len(x))
	s.Gradient(got, x, w)
	at := func() float64 {
		sum := s.Value(c, x)
		for i, v := range c {
			sum += w[i] * v
		}
		return sum
	}
	for i := range x {
		const step = 1e-6
		keep := x[i]
		x[i] = keep + step
		plus := at()
		x[i] = keep - step
		minus := at()
		x[i] = keep
		near(t, fmt.Sprintf("derivative %d", i), got[i:i+1], []float64{(plus - minus) / (2 * step)}, 1e-7)
	}
	_, slope := closed(0.4)
	near(t, "whole meta-gradient", []float64{whole(0.4)}, []float64{slope}, 1e-9)
}

// TestShooting trains the rate by truncated backpropagation, by whole backpropagation and by multiple shooting, and holds the last two to the closed form's
// minimum, and the multipliers to what backpropagation carries. With -v it prints the table of docs/truncation.md.
func TestShooting(t *testing.T) {
	best := root(func(alpha float64) float64 { _, slope := closed(alpha); return slope })
	least, _ := closed(best)
	t.Logf("closed form: α* = %.6f, f_T = %.6g", best, least)
	for _, steps := range []int{1, 5, 10, 20, 25, 50} {
		alpha := root(func(a float64) float64 { return truncated(a, steps) })
		loss, _ := closed(alpha)
		t.Logf("windows of %d, truncated: α = %.6f, f_T = %.3f × the least", steps, alpha, loss/least)
		if math.Abs(alpha-best) < 5e-3 {
			t.Errorf("truncation at %d steps has no bias: α = %g", steps, alpha)
		}
	}
	for _, c := range []struct {
		steps, inner int // of a window, and of Adam in an outer iteration
		penalty      float64
		converges    bool
	}{{100, 300, 1, true}, {50, 1000, 0.1, true}, {25, 4000, 0.1, true}, {20, 4000, 0.01, false}} {
		if c.steps < 50 && testing.Short() {
			continue
		}
		d := &descent{squares: curvatures, steps: c.steps, windows: horizon / c.steps}
		s := &Shooting{Unroll: d, Start: residuals, Windows: d.windows, Parameters: 1}
		// Every window begins where the first does: if the constraints held, then their first violation would only make ρ grow.
		x := []float64{0.3}
		for range d.windows - 1 {
			x = append(x, residuals...)
		}
		m := Method{Rule: rules.Scaled{Rule: baselines.Adam{LearningRate: 0.01}, By: rules.Cosine{Steps: c.inner}}, Steps: c.inner, Tolerance: 1e-5, Outer: 12, Penalty: c.penalty}
		r, err := m.Solve(context.Background(), s, x, s.Constraints())
		loss, _ := closed(r.X[0])
		t.Logf("windows of %d, multiple shooting: α = %.6f, f_T = %.6f × the least, violation %.1g, %d moves of the multipliers, %d steps of Adam of %d in a row: %d; %v",
			c.steps, r.X[0], loss/least, r.Violation, r.Outer, r.Steps, c.steps, r.Steps*c.steps, err)
		if !c.converges {
			continue
		}
		if err != nil {
			t.Errorf("windows of %d: %v", c.steps, err)
			continue
		}
		near(t, "α", r.X[:1], []float64{best}, 1e-5)
		// ∂f_T/∂s_{k+1}, as backpropagation has it.
		for k := range d.windows - 1 {
			carried := make([]float64, len(residuals))
			left := horizon - (k+1)*c.steps
			for i, square := range curvatures {
				f := 1 - 2*r.X[0]*square
				carried[i] = 2 * residuals[i] * math.Pow(f, float64(horizon)) * math.Pow(f, float64(left))
			}
			near(t, fmt.Sprintf("multipliers of window %d", k), r.Nu[k*len(carried):][:len(carried)], carried, 2e-5)
		}
	}
}
