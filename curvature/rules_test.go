package curvature_test

import (
	"bytes"
	"context"
	"encoding"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"learnedopt/baselines"
	"learnedopt/curvature"
	"learnedopt/optimizer"
	"learnedopt/tasks"
)

// exact is a natural gradient that is solved to the end without damping to speak of.
func exact() curvature.NaturalGradient {
	return curvature.NaturalGradient{LearningRate: 1, Damping: 1e-9, Fixed: true, Iterations: 200, Tolerance: 1e-9}
}

// Least squares: one full step is at the minimum. It is not, if the matrix has another reduction over the examples than the gradient, or lacks the 2 of
// the squared error (wiseodd/natural-gradients #2, curvlinops #82).
func TestLeastSquaresInOneStep(t *testing.T) {
	for _, f := range []optimizer.Family{tasks.Quadratic{Dims: 4, Batch: 1}, tasks.Quadratic{Dims: 3, Batch: 5}, tasks.QuadraticUniform{Dims: 3, Batch: 5},
		tasks.Perturbed{Family: tasks.QuadraticUniform{Dims: 3, Batch: 5}, Scale: 30}} {
		p, err := f.Sample(rng(4))
		if err != nil {
			t.Fatal(err)
		}
		if l := run(t, exact(), p, 1).Losses; !(l[1] <= 1e-5*l[0]) {
			t.Errorf("%s: the loss is %v, and %v after one step", f.Name(), l[0], l[1])
		}
	}
	// A linear regression with several outputs: at its minimum the gradient is 0.
	n := newNetwork("", true, 30, 1, 5, 3)
	grad := make([]float32, n.Dim())
	before, _ := n.LossGrad(n.start, grad)
	size := norm(grad)
	after, _ := n.LossGrad(run(t, exact(), n, 1).Theta, grad)
	if !(norm(grad) <= 1e-4*size) || !(after < before) {
		t.Errorf("the gradient is %v, and %v after one step", size, norm(grad))
	}
}

// With θ = Aψ the step in ψ changes the function as the step in θ does; a gradient step does not.
func TestInvariance(t *testing.T) {
	n := newNetwork("", false, 200, 2, 3, 3) // outputs are linear in θ, so that the step need not be small
	scaled := &reparametrised{network: n}
	for i := range n.start {
		scaled.c = append(scaled.c, float32(math.Exp(math.Sin(float64(3*i)))))
	}
	far := func(rule optimizer.Rule) float64 {
		a, b := run(t, rule, n, 1).Theta, run(t, rule, scaled, 1).Theta
		z, w, d, size := n.probabilities(a), n.probabilities(scaled.at(b)), 0.0, 0.0
		start := n.probabilities(n.start)
		for i := range z {
			d, size = d+math.Pow(z[i]-w[i], 2), size+math.Pow(z[i]-start[i], 2)
		}
		return math.Sqrt(d / size)
	}
	natural := exact()
	natural.LearningRate, natural.Damping = 0.5, 1e-7
	if d := far(natural); !(d < 0.02) {
		t.Errorf("the natural gradient in other coordinates differs by %.2g of its step", d)
	}
	if d := far(baselines.SGD{LearningRate: 0.5}); !(d > 0.2) {
		t.Errorf("SGD in other coordinates differs by %.2g of its step: the test is blind", d)
	}
}

// reparametrised is a network with θ = c∘ψ.
type reparametrised struct {
	*network
	c []float32
}

func (r *reparametrised) at(psi []float32) []float32 {
	theta := slices.Clone(psi)
	for i := range theta {
		theta[i] *= r.c[i]
	}
	return theta
}

func (r *reparametrised) Init(psi []float32) {
	for i, x := range r.start {
		psi[i] = x / r.c[i]
	}
}

func (r *reparametrised) LossGrad(psi, grad []float32) (float64, error) {
	loss, err := r.network.LossGrad(r.at(psi), grad)
	copy(grad, r.at(grad))
	return loss, err
}

func (r *reparametrised) CurvatureProduct(dst, psi, v []float32, metric optimizer.Metric, step int) error {
	err := r.network.CurvatureProduct(dst, r.at(psi), r.at(v), metric, step)
	copy(dst, r.at(dst))
	return err
}

