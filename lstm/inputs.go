package lstm

import (
	"math"

	"learnedopt/internal/simd"
)

// Constants of the RNNProp input (Lv et al. 2017, section 4).
const (
	rnnpropBeta    = 0.95
	rnnpropEpsilon = 1e-8
)

// A tick holds the values of one step that depend on the time alone.
type tick[T simd.Float] struct {
	corr  T               // of the averages of RNNProp
	clock [2]T            // the features of Clock
	scale T               // the scale of the read-out
	corrs [simd.Moments]T // of the averages of Momenta
}

// tick returns the tick of the t-th step of a run, t ≥ 1.
func (c *core[T]) tick(t int) tick[T] {
	scale := c.cfg.Scale
	if c.cfg.Anneal > 0 && t > c.cfg.Anneal {
		scale *= math.Sqrt(float64(c.cfg.Anneal) / float64(t))
	}
	now := tick[T]{
		corr:  T(correction(rnnpropBeta, t)),
		clock: [2]T{T(math.Log(float64(t))/clockScale - 1), T(1 / float64(t))}, scale: T(scale),
	}
	if c.cfg.Inputs&Momenta != 0 {
		for k, beta := range simd.MomentBetas {
			now.corrs[k] = T(correction(beta, t))
		}
	}
	return now
}

// correction is 1/(1-β^t), the factor that makes the t-th moving average unbiased, t ≥ 1.
func correction(beta float64, t int) float64 { return 1 / (1 - math.Pow(beta, float64(t))) }

// clockScale makes Clock's first feature go from -1 to 0.84 in 10,000 steps.
const clockScale = 5

// preprocessor turns the gradients of one block into features.
type preprocessor[T simd.Float] struct {
	k      *simd.Kernels[T]
	inputs Inputs
	p      T
	small  T // e^-p
	large  T // e^q, where q is SignP
	close  T // e^-q
}

// A glance is a tick for one tensor.
type glance[T simd.Float] struct {
	tick[T]
	// bias is the bias of the first map, with the context's part; context are the features of the context.
	bias, context []T
	// orthogonal is what scale is for the orthogonal direction. They differ with Config.Hyper.
	orthogonal T
	// inv is 1/√V, see NormContext.
	inv T
}

func newPreprocessor[T simd.Float](cfg Config, k *simd.Kernels[T]) preprocessor[T] {
	return preprocessor[T]{k: k, inputs: cfg.Inputs, p: T(cfg.P), small: T(math.Exp(-cfg.P)), large: T(math.Exp(cfg.SignP)), close: T(math.Exp(-cfg.SignP))}
}

func abs[T simd.Float](x T) T { return T(math.Abs(float64(x))) }

func sqrt[T simd.Float](x T) T { return T(math.Sqrt(float64(x))) }

// forward writes the features of the lanes' gradients g into the rows of x,
// and the new moving averages into m and v, which may be mPrev and vPrev.
func (p *preprocessor[T]) forward(x, g, mPrev, vPrev, m, v []T, now *tick[T]) {
	if p.inputs&Raw != 0 {
		copy(x[:lanes], g)
		x = x[lanes:]
	}
	if p.inputs&LogAndSign != 0 {
		p.k.LogAndSign(x, g, p.p, p.large)
		x = x[2*lanes:]
	}
	if p.inputs&RNNProp != 0 {
		p.k.RNNProp(x, g, mPrev, vPrev, m, v, rnnpropBeta, 1-rnnpropBeta, now.corr, rnnpropEpsilon)
		x = x[2*lanes:]
	}
	if p.inputs&Clock != 0 {
		for l := range lanes {
			x[l], x[lanes+l] = now.clock[0], now.clock[1]
		}
	}
}

// adjoint adds the adjoint of the gradients to dg. It gets dx, the adjoint of the
// features, and dm, dv, the adjoints of the new moving averages m, v. It overwrites
// dm and dv with the adjoints of the old moving averages.
func (p *preprocessor[T]) adjoint(dg, dx, g, m, v, dm, dv []T, corr T) {
	if p.inputs&Raw != 0 {
		for l, d := range dx[:lanes] {
			dg[l] += d
		}
		dx = dx[lanes:]
	}
	if p.inputs&LogAndSign != 0 {
		first, second := dx[:lanes], dx[lanes:2*lanes]
		for l, gl := range g[:lanes] {
			if abs(gl) >= p.small {
				dg[l] += first[l] / (p.p * gl)
			}
			if abs(gl) < p.close {
				dg[l] += p.large * second[l]
			}
		}
		dx = dx[2*lanes:]
	}
	if p.inputs&RNNProp != 0 {
		first, second := dx[:lanes], dx[lanes:2*lanes]
		for l, gl := range g[:lanes] {
			s := sqrt(v[l] * corr)
			d := s + rnnpropEpsilon
			ds := -(first[l]*m[l]*corr + second[l]*gl) / (d * d)
			am, av := first[l]/d*corr+dm[l], dv[l]
			if s > 0 { // at v = 0 every gradient so far was 0, and √v has no slope
				av += ds / (2 * s) * corr
			}
			dg[l] += second[l]/d + (1-rnnpropBeta)*(am+2*gl*av)
			dm[l], dv[l] = rnnpropBeta*am, rnnpropBeta*av
		}
	}
}
