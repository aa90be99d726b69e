package lstm

import (
	"math"

	"learnedopt/internal/gemm"
	"learnedopt/internal/precondition"
	"learnedopt/internal/simd"
)

// A memory is what a state remembers of a tensor between steps.
type memory[T simd.Float] struct {
	// slow and fast are moving averages of the mean of g² over the tensor, β = 0.999 and 0.9; first is the mean at step 1.
	slow, fast, first T
	// cosine holds moving averages of the cosine between a gradient and the update before it, β = 0.9 and 0.99.
	cosine [2]T
}

const memorySize = 5

// The averages of g² over a tensor.
const (
	slowBeta = 0.999
	fastBeta = 0.9
)

func (m *memory[T]) fields() [memorySize]*T {
	return [...]*T{&m.slow, &m.fast, &m.first, &m.cosine[0], &m.cosine[1]}
}

// sums are what simd.Kernels.Sums computes, over the coordinates of a tensor before a step.
type sums struct{ gg, tt, uu, gu, m0, m1 float64 }

func (s *sums) add(b *[simd.SumRows]float64) {
	s.gg += b[0]
	s.tt += b[1]
	s.uu += b[2]
	s.gu += b[3]
	s.m0 += b[4]
	s.m1 += b[5]
}

// cosine is the cosine of the angle between the gradient and the update before it, 0 if one of them is 0.
func (s *sums) cosine() float64 {
	if s.gg > 0 && s.uu > 0 {
		return s.gu / math.Sqrt(s.gg*s.uu)
	}
	return 0
}

// observe writes the contexts of all parts at the step after s.steps into s.context, and the memories after the step
// into s.next. It changes nothing else.
func (s *state[T]) observe(grad, theta []T, total int) {
	c := s.c
	precondition.Length("lstm", "Point.Theta", theta, s.n)
	workers := min(s.workers(), (s.blocks()+sumGrain-1)/sumGrain)
	s.reserve(workers)
	s.grad, s.theta = grad, theta
	s.sumFan.Run((s.blocks()+sumGrain-1)/sumGrain, workers)
	s.grad, s.theta = nil, nil
	t := s.steps + 1
	for k := range s.parts {
		s.next[k] = s.memories[k]
		sum := s.partSums(k)
		s.sums[k] = sum
		m, n := &s.next[k], float64(max(s.parts[k].n, 1))
		mean := sum.gg / n
		m.slow += T(1-slowBeta) * (T(mean) - m.slow)
		m.fast += T(1-fastBeta) * (T(mean) - m.fast)
		if t == 1 {
			m.first = T(mean)
		}
		cosine := sum.cosine()
		m.cosine[0] += T(0.1 * (cosine - float64(m.cosine[0])))
		m.cosine[1] += T(0.01 * (cosine - float64(m.cosine[1])))
	}
	if c.cfg.Orthogonal {
		o, _ := s.ofOrthogonal(s.context)
		for k := range s.parts {
			s.orthogonalize(o, &s.parts[k], grad)
		}
	}
	for k := range s.parts {
		c.contextOf(s.context[k*c.contextSize():][:c.contextSize()], s, k, t, total)
	}
}

// contextOf writes the context of part k at step t. The sums and memories of all parts are known.
func (c *core[T]) contextOf(dst []T, s *state[T], k, t, total int) {
	p, m, sum := &s.parts[k], &s.next[k], &s.sums[k]
	n := float64(max(p.n, 1))
	mean := float64(m.slow) * correction(slowBeta, t) // V
	gain := s.gain(k)
	at := 0
	put := func(values ...float64) {
		for _, v := range values {
			dst[at] = T(min(max(v, -2), 2))
			at++
		}
	}
	if c.cfg.Context&ShapeContext != 0 {
		put(p.shape[:]...)
	}
	if c.cfg.Context&NormContext != 0 {
		signal := func(square, beta float64) float64 {
			if t == 1 || mean == 0 {
				return 1
			}
			return math.Sqrt(square/n/mean) * correction(beta, t-1)
		}
		put(signal(sum.m0, simd.MomentBetas[0]), signal(sum.m1, simd.MomentBetas[1]),
			logRatio(float64(m.fast)/(1-math.Pow(fastBeta, float64(t))), mean)/5,
			logRatio(mean, float64(m.first))/10,
			0.5*logRatio(sum.uu, sum.tt)/5,
			0.5*logRatio(sum.tt/n*max(p.inputs, 1), 1)/5,
			math.Log(gain/standardGain)/5)
	}
	if c.cfg.Context&FeedbackContext != 0 {
		put(sum.cosine(), float64(m.cosine[0])/(1-math.Pow(0.9, float64(t))), float64(m.cosine[1])/(1-math.Pow(0.99, float64(t))))
	}
	if c.cfg.Context&TimeContext != 0 {
		put(math.Log(float64(t))/clockScale-1, 1/float64(t))
		if total > 0 {
			rest := max(float64(total-t), 0)
			put(1, rest/float64(total), math.Log(rest+1)/clockScale-1)
		} else {
			put(0, 0, 0)
		}
	}
	inv, size := 0.0, 1.0
	if mean > 0 {
		inv = 1 / math.Sqrt(mean)
	}
	if c.cfg.FanIn {
		size = standardGain / gain
		if size > 1 {
			size = math.Sqrt(size)
		}
	}
	dst[at], dst[at+1] = T(inv), T(size)
}

