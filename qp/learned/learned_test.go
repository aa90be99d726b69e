package learned

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/floats"

	"learnedopt/baselines"
	"learnedopt/optimizer"
	"learnedopt/optimizer/optimizertest"
	"learnedopt/qp"
)

var nesterov = baselines.Nesterov{LearningRate: 1, Momentum: 0.9}

// programs are of every structure that solvers treat apart.
func programs(r *rand.Rand) map[string]*qp.Problem {
	dense := random(r, 14, 3, 7)
	scaled := random(r, 12, 2, 6)
	for i := range scaled.H {
		scaled.H[i] *= 1e3
		for j := range 12 {
			scaled.G[i*12+j] *= 1e3
		}
	}
	for j := range scaled.Linear {
		scaled.Linear[j] *= 1e-4
	}
	floats.Scale(1e-4, scaled.Q)
	box := &qp.Problem{Q: []float64{1, 2, 3}, Linear: []float64{-2, 4, 1}, G: []float64{1, 0, 0, 0, -1, 0, 0, 0, -1}, H: []float64{1, 1, 5}}
	return map[string]*qp.Problem{"dense": dense, "scaled": scaled, "equalities": random(r, 9, 3, 0), "inequalities": random(r, 9, 0, 5), "box": box, "free": random(r, 5, 0, 0)}
}

// randomWeights are those of a network that guesses badly.
func randomWeights(r *rand.Rand, size float64) []float32 {
	weights := make([]float32, NetworkSize)
	for i := range weights {
		weights[i] = float32(size * r.NormFloat64())
	}
	return weights
}

// TestContract holds each solver to the interior point on every structure: point, multipliers, slacks, value and derivatives of a converged answer.
func TestContract(t *testing.T) {
	r := rand.New(rand.NewPCG(61, 1))
	options := qp.Options{Tolerance: 1e-9, Acceptable: 1e-8, MaxIterations: 40000}
	// Factorisations of ADMM have 1e-10 of their diagonals added, which leaves residuals of some 1e-7.
	looser := qp.Options{Tolerance: 5e-7, Acceptable: 1e-6, MaxIterations: 40000}
	solvers := map[string]qp.Solver{
		"Lagrangian":            &Lagrangian{Rule: nesterov, Options: options},
		"Lagrangian, restarted": &Lagrangian{Rule: nesterov, Options: options, Restart: true},
		"WarmStart":             &WarmStart{Options: looser},
		"WarmStart, bad":        &WarmStart{Options: looser, Weights: randomWeights(r, 0.5)},
	}
	for structure, p := range programs(r) {
		var exact qp.InteriorPoint
		var want, got qp.Solution
		if err := exact.Solve(&want, p); err != nil {
			t.Fatal(err)
		}
		up := qp.Upstream{Z: normal(r, len(want.Z)), Value: 0.5}
		var dWant, dGot qp.Gradient
		if err := exact.Gradient(&dWant, up); err != nil {
			t.Fatal(err)
		}
		for name, s := range solvers {
			if err := s.Solve(&got, p); err != nil {
				t.Errorf("%s, %s: %v", name, structure, err)
				continue
			}
			near(t, name+", "+structure+": z", got.Z, want.Z, 1e-5)
			near(t, name+", "+structure+": ν", got.Nu, want.Nu, 1e-5)
			near(t, name+", "+structure+": λ", got.Lambda, want.Lambda, 1e-5)
			near(t, name+", "+structure+": s", got.Slack, want.Slack, 1e-5)
			near(t, name+", "+structure+": value", []float64{got.Value}, []float64{want.Value}, 1e-5)
			if err := s.Gradient(&dGot, up); err != nil {
				t.Errorf("%s, %s: %v", name, structure, err)
				continue
			}
			near(t, name+", "+structure+": ∂ℓ/∂q", dGot.Linear, dWant.Linear, 1e-4)
			near(t, name+", "+structure+": ∂ℓ/∂Q", dGot.Q, dWant.Q, 1e-4)
			near(t, name+", "+structure+": ∂ℓ/∂A", dGot.A, dWant.A, 1e-4)
			near(t, name+", "+structure+": ∂ℓ/∂G", dGot.G, dWant.G, 1e-4)
			near(t, name+", "+structure+": ∂ℓ/∂h", dGot.H, dWant.H, 1e-4)
		}
	}
}

// near allows an error relative to the largest number wanted.
func near(t *testing.T, what string, got, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d numbers, want %d", what, len(got), len(want))
	}
	scale := 0.0
	for _, v := range want {
		scale = max(scale, math.Abs(v))
	}
	for i := range got {
		if !(math.Abs(got[i]-want[i]) <= tolerance*max(scale, 1e-3)) {
			t.Errorf("%s: number %d is %.9g, want %.9g", what, i, got[i], want[i])
			return
		}
	}
}

