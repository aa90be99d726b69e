package conv

import (
	"math/rand/v2"

	"learnedopt/internal/gemm"
	"learnedopt/internal/gemm/mlp"
)

// A direction holds what a layer needs for products. At the point these are a'(z) and ∂f/∂h ∘ a”(z), where z is what a is applied
// to. The others are derivatives along a vector v.
type direction struct {
	slope, bend []float32 // B × features
	rx          []float32 // of x, a raster; nil in the first layer, whose inputs do not depend on θ
	rz, rh      []float32 // of z and h, B × features
	rdh, rdz    []float32 // of dh and dz, B × features
	flippedV    []float32 // v's kernel for the backward pass, nil in the first layer
}

// Hessian writes ∇²f(θ)·v into dst by differentiating the gradient's forward and backward
// pass along v (Pearlmutter 1994, the R-operator). Which pixel of a square is the maximum counts as constant. dst may be v.
// Hessian panics if no point has been set.
func (n *Network) Hessian(dst, v []float32) { n.product(dst, v, true) }

// Fisher writes F·v into dst, with the exact Fisher information of the network's predictions,
//
//	F = 1/B Σ_i J_iᵀ Λ_i J_i,   J_i = ∂z_i/∂θ,   Λ_i = diag(p_i) − p_i p_iᵀ,   p_i = softmax(z_i),
//
// as package mlp does. dst may be v. Fisher panics if no point has been set.
func (n *Network) Fisher(dst, v []float32) { n.product(dst, v, false) }

// product computes Hessian or Fisher. Fisher is the Hessian without the terms that have ∂f/∂z or
// ∂f/∂h as a factor.
func (n *Network) product(dst, v []float32, hessian bool) {
	n.along(dst, v)
	n.timesLambda()
	n.backwardAlong(dst, v, hessian)
}

// along computes the derivatives of all outputs along v.
func (n *Network) along(dst, v []float32) {
	if len(dst) != len(n.theta) || len(v) != len(n.theta) {
		panic(errVector)
	}
	n.mustBeSet()
	n.bend()
	n.forwardAlong(v)
}

func (n *Network) mustBeSet() {
	if !n.set {
		panic(errUnset)
	}
}

// SampledScores writes the scores p − e_ŷ of labels that are drawn from the model's predictions at the point, as package mlp
// has them: B×S×C.
func (n *Network) SampledScores(dst []float32, rng *rand.Rand) {
	n.mustBeSet()
	mlp.SampleScores(dst, n.dense.p, n.dense.out, rng)
}

// EmpiricalScores writes the scores of the labels that Move or LossGrad got, B×C.
func (n *Network) EmpiricalScores(dst []float32) {
	n.mustBeSet()
	if len(dst) != len(n.dense.dz) {
		panic(errVector)
	}
	for i, d := range n.dense.dz {
		dst[i] = float32(n.batch) * d
	}
}

// Outer writes F·v into dst, as Fisher does, with Λ_i = 1/S Σ_s q_is q_isᵀ of the scores. dst may be v.
func (n *Network) Outer(dst, v, scores []float32) {
	n.along(dst, v)
	mlp.TimesScores(n.dense.rdz, n.dense.rz, scores, n.dense.out)
	n.backwardAlong(dst, v, false)
}

// bend makes the arrays of products and fills those that depend on the point alone.
func (n *Network) bend() {
	if n.dense.rz == nil {
		n.dense.rz, n.dense.rdz = make([]float32, len(n.dense.z)), make([]float32, len(n.dense.z))
		for l := range n.layers {
			k := &n.layers[l]
			for _, p := range []*[]float32{&k.slope, &k.bend, &k.rz, &k.rh, &k.rdh, &k.rdz} {
				*p = make([]float32, len(k.h))
			}
			if l > 0 {
				k.rx, k.flippedV = k.raster(n.batch, k.Inputs), make([]float32, k.weights())
			}
		}
	}
	if n.bent {
		return
	}
	for l := range n.layers {
		k := &n.layers[l]
		n.activation.Derivatives(k.slope, k.bend, k.kept())
		for i, d := range k.dh {
			k.bend[i] *= d
		}
	}
	n.bent = true
}

