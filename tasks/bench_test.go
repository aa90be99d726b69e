package tasks

import (
	"io"
	"math/rand/v2"
	"testing"

	"gorgonia.org/gorgonia"

	"learnedopt/optimizer"
)

func BenchmarkLossGrad(b *testing.B) {
	mnist, err := NewClassifier(noise(b, 10000, 100), ClassifierConfig{})
	if err != nil {
		b.Fatal(err)
	}
	images := make([]float32, 128*784)
	labels := make([]float32, 128*10)
	for row := range 128 {
		mnist.data.Image(images[row*784:(row+1)*784], Train, row)
		labels[row*10+mnist.data.Label(Train, row)] = 1
	}
	plain := GraphFamily{Label: "plain", Build: func(g *gorgonia.ExprGraph, _ *rand.Rand) (Expression, error) {
		return plainMLP(images, labels, 128, []int{784, 20, 10})(g)
	}}
	for _, bench := range []struct {
		name   string
		family optimizer.Family
	}{{"mnist", mnist}, {"graph", plain}, {"quadratic", Quadratic{}}, {"quadratic-uniform", QuadraticUniform{}}, {"rosenbrock", Rosenbrock{}}} {
		b.Run(bench.name, func(b *testing.B) {
			p := sample(b, bench.family, 1)
			theta, grad := make([]float32, p.Dim()), make([]float32, p.Dim())
			p.Init(theta)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.LossGrad(theta, grad); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A meta-trainer samples a problem for each episode and closes it. The second
// benchmark shows the cost of forgetting to close it.
func BenchmarkSample(b *testing.B) {
	f, err := NewClassifier(noise(b, 1000, 100), ClassifierConfig{})
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for _, closes := range []bool{true, false} {
		b.Run(map[bool]string{true: "closed", false: "open"}[closes], func(b *testing.B) {
			for b.Loop() {
				p, err := f.Sample(rng)
				if err != nil {
					b.Fatal(err)
				}
				if closes {
					if err := p.(io.Closer).Close(); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