func TestAnswers(t *testing.T) {
	var out qp.Solution
	var input *qp.InputError
	var not *qp.NotConvergedError
	var convex *qp.NotConvexError
	infeasible := &qp.Problem{Q: []float64{1}, Linear: []float64{0}, G: []float64{1, -1}, H: []float64{1, -2}}
	for name, s := range map[string]qp.Solver{"Lagrangian": &Lagrangian{Rule: nesterov, Options: qp.Options{MaxIterations: 200}}, "WarmStart": &WarmStart{Options: qp.Options{MaxIterations: 200}}} {
		if err := s.Solve(&out, infeasible); !errors.As(err, &not) || not.Iterations != 200 || !(worst(not.Residuals) > 1e-3) {
			t.Errorf("%s: infeasible: %v", name, err)
		}
		if err := s.Solve(&out, &qp.Problem{}); !errors.As(err, &input) {
			t.Errorf("%s: empty: %v", name, err)
		}
		if err := s.Solve(&out, &qp.Problem{Q: []float64{-1}, Linear: []float64{0}}); !errors.As(err, &convex) {
			t.Errorf("%s: not convex: %v", name, err)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic for a gradient without a solution", name)
				}
			}()
			_ = s.Gradient(&qp.Gradient{}, qp.Upstream{})
		}()
	}
	box := &qp.Problem{Q: []float64{1}, Linear: []float64{-2}, G: []float64{1}, H: []float64{1}}
	for _, s := range []qp.Solver{&Lagrangian{}, &Lagrangian{Rule: nesterov, Fixed: -1}, &Lagrangian{Rule: nesterov, Penalty: math.NaN()}, &Lagrangian{Rule: nesterov, Options: qp.Options{Smoothing: 1}},
		&WarmStart{Fixed: 3}, &WarmStart{Penalty: -1}, &WarmStart{Options: qp.Options{Smoothing: 1}}, &WarmStart{Options: qp.Options{Tolerance: -1}}} {
		if err := s.Solve(&out, box); !errors.As(err, &input) {
			t.Errorf("%+v: %v, want an input error", s, err)
		}
	}
	var diverged *optimizer.DivergedError
	if err := (&Lagrangian{Rule: baselines.SGD{LearningRate: 1e30}}).Solve(&out, random(rand.New(rand.NewPCG(1, 1)), 6, 1, 3)); !errors.As(err, &diverged) {
		t.Errorf("a rate of 1e30: %v", err)
	}
	for _, s := range []qp.Solver{&Lagrangian{Rule: nesterov, Fixed: 35}, &WarmStart{Fixed: 35}} {
		if err := s.Solve(&out, infeasible); err != nil || out.Iterations != 35 {
			t.Errorf("35 steps: %v, %d", err, out.Iterations)
		}
	}
}

// TestAugmented compares the gradient and the product with differences: the function is quadratic around a point away from kinks, so that a step of 1e-4 leaves
// rounding, 1e-16/1e-8.
func TestAugmented(t *testing.T) {
	r := rand.New(rand.NewPCG(61, 2))
	for structure, p := range programs(r) {
		var l augmented
		if err := l.load(p, 10); err != nil {
			t.Fatal(err)
		}
		n := len(l.x)
		zero, grad := make([]float64, n), make([]float64, n)
		l.value(grad, zero)
		near(t, structure+": size of the first gradient", []float64{floats.Norm(grad, 2) / math.Sqrt(float64(n))}, []float64{1}, 1e-9)
		l.move()
		l.refresh()
		u, v := normal(r, n), normal(r, n)
		l.value(grad, u)
		product, other := make([]float64, n), make([]float64, n)
		l.product(product, v)
		if size := floats.Norm(product, 2) / floats.Norm(v, 2); size > 1.5 {
			t.Errorf("%s: the Hessian is %g times I along a direction", structure, size)
		}
		const step = 1e-4
		values, along, change := [2]float64{}, 0.0, make([]float64, n)
		for side, sign := range [...]float64{1, -1} {
			moved := append([]float64(nil), u...)
			floats.AddScaled(moved, sign*step, v)
			values[side] = l.value(other, moved)
			floats.AddScaled(change, sign/(2*step), other)
		}
		along = (values[0] - values[1]) / (2 * step)
		near(t, structure+": slope", []float64{floats.Dot(grad, v)}, []float64{along}, 1e-6)
		near(t, structure+": product", product, change, 1e-6)
	}
}

func TestFamilies(t *testing.T) {
	t.Run("subproblems", func(t *testing.T) { optimizertest.ConformFamily(t, Subproblems{Source: Random(8, 16)}) })
	for _, f := range []optimizer.Family{Subproblems{}, Subproblems{Source: Random(4, 8), Penalty: -1}, WarmTraining{}, WarmTraining{Source: Random(4, 8), Steps: 6}, WarmTraining{Source: Random(4, 8), Batch: -1}} {
		if _, err := f.Sample(rand.New(rand.NewPCG(1, 1))); err == nil {
			t.Errorf("no error for %+v", f)
		}
	}
}

