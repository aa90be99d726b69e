// Package mlptest implements a multilayer perceptron in float64, example by example and
// without kernels. Tests compare the float32 implementations with it.
package mlptest

import "math"

// A Network is the shape of a classifier: widths F, H_1, …, H_L, C and the hidden layers'
// activation, one of mlp.ActivationOf. θ has the same layout as in package mlp.
type Network struct {
	Widths     []int
	Activation string
}

// An Example is an input and its class.
type Example struct {
	X     []float32
	Label int
}

// Far returns the largest |got − want|, relative to the largest |want|.
func Far(got []float32, want []float64) float64 {
	d, largest := 0.0, 0.0
	for i, w := range want {
		d, largest = max(d, math.Abs(float64(got[i])-w)), max(largest, math.Abs(w))
	}
	return d / largest
}

// Dot is the scalar product.
func Dot(a, b []float32) (sum float64) {
	for i, x := range a {
		sum += float64(x) * float64(b[i])
	}
	return sum
}

// Widen converts float32 numbers to float64.
func Widen(x []float32) []float64 {
	wide := make([]float64, len(x))
	for i, v := range x {
		wide[i] = float64(v)
	}
	return wide
}

// Size returns the number of coordinates of θ.
func (n Network) Size() int {
	size := 0
	for l, in := range n.Widths[:len(n.Widths)-1] {
		size += (in + 1) * n.Widths[l+1]
	}
	return size
}

// Activation returns a(z) and a'(z) of the activation of a name.
func Activation(name string, z float64) (h, slope float64) {
	switch name {
	case "sigmoid":
		s := 1 / (1 + math.Exp(-z))
		return s, s * (1 - s)
	case "tanh":
		s := math.Tanh(z)
		return s, 1 - s*s
	case "relu":
		if z > 0 {
			return z, 1
		}
		return 0, 0
	case "leaky-relu":
		if z > 0 {
			return z, 1
		}
		return 0.01 * z, 0.01
	case "silu":
		s := 1 / (1 + math.Exp(-z))
		return z * s, s + z*s*(1-s)
	case "gelu":
		cumulative := (1 + math.Erf(z/math.Sqrt2)) / 2
		return z * cumulative, cumulative + z*math.Exp(-z*z/2)/math.Sqrt(2*math.Pi)
	case "elu":
		if z > 0 {
			return z, 1
		}
		return math.Exp(z) - 1, math.Exp(z)
	}
	panic("mlptest: activation " + name)
}

// A pass holds the values and slopes of a forward pass of one example.
type pass struct{ h, slope [][]float64 }

// forward runs the network; the last h are the logits.
func (n Network) forward(theta []float64, x []float32) pass {
	p := pass{h: [][]float64{Widen(x)}, slope: [][]float64{nil}}
	for l, in := range n.Widths[:len(n.Widths)-1] {
		out := n.Widths[l+1]
		h, slope := make([]float64, out), make([]float64, out)
		for j := range out {
			z := theta[in*out+j]
			for i, v := range p.h[l] {
				z += v * theta[i*out+j]
			}
			if h[j], slope[j] = z, 1; l < len(n.Widths)-2 {
				h[j], slope[j] = Activation(n.Activation, z)
			}
		}
		p.h, p.slope, theta = append(p.h, h), append(p.slope, slope), theta[(in+1)*out:]
	}
	return p
}

// Logits are the outputs of the last layer on x.
func (n Network) Logits(theta []float64, x []float32) []float64 {
	p := n.forward(theta, x)
	return p.h[len(p.h)-1]
}

// pull adds Jᵀδ to grad; δ is the derivative with respect to the logits.
func (n Network) pull(grad, theta []float64, p pass, delta []float64) {
	end := len(theta)
	for l := len(n.Widths) - 2; l >= 0; l-- {
		in, out := n.Widths[l], n.Widths[l+1]
		end -= (in + 1) * out
		w, dw, below := theta[end:], grad[end:], make([]float64, in)
		for j, d := range delta {
			d *= p.slope[l+1][j]
			dw[in*out+j] += d
			for i, v := range p.h[l] {
				dw[i*out+j] += d * v
				below[i] += d * w[i*out+j]
			}
		}
		delta = below
	}
}

// Softmax returns the probabilities of logits and the logarithm of their normalisation.
func Softmax(z []float64) (p []float64, logsum float64) {
	top, sum := math.Inf(-1), 0.0
	for _, v := range z {
		top = max(top, v)
	}
	for _, v := range z {
		sum += math.Exp(v - top)
	}
	logsum = top + math.Log(sum)
	for _, v := range z {
		p = append(p, math.Exp(v-logsum))
	}
	return p, logsum
}

