// Package conv computes losses, gradients and curvature products of small convolutional classifiers, on the matrix products of
// package gemm.
//
// A network with L convolutional layers maps images x of C_0 channels to logits z,
//
//	h_0 = x,   h_l = a(pool(h_{l−1} ∗ K_l) + b_l),   z = h_L W + c,
//	f(θ) = mean over a minibatch of B images of −Σ_j y_j log softmax(z)_j,
//
// with labels y whose rows have sum 1. K_l is a 3×3 kernel; ∗ is the product that neural networks call a convolution, with
// stride 1 and a border of zeros one pixel wide:
//
//	(h ∗ K)[i, j, o] = Σ_{u,v,c} h[i+u−1, j+v−1, c] K[u, v, c, o].
//
// pool takes the maximum over squares of two by two pixels, and leaves out the last row or column of an odd number, as PyTorch does. Maxima are
// more usual in small image classifiers than means, and cheaper: the bias and the activation a come after the maximum,
// on a quarter of the pixels. For an increasing a the network is the same function as in the usual order,
// pool(a(h ∗ K + b)). For gelu and silu, which decrease below −0.7 and −1.3, it is another function.
//
// θ holds K_1, b_1, …, K_L, b_L, W, c one after the other. K has the shape 3 × 3 × inputs × outputs and W the shape
// inputs × outputs, row-major, as in flax; h_L is flattened with the channels last. An image of x is C_0 planes of Rows×Cols numbers.
package conv

import (
	"math"

	"learnedopt/internal/gemm"
	"learnedopt/internal/gemm/mlp"
)

// A Network computes with networks of one shape on minibatches of B images. It allocates all its memory at the first
// use of each method and belongs to one goroutine. All sums are in a fixed order on that goroutine, so that the bits
// depend on the kernels' path alone.
type Network struct {
	shape      Shape
	batch      int
	activation mlp.Activation
	kernel     *gemm.Kernel
	layers     []layer
	dense      dense
	scratch    []float32 // a convolution of one image
	// The point, which Move or LossGrad sets.
	theta []float32
	set   bool
	// bent says that the layers' slope and bend belong to the point.
	bent bool
}

// A layer holds the arrays of one convolutional layer.
type layer struct {
	Layer
	at       int       // index in θ where K starts; b follows it
	x        []float32 // raster of the inputs
	flipped  []float32 // K for the backward pass, nil in the first layer
	h        []float32 // outputs, B × features
	z        []float32 // what a is applied to, if its derivatives need that; B × features
	winner   []int32   // where the maxima are in an image's convolution, B × features
	dh, dz   []float32 // ∂f/∂h, and ∂f/∂ of what a is applied to; B × features
	delta    []float32 // dz in a raster of one image
	gradient sum       // ∂f/∂K, or a product's part for K
	direction
}

// dense holds the arrays of the last layer.
type dense struct {
	in, out int
	at      int       // index in θ where W starts; c follows it
	z, dz   []float32 // logits and ∂f/∂z, B × out
	p       []float64 // softmax(z), B × out
	// For a direction: the derivatives of z and of dz.
	rz, rdz []float32
}

// New returns a network for minibatches of batch images. It panics if the shape is not valid or batch is not positive.
func New(s Shape, a mlp.Activation, batch int) *Network {
	if err := s.Validate(); err != nil {
		panic(err.Error())
	}
	if batch < 1 {
		panic(errBatch)
	}
	n := &Network{shape: s, batch: batch, activation: a, kernel: gemm.Default(), theta: make([]float32, s.Size())}
	at, largest := 0, 0
	for l, k := range s.Layers() {
		f := batch * k.features()
		y := layer{Layer: k, at: at, x: k.raster(batch, k.Inputs), h: make([]float32, f), winner: make([]int32, f)}
		if a.OfInput {
			y.z = make([]float32, f)
		}
		if l > 0 {
			y.flipped = make([]float32, k.weights())
		}
		n.layers = append(n.layers, y)
		at += k.weights() + k.Outputs
		largest = max(largest, k.image()*max(k.Inputs, k.Outputs))
	}
	n.scratch = make([]float32, largest)
	n.dense = dense{in: s.Features(), out: s.Classes, at: at, z: make([]float32, batch*s.Classes)}
	return n
}

