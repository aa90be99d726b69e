package lagrange

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"

	"learnedopt/baselines"
	"learnedopt/optimizer"
	"learnedopt/rules"
)

// die is Jaynes' die: six faces whose mean is 4.5.
func die() *MaximumEntropy {
	return &MaximumEntropy{Functions: [][]float64{{1, 2, 3, 4, 5, 6}}, Target: []float64{4.5}}
}

var jaynes = []float64{.05435, .07877, .11416, .16545, .23977, .34749}

func near(t *testing.T, what string, got, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d numbers, want %d", what, len(got), len(want))
	}
	for i := range got {
		if !(math.Abs(got[i]-want[i]) <= tolerance) {
			t.Errorf("%s: number %d is %.9g, want %.9g", what, i, got[i], want[i])
		}
	}
}

// solve minimizes from the uniform distribution and returns p as well.
func solve(t *testing.T, m Method, problem *MaximumEntropy) (p []float64, r Result) {
	t.Helper()
	r, err := m.Solve(context.Background(), problem, make([]float64, problem.n()), len(problem.Target))
	if err != nil {
		t.Fatal(err)
	}
	p = make([]float64, len(r.X))
	Softmax(p, r.X)
	return p, r
}

var nesterov = baselines.Nesterov{LearningRate: 0.2, Momentum: 0.9}

// TestJaynesDie compares p, the multiplier and the entropy with the known ones, by the dual and by the method of multipliers.
func TestJaynesDie(t *testing.T) {
	p, nu, err := die().Dual()
	if err != nil {
		t.Fatal(err)
	}
	near(t, "p of the dual", p, jaynes, 5e-6)
	near(t, "ν of the dual", nu, []float64{-.371049}, 5e-7)
	got, r := solve(t, Method{Rule: nesterov, Steps: 300, Tolerance: 1e-8}, die())
	near(t, "p", got, p, 1e-6)
	near(t, "ν", r.Nu, nu, 1e-6)
	near(t, "entropy", []float64{-r.Value}, []float64{1.613581}, 1e-6)
}

// TestGaussian takes mean 0 and variance 1 on a grid: the multipliers are 0 and ½, the distribution is the density.
func TestGaussian(t *testing.T) {
	grid := func(n int, end float64) *MaximumEntropy {
		m := &MaximumEntropy{Functions: [][]float64{make([]float64, n), make([]float64, n)}, Target: []float64{0, 1}}
		for i := range n {
			x := -end + 2*end*float64(i)/float64(n-1)
			m.Functions[0][i], m.Functions[1][i] = x, x*x
		}
		return m
	}
	m := grid(401, 8)
	p, nu, err := m.Dual()
	if err != nil {
		t.Fatal(err)
	}
	near(t, "ν", nu, []float64{0, 0.5}, 1e-9)
	for i, x := range m.Functions[0] {
		if d := p[i]/0.04 - math.Exp(-x*x/2)/math.Sqrt(2*math.Pi); math.Abs(d) > 1e-12 {
			t.Fatalf("p/h is off by %g at %g", d, x)
		}
	}
	// The tails of the wide grid are out of reach of first-order steps in logits; a narrow one is not.
	m = grid(15, 2.5)
	p, nu, err = m.Dual()
	if err != nil {
		t.Fatal(err)
	}
	got, r := solve(t, Method{Rule: nesterov, Steps: 2000, Tolerance: 1e-6}, m)
	near(t, "p on 15 points", got, p, 1e-5)
	near(t, "ν on 15 points", r.Nu, nu, 1e-4)
}

// TestGeometric takes a mean on 0, 1, …: the geometric distribution, whose ratio of neighbours is μ/(1 + μ).
func TestGeometric(t *testing.T) {
	const n, mean = 200, 3
	m := &MaximumEntropy{Functions: [][]float64{make([]float64, n)}, Target: []float64{mean}}
	for i := range n {
		m.Functions[0][i] = float64(i)
	}
	p, nu, err := m.Dual()
	if err != nil {
		t.Fatal(err)
	}
	near(t, "ν", nu, []float64{-math.Log(mean / (1. + mean))}, 1e-9)
	near(t, "p_0", p[:1], []float64{1 / (1. + mean)}, 1e-9)
}

