package tasks

import (
	"context"
	"io"
	"math"
	"testing"

	"learnedopt/optimizer"
)

// smallClassifier is a classifier on noise.
func smallClassifier(t testing.TB) *Classifier {
	t.Helper()
	f, err := NewClassifier(noise(t, 200, 50), ClassifierConfig{Units: 4, Batch: 8})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func start(p optimizer.Problem) []float32 {
	theta := make([]float32, p.Dim())
	p.Init(theta)
	return theta
}

// The factors are log-uniform: u has mean 0 and variance R²/3. With 3,190 coordinates both
// are known to a few per cent.
func TestRandomScalingFactors(t *testing.T) {
	f := smallClassifier(t)
	plain := sample(t, f, 1)
	p := sample(t, RandomScaling{Family: f}, 1)
	from, scaled := start(plain), start(p)
	other := start(sample(t, RandomScaling{Family: f}, 2))
	sum, squares, fresh := 0.0, 0.0, start(sample(t, f, 2))
	same := 0
	for i := range from {
		u := math.Log(float64(from[i]) / float64(scaled[i]))
		if !(math.Abs(u) <= 3.0001) {
			t.Fatalf("coordinate %d is scaled by exp(%v)", i, u)
		}
		sum += u
		squares += u * u
		if math.Abs(math.Log(float64(fresh[i])/float64(other[i]))-u) < 1e-3 {
			same++
		}
	}
	n := float64(len(from))
	if mean, variance := sum/n, squares/n; math.Abs(mean) > 0.15 || math.Abs(variance-3) > 0.25 {
		t.Errorf("log c has mean %v and variance %v, want 0 and 3", mean, variance)
	}
	if same > len(from)/100 {
		t.Errorf("%d of %d coordinates are scaled as in another sample", same, len(from))
	}
}

// With ByTensor all coordinates of a tensor have one factor, and no two tensors have the same. Over many samples the factors
// of each tensor are log-uniform: of 500 draws of u the mean is 0 and the variance R²/3, both within four standard errors,
// R/√(3·500) and R²·√(4/45/500).
func TestTensorScalingFactors(t *testing.T) {
	const draws, span = 500, 2.0
	f := smallClassifier(t)
	if got, want := (RandomScaling{Family: f, Range: span, ByTensor: true}).Name(), f.Name()+" tensor-scaling=2"; got != want {
		t.Errorf("the name is %q, want %q", got, want)
	}
	tensors := optimizer.LayoutOf(sample(t, f, 1)).Tensors()
	if len(tensors) != 4 {
		t.Fatalf("%d tensors, want two matrices and two biases", len(tensors))
	}
	sums, squares := make([]float64, len(tensors)), make([]float64, len(tensors))
	for seed := range uint64(draws) {
		p := sample(t, RandomScaling{Family: f, Range: span, ByTensor: true}, seed)
		from, scaled := start(sample(t, f, seed)), start(p)
		var all []float64
		for k, tensor := range tensors {
			u := math.Log(float64(from[tensor.From]) / float64(scaled[tensor.From]))
			for i := tensor.From; i < tensor.From+tensor.Len(); i++ {
				// The division is rounded to float32.
				if other := math.Log(float64(from[i]) / float64(scaled[i])); math.Abs(other-u) > 3e-7 {
					t.Fatalf("seed %d: coordinates %d and %d of one tensor are scaled by exp(%v) and exp(%v)", seed, tensor.From, i, u, other)
				}
			}
			for j, other := range all {
				if math.Abs(u-other) < 1e-5 { // by chance in 3,000 pairs with probability 0.015; not with these seeds
					t.Errorf("seed %d: tensors %d and %d are both scaled by exp(%v)", seed, j, k, u)
				}
			}
			all = append(all, u)
			sums[k] += u
			squares[k] += u * u
		}
		if err := p.(io.Closer).Close(); err != nil {
			t.Fatal(err)
		}
	}
	for k := range tensors {
		mean, variance := sums[k]/draws, squares[k]/draws
		if math.Abs(mean) > 4*span/math.Sqrt(3*draws) || math.Abs(variance-span*span/3) > 4*span*span*math.Sqrt(4.0/45/draws) {
			t.Errorf("tensor %d: log c has mean %v and variance %v, want 0 and %v", k, mean, variance, span*span/3)
		}
	}
}

// f_c(θ_0/c) is f(θ_0) on the same minibatch, and its gradient is c∘∇f(θ_0).
func TestRandomScalingValues(t *testing.T) {
	for name, byTensor := range map[string]bool{"coordinates": false, "tensors": true} {
		t.Run(name, func(t *testing.T) {
			testScalingValues(t, RandomScaling{Family: smallClassifier(t), Range: 2, ByTensor: byTensor})
		})
	}
}

func testScalingValues(t *testing.T, family RandomScaling) {
	f := family.Family.(*Classifier)
	plain, p := sample(t, f, 3), sample(t, family, 3)
	from, scaled := start(plain), start(p)
	grad, scaledGrad := make([]float32, len(from)), make([]float32, len(from))
	for _, step := range []int{0, 5, 2} {
		seek(plain, step)
		seek(p, step)
		want, got := lossGrad(t, plain, from, grad), lossGrad(t, p, scaled, scaledGrad)
		if math.Abs(got-want) > 1e-6*want {
			t.Errorf("step %d: loss %v, unscaled %v", step, got, want)
		}
		for i := range grad {
			c := float64(from[i]) / float64(scaled[i])
			if want := c * float64(grad[i]); math.Abs(float64(scaledGrad[i])-want) > 1e-5*math.Abs(want)+1e-6 {
				t.Fatalf("step %d: gradient %v at coordinate %d, want %v", step, scaledGrad[i], i, want)
			}
		}
	}
	loss, accuracy, err := f.EvaluateSplit(from, Valid)
	if err != nil {
		t.Fatal(err)
	}
	gotLoss, gotAccuracy, err := p.(scored).EvaluateSplit(scaled, Valid)
	if err != nil || math.Abs(gotLoss-loss) > 1e-6*loss || gotAccuracy != accuracy {
		t.Errorf("evaluates to %v, %v, %v; unscaled %v, %v", gotLoss, gotAccuracy, err, loss, accuracy)
	}
	valid, _, err := p.(evaluated).Score(scaled)
	if err != nil || valid != gotLoss {
		t.Errorf("scores %v, %v, evaluates to %v", valid, err, gotLoss)
	}
	if err := p.(io.Closer).Close(); err != nil {
		t.Fatal(err)
	}
	if len(f.pool.idle) != 1 {
		t.Error("closing does not close the classifier")
	}
}

func TestRandomScalingOffersWhatTheProblemDoes(t *testing.T) {
	for _, c := range []struct {
		f             optimizer.Family
		metrics       optimizer.Metric
		scored        bool
		gradientScale float64
	}{
		{Quadratic{Dims: 2, Batch: 3}, optimizer.Hessian | optimizer.Fisher, false, 3},
		{Rosenbrock{Batch: 3}, optimizer.Hessian, false, 3},
		{smallClassifier(t), optimizer.Hessian | optimizer.Fisher | optimizer.SampledFisher | optimizer.EmpiricalFisher, true, 1},
		{GraphFamily{Label: "regression", Build: regression}, 0, false, 1},
	} {
		p := sample(t, RandomScaling{Family: c.f}, 1)
		_, scored := p.(evaluated)
		if optimizer.MetricsOf(p) != c.metrics || scored != c.scored || scale(p) != c.gradientScale {
			t.Errorf("%s scaled: metrics %b, scores %v, gradient scale %v", c.f.Name(), optimizer.MetricsOf(p), scored, scale(p))
		}
	}
}

// reciprocal is the rule Δ = −0.001/g, which commutes with the scaling of a coordinate.
type reciprocal struct{}

func (reciprocal) Needs() optimizer.Needs                 { return optimizer.Needs{} }
func (reciprocal) Start(optimizer.Layout) optimizer.State { return reciprocal{} }
func (reciprocal) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	for i, g := range p.Grad {
		dst[i] = -0.001 / g
	}
	return 0, nil
}

