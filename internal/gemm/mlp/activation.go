package mlp

import (
	"math"

	"learnedopt/internal/simd"
)

// An Activation is an elementwise non-linearity a whose derivatives follow
// from its value h = a(z). All slices of one call have the same length.
type Activation struct {
	// Apply replaces z by a(z).
	Apply func(h []float32)
	// Slope writes dz = dh ∘ a'(z), given h = a(z).
	Slope func(dz, h, dh []float32)
	// Derivatives writes a'(z) and a''(z), given h = a(z).
	Derivatives func(first, second, h []float32)
}

// ActivationOf returns the activation of a name: sigmoid, tanh, relu or elu. At 0 the first
// derivative of relu is 0, and the second derivatives of relu and elu are 0.
func ActivationOf(name string) (Activation, bool) {
	a, ok := activations[name]
	return a, ok
}

var activations = map[string]Activation{
	"sigmoid": {
		func(h []float32) {
			for i, z := range h {
				h[i] = simd.Sigmoid32(z)
			}
		},
		func(dz, h, dh []float32) {
			for i, y := range h {
				dz[i] = dh[i] * y * (1 - y)
			}
		},
		func(first, second, h []float32) {
			for i, y := range h {
				d := y * (1 - y)
				first[i], second[i] = d, d*(1-2*y)
			}
		},
	},
	"tanh": {
		func(h []float32) {
			for i, z := range h {
				h[i] = simd.Tanh32(z)
			}
		},
		func(dz, h, dh []float32) {
			for i, y := range h {
				dz[i] = dh[i] * (1 - y*y)
			}
		},
		func(first, second, h []float32) {
			for i, y := range h {
				d := 1 - y*y
				first[i], second[i] = d, -2*y*d
			}
		},
	},
	"relu": {
		func(h []float32) {
			for i, z := range h {
				h[i] = max(z, 0)
			}
		},
		func(dz, h, dh []float32) {
			for i, y := range h {
				if dz[i] = 0; y > 0 {
					dz[i] = dh[i]
				}
			}
		},
		func(first, second, h []float32) {
			for i, y := range h {
				if first[i] = 0; y > 0 {
					first[i] = 1
				}
			}
			clear(second)
		},
	},
	"elu": {
		func(h []float32) {
			for i, z := range h {
				if z < 0 {
					h[i] = float32(math.Expm1(float64(z)))
				}
			}
		},
		func(dz, h, dh []float32) {
			for i, y := range h {
				dz[i] = dh[i] * min(y+1, 1)
			}
		},
		func(first, second, h []float32) {
			for i, y := range h {
				if first[i], second[i] = 1, 0; y < 0 {
					first[i], second[i] = y+1, y+1
				}
			}
		},
	},
}

// Exponentials writes exp(z − max z) into p and returns the sum of p and the maximum of z. z
// needs at least one element, and p must be as long as z.
func Exponentials(p []float64, z []float32) (sum float64, top float32) {
	top = z[0]
	for _, v := range z {
		if v > top {
			top = v
		}
	}
	p = p[:len(z)]
	for j, v := range z {
		e := math.Exp(float64(v - top))
		p[j] = e
		sum += e
	}
	return sum, top
}
