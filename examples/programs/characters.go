package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"learnedopt/internal/gemm"
	"learnedopt/internal/stream"
	"learnedopt/optimizer"
)

var characters = program{
	name: "characters", about: "a recurrent net of 64 tanh units from Glorot's start that spells sums, 32 characters at a time, minibatches of 32", steps: 400,
	open: func(seed uint64, _ string) (trainable, error) { return recurrent(seed), nil },
}

// sums returns a text of random sums in words, such as "seventeen and forty-two are fifty-nine.".
func sums(rng *rand.Rand, length int) string {
	ones := strings.Fields("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen")
	tens := strings.Fields("twenty thirty forty fifty sixty seventy eighty ninety")
	var spell func(n int) string
	spell = func(n int) string {
		switch {
		case n < 20:
			return ones[n]
		case n >= 100:
			return "a hundred and " + spell(n-100)
		case n%10 == 0:
			return tens[n/10-2]
		}
		return tens[n/10-2] + "-" + ones[n%10]
	}
	var b strings.Builder
	for b.Len() < length {
		x, y := rng.IntN(100), rng.IntN(100)
		fmt.Fprintf(&b, "%s and %s are %s.\n", spell(x), spell(y), spell(x+y))
	}
	return b.String()
}

// recurrent predicts the next character of a text of 100,000: h_t = tanh(W_x[x_t] + h_{t−1} W_h + b), z_t = h_t W_o + c. The gradient goes
// back through all 32 characters of a window.
func recurrent(seed uint64) trainable {
	const batch, window, units = 32, 32, 64
	text := sums(stream.New(seed, "text", 0), 100_000)
	alphabet := "\n -.abcdefghijklmnopqrstuvwxyz"
	symbols := len(alphabet)
	layout := mustLayout(
		optimizer.Tensor{Name: "Wx", Shape: []int{symbols, units}, Kind: optimizer.Matrix, OutputAxis: 1},
		optimizer.Tensor{Name: "Wh", Shape: []int{units, units}, Kind: optimizer.Matrix, OutputAxis: 1},
		optimizer.Tensor{Name: "b", Shape: []int{units}, Kind: optimizer.Bias},
		optimizer.Tensor{Name: "Wo", Shape: []int{units, symbols}, Kind: optimizer.Matrix, OutputAxis: 1},
		optimizer.Tensor{Name: "c", Shape: []int{symbols}, Kind: optimizer.Bias})
	// split returns the tensors within θ or within a gradient.
	split := func(x []float32) (all [5][]float32) {
		for i, t := range layout.Tensors() {
			all[i] = x[t.From:][:t.Len()]
		}
		return all
	}
	hidden := func(x []float32) gemm.Matrix { return gemm.Of(x, len(x)/units, units) }
	outputs := func(x []float32) gemm.Matrix { return gemm.Of(x, len(x)/symbols, symbols) }
	mul := gemm.Default().Mul
	// Rows of step t are those of windows t·batch … t·batch + batch − 1.
	rows := batch * window
	read, next := make([]int, rows), make([]int, rows)
	h, dh := make([]float32, rows*units), make([]float32, rows*units)
	z, dz := make([]float32, rows*symbols), make([]float32, rows*symbols)
	at := func(x []float32, t int) []float32 { return x[t*batch*units:][:batch*units] }
	return &model[float32]{
		layout: layout,
		theta:  glorot(layout, stream.New(seed, "start", 0)),
		draw: func(_ []float32, t int) {
			rng := stream.New(seed, "batch", uint64(t))
			for i := range batch {
				from := rng.IntN(len(text) - window)
				for t := range window {
					read[t*batch+i] = strings.IndexByte(alphabet, text[from+t])
					next[t*batch+i] = strings.IndexByte(alphabet, text[from+t+1])
				}
			}
		},
		lossGrad: func(grad, theta []float32) float64 {
			p, g := split(theta), split(grad)
			wx, wh, b, wo, c := p[0], hidden(p[1]), p[2], outputs(p[3]), p[4]
			for i, x := range read {
				for j := range units {
					h[i*units+j] = wx[x*units+j] + b[j]
				}
				copy(z[i*symbols:], c)
			}
			for t := range window {
				now := at(h, t)
				if t > 0 {
					mul(hidden(now), hidden(at(h, t-1)), wh, true)
				}
				for i, a := range now {
					now[i] = float32(math.Tanh(float64(a)))
				}
			}
			mul(outputs(z), hidden(h), wo, true)
			loss := softmaxLoss(dz, z, next)

			clear(grad)
			mul(outputs(g[3]), hidden(h).T(), outputs(dz), false)
			mul(hidden(dh), outputs(dz), wo.T(), false)
			for t := window - 1; t >= 0; t-- {
				da := at(dh, t)
				for i, a := range at(h, t) {
					da[i] *= 1 - a*a
				}
				if t > 0 {
					mul(hidden(at(dh, t-1)), hidden(da), wh.T(), true)
				}
			}
			before, after := h[:len(h)-batch*units], dh[batch*units:]
			mul(hidden(g[1]), hidden(before).T(), hidden(after), false)
			for i, x := range read {
				for j, d := range dh[i*units:][:units] {
					g[0][x*units+j] += d
					g[2][j] += d
				}
				for k, d := range dz[i*symbols:][:symbols] {
					g[4][k] += d
				}
			}
			return loss
		},
	}
}
