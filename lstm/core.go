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
}

func newCore[T simd.Float](geo *geometry, k *simd.Kernels[T], phi []T) *core[T] {
	return &core[T]{geometry: geo, k: k, pre: newPreprocessor(geo.cfg, k), phi: phi}
}

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
func (c *core[T]) forward(rec, prev []T, from *places, next []T, to *places, g []T, now tick[T]) {
	var mPrev, vPrev, m, v []T
	if c.cfg.Inputs&RNNProp != 0 {
		mPrev, vPrev = prev[from.m:][:lanes], prev[from.v:][:lanes]
		m, v = next[to.m:][:lanes], next[to.v:][:lanes]
	}
	c.pre.forward(rec[c.recFeatures():], g, mPrev, vPrev, m, v, now)
	if d := c.dense; d.out > 0 {
		w, bias := c.weights(d)
		out := rec[c.afterDense().recIn:][:d.out*lanes]
		c.k.MatMul(out, w, rec[d.recIn:], bias, d.out, d.out, d.in, false)
		for i, e := range out {
			if e < 0 {
				out[i] = T(math.Expm1(float64(e)))
			}
		}
	}
	for i, l := range c.layers {
		if from == &c.state {
			copy(rec[c.ownInput(l):], prev[from.h[i]:][:c.cfg.Hidden*lanes])
		}
		w, bias := c.weights(l)
		z := rec[l.recOut:]
		c.k.MatMul(z, w, rec[l.recIn:], bias, l.out, l.out, l.in, false)
		c.k.Cell(z, prev[from.c[i]:], next[to.c[i]:], rec[c.recTanh[i]:], rec[c.above(i).recIn:], next[to.h[i]:], c.cfg.Hidden)
	}
}

// readOut completes a step: it computes the record's row y. The update is scale times y.
// For Exp the row after y holds exp(m).
func (c *core[T]) readOut(rec []T) {
	w, bias := c.weights(c.read)
	out := c.read.out
	y := rec[c.recY:][:lanes]
	c.k.MatMul(rec[c.recY:], w, rec[c.read.recIn:], bias, out, out, c.read.in, false)
	switch c.cfg.Readout {
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
