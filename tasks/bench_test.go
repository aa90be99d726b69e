package tasks

import (
	"testing"

	"learnedopt/optimizer"
)

func BenchmarkLossGrad(b *testing.B) {
	mnist, err := NewClassifier(noise(b, 10000, 100), ClassifierConfig{})
	if err != nil {
		b.Fatal(err)
	}
	for _, bench := range []struct {
		name   string
		family optimizer.Family
	}{{"mnist", mnist}, {"quadratic", Quadratic{}}, {"quadratic-uniform", QuadraticUniform{}}, {"rosenbrock", Rosenbrock{}}} {
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