// A badly scaled quadratic (condition 10⁴) is solved to 10⁻⁶ in five steps. Tuned SGD needs thousands.
func TestBadlyScaledQuadratic(t *testing.T) {
	for _, batch := range []int{1, 128} {
		p, err := tasks.Quadratic{Dims: 10, Batch: batch, Condition: 1e4}.Sample(rng(7))
		if err != nil {
			t.Fatal(err)
		}
		// The 128 functions side by side have other eigenvalues each, more than 20 iterations find.
		losses := run(t, curvature.NaturalGradient{LearningRate: 1, Damping: 1e-7, Iterations: map[int]int{1: 20, 128: 200}[batch]}, p, 5).Losses
		if last := losses[len(losses)-1]; !(last <= 1e-6*losses[0]) {
			t.Errorf("batch %d: losses %.3g", batch, losses)
		}
		for _, rate := range []float64{0.001, 0.003, 0.01, 0.03} {
			if out := run(t, baselines.SGD{LearningRate: rate}, p, 200); out.Diverged == nil && out.Losses[200] < 1e-3*out.Losses[0] {
				t.Errorf("batch %d: SGD reaches %.3g: the test is blind", batch, out.Losses[200])
			}
		}
	}
}

// A rank-1 matrix ggᵀ, the mistake of natural-gradient.md: one iteration gives g/‖g‖², whose size grows without bound as training converges.
func TestRankOne(t *testing.T) {
	for _, size := range []float32{1, 1e-2, 1e-4} {
		w := &bowl{a: make([]float32, 9), b: []float32{2 * size, -1 * size, 2 * size}, start: make([]float32, 3)}
		for i := range 3 {
			for j := range 3 {
				w.a[i*3+j] = w.b[i] * w.b[j]
			}
		}
		rule := exact()
		rule.Damping, rule.Iterations = 1e-20, 1
		theta := run(t, rule, w, 1).Theta // the gradient at 0 is −b
		for i, x := range theta {
			if want := w.b[i] / (9 * size * size); !(math.Abs(float64(x/want-1)) < 1e-4) {
				t.Errorf("gradients of %v: coordinate %d is %v, want %v", size, i, x, want)
			}
		}
	}
}

// Curvature that is negative, 0, tiny, or infinite gives finite updates (rllab #24, tensorforce #26, sb3-contrib #38, boyu-ai #108), and so
// does a damping near the least positive number (kfac-jax #183).
func TestBadCurvature(t *testing.T) {
	for name, w := range map[string]*bowl{
		"negative": diagonal(-1, -2, -3), "indefinite": diagonal(1, -1, 0), "zero": diagonal(0, 0, 0), "tiny": diagonal(1e-30, 1e-38, 1e-44), "singular": diagonal(3, 0, 0),
		"huge": diagonal(1e30, 1, 1e-30), "one": diagonal(1e-3),
	} {
		for _, rule := range []optimizer.Rule{
			curvature.NaturalGradient{LearningRate: 1}, curvature.NaturalGradient{LearningRate: 1, Damping: 1e-20}, curvature.NaturalGradient{LearningRate: 1, Damping: 1e-300, Fixed: true},
			curvature.TrustRegion{Radius: 0.01}, curvature.TrustRegion{Radius: 0.01, Damping: 1e-20}, curvature.TrustRegion{Radius: 1e-300, Damping: 1e-300},
		} {
			state, grad, dst, theta := rule.Start(optimizer.LayoutOf(w)), make([]float32, w.Dim()), make([]float32, w.Dim()), make([]float32, w.Dim())
			for step := range 3 {
				if _, err := w.LossGrad(theta, grad); err != nil {
					t.Fatal(err)
				}
				if _, err := state.Update(dst, optimizer.Point{Grad: grad, Theta: theta, Curvature: w, Step: step}); err != nil {
					t.Errorf("%s, %+v: %v", name, rule, err)
				}
				if i := optimizer.NonFinite(dst); i >= 0 {
					t.Errorf("%s, %+v, step %d: the update is %v", name, rule, step, dst)
				}
				if trust, ok := rule.(curvature.TrustRegion); ok && trust.Damping == 0 && norm(dst) == 0 {
					t.Errorf("%s, step %d: the trust region does not move", name, step)
				}
			}
		}
	}
}

