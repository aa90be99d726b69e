package lstm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"learnedopt/internal/simd"
	"learnedopt/optimizer"
)

// configs are shapes that together use every branch of the network.
var configs = []Config{
	{Hidden: 3},
	{Hidden: 3, Inputs: RNNProp, Readout: Tanh},
	{Hidden: 4, Layers: 1, Inputs: Raw, Scale: 1},
	{Hidden: 2, Layers: 3, Inputs: Raw | LogAndSign | RNNProp, P: 2},
	{Hidden: 3, Dense: 4, Inputs: RNNProp, Readout: Tanh},
	{Hidden: 3, Inputs: LogAndSign | RNNProp | Clock, P: 4, SignP: 1, Readout: Exp},
	{Hidden: 3, Inputs: Clock | LogAndSign, P: 1, SignP: 3, Readout: Exp, Dense: 3, Anneal: 1},
	{NoLSTM: true, Inputs: Raw | LogAndSign},
}

// sighted are shapes that together use every branch of a network with eyes.
var sighted = []Config{
	{Hidden: 3, Layers: 1, Inputs: Momenta, Readout: Mix, Context: ShapeContext | NormContext | FeedbackContext | TimeContext, FanIn: true},
	{Hidden: 2, Dense: 3, Inputs: RNNProp | Momenta, Readout: Mix, Context: NormContext},
	{Hidden: 2, Layers: 1, Inputs: Momenta, Readout: Mix, FanIn: true, Orthogonal: true},
	{Hidden: 2, Layers: 1, Inputs: Momenta | Clock, Readout: Mix, Context: FeedbackContext, Orthogonal: true},
	{Hidden: 2, Layers: 1, Inputs: Momenta, Readout: Mix, Context: TimeContext, FanIn: true, Orthogonal: true, OrthogonalMean: true},
	{Hidden: 2, Layers: 1, Inputs: Momenta, Readout: Mix, Context: FeedbackContext, Orthogonal: true, OrthogonalMean: true},
	{Hidden: 2, Layers: 1, Inputs: Momenta, Readout: Mix, Context: ShapeContext | NormContext, FanIn: true, Orthogonal: true, OrthogonalMean: true, Hyper: 3},
	{Hidden: 2, Layers: 1, Inputs: Momenta, Readout: Mix, Context: FeedbackContext | TimeContext, Hyper: 4},
	{NoLSTM: true, Inputs: Momenta, Readout: Mix, FanIn: true},
	{Hidden: 2, Inputs: Momenta | Clock, Readout: Tanh, Context: TimeContext},
	{NoLSTM: true, Dense: 3, Inputs: RNNProp, Readout: Tanh},
}

func name(cfg Config) string {
	cfg = cfg.WithDefaults()
	text := fmt.Sprintf("%v-%dx%d-dense%d-%v", cfg.Inputs, cfg.Layers, cfg.Hidden, cfg.Dense, cfg.Readout)
	if cfg.eyes() {
		text += fmt.Sprintf("-%v-%v-%v", cfg.Context, cfg.FanIn, cfg.Orthogonal)
		if cfg.OrthogonalMean {
			text += "-mean"
		}
		if cfg.Hyper > 0 {
			text += fmt.Sprint("-hyper", cfg.Hyper)
		}
	}
	return text
}

// layoutOf returns a layout of n ≥ 37 coordinates in four tensors.
func layoutOf(n int) optimizer.Layout {
	layout, err := optimizer.NewLayout(
		optimizer.Tensor{Name: "W", Shape: []int{6, 5}, Kind: optimizer.Matrix, OutputAxis: 1},
		optimizer.Tensor{Name: "b", Shape: []int{5}, Kind: optimizer.Bias},
		optimizer.Tensor{Name: "none", Shape: []int{0}},
		optimizer.Tensor{Name: "rest", Shape: []int{n - 35}},
	)
	if err != nil {
		panic(err)
	}
	return layout
}

func randomCore(cfg Config, rng *rand.Rand) *core[float64] {
	geo := newGeometry(cfg)
	phi := make([]float64, geo.size)
	for i := range phi {
		phi[i] = 0.4 * rng.NormFloat64()
	}
	return newCore(geo, simd.Reference[float64](), phi)
}

// bowl is f(θ) = ½ Σ a_i θ_i² + b Σ θ_i θ_{i+1}: its Hessian couples
// coordinates.
type bowl struct {
	a []float64
	b float64
}

func (q bowl) hessian(dst, v []float64) {
	n := len(v)
	for i := range v {
		dst[i] = q.a[i]*v[i] + q.b*(v[(i+1)%n]+v[(i+n-1)%n])
	}
}

// objective is a function whose first two derivatives the tests know.
type objective interface {
	lossGrad(theta, grad []float64) float64
	hessian(dst, v []float64) // the same everywhere
}

func (q bowl) lossGrad(theta, grad []float64) float64 {
	q.hessian(grad, theta)
	f := 0.0
	for i, g := range grad {
		f += 0.5 * g * theta[i]
	}
	return f
}

// unrolled is a recorded window: states[t], grads[t] for t ≤ K.
type unrolled struct {
	states   []*state[float64]
	grads    [][]float64
	contexts [][]float64
	theta    []float64 // where it ends
	loss     float64   // Σ_{t=1..K} w_t f(θ_t)
}

