// Package mlp multiplies the curvature of multilayer perceptrons with vectors, exactly
// and for little more than the cost of a gradient.
//
// A network with L hidden layers maps a minibatch x of B rows to logits z,
//
//	h_0 = x,   z_l = h_{l−1} W_l + b_l,   h_l = a(z_l),   z = z_{L+1},
//	f(θ) = mean over rows of −Σ_j y_j log softmax(z)_j,
//
// with labels y whose rows have sum 1. θ holds the W (inputs×outputs, row-major) and then
// the b of each layer, layer after layer. L = 0 is softmax regression.
package mlp

import (
	"math"

	"learnedopt/internal/gemm"
)

// Panics after a caller's mistake.
const (
	errShape  = "mlp: New: a network needs two positive widths and a positive batch"
	errPoint  = "mlp: Move: wrong length of theta, x or y"
	errVector = "mlp: product: wrong length of a vector"
)

// A Curvature computes curvature products of networks of one shape. Move sets the point;
// any number of products at that point may follow. A Curvature allocates no memory after New
// and belongs to one goroutine. All sums are in a fixed order on that
// goroutine, so that the bits depend on the kernels' path alone.
type Curvature struct {
	batch      int
	activation Activation
	kernel     *gemm.Kernel
	layers     []layer
	squared    bool // the loss is the squared error, not the cross-entropy
	// The point that Move set.
	theta, x []float32
	p        []float64 // softmax(z), B×C
	loss     float64   // f(θ)
}

// A layer holds the arrays of one layer, with B×out elements each.
type layer struct {
	in, out int
	weights int // index in θ where W starts; b follows it
	// At the point: h, and for hidden layers a'(z) and ∂f/∂h ∘ a''(z).
	h, slope, bend []float32
	delta          []float32 // ∂f/∂z
	// For the direction v: the derivatives of z, h and ∂f/∂z along v.
	rz, rh, rdelta []float32
}

// NewSquared is New for regressions, with labels y of B×C numbers and the loss
//
//	f(θ) = mean over rows of Σ_j (z_j − y_j)².
//
// Fisher is then of predictions with independent errors of variance ½, Λ_i = 2·I: the generalized Gauss-Newton matrix.
func NewSquared(widths []int, a Activation, batch int) *Curvature {
	c := New(widths, a, batch)
	c.squared = true
	return c
}

// New returns the curvature of networks of the given widths F, H_1, …, H_L, C on
// minibatches of B examples.
func New(widths []int, a Activation, batch int) *Curvature {
	if len(widths) < 2 || batch < 1 {
		panic(errShape)
	}
	c := &Curvature{batch: batch, activation: a, kernel: gemm.Default()}
	at := 0
	for l, in := range widths[:len(widths)-1] {
		out := widths[l+1]
		if in < 1 || out < 1 {
			panic(errShape)
		}
		y := layer{in: in, out: out, weights: at}
		for _, p := range []*[]float32{&y.h, &y.delta, &y.rz, &y.rdelta} {
			*p = make([]float32, batch*out)
		}
		if l < len(widths)-2 {
			for _, p := range []*[]float32{&y.slope, &y.bend, &y.rh} {
				*p = make([]float32, batch*out)
			}
		}
		c.layers = append(c.layers, y)
		at += in*out + out
	}
	c.theta = make([]float32, at)
	c.p = make([]float64, batch*widths[len(widths)-1])
	return c
}

// Theta returns the parameters of the last Move; before the first Move they are 0. They must not be changed.
func (c *Curvature) Theta() []float32 { return c.theta }

