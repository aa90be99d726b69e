package mlp

import (
	"math"

	"learnedopt/internal/simd"
)

// An Activation is an elementwise non-linearity a. Its derivatives follow from its value h = a(z), or from z if OfInput is
// set. All slices of one call have the same length.
type Activation struct {
	// Apply replaces z by a(z).
	Apply func(h []float32)
	// Slope writes dz = dh ∘ a'(z), given h = a(z), or z if OfInput is set.
	Slope func(dz, h, dh []float32)
	// Derivatives writes a'(z) and a''(z), given h = a(z), or z if OfInput is set.
	Derivatives func(first, second, h []float32)
	// OfInput says that Slope and Derivatives need z, because a takes a value more than once.
	OfInput bool
}

// ActivationOf returns the activation of a name:
//
//	sigmoid      1/(1 + e^−z)
//	tanh         tanh z
//	relu         max(z, 0)
//	elu          z if z > 0, else e^z − 1
//	gelu         z Φ(z), with Φ(z) = (1 + erf(z/√2))/2      Hendrycks and Gimpel 2016; torch.nn.GELU's default
//	silu         z/(1 + e^−z)                               torch.nn.SiLU, also called swish
//	leaky-relu   z if z > 0, else z/100                     torch.nn.LeakyReLU's default
//
// gelu is not one of the approximations by tanh or a sigmoid. At 0 the first derivative of relu is 0 and that of leaky-relu 1/100, and
// the second derivatives of relu, elu and leaky-relu are 0.
func ActivationOf(name string) (Activation, bool) {
	a, ok := activations[name]
	return a, ok
}

var activations = map[string]Activation{
	"sigmoid": {
		Apply: func(h []float32) {
			for i, z := range h {
				h[i] = simd.Sigmoid32(z)
			}
		},
		Slope: func(dz, h, dh []float32) {
			for i, y := range h {
				dz[i] = dh[i] * y * (1 - y)
			}
		},
		Derivatives: func(first, second, h []float32) {
			for i, y := range h {
				d := y * (1 - y)
				first[i], second[i] = d, d*(1-2*y)
			}
		},
	},
	"tanh": {
		Apply: func(h []float32) {
			for i, z := range h {
				h[i] = simd.Tanh32(z)
			}
		},
		Slope: func(dz, h, dh []float32) {
			for i, y := range h {
				dz[i] = dh[i] * (1 - y*y)
			}
		},
		Derivatives: func(first, second, h []float32) {
			for i, y := range h {
				d := 1 - y*y
				first[i], second[i] = d, -2*y*d
			}
		},
	},
	"relu": {
		Apply: func(h []float32) {
			for i, z := range h {
				h[i] = max(z, 0)
			}
		},
		Slope: func(dz, h, dh []float32) {
			for i, y := range h {
				if dz[i] = 0; y > 0 {
					dz[i] = dh[i]
				}
			}
		},
		Derivatives: func(first, second, h []float32) {
			for i, y := range h {
				if first[i] = 0; y > 0 {
					first[i] = 1
				}
			}
			clear(second)
		},
	},
	"elu": {
		Apply: func(h []float32) {
			for i, z := range h {
				if z < 0 {
					h[i] = float32(math.Expm1(float64(z)))
				}
			}
		},
		Slope: func(dz, h, dh []float32) {
			for i, y := range h {
				dz[i] = dh[i] * min(y+1, 1)
			}
		},
		Derivatives: func(first, second, h []float32) {
			for i, y := range h {
				if first[i], second[i] = 1, 0; y < 0 {
					first[i], second[i] = y+1, y+1
				}
			}
		},
	},
	"leaky-relu": {
		Apply: func(h []float32) {
			for i, z := range h {
				h[i] = max(z, leak*z)
			}
		},
		Slope: func(dz, h, dh []float32) {
			for i, y := range h {
				if dz[i] = leak * dh[i]; y > 0 {
					dz[i] = dh[i]
				}
			}
		},
		Derivatives: func(first, second, h []float32) {
			for i, y := range h {
				if first[i] = leak; y > 0 {
					first[i] = 1
				}
			}
			clear(second)
		},
	},
	"silu": {
		Apply: func(h []float32) {
			for i, z := range h {
				h[i] = z * simd.Sigmoid32(z)
			}
		},
		Slope: func(dz, z, dh []float32) {
			for i, x := range z {
				s := simd.Sigmoid32(x)
				dz[i] = dh[i] * s * (1 + x*(1-s))
			}
		},
		Derivatives: func(first, second, z []float32) {
			for i, x := range z {
				s := simd.Sigmoid32(x)
				first[i], second[i] = s*(1+x*(1-s)), s*(1-s)*(2+x*(1-2*s))
			}
		},
		OfInput: true,
	},
	"gelu": {
		Apply: func(h []float32) {
			for i, z := range h {
				h[i] = float32(float64(z) * cumulative(float64(z)))
			}
		},
		Slope: func(dz, z, dh []float32) {
			for i, x := range z {
				x := float64(x)
				dz[i] = dh[i] * float32(cumulative(x)+x*density(x))
			}
		},
		Derivatives: func(first, second, z []float32) {
			for i, x := range z {
				x := float64(x)
				d := density(x)
				first[i], second[i] = float32(cumulative(x)+x*d), float32(d*(2-x*x))
			}
		},
		OfInput: true,
	},
}

// leak is the slope of leaky-relu for negative numbers.
const leak = 0.01

// cumulative returns the distribution function Φ of N(0, 1), with a small relative error for negative numbers, too.
func cumulative(z float64) float64 { return math.Erfc(-z/math.Sqrt2) / 2 }

// density returns the density of N(0, 1).
func density(z float64) float64 { return math.Exp(-z*z/2) / math.Sqrt(2*math.Pi) }

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
