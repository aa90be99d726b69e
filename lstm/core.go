package lstm

import (
	"math"

	"learnedopt/internal/simd"
)

// core is a network in number type T: float32 for use, float64 to check it.
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

// newRecord returns the records of the given number of steps of one block.
func (c *core[T]) newRecord(steps int) []T {
	rec := make([]T, steps*c.recSize)
	for t := range steps {
		for _, at := range c.ones {
			row := rec[t*c.recSize+at:][:lanes]
			for l := range row {
				row[l] = 1
			}
		}
	}
	return rec
}

// forward runs one step of one block: it reads the lanes' gradients g and the
// block's state prev, fills the record and writes the state after the step to
// next, which may be prev. The update is scale times the record's row y.
func (c *core[T]) forward(rec, prev, next, g []T, corr T) {
	var mPrev, vPrev, m, v []T
	if c.cfg.Inputs&RNNProp != 0 {
		mPrev, vPrev = prev[c.stateM:][:lanes], prev[c.stateV:][:lanes]
		m, v = next[c.stateM:][:lanes], next[c.stateV:][:lanes]
	}
	c.pre.forward(rec[c.recFeatures():], g, mPrev, vPrev, m, v, corr)
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
	n := c.cfg.Hidden * lanes
	for i, l := range c.layers {
		below := l.in*lanes - n
		copy(rec[l.recIn+below:][:n], prev[c.stateH[i]:])
		w, bias := c.weights(l)
		z, h := rec[l.recOut:], next[c.stateH[i]:][:n]
		c.k.MatMul(z, w, rec[l.recIn:], bias, l.out, l.out, l.in, false)
		c.k.Cell(z, prev[c.stateC[i]:], next[c.stateC[i]:], rec[c.recTanh[i]:], h, c.cfg.Hidden)
		copy(rec[c.above(i).recIn:], h)
	}
	w, bias := c.weights(c.read)
	y := rec[c.recY:][:lanes]
	c.k.MatMul(y, w, rec[c.read.recIn:], bias, 1, 1, c.read.in, false)
	if c.cfg.Readout == Tanh {
		for l, v := range y {
			y[l] = T(math.Tanh(float64(v)))
		}
	}
}

// afterDense is the map that reads the dense layer's output.
func (c *core[T]) afterDense() affine {
	if len(c.layers) > 0 {
		return c.layers[0]
	}
	return c.read
}

// above is the map that reads the output of LSTM layer i.
func (c *core[T]) above(i int) affine {
	if i+1 < len(c.layers) {
		return c.layers[i+1]
	}
	return c.read
}
