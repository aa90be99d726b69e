// Package rnntest implements a small recurrent network in float64, window by window and without kernels. Tests compare package rnn
// with it.
package rnntest

import (
	"math"

	"learnedopt/internal/gemm/mlp/mlptest"
)

// A Network is the shape of a network, as rnn.Shape. θ has the same layout as in package rnn.
type Network struct{ Symbols, Units, Steps int }

// Size returns the number of coordinates of θ.
func (n Network) Size() int {
	return n.Symbols*n.Units + n.Units*n.Units + n.Units + n.Units*n.Symbols + n.Symbols
}

// offsets returns where W_h, b_h, W_o and b_o start.
func (n Network) offsets() (wh, bh, wo, bo int) {
	wh = n.Symbols * n.Units
	bh = wh + n.Units*n.Units
	wo = bh + n.Units
	return wh, bh, wo, wo + n.Units*n.Symbols
}

// forward returns h_t and z_t of one window.
func (n Network) forward(theta []float64, window []uint16) (h, z [][]float64) {
	wh, bh, wo, bo := n.offsets()
	before := make([]float64, n.Units)
	for t := range n.Steps {
		now := make([]float64, n.Units)
		for j := range now {
			sum := theta[bh+j] + theta[int(window[t])*n.Units+j]
			for i, x := range before {
				sum += x * theta[wh+i*n.Units+j]
			}
			now[j] = math.Tanh(sum)
		}
		out := make([]float64, n.Symbols)
		for k := range out {
			out[k] = theta[bo+k]
			for j, x := range now {
				out[k] += x * theta[wo+j*n.Symbols+k]
			}
		}
		h, z, before = append(h, now), append(z, out), now
	}
	return h, z
}

// Logits returns the z_t of one window.
func (n Network) Logits(theta []float64, window []uint16) [][]float64 {
	_, z := n.forward(theta, window)
	return z
}

// pull adds Σ_t J_tᵀδ_t of one window to grad.
func (n Network) pull(grad, theta []float64, h [][]float64, window []uint16, delta [][]float64) {
	wh, bh, wo, bo := n.offsets()
	later := make([]float64, n.Units) // ∂f/∂h_t by later steps
	for t := n.Steps - 1; t >= 0; t-- {
		da := make([]float64, n.Units)
		for j := range da {
			d := later[j]
			for k, e := range delta[t] {
				d += e * theta[wo+j*n.Symbols+k]
				grad[wo+j*n.Symbols+k] += e * h[t][j]
			}
			da[j] = d * (1 - h[t][j]*h[t][j])
			grad[bh+j] += da[j]
			grad[int(window[t])*n.Units+j] += da[j]
		}
		for k, e := range delta[t] {
			grad[bo+k] += e
		}
		clear(later)
		for i := range later {
			for j, d := range da {
				later[i] += d * theta[wh+i*n.Units+j]
				if t > 0 {
					grad[wh+i*n.Units+j] += d * h[t-1][i]
				}
			}
		}
	}
}

// LossGrad returns the mean cross-entropy over windows and steps, and its gradient.
func (n Network) LossGrad(theta []float64, windows [][]uint16) (loss float64, grad []float64) {
	grad = make([]float64, len(theta))
	scale := 1 / float64(len(windows)*n.Steps)
	for _, w := range windows {
		h, z := n.forward(theta, w)
		var delta [][]float64
		for t, out := range z {
			p, logsum := mlptest.Softmax(out)
			label := int(w[t+1])
			loss += scale * (logsum - out[label])
			p[label]--
			for k := range p {
				p[k] *= scale
			}
			delta = append(delta, p)
		}
		n.pull(grad, theta, h, w, delta)
	}
	return loss, grad
}

// Slope returns the derivative of the loss along v by central differences.
func (n Network) Slope(theta, v []float64, windows [][]uint16) float64 {
	step := mlptest.Step(theta, v)
	up, _ := n.LossGrad(mlptest.Moved(theta, v, step), windows)
	down, _ := n.LossGrad(mlptest.Moved(theta, v, -step), windows)
	return (up - down) / (2 * step)
}

// HessianVector returns ∇²f(θ)·v by central differences of gradients.
func (n Network) HessianVector(theta, v []float64, windows [][]uint16) []float64 {
	step := mlptest.Step(theta, v)
	_, up := n.LossGrad(mlptest.Moved(theta, v, step), windows)
	_, down := n.LossGrad(mlptest.Moved(theta, v, -step), windows)
	for i := range up {
		up[i] = (up[i] - down[i]) / (2 * step)
	}
	return up
}

// FisherVector returns 1/(B·T) Σ JᵀΛJ v, with J v by central differences of logits.
func (n Network) FisherVector(theta, v []float64, windows [][]uint16) []float64 {
	product, step := make([]float64, len(theta)), mlptest.Step(theta, v)
	for _, w := range windows {
		h, z := n.forward(theta, w)
		up, down := n.Logits(mlptest.Moved(theta, v, step), w), n.Logits(mlptest.Moved(theta, v, -step), w)
		var delta [][]float64
		for t := range z {
			r := make([]float64, n.Symbols)
			for k := range r {
				r[k] = (up[t][k] - down[t][k]) / (2 * step)
			}
			delta = append(delta, mlptest.Lambda(z[t], r, len(windows)*n.Steps))
		}
		n.pull(product, theta, h, w, delta)
	}
	return product
}