// A minibatch of one example, which is too small for any metric, and a class that the model says never occurs leave singular matrices: every
// step is finite, and a trust region keeps its radius.
func TestSingularFisher(t *testing.T) {
	for _, metric := range []optimizer.Metric{optimizer.Fisher, optimizer.Sampled(1), optimizer.Sampled(5), optimizer.EmpiricalFisher} {
		for _, rule := range []optimizer.Rule{
			curvature.NaturalGradient{LearningRate: 1, Metric: metric}, curvature.NaturalGradient{LearningRate: 1, Metric: metric, Damping: 1e-20},
			curvature.TrustRegion{Radius: 0.01, Metric: metric}, curvature.TrustRegion{Radius: 0.01, Metric: metric, Damping: 1e-20},
			curvature.KFAC{LearningRate: 0.1, Metric: metric, FactorSteps: 1, InverseSteps: 1},
		} {
			for _, unused := range []float32{0, -200, -1e6} { // the smallest positive float32 is e^−103
				n := newNetwork("relu", false, 1, 4, 5, 4, 3)
				n.start[len(n.start)-1] = unused
				n.y = []float32{0, 1, 0}
				theta, grad, dst := slices.Clone(n.start), make([]float32, n.Dim()), make([]float32, n.Dim())
				state := rule.Start(optimizer.Flat(n.Dim()))
				for step := range 5 {
					loss, err := n.LossGrad(theta, grad)
					if err != nil {
						t.Fatal(err)
					}
					_, err = state.Update(dst, optimizer.Point{Grad: grad, Theta: theta, Loss: loss, Curvature: n, Step: step})
					if err != nil || optimizer.NonFinite(dst) >= 0 {
						t.Fatalf("%+v, bias %v, step %d: update %v (%v)", rule, unused, step, dst, err)
					}
					was := slices.Clone(theta)
					for i, u := range dst {
						theta[i] += u
					}
					if _, ok := rule.(curvature.TrustRegion); !ok {
						continue
					}
					if kl := n.logDivergence(was, theta); !(kl <= 0.01*(1+1e-4)) {
						t.Errorf("%+v, bias %v, step %d: a divergence of %v", rule, unused, step, kl)
					}
				}
			}
		}
	}
}

// NaN in a product and errors of the problem end the run with an error that says where.
func TestNonFiniteProducts(t *testing.T) {
	for _, rule := range []optimizer.Rule{curvature.NaturalGradient{LearningRate: 1}, curvature.TrustRegion{Radius: 0.01}} {
		n := newNetwork("tanh", false, 20, 3, 3, 4, 3)
		n.corrupt = func(count int, dst []float32) {
			if count > 7 {
				dst[5] = float32(math.NaN())
			}
		}
		out := run(t, rule, n, 3)
		if d := out.Diverged; d == nil || d.What != "curvature product" || d.Coordinate != 5 {
			t.Errorf("%T: a product of NaN ends in %v", rule, d)
		}
		w := diagonal(1, 2)
		w.failed = errFailed
		if _, err := optimizer.Run(context.Background(), rule, w, 3); !errors.Is(err, errFailed) {
			t.Errorf("%T: error %v, want the problem's", rule, err)
		}
	}
}

// Every product of a step is at the θ of that step (garage PR #1053: one taken once was used at all later steps).
func TestProductsAtTheCurrentPoint(t *testing.T) {
	for _, rule := range []optimizer.Rule{curvature.NaturalGradient{LearningRate: 1, Iterations: 4}, curvature.TrustRegion{Radius: 0.01, Iterations: 4}} {
		n := newNetwork("tanh", false, 20, 3, 3, 4, 3)
		state, theta, dst, grad := rule.Start(optimizer.Flat(n.Dim())), slices.Clone(n.start), make([]float32, n.Dim()), make([]float32, n.Dim())
		for step := range 3 {
			n.thetas = nil
			loss, _ := n.LossGrad(theta, grad)
			if _, err := state.Update(dst, optimizer.Point{Grad: grad, Theta: theta, Loss: loss, Curvature: n, Step: step}); err != nil {
				t.Fatal(err)
			}
			if len(n.thetas) < 4 {
				t.Errorf("%T, step %d: %d products", rule, step, len(n.thetas))
			}
			for _, at := range n.thetas {
				if !slices.Equal(at, theta) {
					t.Errorf("%T, step %d: a product at another point", rule, step)
				}
			}
			for i, u := range dst {
				theta[i] += u
			}
		}
	}
}

