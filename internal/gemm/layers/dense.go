package layers

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"learnedopt/internal/gemm"
	"learnedopt/internal/simd"
)

// An activation is a non-linearity, element by element, whose derivative
// follows from its value.
type activation struct {
	apply func(h []float32)
	// slope writes dz = dh ∘ a'(z), with h = a(z).
	slope func(dz, h, dh []float32)
}

var activations = map[string]activation{
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
	},
}

// Dense is a layer of a network as one operation,
//
//	h = a(x W + b),
//
// with x of B×F, W of F×H, b of H and h of B×H elements, and a one of sigmoid,
// relu, tanh, elu, or "" for the identity. The layer can be differentiated
// once, with respect to all three. The derivative of relu at 0 is 0.
func Dense(x, w, b *gorgonia.Node, a string) (*gorgonia.Node, error) {
	if x == nil || w == nil || b == nil {
		return nil, fmt.Errorf("layers: dense: missing input")
	}
	if !x.IsMatrix() || !w.IsMatrix() || !b.IsVector() || x.Shape()[1] != w.Shape()[0] || w.Shape()[1] != b.Shape().TotalSize() {
		return nil, fmt.Errorf("layers: dense: shapes %v, %v and %v do not fit", x.Shape(), w.Shape(), b.Shape())
	}
	act, ok := activations[a]
	if !ok && a != "" {
		return nil, fmt.Errorf("layers: activation %q", a)
	}
	batch, features, units := x.Shape()[0], x.Shape()[1], w.Shape()[1]
	kernel := gemm.Default()
	o := &op{name: "dense " + a, shape: tensor.Shape{batch, units}}
	o.do = func(out []float32, in [][]float32) {
		for at := 0; at < len(out); at += units {
			copy(out[at:], in[2])
		}
		kernel.Mul(gemm.Of(out, batch, units), gemm.Of(in[0], batch, features), gemm.Of(in[1], features, units), true)
		if ok {
			act.apply(out)
		}
	}
	o.diff = func(in gorgonia.Nodes, h, dh *gorgonia.Node) (gorgonia.Nodes, error) {
		dz := dh
		if ok {
			slope := &op{name: "slope " + a, shape: h.Shape(), do: func(out []float32, in [][]float32) { act.slope(out, in[0], in[1]) }}
			var err error
			if dz, err = slope.apply(h, dh); err != nil {
				return nil, err
			}
		}
		inputs := &op{name: "dense inputs", shape: in[0].Shape(), do: func(out []float32, in [][]float32) {
			kernel.Mul(gemm.Of(out, batch, features), gemm.Of(in[0], batch, units), gemm.Of(in[1], features, units).T(), false)
		}}
		weights := &op{name: "dense weights", shape: in[1].Shape(), do: func(out []float32, in [][]float32) {
			kernel.Mul(gemm.Of(out, features, units), gemm.Of(in[0], batch, features).T(), gemm.Of(in[1], batch, units), false)
		}}
		biases := &op{name: "dense biases", shape: in[2].Shape(), do: func(out []float32, in [][]float32) {
			clear(out)
			for at := 0; at < len(in[0]); at += units {
				for j, d := range in[0][at : at+units] {
					out[j] += d
				}
			}
		}}
		dx, err := inputs.apply(dz, in[1])
		if err != nil {
			return nil, err
		}
		dw, err := weights.apply(in[0], dz)
		if err != nil {
			return nil, err
		}
		db, err := biases.apply(dz)
		if err != nil {
			return nil, err
		}
		return gorgonia.Nodes{dx, dw, db}, nil
	}
	return o.apply(x, w, b)
}
