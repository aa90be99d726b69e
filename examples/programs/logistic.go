package main

import (
	"math"

	"learnedopt/internal/stream"
)

var (
	logisticRaw = program{
		name: "logistic-raw", about: "logistic regression on ten columns as they come: ages, incomes, rates, …", steps: 500,
		open: func(seed uint64, _ string) (trainable, error) { return logistic(seed, false), nil },
	}
	logisticScaled = program{
		name: "logistic", about: "logistic regression on the same columns, standardised", steps: 500,
		open: func(seed uint64, _ string) (trainable, error) { return logistic(seed, true), nil },
	}
)

// columns are the means and standard deviations of the table's columns, and their weights in the truth once standardised.
var columns = []struct{ mean, deviation, weight float64 }{
	{40, 12, 0.8},    // age
	{5.2, 2.1, -0.5}, // income, in ten thousands
	{0.03, 0.01, 1},  // a rate
	{1.7, 0.1, 0.3},  // height, in metres
	{72, 14, -1},     // weight, in kilograms
	{0.5, 0.5, 1.5},  // a flag, about
	{120, 15, 0.7},   // blood pressure
	{0, 1, 0},        // noise
	{3, 1.7, -0.4},   // a count, about
	{900, 250, 0.6},  // a distance
}

// logistic fits P(y = 1) = σ(x·w + b) to a table of 2,000 rows, from w = 0, with minibatches of 64.
func logistic(seed uint64, standardised bool) trainable {
	const rows, batch = 2000, 64
	cols := len(columns)
	rng := stream.New(seed, "table", 0)
	x, y := make([]float32, rows*cols), make([]float32, rows)
	for i := range rows {
		z := -0.5
		for j, c := range columns {
			v := rng.NormFloat64()
			z += c.weight * v
			if !standardised {
				v = c.mean + c.deviation*v
			}
			x[i*cols+j] = float32(v)
		}
		if rng.Float64() < 1/(1+math.Exp(-z)) {
			y[i] = 1
		}
	}
	net := newDense(batch, false, cols, 1)
	target := make([]float32, batch)
	return &model[float32]{
		layout: mustLayout(net.tensors()...),
		theta:  make([]float32, cols+1),
		draw: func(_ []float32, t int) {
			rng := stream.New(seed, "batch", uint64(t))
			for i := range target {
				at := rng.IntN(rows)
				copy(net.h[0][i*cols:], x[at*cols:][:cols])
				target[i] = y[at]
			}
		},
		lossGrad: func(grad, theta []float32) float64 {
			loss := 0.0
			for i, z := range net.forward(theta) {
				z := float64(z)
				loss += max(z, 0) - z*float64(target[i]) + math.Log1p(math.Exp(-math.Abs(z)))
				net.d[1][i] = (float32(1/(1+math.Exp(-z))) - target[i]) / batch
			}
			net.backward(grad, theta, false)
			return loss / batch
		},
	}
}
