package main

import (
	"math"

	"learnedopt/internal/stream"
	"learnedopt/optimizer"
)

var curve = program{
	name: "curve", about: "a peak on a line fitted to 100 points: five parameters, all points at every step", steps: 300,
	open: func(seed uint64, _ string) (trainable, error) { return fit(seed), nil },
}

// fit fits a·exp(−((x−b)/c)²) + d + e·x by least squares.
func fit(seed uint64) trainable {
	const n = 100
	rng := stream.New(seed, "points", 0)
	truth := [5]float64{2.5, 0.4, 0.6, 0.5, -0.3}
	value := func(p []float64, x float64) (y, peak, s float64) {
		s = (x - p[1]) / p[2]
		peak = math.Exp(-s * s)
		return p[0]*peak + p[3] + p[4]*x, peak, s
	}
	xs, ys := make([]float64, n), make([]float64, n)
	for i := range xs {
		xs[i] = -2 + 4*float64(i)/(n-1)
		ys[i], _, _ = value(truth[:], xs[i])
		ys[i] += 0.05 * rng.NormFloat64()
	}
	start := []float64{1, 0, 1, 0, 0}
	for i := range start {
		start[i] += 0.1 * rng.NormFloat64()
	}
	return &model[float64]{
		layout: optimizer.Flat(5), // five numbers that are no tensor of a network
		theta:  start,
		lossGrad: func(grad, p []float64) float64 {
			clear(grad)
			loss := 0.0
			for i, x := range xs {
				y, peak, s := value(p, x)
				e := y - ys[i]
				loss += e * e / n
				slope := p[0] * peak * 2 * s / p[2] // dy/db
				for k, d := range [5]float64{peak, slope, slope * s, 1, x} {
					grad[k] += 2 * e * d / n
				}
			}
			return loss
		},
	}
}
