package tasks

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"

	"gorgonia.org/gorgonia"

	"learnedopt/internal/stream"
	"learnedopt/optimizer"
)

// families are all kinds of problems; every one goes through the whole suite.
func families(t *testing.T) []optimizer.Family {
	data := noise(t, 200, 50)
	list := []optimizer.Family{
		Quadratic{Batch: 7}, Quadratic{Dims: 1, Batch: 1}, QuadraticUniform{Batch: 5},
		Rosenbrock{Batch: 9}, Rosenbrock{Dims: 5, Batch: 3},
		GraphFamily{Label: "regression", Build: regression},
		GraphFamily{Label: "scalars", Build: scalarExpression},
	}
	for _, c := range []ClassifierConfig{
		{Units: 4, Batch: 16}, {Units: 5, Layers: 2, Activation: "tanh", Batch: 16}, {Units: 4, Activation: "elu", Batch: 16},
		{Units: 6, Activation: "relu", Batch: 16, InitScale: 0.1, Split: Valid},
	} {
		f, err := NewClassifier(data, c)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, f)
	}
	shapes, err := NewMixture("shapes", list[len(list)-4:len(list)-2]...)
	if err != nil {
		t.Fatal(err)
	}
	// Wide scalings would need other steps for the differences.
	small := RandomScaling{Convex{}, 1}
	list = append(list, Quadratic{Dims: 4, Batch: 3, Condition: 50}, QuadraticUniform{Dims: 3, Batch: 2, Condition: 10},
		Perturbed{Family: Quadratic{Dims: 3, Batch: 2}, Scale: 20}, Perturbed{Family: shapes, Scale: 0.5}, Perturbed{Family: Convex{}, Scale: 3})
	return append(list, shapes, Convex{}, small, RandomScaling{Quadratic{Dims: 3, Batch: 2}, 0.5}, RandomScaling{shapes, 0.5},
		Joint{[]optimizer.Family{Quadratic{Dims: 2, Batch: 3}, Convex{Dims: 4}}}, Joint{[]optimizer.Family{shapes, small, shapes}})
}

// regression is a graph fed with new data at each step: mean (x·w − y)².
func regression(g *gorgonia.ExprGraph, rng *rand.Rand) (Expression, error) {
	const rows, cols = 8, 3
	seed := rng.Uint64()
	xs, ys := make([]float32, rows*cols), make([]float32, rows)
	b := &layerBuilder{g: g}
	x := b.input("x", xs, rows, cols)
	y := b.input("y", ys, rows, 1)
	w := gorgonia.NewMatrix(g, gorgonia.Float32, gorgonia.WithShape(cols, 1), gorgonia.WithName("w"))
	bias := gorgonia.NewVector(g, gorgonia.Float32, gorgonia.WithShape(1), gorgonia.WithName("b"))
	product := b.try(gorgonia.BroadcastAdd(b.try(gorgonia.Mul(x, w)), bias, nil, []byte{0}))
	residual := b.try(gorgonia.Sub(product, y))
	if b.err != nil {
		return Expression{}, b.err
	}
	loss := b.try(gorgonia.Mean(b.try(gorgonia.Square(residual))))
	return Expression{Params: gorgonia.Nodes{w, bias}, Loss: loss, Feed: func(t int) error {
		data := stream.New(seed, "data", uint64(t))
		for i := range xs {
			xs[i] = float32(data.NormFloat64())
		}
		for i := range ys {
			ys[i] = xs[i*cols] - 2*xs[i*cols+1] + 0.5
		}
		return nil
	}}, b.err
}

// scalarExpression has parameters of shape () beside a vector:
// (a − 1)² + a²b² + Σ c², with starting values from the graph.
func scalarExpression(g *gorgonia.ExprGraph, _ *rand.Rand) (Expression, error) {
	a := gorgonia.NewScalar(g, gorgonia.Float32, gorgonia.WithName("a"), gorgonia.WithValue(float32(0.5)))
	b := gorgonia.NewScalar(g, gorgonia.Float32, gorgonia.WithName("b"))
	c := gorgonia.NewVector(g, gorgonia.Float32, gorgonia.WithName("c"), gorgonia.WithShape(2), gorgonia.WithInit(gorgonia.Ones()))
	one := gorgonia.NewConstant(float32(1))
	first := gorgonia.Must(gorgonia.Square(gorgonia.Must(gorgonia.Sub(a, one))))
	second := gorgonia.Must(gorgonia.Square(gorgonia.Must(gorgonia.Mul(a, b))))
	third := gorgonia.Must(gorgonia.Sum(gorgonia.Must(gorgonia.Square(c))))
	loss := gorgonia.Must(gorgonia.Add(gorgonia.Must(gorgonia.Add(first, second)), third))
	return Expression{Params: gorgonia.Nodes{a, b, c}, Loss: loss}, nil
}

