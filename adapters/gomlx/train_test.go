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

func pretrained(t testing.TB) *lstm.Network {
	t.Helper()
	opt, err := metaopt.Pretrained("mlp")
	if err != nil {
		t.Fatal(err)
	}
	return opt.Network
}

func digits(t testing.TB, instance uint64) *classifier.Problem {
	t.Helper()
	data, err := tasks.NewDigits(0, 500, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	p, err := classifier.New(data, "sigmoid", instance)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestTrainingIsTheLibrarys trains the classifier of 784-20-10 units in GoMLX's training loop and in the library's
// own loop, from the same starting point on the same minibatches, and in GoMLX with Adam. Both loops compute in
// float32, in different order. At the first step the losses differ by the rounding of sums over 784 pixels, a few
// times 1e-7 of the loss. Training amplifies the difference from step to step, here by a fifth at most. A wrong state,
// or a minibatch read twice, changes losses by tens of percent.
func TestTrainingIsTheLibrarys(t *testing.T) {
	const steps = 20
	net, p := pretrained(t), digits(t, 1)
	losses, _, err := p.Run(sequential(), New(net), steps)
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
		tol := 2e-6 * math.Pow(1.2, float64(k)) // 8e-5 at step 20
		if !(math.Abs(losses[k]-want) <= tol*want) {
			t.Errorf("step %d: loss %.6f in GoMLX, %.6f in the library", k, losses[k], want)
		}
	}
	adam, _, err := p.Run(sequential(), optimizers.Adam().LearningRate(0.0316).Done(), steps)
	if err != nil {
		t.Fatal(err)
	}
	if !(losses[steps] < 0.8*losses[0] && mean(losses) < mean(adam)) {
		t.Errorf("from %.3f to %.3f; mean loss %.4f, Adam's %.4f", losses[0], losses[steps], mean(losses), mean(adam))
	}
}

func mean(x []float64) (m float64) {
	for _, v := range x {
		m += v / float64(len(x))
	}
	return m
}