// TestSubproblemMinimum expects that a descent by Nesterov's method arrives at a loss of 0, from 1 at least: that the minimum is one.
func TestSubproblemMinimum(t *testing.T) {
	r := rand.New(rand.NewPCG(61, 3))
	for k := range 8 {
		p, err := Subproblems{Source: Random(8, 24)}.Sample(r)
		if err != nil {
			t.Fatal(err)
		}
		out, err := optimizer.Run(t.Context(), nesterov, p, 2000)
		if err != nil || out.Diverged != nil {
			t.Fatal(err, out.Diverged)
		}
		first, last := out.Losses[0], out.Losses[len(out.Losses)-1]
		if !(first > 0.1) || !(last < 1e-5*first) {
			t.Errorf("problem %d: losses from %g to %g", k, first, last)
		}
	}
}

// TestWarmTrainingGradient compares slopes along random directions with differences. Weights are float32, so the difference is divided by what they moved;
// a step of 2^-10 of weights of size 0.1 leaves third derivatives, about 1e-5 of the slope, and kinks where a row of G changes sides.
func TestWarmTrainingGradient(t *testing.T) {
	for k := range 6 {
		f := WarmTraining{Source: Random(6, 12), Steps: 12, Batch: 2}
		problem, err := f.Sample(rand.New(rand.NewPCG(61, uint64(10+k))))
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(61, uint64(20+k)))
		at := func(theta, grad []float32) float64 {
			problem.(optimizer.Seeker).Seek(3)
			loss, err := problem.LossGrad(theta, grad)
			if err != nil {
				t.Fatal(err)
			}
			return loss
		}
		theta, grad, ignored := randomWeights(r, 0.1), make([]float32, NetworkSize), make([]float32, NetworkSize)
		at(theta, grad)
		direction := randomWeights(r, 1.0/1024)
		plus, minus := make([]float32, NetworkSize), make([]float32, NetworkSize)
		slope, size := 0.0, 0.0
		for i, d := range direction {
			plus[i], minus[i] = theta[i]+d, theta[i]-d
			slope += float64(grad[i]) * float64(plus[i]-minus[i])
			size += math.Pow(float64(grad[i])*float64(plus[i]-minus[i]), 2)
		}
		if difference := at(plus, ignored) - at(minus, ignored); math.Abs(difference-slope) > 1e-3*math.Sqrt(size) || size == 0 {
			t.Errorf("direction %d: slope %g by the adjoint, %g by differences", k, slope, difference)
		}
	}
}

// TestWarmTrainingLearns expects the network to shrink the residual by a third at least on programs that it did not see, after 100 steps of Adam.
func TestWarmTrainingLearns(t *testing.T) {
	f := WarmTraining{Source: Random(8, 16), Steps: 16, Batch: 4}
	problem, err := f.Sample(rand.New(rand.NewPCG(61, 4)))
	if err != nil {
		t.Fatal(err)
	}
	run := func(weights []float32) float64 {
		sum := 0.0
		for i := range 20 {
			s := WarmStart{Weights: weights, Fixed: 16}
			var out qp.Solution
			if err := s.Solve(&out, Random(8, 16).Draw(rand.New(rand.NewPCG(62, uint64(i))))); err != nil {
				t.Fatal(err)
			}
			sum += math.Log(worst(out.Residuals)) / 20
		}
		return sum
	}
	out, err := optimizer.Run(t.Context(), baselines.Adam{LearningRate: 0.01}, problem, 100)
	if err != nil || out.Diverged != nil {
		t.Fatal(err, out.Diverged)
	}
	if before, after := run(nil), run(out.Theta); !(after < before-math.Log(1.5)) {
		t.Errorf("the geometric mean of residuals goes from %.2g to %.2g", math.Exp(before), math.Exp(after))
	}
}

// Any rule solves, here Nesterov's method; a learned optimizer that was meta-trained on Subproblems is another, with Restart.
func ExampleLagrangian() {
	// The projection of (0.5, 0.2, 0.1) on the simplex.
	p := &qp.Problem{Q: []float64{1, 1, 1}, Linear: []float64{-0.5, -0.2, -0.1}, A: []float64{1, 1, 1}, B: []float64{1}, G: []float64{-1, 0, 0, 0, -1, 0, 0, 0, -1}, H: []float64{0, 0, 0}}
	solver := Lagrangian{Rule: baselines.Nesterov{LearningRate: 1, Momentum: 0.9}}
	var s qp.Solution
	if err := solver.Solve(&s, p); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("z = %.3f\n", s.Z)
	// Output: z = [0.567 0.267 0.167]
}