// descent is the rule Δ = −0.001 g, which does not.
type descent struct{}

func (descent) Needs() optimizer.Needs                 { return optimizer.Needs{} }
func (descent) Start(optimizer.Layout) optimizer.State { return descent{} }
func (descent) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	for i, g := range p.Grad {
		dst[i] = -0.001 * g
	}
	return 0, nil
}

// A rule that commutes with scalings of coordinates has the same losses with and
// without scaling. Gradient descent does not.
func TestEquivariantRuleIgnoresScaling(t *testing.T) {
	losses := func(f optimizer.Family, rule optimizer.Rule) []float64 {
		out, err := optimizer.Run(context.Background(), rule, sample(t, f, 3), 20)
		if err != nil {
			t.Fatal(err)
		}
		return out.Losses
	}
	f := Quadratic{Dims: 3, Batch: 2}
	differ := func(rule optimizer.Rule) (largest float64) {
		plain, scaled := losses(f, rule), losses(RandomScaling{Family: f}, rule)
		for i := range plain {
			largest = max(largest, math.Abs(scaled[i]/plain[i]-1))
		}
		if plain[20] > 0.999*plain[0] {
			t.Errorf("%T goes nowhere: %v", rule, plain)
		}
		return largest
	}
	if d := differ(reciprocal{}); d > 1e-5 {
		t.Errorf("the equivariant rule's losses differ by up to %v of them", d)
	}
	if d := differ(descent{}); d < 0.01 {
		t.Errorf("gradient descent's losses differ by no more than %v of them", d)
	}
}