// Shape returns the network's shape.
func (n *Network) Shape() Shape { return n.shape }

// Theta returns the parameters of the last Move or LossGrad; before the first they are 0. They must not be changed.
func (n *Network) Theta() []float32 { return n.theta }

// Logits computes the logits of up to B images x, and returns them: one row for each image. The next call
// overwrites them. It unsets the point.
func (n *Network) Logits(theta, x []float32) []float32 {
	pixels := n.shape.Channels * n.shape.Rows * n.shape.Cols
	images := len(x) / pixels
	if len(theta) != len(n.theta) || len(x) != images*pixels || images > n.batch {
		panic(errPoint)
	}
	n.set = false
	n.forward(theta, x, images)
	return n.dense.z[:images*n.dense.out]
}

// LossGrad returns f(θ) on the minibatch x with labels y (B × classes), and writes ∇f(θ) into grad. It sets the point of
// products, as Move does.
func (n *Network) LossGrad(grad, theta, x, y []float32) float64 {
	if len(grad) != len(n.theta) {
		panic(errPoint)
	}
	return n.move(grad, theta, x, y)
}

// Move sets the point of the products that follow. It costs a LossGrad without the gradients of the weights. theta, x and y
// are not kept.
func (n *Network) Move(theta, x, y []float32) { n.move(nil, theta, x, y) }

func (n *Network) move(grad, theta, x, y []float32) float64 {
	if len(theta) != len(n.theta) || len(x) != n.batch*n.shape.Channels*n.shape.Rows*n.shape.Cols || len(y) != n.batch*n.dense.out {
		panic(errPoint)
	}
	n.prepare()
	n.bent = false
	copy(n.theta, theta)
	n.forward(theta, x, n.batch)
	loss := n.crossEntropy(y)
	n.backward(grad)
	n.set = true
	return loss
}

// prepare makes the arrays of the backward pass.
func (n *Network) prepare() {
	if n.dense.p != nil {
		return
	}
	n.dense.p, n.dense.dz = make([]float64, len(n.dense.z)), make([]float32, len(n.dense.z))
	for l := range n.layers {
		k := &n.layers[l]
		k.dh, k.dz = make([]float32, len(k.h)), make([]float32, len(k.h))
		k.delta, k.gradient = k.raster(1, k.Outputs), newSum(k.Layer)
	}
}

// forward computes the logits of a number of images.
func (n *Network) forward(theta, x []float32, images int) {
	first := &n.layers[0]
	pixels := len(x) / images
	for i := range images {
		first.putPlanes(first.x, x[i*pixels:(i+1)*pixels], i)
	}
	for l := range n.layers {
		k := &n.layers[l]
		f := k.features()
		for i := range images {
			k.convolve(n.kernel, n.scratch, k.x[i*k.image()*k.Inputs:], k.kernel(theta), k.Inputs, k.Outputs, false)
			k.pool(k.h[i*f:(i+1)*f], k.winner[i*f:(i+1)*f], n.scratch)
		}
		h := k.h[:images*f]
		addRows(h, k.bias(theta))
		copy(k.z, h)
		n.activation.Apply(h)
		if l+1 < len(n.layers) {
			next := &n.layers[l+1]
			for i := range images {
				next.put(next.x, h[i*f:(i+1)*f], i, k.Outputs)
			}
		}
	}
	n.dense.affine(n.kernel, n.dense.z[:images*n.dense.out], n.last().h[:images*n.dense.in], theta)
}

