package tasks

import (
	"fmt"
	"math/rand/v2"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"learnedopt/internal/gemm/layers"
	"learnedopt/internal/stream"
	"learnedopt/optimizer"
)

// network is a compiled classifier with the buffers of its minibatches. One problem owns it at a time.
type network struct {
	graph     *Graph
	curvature curvature
	data      *Dataset
	split     Split
	seed      uint64
	pcg       *rand.PCG
	rng       *rand.Rand
	pixels    []float32 // B×F
	oneHot    []float32 // B×C
	fed       int       // the step of the minibatch in pixels and oneHot, −1 before the first
}

// newNetwork compiles a network of the given layer widths.
func newNetwork(data *Dataset, o Options, split Split, widths []int) (*network, error) {
	classes := widths[len(widths)-1]
	net := &network{
		data: data, split: split, pcg: &rand.PCG{}, fed: -1,
		curvature: curvature{widths: widths, activation: o.Activation, batch: o.Batch},
		pixels:    make([]float32, o.Batch*widths[0]), oneHot: make([]float32, o.Batch*classes),
	}
	net.rng = rand.New(net.pcg)
	var err error
	net.graph, err = NewGraph(func(g *gorgonia.ExprGraph) (Expression, error) {
		b := &layerBuilder{g: g}
		x := b.input("x", net.pixels, o.Batch, widths[0])
		labels := b.input("labels", net.oneHot, o.Batch, classes)
		h := x
		for l := range len(widths) - 1 {
			activation := o.Activation
			if l == len(widths)-2 {
				activation = ""
			}
			h = b.dense(h, l, widths[l], widths[l+1], activation)
		}
		return Expression{Params: b.params, Tensors: b.tensors, Loss: b.crossEntropy(h, labels), Feed: net.feed}, b.err
	})
	return net, err
}

// begin prepares the network for a new problem, at step 0.
func (net *network) begin(seed uint64) {
	net.seed, net.fed, net.curvature.at = seed, -1, -1
	net.graph.Seek(0)
}

// feed writes minibatch t into the buffers. The minibatch depends on the seed and t alone.
func (net *network) feed(t int) error {
	net.fed = t
	stream.Reseed(net.pcg, net.seed, "batch", uint64(t))
	features, classes, n := net.data.rows*net.data.cols, net.data.classes, net.data.Len(net.split)
	clear(net.oneHot)
	for row := range len(net.pixels) / features {
		i := net.rng.IntN(n)
		net.data.Image(net.pixels[row*features:(row+1)*features], net.split, i)
		net.oneHot[row*classes+net.data.Label(net.split, i)] = 1
	}
	return nil
}

// layerBuilder adds layers to a graph and remembers the first error.
type layerBuilder struct {
	g       *gorgonia.ExprGraph
	params  gorgonia.Nodes
	tensors []optimizer.Tensor
	err     error
}

// try returns the node of an operation. It keeps the error if the operation failed and no earlier one did.
func (b *layerBuilder) try(node *gorgonia.Node, err error) *gorgonia.Node {
	if b.err == nil {
		b.err = err
	}
	return node
}

// input returns a matrix over a buffer that is refilled at each step.
func (b *layerBuilder) input(name string, backing []float32, rows, cols int) *gorgonia.Node {
	value := tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(backing))
	return gorgonia.NewMatrix(b.g, tensor.Float32, gorgonia.WithShape(rows, cols), gorgonia.WithName(name), gorgonia.WithValue(value))
}

// dense returns a(h W + b) with new parameters W and b.
func (b *layerBuilder) dense(h *gorgonia.Node, layer, in, out int, activation string) *gorgonia.Node {
	w := gorgonia.NewMatrix(b.g, tensor.Float32, gorgonia.WithShape(in, out), gorgonia.WithName(fmt.Sprintf("W%d", layer)))
	bias := gorgonia.NewVector(b.g, tensor.Float32, gorgonia.WithShape(out), gorgonia.WithName(fmt.Sprintf("b%d", layer)))
	b.params = append(b.params, w, bias)
	b.tensors = append(b.tensors,
		optimizer.Tensor{Name: w.Name(), Shape: []int{in, out}, Kind: optimizer.Matrix, OutputAxis: 1},
		optimizer.Tensor{Name: bias.Name(), Shape: []int{out}, Kind: optimizer.Bias})
	if b.err != nil {
		return nil
	}
	return b.try(layers.Dense(h, w, bias, activation))
}

// crossEntropy returns −(1/B) Σ labels ∘ log softmax(z), with the softmax over each row.
func (b *layerBuilder) crossEntropy(z, labels *gorgonia.Node) *gorgonia.Node {
	if b.err != nil {
		return nil
	}
	return b.try(layers.CrossEntropy(z, labels))
}