func TestConvexValues(t *testing.T) {
	p := &convex{a: []float32{0.5, -1}}
	grad, hv := make([]float32, 2), make([]float32, 2)
	x := []float32{1, 5}
	if loss := lossGrad(t, p, x, grad); loss != 5.125 || grad[0] != 0.5 || grad[1] != 0 {
		t.Errorf("f(1, 5) = %v with gradient %v, want (0.25 + 10)/2 and 0.5, 0", loss, grad)
	}
	if err := p.CurvatureProduct(hv, x, []float32{3, 4}, optimizer.Hessian, 0); err != nil || hv[0] != 3 || hv[1] != 0 {
		t.Errorf("second derivatives give %v, %v, want 3, 0", hv, err)
	}
	// E f(x_0) = E a² = 1/3.
	sum := 0.0
	for seed := range uint64(200) {
		q := sample(t, Convex{}, seed)
		if q.Dim() != 20 {
			t.Fatalf("%d dimensions, want 20", q.Dim())
		}
		sum += lossGrad(t, q, start(q), make([]float32, 20)) / 200
	}
	if math.Abs(sum-1.0/3) > 0.03 {
		t.Errorf("mean loss at the start %v, want about 1/3", sum)
	}
}

// For a coordinatewise rule a run on a joint problem equals the runs on its parts, bit for bit.
func TestJointIsItsParts(t *testing.T) {
	first, second := Quadratic{Dims: 2, Batch: 3}, RandomScaling{Family: Convex{Dims: 4}, Range: 1}
	joint := sample(t, Joint{[]optimizer.Family{first, second}}, 7)
	parts := make([]optimizer.Problem, 2)
	rng := newRand(7)
	for i, f := range []optimizer.Family{first, second} {
		var err error
		if parts[i], err = f.Sample(rng); err != nil {
			t.Fatal(err)
		}
	}
	run := func(p optimizer.Problem) ([]float64, []float32) {
		out, err := optimizer.Run(context.Background(), descent{}, p, 10)
		if err != nil {
			t.Fatal(err)
		}
		return out.Losses, out.Theta
	}
	losses, theta := run(joint)
	a, thetaA := run(parts[0])
	b, thetaB := run(parts[1])
	for i, loss := range losses {
		if want := 3*a[i] + b[i]; loss != want {
			t.Errorf("step %d: loss %v, want %v", i, loss, want)
		}
	}
	for i, want := range append(thetaA, thetaB...) {
		if theta[i] != want {
			t.Errorf("coordinate %d ends at %v, want %v", i, theta[i], want)
		}
	}
	f := smallClassifier(t)
	p := sample(t, Joint{[]optimizer.Family{Convex{}, f}}, 1)
	if err := p.(io.Closer).Close(); err != nil || len(f.pool.idle) != 1 {
		t.Errorf("closing gives %v and %d idle networks, want 1", err, len(f.pool.idle))
	}
}

func TestWrapperNamesAndErrors(t *testing.T) {
	both := Joint{[]optimizer.Family{RandomScaling{Family: Quadratic{Dims: 2, Batch: 3}}, RandomScaling{Family: Convex{}, Range: 1}}}
	if got, want := both.Name(), "quadratic dims=2 batch=3 random-scaling=3 + convex dims=20 random-scaling=1"; got != want {
		t.Errorf("name %q, want %q", got, want)
	}
	for _, f := range []interface {
		optimizer.Family
		Validate() error
	}{
		RandomScaling{}, RandomScaling{Family: Convex{}, Range: -1}, RandomScaling{Family: Convex{}, Range: math.NaN()}, RandomScaling{Family: Convex{}, Range: 21},
		Convex{Dims: -1}, Joint{}, Joint{[]optimizer.Family{Convex{}, nil}},
	} {
		if p, err := f.Sample(newRand(1)); err == nil || f.Validate() == nil {
			t.Errorf("%+v gives %v", f, p)
		}
	}
	if _, err := (Joint{[]optimizer.Family{Convex{}, Convex{Dims: -1}}}).Sample(newRand(1)); err == nil {
		t.Error("a part's error is lost")
	}
}
