package main

import (
	"math"

	"learnedopt/internal/stream"
	"learnedopt/optimizer"
)

var factorization = program{
	name: "factorization", about: "matrix factorization: ratings of 200 items by 300 users, rank 8; a step sees few rows", steps: 1000, score: "mean RMSE",
	open: func(seed uint64, _ string) (trainable, error) { return factorize(seed), nil },
}

// factorize fits the rating of item j by user i with u_i·v_j + a_i + b_j + c to 6,000 noisy ratings, with minibatches of
// 128. Most rows of a step's gradient are 0.
func factorize(seed uint64) trainable {
	const users, items, rank, truth, ratings, batch = 300, 200, 8, 4, 6000, 128
	rng := stream.New(seed, "ratings", 0)
	normal := func(n int, deviation float64) []float64 {
		x := make([]float64, n)
		for i := range x {
			x[i] = deviation * rng.NormFloat64()
		}
		return x
	}
	trueU, trueV, trueA, trueB := normal(users*truth, 1/math.Sqrt2), normal(items*truth, 1/math.Sqrt2), normal(users, 0.3), normal(items, 0.5)
	type rating struct {
		user, item int
		value      float64
	}
	table := make([]rating, ratings)
	for k := range table {
		r := rating{user: rng.IntN(users), item: rng.IntN(items)}
		r.value = 0.5 + trueA[r.user] + trueB[r.item] + 0.2*rng.NormFloat64()
		for f := range truth {
			r.value += trueU[r.user*truth+f] * trueV[r.item*truth+f]
		}
		table[k] = r
	}
	// A table of rows that are looked up multiplies no inputs: its kind is Vector, not Matrix.
	layout := mustLayout(
		optimizer.Tensor{Name: "users", Shape: []int{users, rank}}, optimizer.Tensor{Name: "items", Shape: []int{items, rank}},
		optimizer.Tensor{Name: "user offsets", Shape: []int{users}}, optimizer.Tensor{Name: "item offsets", Shape: []int{items}},
		optimizer.Tensor{Name: "offset", Shape: []int{1}})
	theta := make([]float32, layout.Len())
	for i := range theta[:(users+items)*rank] {
		theta[i] = float32(0.1 * rng.NormFloat64())
	}
	// split returns the tensors within θ or within a gradient.
	split := func(x []float32) (u, v, a, b, c []float32) {
		u, x = x[:users*rank], x[users*rank:]
		v, x = x[:items*rank], x[items*rank:]
		return u, v, x[:users], x[users:][:items], x[users+items:]
	}
	drawn := make([]rating, batch)
	return &model[float32]{
		layout: layout,
		theta:  theta,
		draw: func(_ []float32, t int) {
			rng := stream.New(seed, "batch", uint64(t))
			for k := range drawn {
				drawn[k] = table[rng.IntN(ratings)]
			}
		},
		lossGrad: func(grad, theta []float32) float64 {
			clear(grad)
			u, v, a, b, c := split(theta)
			du, dv, da, db, dc := split(grad)
			loss := 0.0
			for _, r := range drawn {
				ui, vj := u[r.user*rank:][:rank], v[r.item*rank:][:rank]
				e := float64(a[r.user]+b[r.item]+c[0]) - r.value
				for f := range rank {
					e += float64(ui[f] * vj[f])
				}
				loss += e * e / batch
				d := float32(2 * e / batch)
				da[r.user] += d
				db[r.item] += d
				dc[0] += d
				for f := range rank {
					du[r.user*rank+f] += d * vj[f]
					dv[r.item*rank+f] += d * ui[f]
				}
			}
			return loss
		},
		score: math.Sqrt,
	}
}