func TestUniform(t *testing.T) {
	p, _, err := (&MaximumEntropy{Outcomes: 4}).Dual()
	if err != nil {
		t.Fatal(err)
	}
	near(t, "p", p, []float64{0.25, 0.25, 0.25, 0.25}, 1e-15)
}

// TestGradient compares with differences: the step 1e-5 leaves 1e-10.
func TestGradient(t *testing.T) {
	m, x, w := die(), []float64{0.3, -1, 2, 0.5, 0, -0.2}, []float64{0.7}
	got, c := make([]float64, 6), make([]float64, 1)
	m.Gradient(got, x, w)
	for i := range x {
		const step = 1e-5
		keep := x[i]
		var l [2]float64
		for side, sign := range [...]float64{1, -1} {
			x[i] = keep + sign*step
			l[side] = m.Value(c, x) + w[0]*c[0]
		}
		x[i] = keep
		near(t, fmt.Sprintf("∂/∂x_%d", i), got[i:i+1], []float64{(l[0] - l[1]) / (2 * step)}, 1e-9)
	}
}

func TestFailures(t *testing.T) {
	ctx := context.Background()
	var not *NotConvergedError
	impossible := die()
	impossible.Target[0] = 7
	if r, err := (Method{Rule: nesterov, Steps: 20, Outer: 5}).Solve(ctx, impossible, make([]float64, 6), 1); !errors.As(err, &not) || not.Violation < 1 || len(r.X) != 6 {
		t.Errorf("a mean of 7: %v", err)
	}
	if _, _, err := impossible.Dual(); err == nil {
		t.Error("the dual has no error for a mean of 7")
	}
	var diverged *optimizer.DivergedError
	if _, err := (Method{Rule: baselines.SGD{LearningRate: 1e30}, Steps: 50}).Solve(ctx, unbounded{}, []float64{1}, 1); !errors.As(err, &diverged) {
		t.Errorf("a rate of 1e30: %v", err)
	}
	for _, m := range []Method{{}, {Rule: nesterov}, {Rule: nesterov, Steps: 1, Penalty: -1}, {Rule: nesterov, Steps: 1, Outer: -1}, {Rule: nesterov, Steps: 1, Tolerance: math.NaN()}} {
		if _, err := m.Solve(ctx, die(), make([]float64, 6), 1); err == nil {
			t.Errorf("no error for %+v", m)
		}
	}
	for _, m := range []*MaximumEntropy{{}, {Functions: [][]float64{{1}}}, {Functions: [][]float64{{1, 2}, {1}}, Target: []float64{1, 1}},
		{Functions: [][]float64{{math.NaN()}}, Target: []float64{1}}, {Functions: [][]float64{{1, 2}, {2, 4}}, Target: []float64{1.5, 3}}} {
		if _, _, err := m.Dual(); err == nil {
			t.Errorf("no error for %v", m)
		}
	}
}

// unbounded is −x⁴ with x = 0 as the constraint.
type unbounded struct{}

func (unbounded) Value(c, x []float64) float64 { c[0] = x[0]; return -math.Pow(x[0], 4) }
func (unbounded) Gradient(dst, x, w []float64) { dst[0] = -4*math.Pow(x[0], 3) + w[0] }

// Any rule does, here Adam with a decay.
func Example() {
	m := Method{Rule: rules.Scaled{Rule: baselines.Adam{LearningRate: 0.1}, By: rules.Cosine{Steps: 300}}, Steps: 300}
	r, err := m.Solve(context.Background(), die(), make([]float64, 6), 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	p := make([]float64, 6)
	Softmax(p, r.X)
	fmt.Printf("p = %.3f, ν = %.3f\n", p, r.Nu)
	// Output: p = [0.054 0.079 0.114 0.165 0.240 0.347], ν = [-0.371]
}