func TestConformance(t *testing.T) {
	for _, f := range families(t) {
		t.Run(f.Name(), func(t *testing.T) {
			t.Run("gradient", func(t *testing.T) { checkGradients(t, sample(t, f, 1)) })
			t.Run("hessian", func(t *testing.T) { checkHessian(t, sample(t, f, 2)) })
			t.Run("init", func(t *testing.T) { checkInit(t, sample(t, f, 3)) })
			t.Run("seek", func(t *testing.T) { checkSeek(t, sample(t, f, 4)) })
			t.Run("lengths", func(t *testing.T) { checkLengthPanics(t, sample(t, f, 5)) })
			t.Run("repeat", func(t *testing.T) {
				equalBits(t, trace(t, sample(t, f, 6), 4), trace(t, sample(t, f, 6), 4))
			})
			t.Run("parallel", func(t *testing.T) { checkParallel(t, f) })
		})
	}
}

func scale(p optimizer.Problem) float64 {
	if s, ok := p.(Scaled); ok {
		return s.GradientScale()
	}
	return 1
}

func seek(p optimizer.Problem, t int) {
	if s, ok := p.(optimizer.Seeker); ok {
		s.Seek(t)
	}
}

func lossGrad(t *testing.T, p optimizer.Problem, theta, grad []float32) float64 {
	t.Helper()
	loss, err := p.LossGrad(theta, grad)
	if err != nil {
		t.Fatal(err)
	}
	return loss
}

// checkGradients compares gradients with central differences at the start, at
// a random point, and after gradient descent.
func checkGradients(t *testing.T, p optimizer.Problem) {
	theta, grad := make([]float32, p.Dim()), make([]float32, p.Dim())
	rng := rand.New(rand.NewPCG(1, 2))
	p.Init(theta)
	checkGradient(t, p, theta, rng, "start")
	for i := range theta {
		theta[i] = float32(0.5 * rng.NormFloat64())
	}
	checkGradient(t, p, theta, rng, "random point")
	// RMSProp with a falling step, which all the families can bear.
	p.Init(theta)
	v := make([]float64, p.Dim())
	for step := range 400 {
		lossGrad(t, p, theta, grad)
		for i, g := range grad {
			v[i] = 0.9*v[i] + 0.1*float64(g)*float64(g)
			theta[i] -= float32(0.1 / (1 + 0.05*float64(step)) * float64(g) / (1e-8 + math.Sqrt(v[i])))
		}
	}
	checkGradient(t, p, theta, rng, "near the optimum")
}

// checkGradient compares f(θ + d) − f(θ − d) with 2 d·∇f, for d along the
// gradient and for random signs on it, all of length h = 10⁻². The difference
// is taken between the rounded points, so θ's rounding costs nothing; the loss
// itself carries a few float32 roundings (10⁻⁶ of its size), and the cubic term
// of the expansion is below 1 % of the linear one for all these functions,
// except where Rosenbrock's gradient all but vanishes: hence the curvature term.
func checkGradient(t *testing.T, p optimizer.Problem, theta []float32, rng *rand.Rand, where string) {
	t.Helper()
	n := p.Dim()
	grad, plus, minus, unused := make([]float32, n), make([]float32, n), make([]float32, n), make([]float32, n)
	before := append([]float32(nil), theta...)
	seek(p, 7)
	loss := lossGrad(t, p, theta, grad)
	for i := range theta {
		if theta[i] != before[i] {
			t.Fatalf("LossGrad changed coordinate %d of theta", i)
		}
	}
	norm := 0.0
	for _, g := range grad {
		norm += float64(g) * float64(g)
	}
	norm = math.Sqrt(norm)
	const h = 1e-2
	for direction := range 8 {
		for i, g := range grad {
			d := h * float64(g) / norm
			if direction > 0 && rng.IntN(2) == 0 {
				d = -d
			}
			plus[i], minus[i] = theta[i]+float32(d), theta[i]-float32(d)
		}
		want := 0.0
		for i, g := range grad {
			want += float64(g) / scale(p) * (float64(plus[i]) - float64(minus[i]))
		}
		seek(p, 7)
		above := lossGrad(t, p, plus, unused)
		seek(p, 7)
		below := lossGrad(t, p, minus, unused)
		tolerance := 1e-2*2*h*norm/scale(p) + 4e-6*(math.Abs(above)+math.Abs(below)) + 1e-4*math.Abs(above+below-2*loss)
		if got := above - below; math.Abs(got-want) > tolerance {
			t.Errorf("%s, direction %d: f(θ+d) − f(θ−d) = %g, gradient says %g (tolerance %g)", where, direction, got, want, tolerance)
		}
	}
}