// Every accepted step of the trust region has KL ≤ δ, recomputed from the outputs, and no loss rises. Steps must not be much smaller than allowed.
func TestTrustRegionKeepsItsRadius(t *testing.T) {
	for _, radius := range []float64{0.3, 0.01, 1e-4} {
		var steps []curvature.Step
		rule := curvature.TrustRegion{Radius: radius, Damping: 1e-4, OnStep: func(s curvature.Step) { steps = append(steps, s) }}
		n := newNetwork("relu", false, 40, 5, 6, 8, 4)
		state, theta, dst, grad := rule.Start(optimizer.Flat(n.Dim())), slices.Clone(n.start), make([]float32, n.Dim()), make([]float32, n.Dim())
		last, large := math.Inf(1), 0
		for step := range 30 {
			loss, _ := n.LossGrad(theta, grad)
			if !(loss <= last+1e-6) {
				t.Errorf("δ = %v: the loss rises from %v to %v", radius, last, loss)
			}
			last = loss
			if _, err := state.Update(dst, optimizer.Point{Grad: grad, Theta: theta, Curvature: n, Step: step}); err != nil {
				t.Fatal(err)
			}
			was := slices.Clone(theta)
			for i, u := range dst {
				theta[i] += u
			}
			kl := n.divergence(was, theta)
			if !(kl <= radius*(1+1e-5)) {
				t.Errorf("δ = %v, step %d: a divergence of %v", radius, step, kl)
			}
			if kl > radius/4 {
				large++
			}
			if s := steps[step]; s.Accepted && math.Abs(s.Trial.KL-kl) > 1e-3*kl+1e-9 {
				t.Errorf("step %d reports a divergence of %v, it is %v", step, s.Trial.KL, kl)
			}
		}
		if large < 10 {
			t.Errorf("δ = %v: only %d of 30 steps have a quarter of the radius", radius, large)
		}
	}
}

// One example with two classes: the divergence has the logits' difference as its only variable, so that the constrained optimum is found by
// bisection. To second order, and for a small δ, the step is that optimum.
func TestTrustRegionAgainstBisection(t *testing.T) {
	n := newNetwork("", false, 1, 9, 1, 2)
	n.x[0], n.y = 0, []float32{1, 0} // only the biases matter
	const radius = 1e-3
	theta := run(t, curvature.TrustRegion{Radius: radius, Damping: 1e-6}, n, 1).Theta
	z, w := n.outputs(n.start), n.outputs(theta)
	moved := (w[0] - w[1]) - (z[0] - z[1])
	kl := func(by float64) float64 {
		p, q := softmax(z), softmax([]float64{z[0] + by, z[1]})
		return p[0]*math.Log(p[0]/q[0]) + p[1]*math.Log(p[1]/q[1])
	}
	low, high := 0.0, 10.0
	for range 100 {
		if middle := (low + high) / 2; kl(middle) > radius {
			high = middle
		} else {
			low = middle
		}
	}
	// The first factor of the backtracking that fits, 1 or 0.8, of a step that is the optimum up to O(√δ).
	if ratio := moved / low; !(ratio > 0.78 && ratio <= 1.0001) {
		t.Errorf("the logits' difference moves by %v, the optimum is %v", moved, low)
	}
}

// For small δ the direction of the trust region is the natural gradient's.
func TestTrustRegionIsTheNaturalGradient(t *testing.T) {
	n := newNetwork("tanh", false, 60, 4, 3, 4, 3)
	direction := func(rule optimizer.Rule) []float32 {
		theta := run(t, rule, n, 1).Theta
		for i, x := range n.start {
			theta[i] -= x
		}
		return theta
	}
	a := direction(curvature.TrustRegion{Radius: 1e-4, Damping: 0.01, Iterations: 100})
	b := direction(curvature.NaturalGradient{LearningRate: 0.1, Damping: 0.01, Fixed: true, Iterations: 100, Tolerance: 1e-9})
	if cosine := dot(a, b) / (norm(a) * norm(b)); !(cosine > 0.999) {
		t.Errorf("the cosine of the angle is %v", cosine)
	}
}