// logRatio is ln(a/b), with 10 in place of everything larger or undefined.
func logRatio(a, b float64) float64 {
	switch {
	case a <= 0:
		return -10
	case b <= 0:
		return 10
	}
	return min(max(math.Log(a/b), -10), 10)
}

// biasGain is the gain of biases and of tensors about which nothing is known.
const biasGain = 32

// gain estimates how far an update of size 1 moves the outputs of part k's layer: inputs·rms(x) for weights.
func (s *state[T]) gain(k int) float64 {
	p := &s.parts[k]
	if p.weights != k {
		return biasGain
	}
	rms := 1.0
	if p.biases >= 0 {
		w, b := float64(s.next[k].slow), float64(s.next[p.biases].slow)
		if w > 0 && b > 0 {
			rms = math.Sqrt(w / b)
		}
	}
	const extreme = 1000
	return max(p.inputs*min(max(rms, 1.0/extreme), extreme), 1)
}

// orthogonalMomentum is μ of the orthogonalized momentum. It is the β of the first moment.
const orthogonalMomentum = 0.9

// ofOrthogonal returns what a context holds of Config.Orthogonal, two numbers for each coordinate: the directions o, and
// the factors f by which the updates multiply them. Without Orthogonal both are nil.
func (s *state[T]) ofOrthogonal(context []T) (o, f []T) {
	if !s.c.cfg.Orthogonal {
		return nil, nil
	}
	both := context[len(s.parts)*s.c.contextSize():]
	return both[:s.n], both[s.n:]
}

// orthogonalSize is the factor on O: the root mean square of the elements of an orthogonal matrix is 1/√(longer side).
func (p *part) orthogonalSize() float64 {
	return math.Sqrt(float64(max(p.axes.Outputs, p.axes.Inputs())))
}

// momentum writes the momentum that Orthogonal takes of one part at the next step.
func (s *state[T]) momentum(dst []T, p *part, grad []T) {
	const keep, take = orthogonalMomentum, 1 - orthogonalMomentum
	for from := 0; from < len(grad); from += lanes {
		g := grad[from:min(from+lanes, len(grad))]
		to, m := dst[from:][:len(g)], s.data[s.place(p, s.c.state.moments/lanes, from):][:len(g)]
		for i, g := range g {
			g = min(max(g, -simd.MaxGradient), simd.MaxGradient)
			m := T(T(keep)*m[i]) + T(T(take)*g)
			to[i] = T(T(keep)*m) + T(T(take)*g)
		}
	}
}

// orthogonalize writes the directions of one part into o. They are 0 where there never was a gradient.
func (s *state[T]) orthogonalize(o []T, p *part, grad []T) {
	if p.axes.Len() == 0 {
		return
	}
	o, grad = o[p.from:][:p.n], grad[p.from:][:p.n]
	s.momentum(o, p, grad)
	s.orthogonalizer.Run(o, o, p.axes, T(p.orthogonalSize()))
	s.rest(o, p, grad)
}

// rest writes 0 into o where a coordinate of the part never had a gradient, grad included.
func (s *state[T]) rest(o []T, p *part, grad []T) {
	for from := 0; from < len(grad); from += lanes {
		g := grad[from:min(from+lanes, len(grad))]
		o, v := o[from:][:len(g)], s.data[s.place(p, s.c.state.moments/lanes+simd.Moments-1, from):][:len(g)]
		for i, g := range g {
			if g == 0 && v[i] == 0 {
				o[i] = 0
			}
		}
	}
}

// orthogonalizeAdjoint writes the adjoint of the momentum that Orthogonal takes of one part into dm. do is the adjoint of
// the directions, and is overwritten.
func (s *state[T]) orthogonalizeAdjoint(dm, do []T, p *part, grad []T, by *gemm.Orthogonalizer[T]) {
	dm, do, grad = dm[p.from:][:p.n], do[p.from:][:p.n], grad[p.from:][:p.n]
	if p.axes.Len() == 0 {
		clear(dm)
		return
	}
	s.rest(do, p, grad)
	s.momentum(dm, p, grad)
	by.Adjoint(dm, do, dm, p.axes, T(p.orthogonalSize()))
}

// partSums adds up the sums of a part's blocks, in their order.
func (s *state[T]) partSums(k int) sums {
	var total sums
	for b := s.parts[k].block; b < s.parts[k].block+blocks(s.parts[k].n); b++ {
		total.add(&s.blockSums[b])
	}
	return total
}

// sumBlock computes the sums of block b. rows is memory for two rows.
func (s *state[T]) sumBlock(rows []T, b int) {
	c := s.c
	from, live := s.lanesOf(b)
	var m []T
	if c.cfg.Context&NormContext != 0 && c.cfg.Inputs&Momenta != 0 {
		m = s.row(b, c.state.moments)
	}
	// Of a block that is not full, the lanes beyond the last coordinate are 0 in all five rows.
	c.k.Sums(&s.blockSums[b], gather(rows, s.grad[from:from+live]), gather(rows[lanes:], s.theta[from:from+live]), s.row(b, c.state.u), m)
}