// forwardAlong computes the derivatives of all activations along v.
func (n *Network) forwardAlong(v []float32) {
	for l := range n.layers {
		k := &n.layers[l]
		f := k.features()
		for i := range n.batch {
			from := i * k.image() * k.Inputs
			k.convolve(n.kernel, n.scratch, k.x[from:], k.kernel(v), k.Inputs, k.Outputs, false)
			if l > 0 {
				k.convolve(n.kernel, n.scratch, k.rx[from:], k.kernel(n.theta), k.Inputs, k.Outputs, true)
			}
			gather(k.rz[i*f:(i+1)*f], n.scratch, k.winner[i*f:(i+1)*f])
		}
		addRows(k.rz, k.bias(v))
		for i, s := range k.slope {
			k.rh[i] = s * k.rz[i]
		}
		if l+1 < len(n.layers) {
			next := &n.layers[l+1]
			for i := range n.batch {
				next.put(next.rx, k.rh[i*f:(i+1)*f], i, k.Outputs)
			}
		}
	}
	d, last := &n.dense, n.last()
	d.affine(n.kernel, d.rz, last.h, v)
	n.kernel.Mul(gemm.Of(d.rz, n.batch, d.out), gemm.Of(last.rh, n.batch, d.in), d.matrix(n.theta), true)
}

// timesLambda multiplies the derivatives of the logits along v by Λ/B.
func (n *Network) timesLambda() {
	d := &n.dense
	scale := 1 / float64(n.batch)
	for at := 0; at < len(d.p); at += d.out {
		p, rz, mean := d.p[at:at+d.out], d.rz[at:at+d.out], 0.0
		for j, r := range rz {
			mean += p[j] * float64(r)
		}
		for j, r := range rz {
			d.rdz[at+j] = float32(scale * p[j] * (float64(r) - mean))
		}
	}
}

// backwardAlong computes the derivative of the gradient along v. A layer's part of v is read for the last time before the
// same part of dst is written.
func (n *Network) backwardAlong(dst, v []float32, hessian bool) {
	d, last := &n.dense, n.last()
	rdh := gemm.Of(last.rdh, n.batch, d.in)
	n.kernel.Mul(rdh, gemm.Of(d.rdz, n.batch, d.out), d.matrix(n.theta).T(), false)
	if hessian {
		n.kernel.Mul(rdh, gemm.Of(d.dz, n.batch, d.out), d.matrix(v).T(), true)
	}
	d.pull(n.kernel, dst, last.h, d.rdz, false)
	if hessian {
		d.pull(n.kernel, dst, last.rh, d.dz, true)
	}
	sumRows(d.bias(dst), d.rdz)
	for l := len(n.layers) - 1; l >= 0; l-- {
		k := &n.layers[l]
		for i, s := range k.slope {
			k.rdz[i] = s * k.rdh[i]
		}
		if hessian {
			for i, b := range k.bend {
				k.rdz[i] += b * k.rz[i]
			}
		}
		if l == 0 {
			n.pullFirst(k)
		} else {
			k.flip(k.flippedV, k.kernel(v))
			n.pullAlong(k, &n.layers[l-1], hessian)
		}
		k.gradient.write(k.kernel(dst))
		sumRows(k.bias(dst), k.rdz)
	}
}

// pullFirst sums the products for the kernel of the first layer.
func (n *Network) pullFirst(k *layer) {
	f := k.features()
	for i := range n.batch {
		k.spread(k.delta, k.rdz[i*f:(i+1)*f], k.winner[i*f:(i+1)*f])
		k.gradient.add(n.kernel, k.x[i*k.image()*k.Inputs:], k.delta)
	}
}

// pullAlong sums the products for the kernel of another layer, and computes rdh of the layer below.
func (n *Network) pullAlong(k, below *layer, hessian bool) {
	f, g := k.features(), below.features()
	for i := range n.batch {
		from, winner := i*k.image()*k.Inputs, k.winner[i*f:(i+1)*f]
		k.spread(k.delta, k.rdz[i*f:(i+1)*f], winner)
		k.gradient.add(n.kernel, k.x[from:], k.delta)
		k.convolve(n.kernel, n.scratch, k.delta, k.flipped, k.Outputs, k.Inputs, false)
		if hessian {
			k.spread(k.delta, k.dz[i*f:(i+1)*f], winner)
			k.gradient.add(n.kernel, k.rx[from:], k.delta)
			k.convolve(n.kernel, n.scratch, k.delta, k.flippedV, k.Outputs, k.Inputs, true)
		}
		k.get(below.rdh[i*g:(i+1)*g], n.scratch)
	}
}