// Levenberg and Marquardt: where the model is good the damping falls, and where it is bad the damping rises; a step that raises the loss is made smaller.
func TestDamping(t *testing.T) {
	var steps []curvature.Step
	rule := curvature.NaturalGradient{LearningRate: 1, Damping: 1, OnStep: func(s curvature.Step) { steps = append(steps, s) }}
	run(t, rule, diagonal(1, 2, 3), 6)
	for i, s := range steps {
		if want := math.Pow(1.5, -float64(i)); math.Abs(s.Damping/want-1) > 1e-9 || !s.Accepted || s.Backtracks != 0 {
			t.Errorf("step %d has %+v, want the damping %v", i, s, want)
		}
	}
	// A model of too little curvature: the steps are 10 times too long.
	steps = nil
	w := &liar{diagonal(10, 20, 30)}
	rule.Damping = 1e-6
	losses := run(t, rule, w, 6).Losses
	if steps[0].Backtracks < 3 || !steps[0].Accepted || !(steps[5].Damping > 7e-6) {
		t.Errorf("steps %+v", steps)
	}
	for i := range losses[1:] {
		if losses[i+1] > losses[i] {
			t.Errorf("the loss rises: %v", losses)
		}
	}
}

// A liar says a tenth of its curvature.
type liar struct{ *bowl }

func (l *liar) CurvatureProduct(dst, theta, v []float32, metric optimizer.Metric, step int) error {
	err := l.bowl.CurvatureProduct(dst, theta, v, metric, step)
	for i := range dst {
		dst[i] /= 10
	}
	return err
}

// A problem without what a rule needs is refused by name before the first step.
func TestNeeds(t *testing.T) {
	convex, err := tasks.Convex{}.Sample(rng(1))
	if err != nil {
		t.Fatal(err)
	}
	quadratic, err := tasks.Quadratic{Dims: 3, Batch: 2}.Sample(rng(1))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		rule optimizer.Rule
		p    optimizer.Problem
		want string
	}{
		{curvature.NaturalGradient{LearningRate: 1}, convex, "Fisher-vector products and the Kullback-Leibler divergence"},
		{curvature.TrustRegion{Radius: 1}, convex, "Kullback-Leibler"},
		{curvature.KFAC{LearningRate: 1}, quadratic, "factors of dense layers"},
		{curvature.NaturalGradient{LearningRate: 1, Metric: optimizer.Sampled(5)}, quadratic, "sampled Fisher-vector products"},
	} {
		out, err := optimizer.Run(context.Background(), c.rule, c.p, 3)
		var need *optimizer.NeedError
		if !errors.As(err, &need) || !strings.Contains(err.Error(), c.want) || len(out.Losses) > 0 {
			t.Errorf("%T: error %v after %d losses", c.rule, err, len(out.Losses))
		}
	}
}

func TestValidate(t *testing.T) {
	nan := math.NaN()
	for _, rule := range []interface {
		optimizer.Rule
		Validate() error
	}{
		curvature.NaturalGradient{}, curvature.NaturalGradient{LearningRate: nan}, curvature.NaturalGradient{LearningRate: 1, Damping: -1},
		curvature.NaturalGradient{LearningRate: 1, Iterations: -1}, curvature.NaturalGradient{LearningRate: 1, Tolerance: 1}, curvature.NaturalGradient{LearningRate: 1, Metric: 3},
		curvature.NaturalGradient{LearningRate: math.Inf(1)}, curvature.TrustRegion{}, curvature.TrustRegion{Radius: 1, Shrink: 1}, curvature.TrustRegion{Radius: 1, Tries: -2},
		curvature.TrustRegion{Radius: 1, Metric: optimizer.Hessian}, curvature.TrustRegion{Radius: 1, Damping: nan}, curvature.TrustRegion{Radius: 1, Iterations: -1},
		curvature.KFAC{}, curvature.KFAC{LearningRate: 1, Momentum: 1}, curvature.KFAC{LearningRate: 1, Decay: 1}, curvature.KFAC{LearningRate: 1, Damping: -1},
		curvature.KFAC{LearningRate: 1, Radius: -1}, curvature.KFAC{LearningRate: 1, FactorSteps: -1}, curvature.KFAC{LearningRate: 1, InverseSteps: -1},
		curvature.KFAC{LearningRate: 1, Metric: optimizer.Hessian}, curvature.KFAC{LearningRate: 1, Metric: 1 << 9},
	} {
		if err := rule.Validate(); err == nil || !strings.HasPrefix(err.Error(), "curvature: ") {
			t.Errorf("%+v: %v", rule, err)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%+v starts", rule)
				}
			}()
			rule.Start(optimizer.Flat(3))
		}()
	}
}

