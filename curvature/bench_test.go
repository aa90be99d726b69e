package curvature_test

import (
	"os"
	"runtime"
	"testing"
	"time"

	"learnedopt/curvature"
	"learnedopt/internal/stream"
	"learnedopt/optimizer"
	"learnedopt/tasks"
)

// problem784 samples a classifier 784-128-10 with ReLU and minibatches of 128, of MNIST where its files are, else of drawn digits.
func problem784(b *testing.B) optimizer.Problem {
	b.Helper()
	data, err := tasks.NewDigits(0, 1000, 1, 1)
	if dir := os.Getenv(tasks.DataDirEnv); dir != "" {
		data, err = tasks.LoadMNIST(dir)
	}
	if err != nil {
		b.Fatal(err)
	}
	family, err := tasks.NewClassifier(data, tasks.ClassifierConfig{Units: 128, Activation: "relu", WeightInit: "he"})
	if err != nil {
		b.Fatal(err)
	}
	p, err := family.Sample(stream.New(0, "bench", 0))
	if err != nil {
		b.Fatal(err)
	}
	return p
}

// BenchmarkStep compares, at 784-128-10 with minibatches of 128 and on one core, the loss with its gradient, a Fisher product, another one at the same point, and whole
// steps (gradient and update) of rules: of K-FAC over many steps, so that the factors and inverses that it renews once in a while count with their share. Each
// has its time in gradients, which are measured in turns with it, so that other programs on the machine slow both.
func BenchmarkStep(b *testing.B) {
	for _, bench := range []struct {
		name string
		rule optimizer.Rule // nil for products
		skip int            // steps before the measured ones
		same bool
	}{
		{name: "gradient"}, {name: "product"}, {name: "product again", same: true},
		{name: "natural-gradient", rule: curvature.NaturalGradient{LearningRate: 0.1}, skip: 2},
		{name: "kfac from the start", rule: curvature.KFAC{LearningRate: 0.03}},
		{name: "kfac", rule: curvature.KFAC{LearningRate: 0.03}, skip: 20},
	} {
		b.Run(bench.name, func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
			p := problem784(b)
			theta, grad, update, v := make([]float32, p.Dim()), make([]float32, p.Dim()), make([]float32, p.Dim()), make([]float32, p.Dim())
			p.Init(theta)
			step := 0
			gradient := func() {
				p.(optimizer.Seeker).Seek(step)
				if _, err := p.LossGrad(theta, grad); err != nil {
					b.Fatal(err)
				}
			}
			var state optimizer.State
			var measured func()
			switch {
			case bench.rule != nil:
				state = bench.rule.Start(optimizer.LayoutOf(p))
				measured = func() {
					gradient()
					if _, err := state.Update(update, optimizer.Point{Grad: grad, Theta: theta, Curvature: p.(optimizer.Curvature), Step: step, Total: 1000}); err != nil {
						b.Fatal(err)
					}
					for i, u := range update {
						theta[i] += u
					}
				}
			case bench.name == "gradient":
				measured = gradient
			default:
				gradient()
				copy(v, grad)
				measured = func() {
					at := step
					if bench.same {
						at = 0
					}
					if err := p.(optimizer.Curvature).CurvatureProduct(update, theta, v, optimizer.Fisher, at); err != nil {
						b.Fatal(err)
					}
				}
			}
			for range bench.skip {
				measured()
				step++
			}
			var own, others time.Duration
			b.ResetTimer()
			for range b.N {
				began := time.Now()
				measured()
				own += time.Since(began)
				b.StopTimer()
				step++
				began = time.Now()
				gradient()
				others += time.Since(began)
				b.StartTimer()
			}
			b.ReportMetric(float64(own)/float64(others), "gradients")
		})
	}
}
