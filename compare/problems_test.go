package compare

import (
	"math/rand/v2"

	"learnedopt/optimizer"
)

// A dish is f(θ) = ½‖θ - y‖² from θ_0 = 0, in four dimensions.
type dish [4]float32

func (d *dish) Dim() int             { return len(d) }
func (d *dish) Init(theta []float32) { clear(theta) }
func (d *dish) LossGrad(theta, grad []float32) (f float64, err error) {
	for i, y := range d {
		grad[i] = theta[i] - y
		f += float64(grad[i]) * float64(grad[i]) / 2
	}
	return f, nil
}

type dishes struct{}

func (dishes) Name() string { return "dishes" }
func (dishes) Sample(rng *rand.Rand) (optimizer.Problem, error) {
	var d dish
	for i := range d {
		d[i] = float32(rng.NormFloat64())
	}
	return &d, nil
}
