package lstm

import (
	"math"

	"learnedopt/internal/simd"
)

// core is a network in number type T: float32 for use, float64 for checks.
// It is immutable.
type core[T simd.Float] struct {
	*geometry
	k   *simd.Kernels[T]
	pre preprocessor[T]
	phi []T

	// packed are the weights of each map for kernels that round, in the order of maps; else nil. A map's context is left out.
	packed [][]uint32

	// half says that states keep their first cells floats as float16.
	half bool
}

func newCore[T simd.Float](geo *geometry, k *simd.Kernels[T], phi []T) *core[T] {
	c := &core[T]{geometry: geo, k: k, pre: newPreprocessor(geo.cfg, k), phi: phi}
	c.pack()
	return c
}

// pack sets c.packed.
func (c *core[T]) pack() {
	if !c.k.Rounds() || len(c.phi) < c.size {
		return
	}
	for _, m := range c.maps {
		w, _ := c.weights(m)
		k := m.in - m.context
		packed := make([]uint32, simd.PackedLen(m.out, k))
		c.k.Pack(packed, w, m.out, m.out, k)
		c.packed = append(c.packed, packed)
	}
}

// like says whether two networks have the same shape, and states of the same form.
func (c *core[T]) like(other *core[T]) bool { return c.cfg == other.cfg && c.half == other.half }

func (c *core[T]) weights(m affine) (w, bias []T) {
	w = c.phi[m.off : m.off+m.size()]
	return w[:m.in*m.out], w[m.in*m.out:]
}

// newRecord returns the records for the given number of steps of one block, and
// one more record, for the h after the last step.
func (c *core[T]) newRecord(steps int) []T {
	rec := make([]T, (steps+1)*c.recSize)
	for t := range steps + 1 {
		for _, at := range c.ones {
			row := rec[t*c.recSize+at:][:lanes]
			for l := range row {
				row[l] = 1
			}
		}
	}
	return rec
}

// forward runs the hidden layers of one step of one block: it reads the lanes'
// gradients g and the block's state prev, fills the record and writes the state
// after the step to next, which may be prev. If prev is the record of the step
// before, that step has already written its h into this record.
func (c *core[T]) forward(rec, prev []T, from *places, next []T, to *places, g []T, now *glance[T]) {
	var mPrev, vPrev, m, v []T
	if c.cfg.Inputs&RNNProp != 0 {
		mPrev, vPrev = prev[from.m:][:lanes], prev[from.v:][:lanes]
		m, v = next[to.m:][:lanes], next[to.v:][:lanes]
	}
	c.pre.forward(rec[c.recFeatures():], g, mPrev, vPrev, m, v, &now.tick)
	if c.cfg.Inputs&Momenta != 0 {
		x := rec[c.recFeatures()+(c.features-Momenta.features())*lanes:]
		c.k.Momenta(x, rec[c.recN:], g, prev[from.moments:], next[to.moments:], now.corrs[:], now.inv)
	}
	if d := c.dense; d.out > 0 {
		out := rec[c.afterDense().recIn:][:d.out*lanes]
		c.affine(out, rec, d, now)
		c.k.ELU(out, d.out)
	}
	for i, l := range c.layers {
		if from == &c.state {
			copy(rec[c.ownInput(l):], prev[from.h[i]:][:c.cfg.Hidden*lanes])
		}
		z := rec[l.recOut:]
		c.affine(z, rec, l, now)
		c.k.Cell(z, prev[from.c[i]:], next[to.c[i]:], rec[c.recTanh[i]:], rec[c.above(i).recIn:], next[to.h[i]:], c.cfg.Hidden)
	}
}

// affine computes the output of a map. The context's part of it is in now.bias.
func (c *core[T]) affine(out, rec []T, m affine, now *glance[T]) {
	w, bias := c.weights(m)
	if m.context > 0 {
		bias = now.bias
	}
	k := m.in - m.context
	if c.packed != nil {
		c.k.MatMulPacked(out, c.packed[m.index], rec[m.recIn:], bias, m.out, k)
		return
	}
	c.k.MatMul(out, w, rec[m.recIn:], bias, m.out, m.out, k, false)
}

// glances prepares the glances at all tensors of a step. contexts are what observe wrote; biases has room for a bias of
// the first map for each tensor, and units for the hidden units of Config.Hyper.
func (c *core[T]) glances(dst []glance[T], now tick[T], contexts, biases, units []T) {
	size, m := c.contextSize(), c.maps[0]
	w, bias := c.weights(m)
	w = w[(m.in-m.context)*m.out:]
	for k := range dst {
		context := contexts[k*size:][:size]
		g := &dst[k]
		*g = glance[T]{tick: now, inv: context[size-2]}
		g.scale *= context[size-1]
		g.orthogonal = g.scale
		if m.context == 0 {
			continue
		}
		g.context = context[:m.context]
		f := c.factors(units, g.context)
		g.scale *= f[0]
		g.orthogonal *= f[1]
		g.bias = biases[k*m.out:][:m.out]
		copy(g.bias, bias)
		for j, x := range g.context {
			for i, wi := range w[j*m.out:][:m.out] {
				g.bias[i] += x * wi
			}
		}
	}
}

// recordContext writes the context into the rows of a record from which the weights' gradient is computed.
func (c *core[T]) recordContext(rec []T, now *glance[T]) {
	m := c.maps[0]
	at := rec[m.recIn+(m.in-m.context)*lanes:]
	for j, x := range now.context {
		row := at[j*lanes:][:lanes]
		for l := range row {
			row[l] = x
		}
	}
}

// readOut completes a step: it computes the record's row y. The update is scale times y.
// For Exp the row after y holds exp(m). orthogonal are the live lanes' directions of Config.Orthogonal, nil if there are
// none. Their factors in the update are written into factors, unless it is nil. With OrthogonalMean the directions are left
// out of y, and factors, before the scale, are what is to be averaged.
func (c *core[T]) readOut(rec []T, now *glance[T], orthogonal, factors []T) {
	y := rec[c.recY:][:lanes]
	c.affine(rec[c.recZ:], rec, c.read, now)
	switch c.cfg.Readout {
	case Mix:
		z := rec[c.recZ:]
		c.k.Mix(y, z, rec[c.recN:])
		size, weight := z[simd.Mixed*lanes:], z[(simd.Mixed+1)*lanes:]
		for l, o := range orthogonal {
			f := T(size[l] * weight[l])
			if c.cfg.OrthogonalMean {
				if factors != nil {
					factors[l] = f
				}
				continue
			}
			y[l] += T(f * o)
			if factors != nil {
				factors[l] = T(now.scale * f)
			}
		}
	case Tanh:
		for l, v := range y {
			y[l] = T(math.Tanh(float64(v)))
		}
	case Exp:
		size := rec[c.recY+lanes:][:lanes]
		for l, m := range size {
			size[l] = T(math.Exp(float64(m)))
			y[l] *= size[l]
		}
	}
}

// afterDense returns the map that reads the dense layer's output.
func (c *core[T]) afterDense() affine {
	if len(c.layers) > 0 {
		return c.layers[0]
	}
	return c.read
}

// above returns the map that reads the output of LSTM layer i.
func (c *core[T]) above(i int) affine {
	if i+1 < len(c.layers) {
		return c.layers[i+1]
	}
	return c.read
}
