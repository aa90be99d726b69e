// Package rnn computes losses, gradients and curvature products of small recurrent networks that predict the next symbol of a
// sequence, on the matrix products of package gemm.
//
// A network reads a window of T+1 symbols x_0 … x_T out of V, of which it sees T one after the other (Elman 1990):
//
//	h_t = tanh(W_x[x_t] + h_{t−1} W_h + b_h),   h_{−1} = 0,   z_t = h_t W_o + b_o,   t = 0 … T−1,
//	f(θ) = mean over windows and steps of −log softmax(z_t)[x_{t+1}].
//
// W_x[k] is row k of W_x, the product of W_x with a vector that has a 1 at k. The gradient is exact: backpropagation through all T steps
// (Werbos 1990).
//
// θ holds W_x (V×H), W_h (H×H), b_h, W_o (H×V) and b_o one after the other, row-major. A minibatch is B windows, one after the
// other.
package rnn

import (
	"math"

	"learnedopt/internal/gemm"
	"learnedopt/internal/gemm/mlp"
)

// A Network computes with networks of one shape on minibatches of B windows. It allocates all its memory at the first
// use of each method and belongs to one goroutine. All sums are in a fixed order on that goroutine, so that the bits
// depend on the kernels' path alone.
type Network struct {
	shape  Shape
	batch  int
	kernel *gemm.Kernel
	tanh   mlp.Activation
	// Arrays of all steps, T×B×H: h_t, ∂f/∂h_t, and ∂f/∂ of what tanh is applied to.
	h, dh, da []float32
	// Of one step, B×V: the logits and ∂f/∂z. Of one row, V.
	z, dz []float32
	row   []float64
	point
}

// New returns a network for minibatches of batch windows. It panics if the shape is not valid or batch is not positive.
func New(s Shape, batch int) *Network {
	if err := s.Validate(); err != nil {
		panic(err.Error())
	}
	if batch < 1 {
		panic(errBatch)
	}
	tanh, _ := mlp.ActivationOf("tanh")
	return &Network{
		shape: s, batch: batch, kernel: gemm.Default(), tanh: tanh,
		h: make([]float32, s.Steps*batch*s.Units), z: make([]float32, batch*s.Symbols), row: make([]float64, s.Symbols),
	}
}

// LossGrad returns f(θ) on the minibatch text, B·(T+1) symbols, and writes ∇f(θ) into grad. It unsets the point of products.
func (n *Network) LossGrad(grad, theta []float32, text []uint16) float64 {
	if len(grad) != n.shape.Size() {
		panic(errPoint)
	}
	n.check(theta, text)
	n.set = false
	n.prepare()
	p, g := n.shape.split(theta), n.shape.split(grad)
	n.forward(p, text, n.batch)
	clear(g.wo)
	clear(g.bo)
	loss := 0.0
	for t := range n.shape.Steps {
		n.logits(n.z, p, t, n.batch)
		loss += n.crossEntropy(n.dz, nil, n.z, text, t)
		n.pullOutputs(g, p, n.at(n.dh, t), n.at(n.h, t), n.dz)
	}
	n.backward(p)
	n.gradient(g, n.da, text)
	return loss / float64(n.batch*n.shape.Steps)
}

// Evaluate returns the sum of −log softmax(z_t)[x_{t+1}] over all windows and steps of text, which holds up to B windows, and the number of
// symbols that were the most probable ones. Of equally probable symbols the first counts. It unsets the point of products.
func (n *Network) Evaluate(theta []float32, text []uint16) (loss float64, correct int) {
	s := n.shape
	windows := len(text) / (s.Steps + 1)
	if len(theta) != s.Size() || len(text) != windows*(s.Steps+1) || windows > n.batch {
		panic(errPoint)
	}
	n.set = false
	p := s.split(theta)
	n.forward(p, text, windows)
	for t := range s.Steps {
		z := n.z[:windows*s.Symbols]
		n.logits(z, p, t, windows)
		for i := range windows {
			row, label := z[i*s.Symbols:][:s.Symbols], int(text[i*(s.Steps+1)+t+1])
			sum, top := mlp.Exponentials(n.row, row)
			loss += math.Log(sum) + float64(top) - float64(row[label])
			best := 0
			for j, v := range row {
				if v > row[best] {
					best = j
				}
			}
			if best == label {
				correct++
			}
		}
	}
	return loss, correct
}

func (n *Network) check(theta []float32, text []uint16) {
	if len(theta) != n.shape.Size() || len(text) != n.batch*(n.shape.Steps+1) {
		panic(errPoint)
	}
}

// prepare makes the arrays of the backward pass.
func (n *Network) prepare() {
	if n.dh == nil {
		n.dh, n.da, n.dz = make([]float32, len(n.h)), make([]float32, len(n.h)), make([]float32, len(n.z))
	}
}

// at returns the part of step t of an array of all steps.
func (n *Network) at(x []float32, t int) []float32 {
	size := len(x) / n.shape.Steps
	return x[t*size:][:size]
}

