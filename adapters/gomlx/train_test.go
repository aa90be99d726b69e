package gomlxopt

import (
	"math"
	"testing"

	"github.com/gomlx/gomlx/pkg/ml/train/optimizers"

	"learnedopt/adapters/gomlx/internal/classifier"
	"learnedopt/lstm"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
	"learnedopt/tasks"
)

func pretrained(t testing.TB, name string) *lstm.Network {
	t.Helper()
	opt, err := metaopt.Pretrained(name)
	if err != nil {
		t.Fatal(err)
	}
	return opt.Network
}

// Where mlp was trained, and where people train.
var (
	small  = tasks.ClassifierConfig{Units: 20, Activation: "sigmoid", Batch: 128}
	glorot = tasks.ClassifierConfig{Units: 32, Activation: "relu", Batch: 32, WeightInit: "glorot"}
)

func digits(t testing.TB, c tasks.ClassifierConfig, instance uint64) *classifier.Problem {
	t.Helper()
	data, err := tasks.NewDigits(0, 500, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	p, err := classifier.New(data, c, instance)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestTrainingIsTheLibrarys trains classifiers in GoMLX's training loop and in the library's
// own loop, from the same starting point on the same minibatches, and in GoMLX with Adam. Both loops compute in
// float32, in different order. At the first step the losses differ by the rounding of sums over 784 pixels, a few
// times 1e-7 of the loss. Training amplifies the difference from step to step, here by a fifth at most; the orthogonal
// direction of general has larger errors of its own. A wrong state, or a minibatch read twice, changes losses by tens of percent.
func TestTrainingIsTheLibrarys(t *testing.T) {
	for _, c := range []struct {
		optimizer      string
		on             tasks.ClassifierConfig
		first, amplify float64 // the tolerance is first·amplify^k at step k
		adam           float64 // its best learning rate of 0.001, 0.00316, 0.01, 0.0316 and 0.1
	}{
		{"mlp", small, 2e-6, 1.2, 0.0316},     // 8e-5 at step 20
		{"general", glorot, 1e-5, 1.25, 0.01}, // 9e-4 at step 20
	} {
		t.Run(c.optimizer, func(t *testing.T) {
			const steps = 20
			net, p := pretrained(t, c.optimizer), digits(t, c.on, 1)
			rule := New(net)
			rule.Total = steps
			losses, _, err := p.Run(sequential(), rule, steps)
			if err != nil {
				t.Fatal(err)
			}
			twin, err := p.Twin()
			if err != nil {
				t.Fatal(err)
			}
			own, err := optimizer.Run(t.Context(), net, twin, steps)
			if err != nil {
				t.Fatal(err)
			}
			if len(losses) != steps+1 || len(own.Losses) != steps+1 {
				t.Fatalf("%d and %d losses", len(losses), len(own.Losses))
			}
			for k, want := range own.Losses {
				tol := c.first * math.Pow(c.amplify, float64(k))
				if !(math.Abs(losses[k]-want) <= tol*want) {
					t.Errorf("step %d: loss %.6f in GoMLX, %.6f in the library", k, losses[k], want)
				}
			}
			adam, _, err := p.Run(sequential(), optimizers.Adam().LearningRate(c.adam).Done(), steps)
			if err != nil {
				t.Fatal(err)
			}
			if !(losses[steps] < 0.8*losses[0] && mean(losses) < mean(adam)) {
				t.Errorf("from %.3f to %.3f; mean loss %.4f, Adam's %.4f", losses[0], losses[steps], mean(losses), mean(adam))
			}
		})
	}
}

func mean(x []float64) (m float64) {
	for _, v := range x {
		m += v / float64(len(x))
	}
	return m
}