// clone returns a copy of s that continues with c.
func clone(c *core[float64], s *state[float64]) *state[float64] {
	d := &state[float64]{}
	d.initLike(s)
	d.copyFrom(s)
	d.c = c
	return d
}

// warm is a state some steps after a run's start.
func warm(c *core[float64], n, steps int) *state[float64] {
	s := &state[float64]{}
	layout := optimizer.Flat(n)
	if n >= 37 {
		layout = layoutOf(n)
	}
	s.init(c, layout)
	g, theta := make([]float64, n), make([]float64, n)
	for t := range steps {
		for i := range g {
			g[i], theta[i] = math.Sin(float64(i+t+1)), math.Cos(float64(i))
		}
		s.update(make([]float64, n), g, theta, 0)
	}
	return s
}

// unroll runs a window of c on q from the given state. If frozen is not nil, the
// network reads those gradients, and the loss is linearised there. If contexts is not nil, the network reads those contexts.
func unroll(c *core[float64], q objective, theta0 []float64, start *state[float64], steps int, w []float64, frozen, contexts [][]float64) unrolled {
	n := len(theta0)
	theta, u := append([]float64(nil), theta0...), make([]float64, n)
	s := clone(c, start)
	var out unrolled
	for t := 0; ; t++ {
		g := make([]float64, n)
		f := q.lossGrad(theta, g)
		if frozen != nil {
			f, g = 0, frozen[t]
			for i := range g {
				f += g[i] * theta[i]
			}
		}
		out.grads = append(out.grads, g)
		if t > 0 {
			out.loss += w[t-1] * f
		}
		out.states = append(out.states, clone(c, s))
		if t == steps {
			out.theta = theta
			return out
		}
		if contexts != nil && c.cfg.eyes() {
			copy(s.context, contexts[t])
			if o, _ := s.ofOrthogonal(s.context); frozen == nil && o != nil { // the adjoint goes through it
				for k := range s.parts {
					s.orthogonalize(o, &s.parts[k], g)
				}
			}
			c.glances(s.now, c.tick(s.steps+1), s.context, s.biases, s.units)
			s.advance(u, g)
		} else {
			s.update(u, g, theta, 9)
		}
		out.contexts = append(out.contexts, append([]float64(nil), s.context...))
		for i := range theta {
			theta[i] += u[i]
		}
	}
}

// full computes the meta-gradient with second derivatives, step by step.
func full(c *core[float64], q objective, r unrolled, w []float64) []float64 {
	n, steps := r.states[0].n, len(r.grads)-1
	dphi := make([]float64, c.size)
	mu := &state[float64]{}
	mu.initLike(r.states[0])
	lambda, dgrad, hv := make([]float64, n), make([]float64, n), make([]float64, n)
	for i, g := range r.grads[steps] {
		lambda[i] = w[steps-1] * g
	}
	var a adjoint[float64]
	for t := steps - 1; t >= 0; t-- {
		a.run(dphi, r.states[t], r.grads[t:t+1], r.contexts[t:t+1], [][]float64{lambda}, nil, mu, dgrad)
		q.hessian(hv, dgrad)
		for i := range lambda {
			if t > 0 {
				lambda[i] += w[t-1] * r.grads[t][i]
			}
			lambda[i] += hv[i]
		}
	}
	return dphi
}

// TestMetaGradientAgainstDifferences checks every component of dL/dφ in both
// modes. The loss is O(1) with third derivatives of O(10): central differences
// with step 1e-5 err by 1e-9 from truncation and 1e-11 from rounding.
func TestMetaGradientAgainstDifferences(t *testing.T) {
	for _, cfg := range slices.Concat(configs, sighted) {
		t.Run(name(cfg), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			const n, steps = 37, 4 // more than a block
			q := bowl{a: make([]float64, n), b: 0.1}
			theta := make([]float64, n)
			for i := range theta {
				q.a[i], theta[i] = 0.5+rng.Float64(), rng.NormFloat64()
			}
			w := []float64{1, 0.5, 2, 1.5}
			c := randomCore(cfg, rng)
			start := warm(c, n, 3)
			r := unroll(c, q, theta, start, steps, w, nil, nil)
			first := make([]float64, c.size)
			new(adjoint[float64]).run(first, start, r.grads[:steps], r.contexts, r.grads[1:], w, nil, nil)
			second := full(c, q, r, w)

			const h = 1e-5
			for i := range c.phi {
				at := func(d float64, frozen [][]float64) float64 {
					phi := append([]float64(nil), c.phi...)
					phi[i] += d
					return unroll(newCore(c.geometry, c.k, phi), q, theta, start, steps, w, frozen, r.contexts).loss
				}
				if fd := (at(h, r.grads) - at(-h, r.grads)) / (2 * h); !near(fd, first[i], 1e-7) {
					t.Fatalf("first order: dL/dφ[%d] = %.10g, differences say %.10g", i, first[i], fd)
				}
				if fd := (at(h, nil) - at(-h, nil)) / (2 * h); !near(fd, second[i], 1e-7) {
					t.Fatalf("second order: dL/dφ[%d] = %.10g, differences say %.10g", i, second[i], fd)
				}
			}
		})
	}
}

func near(a, b, tol float64) bool { return math.Abs(a-b) <= tol*(1+math.Abs(a)+math.Abs(b)) }
