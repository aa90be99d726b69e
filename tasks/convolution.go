package tasks

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"learnedopt/internal/gemm/conv"
	"learnedopt/internal/gemm/mlp"
	"learnedopt/internal/precondition"
	"learnedopt/optimizer"
)

// channelsKey is the key of the option that makes a classifier convolutional.
const channelsKey = "channels"

// Bounds of the option channels. No image has more than 2^12 pixels a side, and each layer halves it.
const (
	maxConvolutions = 12
	maxChannels     = 1 << 10
)

// parseChannels reads numbers of channels, as "8-16".
func parseChannels(text string) ([]int, error) {
	var all []int
	for word := range strings.SplitSeq(text, "-") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 || n > maxChannels {
			return nil, fmt.Errorf("it must be one whole number from 1 to %d for each convolutional layer, joined by hyphens, as 8-16", maxChannels)
		}
		all = append(all, n)
	}
	if len(all) > maxConvolutions {
		return nil, fmt.Errorf("it has %d convolutional layers; take at most %d", len(all), maxConvolutions)
	}
	return all, nil
}

// channelNumbers is the kind of texts that parseChannels reads.
func channelNumbers(field func(o *Options) *string) kind {
	return kind{
		placeholder: "N-N",
		example:     "8-16",
		parse: func(text string) (string, error) {
			all, err := parseChannels(text)
			if err != nil {
				return "", err
			}
			var words []string
			for _, n := range all {
				words = append(words, strconv.Itoa(n))
			}
			return strings.Join(words, "-"), nil
		},
		get: func(o *Options) string { return *field(o) },
		set: func(o *Options, value string) { *field(o) = value },
	}
}

// validateChannels reports the first mistake in the options of a convolutional classifier. side is the side of the data's own images, 0 if only
// the data say it.
func (o Options) validateChannels(side int) error {
	if o.Channels == "" {
		return nil
	}
	if o.Units != 0 || o.Layers != 0 {
		return errors.New("tasks: units or layers together with channels: a convolutional classifier has no other hidden layers; leave out one or the other")
	}
	filters, err := parseChannels(o.Channels)
	if err != nil {
		return fmt.Errorf("tasks: channels %q: %w", o.Channels, err)
	}
	if o.ImageSize != 0 {
		side = o.ImageSize
	}
	if side == 0 {
		return nil
	}
	return smallImages(conv.Shape{Channels: 1, Rows: side, Cols: side, Filters: filters, Classes: 1})
}

// smallImages returns an error if images are too small for their number of layers.
func smallImages(s conv.Shape) error {
	if err := s.Validate(); err != nil {
		return fmt.Errorf("tasks: channels of %d layers on images of %d×%d pixels, which each layer halves: too many layers; leave some out, or take larger images",
			len(s.Filters), s.Rows, s.Cols)
	}
	return nil
}

// convolutionOf returns the shape of a convolutional classifier on a data set, nil if o has no channels.
func convolutionOf(data *Dataset, o Options) (*conv.Shape, error) {
	if o.Channels == "" {
		return nil, nil
	}
	filters, err := parseChannels(o.Channels)
	if err != nil {
		return nil, err // cannot happen: o is valid
	}
	s := &conv.Shape{Channels: data.channels, Rows: data.rows, Cols: data.cols, Filters: filters, Classes: data.classes}
	return s, smallImages(*s)
}

// perceptronTensors returns the tensors of a multilayer perceptron: a matrix W of inputs × outputs and a bias b for each layer.
func perceptronTensors(widths []int) (all []optimizer.Tensor) {
	for l := range len(widths) - 1 {
		all = append(all, matrixAndBias(l, widths[l], widths[l+1])...)
	}
	return all
}

// convolutionTensors returns the tensors of a convolutional classifier: a kernel K of 3 × 3 × inputs × outputs and a bias b for each
// convolutional layer, then a matrix and a bias.
func convolutionTensors(s conv.Shape) (all []optimizer.Tensor) {
	for l, k := range s.Layers() {
		all = append(all,
			optimizer.Tensor{Name: fmt.Sprintf("K%d", l), Shape: []int{3, 3, k.Inputs, k.Outputs}, Kind: optimizer.Convolution, OutputAxis: 3},
			optimizer.Tensor{Name: fmt.Sprintf("b%d", l), Shape: []int{k.Outputs}, Kind: optimizer.Bias})
	}
	return append(all, matrixAndBias(len(s.Filters), s.Features(), s.Classes)...)
}

func matrixAndBias(layer, in, out int) []optimizer.Tensor {
	return []optimizer.Tensor{
		{Name: fmt.Sprintf("W%d", layer), Shape: []int{in, out}, Kind: optimizer.Matrix, OutputAxis: 1},
		{Name: fmt.Sprintf("b%d", layer), Shape: []int{out}, Kind: optimizer.Bias},
	}
}

// A model computes the losses and gradients of a network on the minibatches of its steps.
type model interface {
	optimizer.Seeker
	LossGrad(theta, grad []float32) (float64, error)
}

// convolution is the model of a convolutional classifier.
type convolution struct {
	net  *network
	conv *conv.Network
	step int
}

var _ model = (*convolution)(nil)

// newConvolution returns a convolutional network.
func newConvolution(s conv.Shape, activation string, batch int) (*conv.Network, error) {
	a, ok := mlp.ActivationOf(activation)
	if !ok {
		return nil, fmt.Errorf("tasks: no activation %q", activation) // cannot happen: o is valid
	}
	return conv.New(s, a, batch), nil
}

// Seek implements optimizer.Seeker.
func (c *convolution) Seek(t int) {
	if t < 0 {
		panic(errStep)
	}
	c.step = t
}

// LossGrad returns the loss, writes the gradient and moves on to the next step, as optimizer.Problem says.
func (c *convolution) LossGrad(theta, grad []float32) (float64, error) {
	precondition.Length("tasks", "theta", theta, len(c.conv.Theta()))
	precondition.Length("tasks", "grad", grad, len(theta))
	if err := c.net.feed(c.step); err != nil {
		return 0, fmt.Errorf("tasks: data of step %d: %w", c.step, err)
	}
	loss := c.conv.LossGrad(grad, theta, c.net.pixels, c.net.oneHot)
	c.net.curvature.at, c.net.curvature.scored = c.step, 0 // products at this point need no forward pass
	c.step++
	return loss, nil
}