// checkHessian compares HessianVector with (∇f(θ + hv) − ∇f(θ − hv)) / 2h.
// Quadratics have no truncation error; Rosenbrock's third derivative of 2400 x
// gives h²·2400/6 ≈ 4·10⁻⁴ of a Hessian of the order of 1000.
func checkHessian(t *testing.T, p optimizer.Problem) {
	hp, ok := p.(optimizer.HessianVector)
	if !ok {
		t.Skip("no exact second derivatives")
	}
	n, rng := p.Dim(), rand.New(rand.NewPCG(4, 4))
	theta, v, got := make([]float32, n), make([]float32, n), make([]float32, n)
	plus, minus, above, below := make([]float32, n), make([]float32, n), make([]float32, n), make([]float32, n)
	const h = 1e-2
	for range 3 {
		for i := range theta {
			theta[i], v[i] = float32(rng.NormFloat64()), float32(rng.NormFloat64())
			plus[i], minus[i] = theta[i]+h*v[i], theta[i]-h*v[i]
		}
		if err := hp.HessianVector(got, theta, v); err != nil {
			t.Fatal(err)
		}
		lossGrad(t, p, plus, above)
		lossGrad(t, p, minus, below)
		largest := 0.0
		for i := range got {
			largest = max(largest, math.Abs(float64(got[i])))
		}
		for i := range got {
			want := (float64(above[i]) - float64(below[i])) / (2 * h)
			if math.Abs(float64(got[i])-want) > 2e-3*largest {
				t.Fatalf("coordinate %d: H·v = %v, differences give %v (largest %v)", i, got[i], want, largest)
			}
		}
	}
}

func checkInit(t *testing.T, p optimizer.Problem) {
	if p.Dim() < 1 {
		t.Fatalf("Dim() = %d", p.Dim())
	}
	a, b, grad := make([]float32, p.Dim()), make([]float32, p.Dim()), make([]float32, p.Dim())
	for i := range b {
		b[i] = 99 // Init must write every coordinate
	}
	p.Init(a)
	lossGrad(t, p, a, grad)
	p.Init(b)
	for i := range a {
		if a[i] != b[i] {
			t.Fatalf("coordinate %d starts at %v, then at %v", i, a[i], b[i])
		}
	}
}

func checkSeek(t *testing.T, p optimizer.Problem) {
	theta, grad := make([]float32, p.Dim()), make([]float32, p.Dim())
	p.Init(theta)
	var losses []float64
	distinct := map[float64]bool{}
	for range 5 {
		losses = append(losses, lossGrad(t, p, theta, grad))
		distinct[losses[len(losses)-1]] = true
	}
	first := append([]float32(nil), grad...)
	for _, step := range []int{3, 0, 4} {
		seek(p, step)
		if got := lossGrad(t, p, theta, grad); math.Float64bits(got) != math.Float64bits(losses[step]) {
			t.Errorf("loss of step %d is %v, after Seek %v", step, losses[step], got)
		}
	}
	for i := range grad {
		if grad[i] != first[i] {
			t.Fatalf("gradient of step 4 is %v at coordinate %d, after Seek %v", first[i], i, grad[i])
		}
	}
	_, stochastic := p.(*classifier)
	if stochastic && len(distinct) != 5 {
		t.Errorf("5 minibatches have %d different losses", len(distinct))
	}
	if s, ok := p.(optimizer.Seeker); ok {
		mustPanic(t, errStep, func() { s.Seek(-1) })
	} else if len(distinct) != 1 {
		t.Errorf("not a Seeker, but the losses at one point are %v", losses)
	}
}

func checkLengthPanics(t *testing.T, p optimizer.Problem) {
	n := p.Dim()
	right := make([]float32, n)
	for _, wrong := range [][]float32{nil, make([]float32, n-1), make([]float32, n+1)} {
		mustPanic(t, errTheta, func() { p.Init(wrong) })
		mustPanic(t, errTheta, func() { _, _ = p.LossGrad(wrong, right) })
		mustPanic(t, errGrad, func() { _, _ = p.LossGrad(right, wrong) })
		if h, ok := p.(optimizer.HessianVector); ok {
			mustPanic(t, errVector, func() { _ = h.HessianVector(wrong, right, right) })
			mustPanic(t, errTheta, func() { _ = h.HessianVector(right, wrong, right) })
			mustPanic(t, errVector, func() { _ = h.HessianVector(right, right, wrong) })
		}
		if s, ok := p.(Scored); ok {
			mustPanic(t, errTheta, func() { _, _, _ = s.EvaluateSplit(wrong, Test) })
		}
	}
}

// checkParallel samples and runs problems on several goroutines; run with
// -race. Each must see what it would see alone.
func checkParallel(t *testing.T, f optimizer.Family) {
	const workers = 3
	traces := make([][]float64, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			p, err := f.Sample(rand.New(rand.NewPCG(uint64(w), 0)))
			if err != nil {
				t.Error(err)
				return
			}
			traces[w] = trace(t, p, 3)
		})
	}
	wg.Wait()
	for w := range traces {
		equalBits(t, traces[w], trace(t, sample(t, f, uint64(w)), 3))
	}
	if fmt.Sprint(traces[0]) == fmt.Sprint(traces[1]) && f.Name() != "scalars" {
		t.Error("two seeds drew the same problem")
	}
}
