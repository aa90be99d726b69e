package learned

import (
	"math"
	"math/rand/v2"
)

// The network of a WarmStart looks at one coordinate of ADMM's v = (x, w) at a time, with weights for each of the three kinds of
// coordinates: variables, rows of A, rows of G. So it fits problems of every size. With features f,
//
//	output = aᵀf + cᵀ tanh(Wf + d)
//
// All of a and c are 0 at the start, so that an untrained network leaves the point alone.
const (
	probes   = 6          // steps of ADMM that the network reads
	features = probes + 6 // see WarmStart.describe
	hidden   = 16
	perKind  = features + hidden + hidden*features + hidden
)

// NetworkSize is the number of weights of a WarmStart's network.
const NetworkSize = 3 * perKind

// kind holds the weights of one kind of coordinates.
type kind struct{ a, c, w, d []float32 }

func kindOf(weights []float32, k int) kind {
	x := weights[k*perKind : (k+1)*perKind]
	a, x := x[:features], x[features:]
	c, x := x[:hidden], x[hidden:]
	return kind{a, c, x[:hidden*features], x[hidden*features:]}
}

// output returns the network's output, and leaves the hidden units in h.
func (k kind) output(h, f []float64) float64 {
	out := 0.0
	for i, v := range f {
		out += float64(k.a[i]) * v
	}
	for u := range h {
		sum := float64(k.d[u])
		for i, w := range k.w[u*features : (u+1)*features] {
			sum += float64(w) * f[i]
		}
		h[u] = math.Tanh(sum)
		out += float64(k.c[u]) * h[u]
	}
	return out
}

// back adds the derivatives of up·output to d, a kind's derivatives in float64.
func (k kind) back(d []float64, h, f []float64, up float64) {
	a, d := d[:features], d[features:]
	c, d := d[:hidden], d[hidden:]
	w, bias := d[:hidden*features], d[hidden*features:]
	for i, v := range f {
		a[i] += up * v
	}
	for u, v := range h {
		c[u] += up * v
		g := up * float64(k.c[u]) * (1 - v*v)
		bias[u] += g
		for i, x := range f {
			w[u*features+i] += g * x
		}
	}
}

// InitNetwork writes the weights that an untrained network has: it returns every point as it is.
func InitNetwork(r *rand.Rand, weights []float32) {
	if len(weights) != NetworkSize {
		panic(errWeights)
	}
	clear(weights)
	for k := range 3 {
		w := kindOf(weights, k).w
		for i := range w {
			w[i] = float32(r.NormFloat64() / math.Sqrt(features))
		}
	}
}