// A run that is saved and resumed has the same bits, and damaged data are refused. The last network has so many inputs that K-FAC keeps a reduced
// inverse, from which later inversions start.
func TestSavedStates(t *testing.T) {
	kfac := curvature.KFAC{LearningRate: 0.1, FactorSteps: 3, InverseSteps: 4}
	const wide = 259
	for _, c := range []struct {
		rule   optimizer.Rule
		inputs int
	}{
		{curvature.NaturalGradient{LearningRate: 0.5, OwnBatch: true}, 3}, {curvature.TrustRegion{Radius: 0.01}, 3}, {kfac, 3}, {kfac, wide},
	} {
		rule := c.rule
		t.Run(fmt.Sprintf("%T of %d inputs", rule, c.inputs), func(t *testing.T) {
			n := newNetwork("tanh", false, 4*c.inputs, 3, c.inputs, 4, 3)
			if c.inputs == wide { // eigenvalues of A fall quickly
				for i := range n.x {
					n.x[i] *= float32(math.Pow(float64(i%wide+1), -1.5))
				}
			}
			state, theta, dst, grad := rule.Start(optimizer.Flat(n.Dim())), slices.Clone(n.start), make([]float32, n.Dim()), make([]float32, n.Dim())
			var resumed optimizer.State
			other := make([]float32, n.Dim())
			for step := range 12 {
				loss, _ := n.LossGrad(theta, grad)
				p := optimizer.Point{Grad: grad, Theta: theta, Loss: loss, Curvature: n, Step: step}
				if step == 6 {
					data, err := state.(encoding.BinaryMarshaler).MarshalBinary()
					if err != nil {
						t.Fatal(err)
					}
					if whole := 4 * (wide + 1) * (wide + 1); c.inputs == wide && len(data) > 2*whole {
						t.Errorf("%d bytes: A of %d bytes and its whole inverse", len(data), whole)
					}
					resumed = rule.Start(optimizer.Flat(n.Dim()))
					if err := resumed.(encoding.BinaryUnmarshaler).UnmarshalBinary(data); err != nil {
						t.Fatal(err)
					}
					again, _ := resumed.(encoding.BinaryMarshaler).MarshalBinary()
					if !bytes.Equal(again, data) {
						t.Error("saving it again gives other data")
					}
					for _, bad := range [][]byte{nil, data[:len(data)-1], append(slices.Clone(data), 0), bytes.Replace(data, data[20:24], []byte{1, 2, 3, 4}, 1)} {
						if err := rule.Start(optimizer.Flat(n.Dim())).(encoding.BinaryUnmarshaler).UnmarshalBinary(bad); !errors.Is(err, curvature.ErrState) {
							t.Errorf("damaged data: %v", err)
						}
					}
					if err := rule.Start(optimizer.Flat(n.Dim() + 1)).(encoding.BinaryUnmarshaler).UnmarshalBinary(data); !errors.Is(err, curvature.ErrState) {
						t.Errorf("data of another size: %v", err)
					}
				}
				if _, err := state.Update(dst, p); err != nil {
					t.Fatal(err)
				}
				if resumed != nil {
					if _, err := resumed.Update(other, p); err != nil || !slices.Equal(other, dst) {
						t.Fatalf("step %d: the resumed run differs (%v)", step, err)
					}
				}
				// dst may be the gradient.
				for i, u := range dst {
					theta[i] += u
				}
			}
		})
	}
}
