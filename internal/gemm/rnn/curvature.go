package rnn

// A point holds what curvature products need of θ and a minibatch. Its arrays are made by the first Move.
type point struct {
	theta []float32
	text  []uint16
	set   bool
	// Of all steps, T×B×V: softmax(z) and ∂f/∂z.
	p, dzs []float32
	// For a direction v, the derivatives along it of h, da and z, and then of ∂f/∂z.
	rh, rda, rz []float32
}

// Theta returns the parameters of the last Move; before the first it is nil. They must not be changed.
func (n *Network) Theta() []float32 { return n.theta }

// Move sets the point of the products that follow: θ and the minibatch text. It costs a LossGrad without the gradients of the
// weights. theta and text are not kept.
func (n *Network) Move(theta []float32, text []uint16) {
	n.check(theta, text)
	if n.theta == nil {
		all := n.shape.Steps * len(n.z)
		n.theta, n.text = make([]float32, len(theta)), make([]uint16, len(text))
		n.p, n.dzs, n.rz = make([]float32, all), make([]float32, all), make([]float32, all)
		n.rh, n.rda = make([]float32, len(n.h)), make([]float32, len(n.h))
	}
	n.prepare()
	copy(n.theta, theta)
	copy(n.text, text)
	p := n.shape.split(n.theta)
	n.forward(p, text, n.batch)
	for t := range n.shape.Steps {
		dz := n.at(n.dzs, t)
		n.logits(n.z, p, t, n.batch)
		n.crossEntropy(dz, n.at(n.p, t), n.z, text, t)
		n.kernel.Mul(n.units(n.at(n.dh, t)), n.symbols(dz), n.readOut(p.wo).T(), false)
	}
	n.backward(p)
	n.set = true
}

// Hessian writes ∇²f(θ)·v into dst by differentiating the gradient's forward and backward pass along v (Pearlmutter 1994). dst may be v. It panics if no
// point has been set.
func (n *Network) Hessian(dst, v []float32) { n.product(dst, v, true) }

// Fisher writes F·v into dst, with the exact Fisher information of the predictions,
//
//	F = 1/(B·T) Σ_{i,t} J_{i,t}ᵀ Λ_{i,t} J_{i,t},   J = ∂z/∂θ,   Λ = diag(p) − p pᵀ,   p = softmax(z),
//
// which is also the generalized Gauss-Newton matrix of f. It does not depend on the symbols that are predicted, only on those that are read. dst may be v. It panics if no
// point has been set.
func (n *Network) Fisher(dst, v []float32) { n.product(dst, v, false) }

// product computes Hessian or Fisher. Fisher is the Hessian without the terms that have ∂f/∂z or ∂f/∂h as a factor.
func (n *Network) product(dst, v []float32, hessian bool) {
	if len(dst) != n.shape.Size() || len(v) != len(dst) {
		panic(errVector)
	}
	if !n.set {
		panic(errUnset)
	}
	p, q, g := n.shape.split(n.theta), n.shape.split(v), n.shape.split(dst)
	for t := range n.shape.Steps {
		rh, rz := n.at(n.rh, t), n.at(n.rz, t)
		n.lookUp(rh, q, n.text, t)
		if t > 0 {
			n.kernel.Mul(n.units(rh), n.units(n.at(n.h, t-1)), n.recurrent(q.wh), true)
			n.kernel.Mul(n.units(rh), n.units(n.at(n.rh, t-1)), n.recurrent(p.wh), true)
		}
		n.tanh.Slope(rh, n.at(n.h, t), rh)
		n.logits(rz, q, t, n.batch)
		n.kernel.Mul(n.symbols(rz), n.units(rh), n.readOut(p.wo), true)
	}
	n.softmaxDerivative()
	for t := range n.shape.Steps {
		n.kernel.Mul(n.units(n.at(n.rda, t)), n.symbols(n.at(n.rz, t)), n.readOut(p.wo).T(), false)
		if hessian {
			n.kernel.Mul(n.units(n.at(n.rda, t)), n.symbols(n.at(n.dzs, t)), n.readOut(q.wo).T(), true)
		}
	}
	for t := n.shape.Steps - 1; t >= 0; t-- {
		h, rda := n.at(n.h, t), n.at(n.rda, t) // as yet the derivative of ∂f/∂h
		n.tanh.Slope(rda, h, rda)
		if hessian { // tanh″ = −2 tanh tanh′, and rh has tanh′ as a factor
			rh, dh := n.at(n.rh, t), n.at(n.dh, t)
			for i, y := range h {
				rda[i] -= 2 * y * rh[i] * dh[i]
			}
		}
		if t > 0 {
			n.kernel.Mul(n.units(n.at(n.rda, t-1)), n.units(rda), n.recurrent(p.wh).T(), true)
			if hessian {
				n.kernel.Mul(n.units(n.at(n.rda, t-1)), n.units(n.at(n.da, t)), n.recurrent(q.wh).T(), true)
			}
		}
	}
	// All of v has been read: dst may be v.
	n.kernel.Mul(n.readOut(g.wo), n.units(n.h).T(), n.symbols(n.rz), false)
	if hessian {
		n.kernel.Mul(n.readOut(g.wo), n.units(n.rh).T(), n.symbols(n.dzs), true)
	}
	clear(g.bo)
	addRows(g.bo, n.rz)
	n.gradient(g, n.rda, n.text)
	if hessian {
		n.pullRecurrent(g.wh, n.rh, n.da, true)
	}
}

// softmaxDerivative replaces the derivatives of z by those of ∂f/∂z.
func (n *Network) softmaxDerivative() {
	scale := 1 / float64(n.batch*n.shape.Steps)
	for at := 0; at < len(n.p); at += n.shape.Symbols {
		p, rz, mean := n.p[at:][:n.shape.Symbols], n.rz[at:][:n.shape.Symbols], 0.0
		for j, r := range rz {
			mean += float64(p[j]) * float64(r)
		}
		for j, r := range rz {
			rz[j] = float32(scale * float64(p[j]) * (float64(r) - mean))
		}
	}
}