// forward computes the h of a number of windows. The h of step t are at the beginning of its part.
func (n *Network) forward(p params, text []uint16, windows int) {
	for t := range n.shape.Steps {
		h := n.at(n.h, t)[:windows*n.shape.Units]
		n.lookUp(h, p, text, t)
		if t > 0 {
			n.kernel.Mul(n.units(h), n.units(n.at(n.h, t-1)[:len(h)]), n.recurrent(p.wh), true)
		}
		n.tanh.Apply(h)
	}
}

// lookUp writes W_x[x_t] + b_h, one row for each window.
func (n *Network) lookUp(dst []float32, p params, text []uint16, t int) {
	units := n.shape.Units
	for i := 0; i*units < len(dst); i++ {
		x := int(text[i*(n.shape.Steps+1)+t])
		if x >= n.shape.Symbols || int(text[i*(n.shape.Steps+1)+t+1]) >= n.shape.Symbols {
			panic(errSymbol)
		}
		row := dst[i*units:][:units]
		for j, w := range p.wx[x*units:][:units] {
			row[j] = w + p.bh[j]
		}
	}
}

// logits writes h_t W_o + b_o of a number of windows.
func (n *Network) logits(z []float32, p params, t, windows int) {
	for at := 0; at < len(z); at += len(p.bo) {
		copy(z[at:], p.bo)
	}
	n.kernel.Mul(n.symbols(z), n.units(n.at(n.h, t)[:windows*n.shape.Units]), n.readOut(p.wo), true)
}

// crossEntropy returns the sum of the losses of step t, writes ∂f/∂z into dz and, unless it is nil, the softmax into p.
func (n *Network) crossEntropy(dz, p, z []float32, text []uint16, t int) (loss float64) {
	scale := 1 / float64(n.batch*n.shape.Steps)
	for i := range n.batch {
		at, label := i*n.shape.Symbols, int(text[i*(n.shape.Steps+1)+t+1])
		row, d := z[at:][:n.shape.Symbols], dz[at:][:n.shape.Symbols]
		sum, top := mlp.Exponentials(n.row, row)
		loss += math.Log(sum) + float64(top) - float64(row[label])
		for j, e := range n.row {
			d[j] = float32(scale * e / sum)
		}
		if p != nil {
			for j, e := range n.row {
				p[at+j] = float32(e / sum)
			}
		}
		d[label] = float32(scale * (n.row[label]/sum - 1))
	}
	return loss
}

// pullOutputs adds what one step contributes to the gradient of W_o and b_o, and writes what it contributes to ∂f/∂h_t.
func (n *Network) pullOutputs(g, p params, dh, h, dz []float32) {
	n.kernel.Mul(n.readOut(g.wo), n.units(h).T(), n.symbols(dz), true)
	addRows(g.bo, dz)
	n.kernel.Mul(n.units(dh), n.symbols(dz), n.readOut(p.wo).T(), false)
}

// backward adds to ∂f/∂h_t what later steps contribute, and computes da.
func (n *Network) backward(p params) {
	for t := n.shape.Steps - 1; t >= 0; t-- {
		n.tanh.Slope(n.at(n.da, t), n.at(n.h, t), n.at(n.dh, t))
		if t > 0 {
			n.kernel.Mul(n.units(n.at(n.dh, t-1)), n.units(n.at(n.da, t)), n.recurrent(p.wh).T(), true)
		}
	}
}

// gradient writes the gradient of W_x, W_h and b_h that belongs to da.
func (n *Network) gradient(g params, da []float32, text []uint16) {
	n.pullRecurrent(g.wh, n.h, da, false)
	clear(g.bh)
	addRows(g.bh, da)
	clear(g.wx)
	units := n.shape.Units
	for t := range n.shape.Steps {
		part := n.at(da, t)
		for i := range n.batch {
			row := g.wx[int(text[i*(n.shape.Steps+1)+t])*units:][:units]
			for j, d := range part[i*units:][:units] {
				row[j] += d
			}
		}
	}
}

// pullRecurrent writes Σ_t h_{t−1}ᵀ da_t, or adds it.
func (n *Network) pullRecurrent(dst, h, da []float32, acc bool) {
	step := n.batch * n.shape.Units
	n.kernel.Mul(n.recurrent(dst), n.units(h[:len(h)-step]).T(), n.units(da[step:]), acc)
}

// units returns rows of H numbers as a matrix.
func (n *Network) units(x []float32) gemm.Matrix {
	return gemm.Of(x, len(x)/n.shape.Units, n.shape.Units)
}

// symbols returns rows of V numbers as a matrix.
func (n *Network) symbols(x []float32) gemm.Matrix {
	return gemm.Of(x, len(x)/n.shape.Symbols, n.shape.Symbols)
}

func (n *Network) recurrent(w []float32) gemm.Matrix {
	return gemm.Of(w, n.shape.Units, n.shape.Units)
}
func (n *Network) readOut(w []float32) gemm.Matrix {
	return gemm.Of(w, n.shape.Units, n.shape.Symbols)
}

// addRows adds the rows of x to dst.
func addRows(dst, x []float32) {
	for at := 0; at < len(x); at += len(dst) {
		for j, v := range x[at:][:len(dst)] {
			dst[j] += v
		}
	}
}
