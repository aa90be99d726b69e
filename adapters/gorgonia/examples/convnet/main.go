// Command convnet trains a small convolutional network written in Gorgonia with a learned optimizer and with
// Gorgonia's Adam. The network is similar to Gorgonia's own example convnet.
//
//	go run ./adapters/gorgonia/examples/convnet
//	go run ./adapters/gorgonia/examples/convnet -data mnist -runs 10 -tune-runs 3
//
// Compared with Gorgonia's example it has fewer and smaller layers, so that it ends within half a minute. It has no
// dropout, because Gorgonia seeds the masks from the clock and the two solvers would see different networks.
package main

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"learnedopt/adapters/gorgonia/examples/internal/compare"
)

const batch = 32

// build writes two layers of convolution 3×3, ReLU and max-pooling 2×2, with 4 and 8 filters, then a layer of 32 ReLU
// units and a layer of 10 outputs. No layer has biases, as in Gorgonia's example.
func build(g *gorgonia.ExprGraph) (*compare.Network, error) {
	x := gorgonia.NewTensor(g, tensor.Float32, 4, gorgonia.WithShape(batch, 1, 28, 28), gorgonia.WithName("x"))
	y := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithShape(batch, 10), gorgonia.WithName("y"))
	w0 := gorgonia.NewTensor(g, tensor.Float32, 4, gorgonia.WithShape(4, 1, 3, 3), gorgonia.WithName("w0"))
	w1 := gorgonia.NewTensor(g, tensor.Float32, 4, gorgonia.WithShape(8, 4, 3, 3), gorgonia.WithName("w1"))
	w2 := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithShape(8*7*7, 32), gorgonia.WithName("w2"))
	w3 := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithShape(32, 10), gorgonia.WithName("w3"))

	p0, err := convolve(x, w0)
	if err != nil {
		return nil, err
	}
	p1, err := convolve(p0, w1)
	if err != nil {
		return nil, err
	}
	flat, err := gorgonia.Reshape(p1, tensor.Shape{batch, 8 * 7 * 7})
	if err != nil {
		return nil, err
	}
	fc, err := gorgonia.Mul(flat, w2)
	if err != nil {
		return nil, err
	}
	a2, err := gorgonia.Rectify(fc)
	if err != nil {
		return nil, err
	}
	logits, err := gorgonia.Mul(a2, w3)
	return &compare.Network{X: x, Y: y, Learnables: gorgonia.Nodes{w0, w1, w2, w3}, Logits: logits}, err
}

// convolve applies a convolution that keeps the size, ReLU, and a pooling that halves the size.
func convolve(x, w *gorgonia.Node) (*gorgonia.Node, error) {
	c, err := gorgonia.Conv2d(x, w, tensor.Shape{3, 3}, []int{1, 1}, []int{1, 1}, []int{1, 1})
	if err != nil {
		return nil, err
	}
	a, err := gorgonia.Rectify(c)
	if err != nil {
		return nil, err
	}
	return gorgonia.MaxPool2D(a, tensor.Shape{2, 2}, []int{0, 0}, []int{2, 2})
}

func main() { compare.Main(build) }
