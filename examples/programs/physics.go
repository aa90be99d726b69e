package main

import (
	"math"

	"learnedopt/internal/stream"
	"learnedopt/optimizer"
)

var physics = program{
	name: "physics", about: "a physics-informed net 1-16-16-1 tanh in float64: the damped oscillator y″ + 0.4 y′ + 4 y = 0", steps: 1000,
	open: func(seed uint64, _ string) (trainable, error) { return oscillator(seed), nil },
}

// A jet is a value with its first two derivatives in the time x.
type jet [3]float64

// oscillator trains a network y(x) on 0 ≤ x ≤ 4. The loss is the mean square of y″ + 0.4 y′ + 4 y at 64 points, which each step
// draws, plus 10 ((y(0) − 1)² + y′(0)²) for the start at rest.
func oscillator(seed uint64) trainable {
	const points, length, damping, stiffness, boundary = 64, 4, 0.4, 4, 10
	sizes := []int{1, 16, 16, 1}
	var tensors []optimizer.Tensor
	for l, in := range sizes[:3] {
		tensors = append(tensors, optimizer.Tensor{Shape: []int{in, sizes[l+1]}, Kind: optimizer.Matrix, OutputAxis: 1},
			optimizer.Tensor{Shape: []int{sizes[l+1]}, Kind: optimizer.Bias})
	}
	layout := mustLayout(tensors...)
	var theta []float64
	for _, v := range glorot(layout, stream.New(seed, "start", 0)) {
		theta = append(theta, float64(v))
	}
	var times [points]float64
	net := newJetNet(layout)
	return &model[float64]{
		layout: layout,
		theta:  theta,
		draw: func(_ []float64, t int) {
			rng := stream.New(seed, "points", uint64(t))
			for i := range times {
				times[i] = length * rng.Float64()
			}
		},
		lossGrad: func(grad, theta []float64) float64 {
			clear(grad)
			loss := 0.0
			for _, x := range times {
				y := net.forward(theta, x)
				e := y[2] + damping*y[1] + stiffness*y[0]
				loss += e * e / points
				d := 2 * e / points
				net.backward(grad, theta, jet{stiffness * d, damping * d, d})
			}
			y := net.forward(theta, 0)
			net.backward(grad, theta, jet{2 * boundary * (y[0] - 1), 2 * boundary * y[1], 0})
			return loss + boundary*((y[0]-1)*(y[0]-1)+y[1]*y[1])
		},
	}
}

// A jetNet computes a tanh network of one input and one output, with its derivatives in the input, and the gradient of
// a function of all three.
type jetNet struct {
	layers []optimizer.Tensor // the matrices; a bias follows each
	z, a   [][]jet            // for each layer, before and after tanh; a[0] is the input
	dz, da [][]jet
}

func newJetNet(layout optimizer.Layout) *jetNet {
	n := &jetNet{a: [][]jet{{{}}}, da: [][]jet{make([]jet, 1)}}
	for _, t := range layout.Tensors() {
		if t.Kind != optimizer.Matrix {
			continue
		}
		n.layers = append(n.layers, t)
		n.z, n.dz = append(n.z, make([]jet, t.Shape[1])), append(n.dz, make([]jet, t.Shape[1]))
		n.a, n.da = append(n.a, make([]jet, t.Shape[1])), append(n.da, make([]jet, t.Shape[1]))
	}
	return n
}

// forward returns the output's jet at x. Derivatives pass through matrices like values, and through tanh, with s = 1 − a²,
// as a′ = s z′ and a″ = s z″ − 2 a s z′².
func (n *jetNet) forward(theta []float64, x float64) jet {
	n.a[0][0] = jet{x, 1, 0}
	for l, t := range n.layers {
		out := t.Shape[1]
		for j := range out {
			z := jet{theta[t.From+t.Len()+j], 0, 0}
			for i, a := range n.a[l] {
				w := theta[t.From+i*out+j]
				for k := range z {
					z[k] += w * a[k]
				}
			}
			n.z[l][j], n.a[l+1][j] = z, z
			if l+1 < len(n.layers) {
				a := math.Tanh(z[0])
				s := 1 - a*a
				n.a[l+1][j] = jet{a, s * z[1], s*z[2] - 2*a*s*z[1]*z[1]}
			}
		}
	}
	return n.a[len(n.layers)][0]
}

// backward adds the gradient, given the adjoint of the output's jet after forward.
func (n *jetNet) backward(grad, theta []float64, d jet) {
	last := len(n.layers)
	n.da[last][0] = d
	for l := last - 1; l >= 0; l-- {
		t := n.layers[l]
		out := t.Shape[1]
		for j := range out {
			d := n.da[l+1][j]
			if l+1 < last {
				a, z := n.a[l+1][j][0], n.z[l][j]
				s := 1 - a*a
				// a, a′ and a″ depend on z by a alone, except for the factors z′ and z″.
				da := d[0] - 2*a*z[1]*d[1] + (-2*a*z[2]-2*s*z[1]*z[1]+4*a*a*z[1]*z[1])*d[2]
				d = jet{s * da, s*d[1] - 4*a*s*z[1]*d[2], s * d[2]}
			}
			n.dz[l][j] = d
			grad[t.From+t.Len()+j] += d[0]
		}
		for i, a := range n.a[l] {
			var da jet
			for j, d := range n.dz[l] {
				w := t.From + i*out + j
				for k := range d {
					grad[w] += a[k] * d[k]
					da[k] += theta[w] * d[k]
				}
			}
			n.da[l][i] = da
		}
	}
}
