package main

import (
	"fmt"
	"math"
	"math/rand/v2"

	"learnedopt/optimizer"
	"learnedopt/tasks"
)

// Task is logistic regression on data of its own: --task logistic --dims 5 --batch 16 --spread 2.
var Task = tasks.Definition{
	Name:    "logistic",
	Options: map[string]string{"dims": "5", "batch": "16"},
	Numbers: []tasks.Number{{Key: "spread", Help: "standard deviation of the logarithm of the features' sizes", Default: 1}},
	New: func(o tasks.Options) (optimizer.Family, error) {
		f := Logistics{features: o.Dims, batch: o.Batch, spread: o.Number("spread")}
		if f.spread < 0 || f.spread > 5 {
			return nil, fmt.Errorf("spread %v, want 0 to 5", f.spread)
		}
		return f, nil
	},
}

// points is the number of examples of a problem.
const points = 200

// Logistics draws problems. Each has other data, other true weights and features of other sizes.
type Logistics struct {
	features, batch int
	spread          float64
}

// Name implements optimizer.Family. The command names the family by its task and options.
func (Logistics) Name() string { return "logistic" }

// Sample implements optimizer.Family.
func (f Logistics) Sample(rng *rand.Rand) (optimizer.Problem, error) {
	p := &logistic{x: make([][]float64, points), y: make([]float64, points), dim: f.features + 1, batch: f.batch, seed: rng.Uint64()}
	truth, size := make([]float64, f.features), make([]float64, f.features)
	for i := range truth {
		truth[i], size[i] = 3*rng.NormFloat64(), math.Exp(f.spread*rng.NormFloat64())
	}
	for k := range p.x {
		p.x[k] = make([]float64, f.features)
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

// A logistic is a classifier of two classes, fitted to minibatches: a weight for each feature, and a bias.
type logistic struct {
	x          [][]float64
	y          []float64 // 0 or 1
	dim, batch int
	seed       uint64
	step       int
}

var _ optimizer.Seeker = (*logistic)(nil)

// Dim implements optimizer.Problem.
func (p *logistic) Dim() int { return p.dim }

// Seek implements optimizer.Seeker.
func (p *logistic) Seek(t int) { p.step = t }

// Init implements optimizer.Problem.
func (p *logistic) Init(theta []float32) {
	p.mustFit(theta)
	clear(theta)
}

func (p *logistic) mustFit(v []float32) {
	if len(v) != p.dim {
		panic(fmt.Sprintf("logistic: %d coordinates, want %d", len(v), p.dim))
	}
}

// LossGrad implements optimizer.Problem.
func (p *logistic) LossGrad(theta, grad []float32) (float64, error) {
	p.mustFit(theta)
	p.mustFit(grad)
	rng := rand.New(rand.NewPCG(p.seed, uint64(p.step))) // data of step t: from t alone
	p.step++
	clear(grad)
	loss, n, bias := 0.0, float64(p.batch), p.dim-1
	for range p.batch {
		k := rng.IntN(points)
		z := float64(theta[bias])
		for i, x := range p.x[k] {
			z += float64(theta[i]) * x
		}
		loss += (math.Log1p(math.Exp(-math.Abs(z))) + max(z, 0) - p.y[k]*z) / n
		slope := (1/(1+math.Exp(-z)) - p.y[k]) / n
		for i, x := range p.x[k] {
			grad[i] += float32(slope * x)
		}
		grad[bias] += float32(slope)
	}
	return loss, nil
}
