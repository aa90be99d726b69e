package lstm

import (
	"math"
	"math/rand/v2"

	"learnedopt/internal/simd"
)

// hyper is the network of Config.Hyper, from the context of a tensor to the logarithms of its factors. Its parameters lie in φ from
// off on: in × hidden weights, row-major, and hidden biases; hidden × out weights and out biases.
type hyper struct {
	off, in, hidden, out int
}

// maxFactors is the largest number of factors of a tensor: of its mixture, and of its orthogonal direction.
const maxFactors = 2

func (h hyper) first() int { return (h.in + 1) * h.hidden }

func (h hyper) size() int { return h.first() + (h.hidden+1)*h.out }

// draw draws the parameters in phi: weights of the first layer uniform on ±1/√in, all else 0.
func (h hyper) draw(phi []float32, rng *rand.Rand) {
	phi = phi[h.off:][:h.size()]
	clear(phi)
	bound := 1 / math.Sqrt(float64(h.in))
	for i := range phi[:h.in*h.hidden] {
		phi[i] = float32(bound * (2*rng.Float64() - 1))
	}
}

// hyperUnits writes the hidden units for a context into dst.
func (c *core[T]) hyperUnits(dst, context []T) {
	h := c.hyper
	w := c.phi[h.off:][:h.first()]
	copy(dst, w[h.in*h.hidden:])
	for j, x := range context {
		for i, wi := range w[j*h.hidden:][:h.hidden] {
			dst[i] += T(x * wi)
		}
	}
	for i, z := range dst {
		dst[i] = T(math.Tanh(float64(z)))
	}
}

// factors returns the factors of a tensor with the given context, 1 for those that the network does not have. units is working memory.
func (c *core[T]) factors(units, context []T) (f [maxFactors]T) {
	for i := range f {
		f[i] = 1
	}
	h := c.hyper
	if h.hidden == 0 {
		return f
	}
	c.hyperUnits(units, context)
	w := c.phi[h.off+h.first():]
	for k := range h.out {
		sum := w[h.hidden*h.out+k]
		for i, u := range units {
			sum += T(u * w[i*h.out+k])
		}
		f[k] = T(math.Exp(float64(sum)))
	}
	return f
}

// hyperAdjoint adds to dphi the gradient that belongs to d, the adjoint of the logarithms of the factors of a tensor with the given
// context.
func (c *core[T]) hyperAdjoint(dphi []float64, units, context []T, d [maxFactors]float64) {
	h := c.hyper
	c.hyperUnits(units, context)
	w, dw, dfirst := c.phi[h.off+h.first():], dphi[h.off+h.first():], dphi[h.off:]
	for k, dk := range d[:h.out] {
		dw[h.hidden*h.out+k] += dk
	}
	for i, u := range units {
		du := 0.0
		for k, dk := range d[:h.out] {
			dw[i*h.out+k] += dk * float64(u)
			du += dk * float64(w[i*h.out+k])
		}
		dz := du * (1 - float64(u)*float64(u))
		dfirst[h.in*h.hidden+i] += dz
		for j, x := range context {
			dfirst[j*h.hidden+i] += dz * float64(x)
		}
	}
}

// throughHyper adds the gradient of the parameters of Config.Hyper to dphi. blockDot and mixDot are known.
func (a *adjoint[T]) throughHyper(dphi []float64) {
	c, s, steps := a.c, a.start, len(a.grads)
	for t := range steps {
		_, f := s.ofOrthogonal(a.contexts[t])
		for k := range s.parts {
			p := &s.parts[k]
			orthogonal := c.cfg.Orthogonal && p.axes.Len() > 0
			var d [maxFactors]float64
			for b := p.block; b < p.block+blocks(p.n); b++ {
				d[0] += a.mixDot[b*steps+t]
				if orthogonal {
					d[1] += a.blockDot[b*steps+t]
				}
			}
			if orthogonal {
				d[1] *= float64(f[p.from])
			}
			c.hyperAdjoint(dphi, a.units, a.now[t*len(s.parts)+k].context, d)
		}
	}
}

// dotMix returns ⟨λ, u⟩ of the part of a block's update that is no orthogonal direction.
func dotMix[T simd.Float](lambda *[lanes]T, scale T, y []T, live int) (sum float64) {
	for l, v := range y[:live] {
		sum += float64(lambda[l]) * float64(scale*v)
	}
	return sum
}