// crossEntropy returns the loss of the logits, and sets p and the dense layer's dz.
func (n *Network) crossEntropy(y []float32) (loss float64) {
	d, scale := &n.dense, 1/float64(n.batch)
	for at := 0; at < len(d.z); at += d.out {
		z, p, y := d.z[at:at+d.out], d.p[at:at+d.out], y[at:at+d.out]
		sum, top := mlp.Exponentials(p, z)
		logsum := math.Log(sum) + float64(top)
		for j := range p {
			p[j] /= sum
			if y[j] != 0 {
				loss += float64(y[j]) * (logsum - float64(z[j]))
			}
			d.dz[at+j] = float32(scale * (p[j] - float64(y[j])))
		}
	}
	return loss * scale
}

// backward computes the derivatives of f with respect to all activations and, unless grad is nil, the gradient.
func (n *Network) backward(grad []float32) {
	d, last := &n.dense, n.last()
	if grad != nil {
		d.pull(n.kernel, grad, last.h, d.dz, false)
		sumRows(d.bias(grad), d.dz)
	}
	n.kernel.Mul(gemm.Of(last.dh, n.batch, d.in), gemm.Of(d.dz, n.batch, d.out), d.matrix(n.theta).T(), false)
	for l := len(n.layers) - 1; l >= 0; l-- {
		k := &n.layers[l]
		n.activation.Slope(k.dz, k.kept(), k.dh)
		if l > 0 {
			k.flip(k.flipped, k.kernel(n.theta))
		} else if grad == nil {
			return
		}
		f := k.features()
		for i := range n.batch {
			k.spread(k.delta, k.dz[i*f:(i+1)*f], k.winner[i*f:(i+1)*f])
			if grad != nil {
				k.gradient.add(n.kernel, k.x[i*k.image()*k.Inputs:], k.delta)
			}
			if l > 0 {
				below := &n.layers[l-1]
				k.convolve(n.kernel, n.scratch, k.delta, k.flipped, k.Outputs, k.Inputs, false)
				k.get(below.dh[i*below.features():][:below.features()], n.scratch)
			}
		}
		if grad != nil {
			k.gradient.write(k.kernel(grad))
			sumRows(k.bias(grad), k.dz)
		}
	}
}

func (n *Network) last() *layer { return &n.layers[len(n.layers)-1] }

// kept returns the numbers from which the derivatives of a follow.
func (k *layer) kept() []float32 {
	if k.z != nil {
		return k.z
	}
	return k.h
}

// kernel returns the layer's K in params.
func (k *layer) kernel(params []float32) []float32 { return params[k.at : k.at+k.weights()] }

// bias returns the layer's b in params.
func (k *layer) bias(params []float32) []float32 {
	at := k.at + k.weights()
	return params[at : at+k.Outputs]
}

// matrix returns W in params.
func (d *dense) matrix(params []float32) gemm.Matrix {
	return gemm.Of(params[d.at:d.at+d.in*d.out], d.in, d.out)
}

// bias returns c in params.
func (d *dense) bias(params []float32) []float32 { return params[d.at+d.in*d.out:] }

// affine writes h W + c into z, with the W and c of params.
func (d *dense) affine(g *gemm.Kernel, z, h, params []float32) {
	c := d.bias(params)
	for at := 0; at < len(z); at += d.out {
		copy(z[at:], c)
	}
	rows := len(z) / d.out
	g.Mul(gemm.Of(z, rows, d.out), gemm.Of(h, rows, d.in), d.matrix(params), true)
}

// pull writes hᵀ dz into the W of grad, or adds it.
func (d *dense) pull(g *gemm.Kernel, grad, h, dz []float32, acc bool) {
	rows := len(dz) / d.out
	g.Mul(d.matrix(grad), gemm.Of(h, rows, d.in).T(), gemm.Of(dz, rows, d.out), acc)
}

// addRows adds b to each row of x.
func addRows(x, b []float32) {
	for len(x) > 0 {
		row := x[:len(b)]
		for j, v := range b {
			row[j] += v
		}
		x = x[len(b):]
	}
}