// LossGrad returns the mean cross-entropy of the examples and its gradient.
func (n Network) LossGrad(theta []float64, batch []Example) (loss float64, grad []float64) {
	grad = make([]float64, len(theta))
	for _, e := range batch {
		pass := n.forward(theta, e.X)
		z := pass.h[len(pass.h)-1]
		delta, logsum := Softmax(z)
		loss += (logsum - z[e.Label]) / float64(len(batch))
		delta[e.Label]--
		for j := range delta {
			delta[j] /= float64(len(batch))
		}
		n.pull(grad, theta, pass, delta)
	}
	return loss, grad
}

// Step returns the step of central differences along v. It changes the largest coordinate by 10⁻⁵ times the larger of 1 and ‖θ‖∞. In
// float64 the truncation error is then about 10⁻¹⁰ of a derivative, and the rounding error is about the same.
func Step(theta, v []float64) float64 {
	size, largest := 1.0, 0.0
	for i, x := range theta {
		size, largest = max(size, math.Abs(x)), max(largest, math.Abs(v[i]))
	}
	return 1e-5 * size / largest
}

// Moved returns θ + h v.
func Moved(theta, v []float64, h float64) []float64 {
	at := make([]float64, len(theta))
	for i, x := range theta {
		at[i] = x + h*v[i]
	}
	return at
}

// HessianVector returns ∇²f(θ)·v by central differences of gradients.
func (n Network) HessianVector(theta, v []float64, batch []Example) []float64 {
	h := Step(theta, v)
	_, above := n.LossGrad(Moved(theta, v, h), batch)
	_, below := n.LossGrad(Moved(theta, v, -h), batch)
	for i := range above {
		above[i] = (above[i] - below[i]) / (2 * h)
	}
	return above
}

// FisherVector returns 1/B Σ_i J_iᵀ Λ_i J_i v with J_i v by central differences of logits and
// Λ_i = diag(p_i) − p_i p_iᵀ as a matrix.
func (n Network) FisherVector(theta, v []float64, batch []Example) []float64 {
	product, h := make([]float64, len(theta)), Step(theta, v)
	for _, e := range batch {
		pass := n.forward(theta, e.X)
		last := len(pass.h) - 1
		above, below := n.forward(Moved(theta, v, h), e.X).h[last], n.forward(Moved(theta, v, -h), e.X).h[last]
		for j := range above {
			above[j] = (above[j] - below[j]) / (2 * h)
		}
		n.pull(product, theta, pass, Lambda(pass.h[last], above, len(batch)))
	}
	return product
}

// Lambda returns Λr/B, with Λ = diag(p) − p pᵀ as a matrix and p the softmax of the logits z.
func Lambda(z, r []float64, batch int) []float64 {
	p, _ := Softmax(z)
	product := make([]float64, len(p))
	for i := range p {
		for j := range p {
			lambda := -p[i] * p[j]
			if i == j {
				lambda += p[i]
			}
			product[i] += lambda * r[j] / float64(batch)
		}
	}
	return product
}

// Push returns Jv, the derivatives of the logits on x along v, by forward differentiation.
func (n Network) Push(theta, v []float64, x []float32) []float64 {
	p := n.forward(theta, x)
	rh := make([]float64, n.Widths[0])
	for l, in := range n.Widths[:len(n.Widths)-1] {
		out := n.Widths[l+1]
		next := make([]float64, out)
		for j := range out {
			rz := v[in*out+j]
			for i, h := range p.h[l] {
				rz += h*v[i*out+j] + rh[i]*theta[i*out+j]
			}
			next[j] = p.slope[l+1][j] * rz
		}
		rh, theta, v = next, theta[(in+1)*out:], v[(in+1)*out:]
	}
	return rh
}

// Jacobian returns the rows ∂z_j/∂θ of one example.
func (n Network) Jacobian(theta []float64, x []float32) [][]float64 {
	p := n.forward(theta, x)
	rows := make([][]float64, n.Widths[len(n.Widths)-1])
	for j := range rows {
		unit := make([]float64, len(rows))
		unit[j] = 1
		rows[j] = make([]float64, len(theta))
		n.pull(rows[j], theta, p, unit)
	}
	return rows
}

// OuterVector returns 1/B Σ_i J_iᵀ Λ_i J_i v with the mean Λ_i of qqᵀ over the scores of an example, exactly.
func (n Network) OuterVector(theta, v []float64, batch []Example, scores [][][]float64) []float64 {
	product := make([]float64, len(theta))
	for i, e := range batch {
		r, delta := n.Push(theta, v, e.X), make([]float64, n.Widths[len(n.Widths)-1])
		for _, q := range scores[i] {
			dot := 0.0
			for j, x := range q {
				dot += x * r[j]
			}
			for j, x := range q {
				delta[j] += dot * x / float64(len(scores[i])*len(batch))
			}
		}
		n.pull(product, theta, n.forward(theta, e.X), delta)
	}
	return product
}
