package tutorial

import (
	"fmt"
	"math"
	"math/rand/v2"

	"learnedopt/optimizer"
)

const (
	features = 5
	points   = 200
	batch    = 16
)

// A Logistic is a classifier of two classes, fitted to minibatches of its own data.
type Logistic struct {
	x    [points][features]float64
	y    [points]float64 // 0 or 1
	seed uint64
	step int
}

func (p *Logistic) Dim() int   { return features + 1 }
func (p *Logistic) Seek(t int) { p.step = t }

func (p *Logistic) Init(theta []float32) {
	mustFit(theta)
	clear(theta)
}

func mustFit(v []float32) {
	if len(v) != features+1 {
		panic("tutorial: a logistic regression has 6 coordinates")
	}
}

func (p *Logistic) LossGrad(theta, grad []float32) (float64, error) {
	mustFit(theta)
	mustFit(grad)
	rng := rand.New(rand.NewPCG(p.seed, uint64(p.step))) // data of step t: from t alone
	p.step++
	clear(grad)
	loss := 0.0
	for range batch {
		k := rng.IntN(points)
		z := float64(theta[features])
		for i, x := range p.x[k] {
			z += float64(theta[i]) * x
		}
		loss += (math.Log1p(math.Exp(-math.Abs(z))) + max(z, 0) - p.y[k]*z) / batch
		slope := (1/(1+math.Exp(-z)) - p.y[k]) / batch
		for i, x := range p.x[k] {
			grad[i] += float32(slope * x)
		}
		grad[features] += float32(slope)
	}
	return loss, nil
}

// Logistics draws such problems. Each has other data, other true weights and features of other sizes.
type Logistics struct{}

func (Logistics) Name() string { return "logistic" }

func (Logistics) Sample(rng *rand.Rand) (optimizer.Problem, error) {
	p := &Logistic{seed: rng.Uint64()}
	var truth, size [features]float64
	for i := range truth {
		truth[i], size[i] = 3*rng.NormFloat64(), math.Exp(rng.NormFloat64())
	}
	for k := range p.x {
		z := 0.0
		for i := range truth {
			v := rng.NormFloat64()
			p.x[k][i] = size[i] * v
			z += truth[i] * v
		}
		if rng.Float64() < 1/(1+math.Exp(-z)) {
			p.y[k] = 1
		}
	}
	return p, nil
}

func ExampleLogistic() {
	p, err := Logistics{}.Sample(rand.New(rand.NewPCG(1, 2)))
	if err != nil {
		panic(err)
	}
	theta, grad := make([]float32, p.Dim()), make([]float32, p.Dim())
	p.Init(theta)
	loss, err := p.LossGrad(theta, grad)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%d coordinates, loss %.4f at the start\n", p.Dim(), loss)
	// Output: 6 coordinates, loss 0.6931 at the start
}