// Move sets the point of the products that follow: θ and the minibatch x (B×F) with labels y (B×C). It takes one forward
// pass, and one backward pass without gradients of the weights. theta is
// copied. x is not copied: products read it, so it must keep its numbers.
func (c *Curvature) Move(theta, x, y []float32) {
	last := &c.layers[len(c.layers)-1]
	if len(theta) != len(c.theta) || len(x) != c.batch*c.layers[0].in || len(y) != c.batch*last.out {
		panic(errPoint)
	}
	copy(c.theta, theta)
	c.x = x
	c.forward(c.theta, x, func(k *layer) { c.activation.Derivatives(k.slope, k.bend, k.h) })
	scale := 1 / float64(c.batch)
	c.loss = 0
	for at := 0; at < len(c.p); at += last.out {
		if c.squared {
			for j := at; j < at+last.out; j++ {
				e := float64(last.h[j]) - float64(y[j])
				c.loss += scale * e * e
				last.delta[j] = float32(2 * scale * e)
			}
			continue
		}
		p := c.p[at : at+last.out]
		sum, top := Exponentials(p, last.h[at:at+last.out])
		log := math.Log(sum) + float64(top)
		for j := range p {
			p[j] /= sum
			c.loss += scale * float64(y[at+j]) * (log - float64(last.h[at+j]))
			last.delta[at+j] = float32(scale * (p[j] - float64(y[at+j])))
		}
	}
	for l := len(c.layers) - 1; l > 0; l-- {
		k, below := &c.layers[l], &c.layers[l-1]
		c.kernel.Mul(c.rows(below.delta, k.in), c.rows(k.delta, k.out), k.matrix(c.theta).T(), false)
		for i, d := range below.delta { // ∂f/∂h
			below.bend[i] *= d
			below.delta[i] = d * below.slope[i]
		}
	}
}

// Loss returns f(θ).
func (c *Curvature) Loss() float64 { return c.loss }

// Gradient writes ∇f(θ) into dst. It takes the backward pass of the weights that Move leaves out.
func (c *Curvature) Gradient(dst []float32) {
	if len(dst) != len(c.theta) {
		panic(errVector)
	}
	for l := range c.layers {
		k := &c.layers[l]
		c.pull(dst, c.below(l), k.delta, k)
	}
}

// forward computes the outputs of all layers. derivatives, if set, is called of each hidden layer with what the derivatives of its activation follow
// from.
func (c *Curvature) forward(theta, x []float32, derivatives func(k *layer)) {
	h := x
	for l := range c.layers {
		k := &c.layers[l]
		c.affine(k.h, h, theta, k)
		if h = k.h; l == len(c.layers)-1 {
			return
		}
		if derivatives != nil && c.activation.OfInput {
			derivatives(k)
		}
		c.activation.Apply(k.h)
		if derivatives != nil && !c.activation.OfInput {
			derivatives(k)
		}
	}
}

// Hessian writes ∇²f(θ)·v into dst by differentiating the gradient's forward and backward
// pass along v (Pearlmutter 1994, the R-operator). dst may be v.
func (c *Curvature) Hessian(dst, v []float32) { c.product(dst, v, true) }

// Fisher writes F·v into dst, with the exact Fisher information of the network's predictions,
//
//	F = 1/B Σ_i J_iᵀ Λ_i J_i,   J_i = ∂z_i/∂θ,   Λ_i = diag(p_i) − p_i p_iᵀ,   p_i = softmax(z_i),
//
// which is also the generalized Gauss-Newton matrix of f. The product is computed as J v by a forward pass, Λ at the logits,
// and Jᵀ by the gradient's backward pass (Schraudolph 2002; Martens 2020, arXiv:1412.1193). F does not
// depend on the labels. dst may be v.
func (c *Curvature) Fisher(dst, v []float32) { c.product(dst, v, false) }

// product computes Hessian or Fisher. Fisher is the Hessian without the terms that have ∂f/∂z or
// ∂f/∂h as a factor.
func (c *Curvature) product(dst, v []float32, hessian bool) {
	c.forwardAlong(dst, v)
	c.timesLambda()
	c.backwardAlong(dst, v, hessian)
}

