package tutorial

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"learnedopt/baselines"
	"learnedopt/optimizer"
	"learnedopt/optimizer/optimizertest"
	"learnedopt/tasks"
)

const hidden, samples = 8, 32

// Sines are networks with one hidden layer that fit sin(3x + a); each problem draws its own a.
var Sines = tasks.GraphFamily{Label: "sine hidden=8 batch=32", Build: sine}

func sine(g *gorgonia.ExprGraph, rng *rand.Rand) (tasks.Expression, error) {
	a, seed := 2*math.Pi*rng.Float64(), rng.Uint64()                                                     // all randomness is from rng
	x := gorgonia.NewMatrix(g, gorgonia.Float32, gorgonia.WithName("x"), gorgonia.WithShape(samples, 2)) // (x, 1)
	y := gorgonia.NewVector(g, gorgonia.Float32, gorgonia.WithName("y"), gorgonia.WithShape(samples))
	w := gorgonia.NewMatrix(g, gorgonia.Float32, gorgonia.WithName("w"), gorgonia.WithShape(2, hidden))
	v := gorgonia.NewVector(g, gorgonia.Float32, gorgonia.WithName("v"), gorgonia.WithShape(hidden))
	h := gorgonia.Must(gorgonia.Tanh(gorgonia.Must(gorgonia.Mul(x, w))))
	r := gorgonia.Must(gorgonia.Sub(gorgonia.Must(gorgonia.Mul(h, v)), y))
	loss := gorgonia.Must(gorgonia.Mean(gorgonia.Must(gorgonia.Square(r))))

	xs, ys := make([]float32, 2*samples), make([]float32, samples)
	bound := []error{
		gorgonia.Let(x, tensor.New(tensor.WithShape(samples, 2), tensor.WithBacking(xs))),
		gorgonia.Let(y, tensor.New(tensor.WithShape(samples), tensor.WithBacking(ys))),
	}
	for _, err := range bound {
		if err != nil {
			return tasks.Expression{}, err
		}
	}
	return tasks.Expression{
		Params: gorgonia.Nodes{w, v},
		Loss:   loss,
		Feed: func(t int) error { // the minibatch of step t, from t alone
			step := rand.New(rand.NewPCG(seed, uint64(t)))
			for i := range ys {
				at := 2*step.Float64() - 1
				xs[2*i], xs[2*i+1], ys[i] = float32(at), 1, float32(math.Sin(3*at+a))
			}
			return nil
		},
		Start: func(theta []float32) {
			start := rand.New(rand.NewPCG(seed, math.MaxUint64))
			for i := range theta {
				theta[i] = float32(0.5 * start.NormFloat64())
			}
		},
	}, nil
}

func TestSines(t *testing.T) { optimizertest.ConformFamily(t, Sines) }

func ExampleSines() {
	p, err := Sines.Sample(rand.New(rand.NewPCG(1, 2)))
	if err != nil {
		panic(err)
	}
	out, err := optimizer.Run(context.Background(), baselines.Adam{LearningRate: 0.03}, p, 300)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%d coordinates, below 0.05 after 300 steps: %v\n", p.Dim(), out.Losses[300] < 0.05)
	// Output: 24 coordinates, below 0.05 after 300 steps: true
}
