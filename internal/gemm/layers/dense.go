package layers

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"learnedopt/internal/gemm"
	"learnedopt/internal/gemm/mlp"
)

// Dense is a layer of a network as one operation,
//
//	h = a(x W + b),
//
// with x of B×F, W of F×H, b of H and h of B×H elements. The activation a is one of
// mlp.ActivationOf, or "" for the identity. The layer can be differentiated
// once, with respect to x, W and b.
func Dense(x, w, b *gorgonia.Node, a string) (*gorgonia.Node, error) {
	if x == nil || w == nil || b == nil {
		return nil, fmt.Errorf("layers: dense: missing input")
	}
	if !x.IsMatrix() || !w.IsMatrix() || !b.IsVector() || x.Shape()[1] != w.Shape()[0] || w.Shape()[1] != b.Shape().TotalSize() {
		return nil, fmt.Errorf("layers: dense: shapes %v, %v and %v do not fit", x.Shape(), w.Shape(), b.Shape())
	}
	act, ok := mlp.ActivationOf(a)
	if !ok && a != "" {
		return nil, fmt.Errorf("layers: activation %q", a)
	}
	batch, features, units := x.Shape()[0], x.Shape()[1], w.Shape()[1]
	kernel := gemm.Default()
	o := &op{name: "dense " + a, shape: tensor.Shape{batch, units}}
	var z []float32 // what a is applied to, if its derivative needs that
	if act.OfInput {
		z = make([]float32, batch*units)
	}
	o.do = func(out []float32, in [][]float32) {
		for at := 0; at < len(out); at += units {
			copy(out[at:], in[2])
		}
		kernel.Mul(gemm.Of(out, batch, units), gemm.Of(in[0], batch, features), gemm.Of(in[1], features, units), true)
		if ok {
			copy(z, out)
			act.Apply(out)
		}
	}
	o.diff = func(in gorgonia.Nodes, h, dh *gorgonia.Node) (gorgonia.Nodes, error) {
		dz := dh
		if ok {
			// The slope has h as its input even if it reads z, so that it runs after the layer.
			slope := &op{name: "slope " + a, shape: h.Shape(), do: func(out []float32, in [][]float32) {
				if act.OfInput {
					act.Slope(out, z, in[1])
				} else {
					act.Slope(out, in[0], in[1])
				}
			}}
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
