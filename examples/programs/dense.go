package main

import (
	"fmt"
	"math"
	"math/rand/v2"

	"learnedopt/internal/gemm"
	"learnedopt/optimizer"
)

// A dense is a multilayer perceptron for n rows of inputs: h_l = a(h_{l−1} W_l + b_l), the last layer without a. Its
// parameters are W_1 [in, out], b_1 [out], W_2, …
type dense struct {
	sizes []int
	tanh  bool // the activation a is tanh, else ReLU
	n     int
	h, d  [][]float32 // for each layer, its outputs and their adjoints, n rows; h[0] is the input
}

func newDense(n int, tanh bool, sizes ...int) *dense {
	d := &dense{sizes: sizes, tanh: tanh, n: n}
	for _, s := range sizes {
		d.h, d.d = append(d.h, make([]float32, n*s)), append(d.d, make([]float32, n*s))
	}
	return d
}

// tensors describes the parameters.
func (d *dense) tensors() []optimizer.Tensor {
	var all []optimizer.Tensor
	for l, in := range d.sizes[:len(d.sizes)-1] {
		out := d.sizes[l+1]
		all = append(all,
			optimizer.Tensor{Name: fmt.Sprintf("W%d", l+1), Shape: []int{in, out}, Kind: optimizer.Matrix, OutputAxis: 1},
			optimizer.Tensor{Name: fmt.Sprintf("b%d", l+1), Shape: []int{out}, Kind: optimizer.Bias})
	}
	return all
}

// mustLayout is NewLayout for tensors that are known to be valid.
func mustLayout(tensors ...optimizer.Tensor) optimizer.Layout {
	layout, err := optimizer.NewLayout(tensors...)
	if err != nil {
		panic(err)
	}
	return layout
}

// he draws weights N(0, 2/in); biases are 0.
func he(layout optimizer.Layout, rng *rand.Rand) []float32 {
	return weights(layout, rng, func(in, _ float64) float64 { return math.Sqrt(2/in) * rng.NormFloat64() })
}

// glorot draws weights U(−a, a) with a = √(6/(in + out)); biases are 0.
func glorot(layout optimizer.Layout, rng *rand.Rand) []float32 {
	return weights(layout, rng, func(in, out float64) float64 { return math.Sqrt(6/(in+out)) * (2*rng.Float64() - 1) })
}

func weights(layout optimizer.Layout, rng *rand.Rand, draw func(in, out float64) float64) []float32 {
	theta := make([]float32, layout.Len())
	for _, t := range layout.Tensors() {
		if t.Outputs() == 0 {
			continue
		}
		for i := range t.Len() {
			theta[t.From+i] = float32(draw(float64(t.Inputs()), float64(t.Outputs())))
		}
	}
	return theta
}

// layer returns W_l and b_l, l from 0, in θ or in a gradient.
func (d *dense) layer(theta []float32, l int) (w gemm.Matrix, b []float32) {
	for k := range l {
		theta = theta[(d.sizes[k]+1)*d.sizes[k+1]:]
	}
	in, out := d.sizes[l], d.sizes[l+1]
	return gemm.Of(theta[:in*out], in, out), theta[in*out:][:out]
}

// rows is a view of n rows.
func (d *dense) rows(x [][]float32, l int) gemm.Matrix { return gemm.Of(x[l], d.n, d.sizes[l]) }

// forward computes the outputs for the inputs d.h[0].
func (d *dense) forward(theta []float32) []float32 {
	last := len(d.sizes) - 1
	for l := range last {
		w, b := d.layer(theta, l)
		z := d.h[l+1]
		for i := 0; i < len(z); i += len(b) {
			copy(z[i:], b)
		}
		gemm.Default().Mul(d.rows(d.h, l+1), d.rows(d.h, l), w, true)
		if l+1 < last {
			d.activate(z)
		}
	}
	return d.h[last]
}

func (d *dense) activate(z []float32) {
	for i, v := range z {
		if d.tanh {
			z[i] = float32(math.Tanh(float64(v)))
		} else {
			z[i] = max(v, 0)
		}
	}
}

// backward writes the gradient, given the adjoint of the outputs in the last of d.d. If inputs is set, it also writes the
// adjoint of the inputs into the first.
func (d *dense) backward(grad, theta []float32, inputs bool) {
	for l := len(d.sizes) - 2; l >= 0; l-- {
		w, _ := d.layer(theta, l)
		dw, db := d.layer(grad, l)
		dz := d.d[l+1]
		gemm.Default().Mul(dw, d.rows(d.h, l).T(), d.rows(d.d, l+1), false)
		clear(db)
		for i := range dz {
			db[i%len(db)] += dz[i]
		}
		if l == 0 && !inputs {
			return
		}
		gemm.Default().Mul(d.rows(d.d, l), d.rows(d.d, l+1), w.T(), false)
		if l == 0 {
			return
		}
		for i, h := range d.h[l] {
			if d.tanh {
				d.d[l][i] *= 1 - h*h
			} else if h <= 0 {
				d.d[l][i] = 0
			}
		}
	}
}

// softmaxLoss writes the gradient in the logits, one row for each label, of the mean cross-entropy, and returns it.
func softmaxLoss(dz, z []float32, labels []int) float64 {
	n, loss := len(z)/len(labels), 0.0
	for i, label := range labels {
		row, d := z[i*n:][:n], dz[i*n:][:n]
		top, sum := row[0], 0.0
		for _, v := range row {
			top = max(top, v)
		}
		for _, v := range row {
			sum += math.Exp(float64(v - top))
		}
		loss += math.Log(sum) - float64(row[label]-top)
		for j, v := range row {
			d[j] = float32(math.Exp(float64(v-top)) / sum / float64(len(labels)))
		}
		d[label] -= float32(1 / float64(len(labels)))
	}
	return loss / float64(len(labels))
}
