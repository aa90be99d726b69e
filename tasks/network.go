package tasks

import (
	"fmt"
	"io"
	"math/rand/v2"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"learnedopt/internal/gemm/conv"
	"learnedopt/internal/gemm/layers"
	"learnedopt/internal/gemm/mlp"
	"learnedopt/internal/stream"
	"learnedopt/optimizer"
)

// network is a compiled classifier with the buffers of its minibatches. One problem owns it at a time.
type network struct {
	model     model
	curvature curvature
	data      *Dataset
	split     Split
	seed      uint64
	pcg       *rand.PCG
	rng       *rand.Rand
	pixels    []float32 // B×F
	oneHot    []float32 // B×C; the numbers to predict of a regression, B×1
	fed       int       // the step of the minibatch in pixels and oneHot, −1 before the first
	noise     float64   // the probability of a wrong label
	examples  []int     // that minibatches are drawn from; nil means the whole split
	noisePCG  *rand.PCG
	noiseRNG  *rand.Rand
}

// newNetwork compiles a network of a family.
func newNetwork(f *Classifier) (*network, error) {
	batch := f.config.Batch
	net := &network{
		data: f.data, split: f.split, pcg: &rand.PCG{}, noisePCG: &rand.PCG{}, fed: -1,
		pixels: make([]float32, batch*f.data.Features()), oneHot: make([]float32, batch*f.data.outputs()),
	}
	net.rng, net.noiseRNG = rand.New(net.pcg), rand.New(net.noisePCG)
	activation, ok := mlp.ActivationOf(f.config.Activation)
	if !ok {
		return nil, fmt.Errorf("tasks: no activation %q", f.config.Activation) // cannot happen: the configuration is valid
	}
	if f.conv != nil {
		c := conv.New(*f.conv, activation, batch)
		net.model = &convolution{net: net, conv: c}
		net.curvature.make = func() products { return c }
		return net, nil
	}
	net.curvature.make = func() products {
		if f.data.regression() {
			return mlp.NewSquared(f.widths, activation, batch)
		}
		return mlp.New(f.widths, activation, batch)
	}
	var err error
	net.model, err = net.compile(f.config, f.widths, f.layout)
	return net, err
}

// compile makes the graph of a multilayer perceptron over the buffers.
func (net *network) compile(o Options, widths []int, layout optimizer.Layout) (*Graph, error) {
	classes := widths[len(widths)-1] // 1 for a regression
	return NewGraph(func(g *gorgonia.ExprGraph) (Expression, error) {
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
		loss := layers.CrossEntropy
		if net.data.regression() {
			loss = layers.SquaredError
		}
		return Expression{Params: b.params, Tensors: layout.Tensors(), Loss: b.loss(h, labels, loss), Feed: net.feed}, b.err
	})
}

// close releases what the model holds.
func (net *network) close() error {
	if c, ok := net.model.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// begin prepares the network for a new problem, at step 0.
func (net *network) begin(seed uint64, o Options) {
	net.seed, net.noise, net.fed, net.curvature.at, net.curvature.trial.at = seed, o.LabelNoise, -1, -1, -1
	net.examples = nil
	if o.Examples > 0 {
		net.examples = stream.New(seed, "examples", 0).Perm(net.data.Len(net.split))[:o.Examples]
	}
	net.model.Seek(0)
}

// feed writes minibatch t into the buffers. The minibatch depends on the seed and t alone.
func (net *network) feed(t int) error {
	net.fed = t
	stream.Reseed(net.pcg, net.seed, "batch", uint64(t))
	features, classes, n := net.data.Features(), net.data.outputs(), net.data.Len(net.split)
	if net.examples != nil {
		n = len(net.examples)
	}
	regression := net.data.regression()
	clear(net.oneHot)
	for row := range len(net.pixels) / features {
		i := net.rng.IntN(n)
		if net.examples != nil {
			i = net.examples[i]
		}
		net.data.Image(net.pixels[row*features:(row+1)*features], net.split, i)
		if regression {
			net.oneHot[row] = net.data.Target(net.split, i)
			continue
		}
		net.oneHot[row*classes+net.label(i)] = 1
	}
	return nil
}

// label returns the label of example i in this problem. With label noise it depends on the problem's seed and i alone.
func (net *network) label(i int) int {
	label := net.data.Label(net.split, i)
	if net.noise == 0 {
		return label
	}
	stream.Reseed(net.noisePCG, net.seed, "label noise", uint64(i))
	if net.noiseRNG.Float64() >= net.noise {
		return label
	}
	other := net.noiseRNG.IntN(net.data.classes - 1)
	if other >= label {
		other++
	}
	return other
}

// layerBuilder adds layers to a graph and remembers the first error.
type layerBuilder struct {
	g      *gorgonia.ExprGraph
	params gorgonia.Nodes
	err    error
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
	if b.err != nil {
		return nil
	}
	return b.try(layers.Dense(h, w, bias, activation))
}

// loss returns a loss of the outputs z and the labels, or the numbers to predict.
func (b *layerBuilder) loss(z, labels *gorgonia.Node, of func(z, y *gorgonia.Node) (*gorgonia.Node, error)) *gorgonia.Node {
	if b.err != nil {
		return nil
	}
	return b.try(of(z, labels))
}