// forwardAlong computes the derivatives of all outputs along v.
func (c *Curvature) forwardAlong(dst, v []float32) {
	if len(dst) != len(c.theta) || len(v) != len(c.theta) {
		panic(errVector)
	}
	for l := range c.layers {
		k := &c.layers[l]
		c.affine(k.rz, c.below(l), v, k)
		if l > 0 {
			c.kernel.Mul(c.rows(k.rz, k.out), c.rows(c.layers[l-1].rh, k.in), k.matrix(c.theta), true)
		}
		for i, s := range k.slope {
			k.rh[i] = s * k.rz[i]
		}
	}
}

// timesLambda multiplies the derivatives of the outputs along v by Λ/B.
func (c *Curvature) timesLambda() {
	last := &c.layers[len(c.layers)-1]
	scale := 1 / float64(c.batch)
	for at := 0; at < len(c.p); at += last.out {
		p, rz, mean := c.p[at:at+last.out], last.rz[at:at+last.out], 0.0
		if c.squared {
			for j, r := range rz {
				last.rdelta[at+j] = float32(2 * scale * float64(r))
			}
			continue
		}
		for j, r := range rz {
			mean += p[j] * float64(r)
		}
		for j, r := range rz {
			last.rdelta[at+j] = float32(scale * p[j] * (float64(r) - mean))
		}
	}
}

// backwardAlong pulls them back to θ.
func (c *Curvature) backwardAlong(dst, v []float32, hessian bool) {
	// A layer's part of v is read for the last time before the same part of dst is written.
	for l := len(c.layers) - 1; l >= 0; l-- {
		k := &c.layers[l]
		delta, rdelta := c.rows(k.delta, k.out), c.rows(k.rdelta, k.out)
		if l > 0 {
			below := &c.layers[l-1]
			rh := c.rows(below.rdelta, k.in)
			c.kernel.Mul(rh, rdelta, k.matrix(c.theta).T(), false)
			if hessian {
				c.kernel.Mul(rh, delta, k.matrix(v).T(), true)
			}
			for i, s := range below.slope {
				below.rdelta[i] *= s
			}
			if hessian {
				for i, b := range below.bend {
					below.rdelta[i] += b * below.rz[i]
				}
			}
		}
		c.pull(dst, c.below(l), k.rdelta, k)
		if hessian && l > 0 {
			c.kernel.Mul(k.matrix(dst), c.rows(c.layers[l-1].rh, k.in).T(), delta, true)
		}
	}
}

// pull writes the gradient of layer k's W and b into dst, given the layer's input h and the adjoint of its z.
func (c *Curvature) pull(dst, h, delta []float32, k *layer) {
	c.kernel.Mul(k.matrix(dst), c.rows(h, k.in).T(), c.rows(delta, k.out), false)
	bias := k.bias(dst)
	clear(bias)
	for at := 0; at < len(delta); at += k.out {
		for j, d := range delta[at : at+k.out] {
			bias[j] += d
		}
	}
}

// below returns the input h_{l−1} of layer l, which is x for the first layer. The index counts layers from 0.
func (c *Curvature) below(l int) []float32 {
	if l == 0 {
		return c.x
	}
	return c.layers[l-1].h
}

// affine writes h W + b into out, with the W and b that layer k has in params.
func (c *Curvature) affine(out, h, params []float32, k *layer) {
	bias := k.bias(params)
	for at := 0; at < len(out); at += k.out {
		copy(out[at:], bias)
	}
	c.kernel.Mul(c.rows(out, k.out), c.rows(h, k.in), k.matrix(params), true)
}

// rows returns data as a matrix of B rows.
func (c *Curvature) rows(data []float32, cols int) gemm.Matrix { return gemm.Of(data, c.batch, cols) }

// matrix returns the layer's W in params.
func (k *layer) matrix(params []float32) gemm.Matrix {
	return gemm.Of(params[k.weights:k.weights+k.in*k.out], k.in, k.out)
}

// bias returns the layer's b in params.
func (k *layer) bias(params []float32) []float32 {
	at := k.weights + k.in*k.out
	return params[at : at+k.out]
}
