package layers

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"learnedopt/internal/gemm"
	"learnedopt/internal/gemm/mlp"
	"learnedopt/internal/operation"
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
	o := &operation.Op{Name: "dense " + a, Shape: tensor.Shape{batch, units}}
	var z []float32 // what a is applied to, if its derivative needs that
	if act.OfInput {
		z = make([]float32, batch*units)
	}
	o.Compute = func(out []float32, in [][]float32) error {
		for at := 0; at < len(out); at += units {
			copy(out[at:], in[2])
		}
		kernel.Mul(gemm.Of(out, batch, units), gemm.Of(in[0], batch, features), gemm.Of(in[1], features, units), true)
		if ok {
			copy(z, out)
			act.Apply(out)
		}
		return nil
	}
	o.Derive = func(in gorgonia.Nodes, h, dh *gorgonia.Node) (gorgonia.Nodes, error) {
		dz := dh
		if ok {
			// The slope has h as its input even if it reads z, so that it runs after the layer.
			slope := &operation.Op{Name: "slope " + a, Shape: h.Shape(), Compute: func(out []float32, in [][]float32) error {
				if act.OfInput {
					act.Slope(out, z, in[1])
				} else {
					act.Slope(out, in[0], in[1])
				}
				return nil
			}}
			var err error
			if dz, err = slope.Apply(h, dh); err != nil {
				return nil, err
			}
		}
		inputs := &operation.Op{Name: "dense inputs", Shape: in[0].Shape(), Compute: func(out []float32, in [][]float32) error {
			kernel.Mul(gemm.Of(out, batch, features), gemm.Of(in[0], batch, units), gemm.Of(in[1], features, units).T(), false)
			return nil
		}}
		weights := &operation.Op{Name: "dense weights", Shape: in[1].Shape(), Compute: func(out []float32, in [][]float32) error {
			kernel.Mul(gemm.Of(out, features, units), gemm.Of(in[0], batch, features).T(), gemm.Of(in[1], batch, units), false)
			return nil
		}}
		biases := &operation.Op{Name: "dense biases", Shape: in[2].Shape(), Compute: func(out []float32, in [][]float32) error {
			clear(out)
			for at := 0; at < len(in[0]); at += units {
				for j, d := range in[0][at : at+units] {
					out[j] += d
				}
			}
			return nil
		}}
		dx, err := inputs.Apply(dz, in[1])
		if err != nil {
			return nil, err
		}
		dw, err := weights.Apply(in[0], dz)
		if err != nil {
			return nil, err
		}
		db, err := biases.Apply(dz)
		if err != nil {
			return nil, err
		}
		return gorgonia.Nodes{dx, dw, db}, nil
	}
	return o.Apply(x, w, b)
}
