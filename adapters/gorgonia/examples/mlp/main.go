// Command mlp trains a small multilayer perceptron written in Gorgonia with a learned optimizer
// and with Gorgonia's Adam.
//
//	go run ./adapters/gorgonia/examples/mlp
//	go run ./adapters/gorgonia/examples/mlp -data mnist -runs 10 -tune-runs 3
package main

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"learnedopt/adapters/gorgonia/examples/internal/compare"
)

const (
	batch  = 100
	hidden = 64
)

// build writes 784-64-10 with ReLU: h = relu(x W0 + b0), z = h W1 + b1.
func build(g *gorgonia.ExprGraph) (*compare.Network, error) {
	x := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithShape(batch, 28*28), gorgonia.WithName("x"))
	y := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithShape(batch, 10), gorgonia.WithName("y"))
	w0 := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithShape(28*28, hidden), gorgonia.WithName("w0"))
	b0 := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithShape(hidden), gorgonia.WithName("b0"))
	w1 := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithShape(hidden, 10), gorgonia.WithName("w1"))
	b1 := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithShape(10), gorgonia.WithName("b1"))

	sum, err := affine(x, w0, b0)
	if err != nil {
		return nil, err
	}
	h, err := gorgonia.Rectify(sum)
	if err != nil {
		return nil, err
	}
	logits, err := affine(h, w1, b1)
	return &compare.Network{X: x, Y: y, Learnables: gorgonia.Nodes{w0, b0, w1, b1}, Logits: logits}, err
}

// affine is x w + b, with b added to each row.
func affine(x, w, b *gorgonia.Node) (*gorgonia.Node, error) {
	xw, err := gorgonia.Mul(x, w)
	if err != nil {
		return nil, err
	}
	return gorgonia.BroadcastAdd(xw, b, nil, []byte{0})
}

func main() { compare.Main(build) }
