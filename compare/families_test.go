package compare_test

import (
	"math"
	"math/rand/v2"

	"learnedopt/optimizer"
)

// family makes a family of a function.
type family func(rng *rand.Rand) (optimizer.Problem, error)

func (f family) Name() string                                     { return "test" }
func (f family) Sample(rng *rand.Rand) (optimizer.Problem, error) { return f(rng) }

// bowls draws f(θ) = ½‖θ - y‖² in ten dimensions.
func bowls(rng *rand.Rand) (optimizer.Problem, error) {
	b := &bowl{y: make([]float32, 10)}
	for i := range b.y {
		b.y[i] = float32(rng.NormFloat64())
	}
	return b, nil
}

type bowl struct{ y []float32 }

func (b *bowl) Dim() int             { return len(b.y) }
func (b *bowl) Init(theta []float32) { clear(theta) }
func (b *bowl) LossGrad(theta, grad []float32) (float64, error) {
	f := 0.0
	for i, y := range b.y {
		grad[i] = theta[i] - y
		f += float64(grad[i]) * float64(grad[i]) / 2
	}
	return f, nil
}

func near(a, b, tol float64) bool { return math.Abs(a-b) <= tol*(1+math.Abs(b)) }
