package main

import (
	"learnedopt/internal/gemm"
	"learnedopt/internal/stream"
	"learnedopt/optimizer"
	"learnedopt/tasks"
)

var convnet = program{
	name: "convnet", about: "MNIST, two convolutions 3×3 of 8 and 16 channels with ReLU and max-pooling, minibatches of 32", steps: 200,
	open: func(seed uint64, dataDir string) (trainable, error) {
		data, err := tasks.LoadMNIST(dataDir)
		if err != nil {
			return nil, err
		}
		return convolutional(seed, data), nil
	},
}

func convolutional(seed uint64, data *tasks.Dataset) trainable {
	const batch = 32
	first, second := newConvolution(batch, 28, 1, 8), newConvolution(batch, 14, 8, 16)
	last := newDense(batch, false, 7*7*16, 10)
	layout := mustLayout(append(append(first.tensors("1"), second.tensors("2")...), last.tensors()...)...)
	labels := make([]int, batch)
	// split returns the parts of θ or of a gradient.
	split := func(x []float32) (a, b, c []float32) {
		i, j := first.size(), first.size()+second.size()
		return x[:i], x[i:j], x[j:]
	}
	return &model[float32]{
		layout: layout,
		theta:  he(layout, stream.New(seed, "start", 0)),
		draw:   func(_ []float32, t int) { minibatch(first.in, labels, data, stream.New(seed, "batch", uint64(t))) },
		lossGrad: func(grad, theta []float32) float64 {
			a, b, c := split(theta)
			da, db, dc := split(grad)
			copy(second.in, first.forward(a))
			copy(last.h[0], second.forward(b))
			loss := softmaxLoss(last.d[1], last.forward(c), labels)
			last.backward(dc, c, true)
			second.backward(db, b, last.d[0], true)
			first.backward(da, a, second.din, false)
			return loss
		},
	}
}

// A convolution is a layer for n images of side × side pixels: a kernel 3×3 that keeps the size, a bias, ReLU, and the
// maximum of each 2×2 pixels. Images are [n, side, side, channels]; its parameters are the kernel [3, 3, inputs, outputs] and the bias.
type convolution struct {
	n, side, inputs, outputs int

	in, din []float32
	patches []float32 // a row of 9·inputs numbers for each pixel, and then their adjoint
	z, dz   []float32
	out     []float32
	winners []int // where in z an output comes from
}

func newConvolution(n, side, inputs, outputs int) *convolution {
	pixels := n * side * side
	return &convolution{n, side, inputs, outputs, make([]float32, pixels*inputs), make([]float32, pixels*inputs), make([]float32, pixels*9*inputs),
		make([]float32, pixels*outputs), make([]float32, pixels*outputs), make([]float32, pixels/4*outputs), make([]int, pixels/4*outputs)}
}

func (c *convolution) size() int { return 9*c.inputs*c.outputs + c.outputs }

func (c *convolution) tensors(name string) []optimizer.Tensor {
	return []optimizer.Tensor{
		{Name: "K" + name, Shape: []int{3, 3, c.inputs, c.outputs}, Kind: optimizer.Convolution, OutputAxis: 3},
		{Name: "c" + name, Shape: []int{c.outputs}, Kind: optimizer.Bias},
	}
}

// eachPatch calls f with the positions of a pixel's numbers in images and in patches, for all pixels and their neighbours
// within the image.
func (c *convolution) eachPatch(f func(image, patch int)) {
	for i := range c.n {
		for y := range c.side {
			for x := range c.side {
				row := ((i*c.side+y)*c.side + x) * 9 * c.inputs
				for k := range 9 {
					v, u := y+k/3-1, x+k%3-1
					if v >= 0 && v < c.side && u >= 0 && u < c.side {
						f(((i*c.side+v)*c.side+u)*c.inputs, row+k*c.inputs)
					}
				}
			}
		}
	}
}

// forward computes the outputs for the images in c.in.
func (c *convolution) forward(theta []float32) []float32 {
	clear(c.patches)
	c.eachPatch(func(image, patch int) { copy(c.patches[patch:][:c.inputs], c.in[image:]) })
	kernel, bias := theta[:9*c.inputs*c.outputs], theta[9*c.inputs*c.outputs:]
	for i := 0; i < len(c.z); i += c.outputs {
		copy(c.z[i:], bias)
	}
	pixels := c.n * c.side * c.side
	gemm.Default().Mul(gemm.Of(c.z, pixels, c.outputs), gemm.Of(c.patches, pixels, 9*c.inputs), gemm.Of(kernel, 9*c.inputs, c.outputs), true)
	half := c.side / 2
	for at := range c.out {
		o, x, y, i := at%c.outputs, at/c.outputs%half, at/c.outputs/half%half, at/c.outputs/half/half
		best := -1
		for k := range 4 {
			from := ((i*c.side+2*y+k/2)*c.side+2*x+k%2)*c.outputs + o
			if best < 0 || c.z[from] > c.z[best] {
				best = from
			}
		}
		c.out[at], c.winners[at] = max(c.z[best], 0), best
	}
	return c.out
}

// backward writes the gradient, given the adjoint of the outputs. If inputs is set, it writes the adjoint of the images into c.din.
func (c *convolution) backward(grad, theta, dout []float32, inputs bool) {
	clear(c.dz)
	for at, d := range dout {
		if c.out[at] > 0 {
			c.dz[c.winners[at]] = d
		}
	}
	pixels, weights := c.n*c.side*c.side, 9*c.inputs*c.outputs
	dz, patches := gemm.Of(c.dz, pixels, c.outputs), gemm.Of(c.patches, pixels, 9*c.inputs)
	gemm.Default().Mul(gemm.Of(grad[:weights], 9*c.inputs, c.outputs), patches.T(), dz, false)
	db := grad[weights:]
	clear(db)
	for i, d := range c.dz {
		db[i%c.outputs] += d
	}
	if !inputs {
		return
	}
	gemm.Default().Mul(patches, dz, gemm.Of(theta[:weights], 9*c.inputs, c.outputs).T(), false)
	clear(c.din)
	c.eachPatch(func(image, patch int) {
		for k, d := range c.patches[patch:][:c.inputs] {
			c.din[image+k] += d
		}
	})
}
