package tasks

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"

	"gorgonia.org/gorgonia"

	"learnedopt/internal/stream"
	"learnedopt/optimizer"
	"learnedopt/optimizer/optimizertest"
)

// families are families of every kind of problem; each goes through the whole suite.
func families(t *testing.T) []optimizer.Family {
	data := noise(t, 200, 50)
	list := []optimizer.Family{
		Quadratic{Batch: 7}, Quadratic{Dims: 1, Batch: 1}, QuadraticUniform{Batch: 5},
		Rosenbrock{Batch: 9}, Rosenbrock{Dims: 5, Batch: 3},
		Factorization{Dims: 9, Batch: 7}, Sinusoid{Units: 5, Layers: 2, Batch: 11}, Sinusoid{Dims: 3, Layers: NoLayers, Batch: 4, WeightInit: "torch"},
		Equilibrium{Dims: 4, Batch: 3}, MaxEnt{Dims: 5, Batch: 4}, Denoising{Dims: 6, Batch: 2}, Sudoku{Batch: 2}, Chain{Dims: 4, Batch: 3},
		GraphFamily{Label: "regression", Build: regression},
		GraphFamily{Label: "scalars", Build: scalarExpression},
	}
	for _, c := range []ClassifierConfig{
		{Units: 4, Batch: 16}, {Units: 5, Layers: 2, Activation: "tanh", Batch: 16}, {Units: 4, Activation: "elu", Batch: 16},
		{Layers: NoLayers, Batch: 16},
		{Channels: "3-2", Activation: "tanh", Batch: 16, ImageSize: 8, WeightInit: "he"},
		{Units: 6, Activation: "relu", Batch: 16, InitScale: 0.1, Split: Valid},
	} {
		f, err := NewClassifier(data, c)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, f)
	}
	path := write(t, filepath.Join(t.TempDir(), "numbers.csv"), numberedTable())
	for _, regression := range []bool{false, true} {
		d, err := LoadTable(path, TableConfig{Regression: regression})
		if err != nil {
			t.Fatal(err)
		}
		f, err := NewClassifier(d, ClassifierConfig{Units: 4, Activation: "tanh", Batch: 8, WeightInit: "he"})
		if err != nil {
			t.Fatal(err)
		}
		list = append([]optimizer.Family{f}, list...)
	}
	list = append([]optimizer.Family{rhymes(t, CharRNNConfig{Units: 5, Batch: 3, WeightInit: "torch"})}, list...)
	shapes, err := NewMixture("shapes", list[len(list)-4:len(list)-2]...)
	if err != nil {
		t.Fatal(err)
	}
	// Wider scalings would need other steps for the finite differences.
	small := RandomScaling{Family: Convex{}, Range: 1}
	list = append(list, Quadratic{Dims: 4, Batch: 3, Condition: 50}, QuadraticUniform{Dims: 3, Batch: 2, Condition: 10},
		Perturbed{Family: Quadratic{Dims: 3, Batch: 2}, Scale: 20}, Perturbed{Family: shapes, Scale: 0.5}, Perturbed{Family: Convex{}, Scale: 3})
	return append(list, shapes, Convex{}, small, RandomScaling{Family: Quadratic{Dims: 3, Batch: 2}, Range: 0.5}, RandomScaling{Family: shapes, Range: 0.5}, RandomScaling{Family: shapes, Range: 0.5, ByTensor: true},
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
			optimizertest.ConformFamily(t, f)
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

func checkLengthPanics(t *testing.T, p optimizer.Problem) {
	n := p.Dim()
	right := make([]float32, n)
	for _, wrong := range [][]float32{nil, make([]float32, n-1), make([]float32, n+1)} {
		mustPanicSaying(t, "tasks: theta ", func() { p.Init(wrong) })
		mustPanicSaying(t, "tasks: theta ", func() { _, _ = p.LossGrad(wrong, right) })
		mustPanicSaying(t, "tasks: grad ", func() { _, _ = p.LossGrad(right, wrong) })
		if c, ok := p.(optimizer.Curvature); ok && c.Metrics() != 0 {
			metric := c.Metrics() & -c.Metrics() // one that it offers
			mustPanicSaying(t, "tasks: dst ", func() { _ = c.CurvatureProduct(wrong, right, right, metric, 0) })
			mustPanicSaying(t, "tasks: theta ", func() { _ = c.CurvatureProduct(right, wrong, right, metric, 0) })
			mustPanicSaying(t, "tasks: v ", func() { _ = c.CurvatureProduct(right, right, wrong, metric, 0) })
			mustPanic(t, errStep, func() { _ = c.CurvatureProduct(right, right, right, metric, -1) })
			mustPanic(t, errMetric, func() { _ = c.CurvatureProduct(right, right, right, 0, 0) })
		}
		if s, ok := p.(scored); ok {
			mustPanicSaying(t, "tasks: theta ", func() { _, _, _ = s.EvaluateSplit(wrong, Test) })
		}
	}
}

// checkParallel samples and runs problems on several goroutines; run with
// -race. Each must give the same numbers as it gives alone.
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
