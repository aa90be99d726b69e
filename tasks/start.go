package tasks

import (
	"fmt"
	"math"
	"math/rand/v2"

	"learnedopt/optimizer"
)

// WeightInits returns the names of the distributions of a network's initial weights. In a layer with n_in inputs and
// n_out outputs the elements of W are iid (a convolution has n_in = 9·input channels and n_out = 9·output channels):
//
//	he       N(0, 2/n_in)                            He et al. 2015, for ReLU
//	glorot   uniform on ±√(6/(n_in + n_out))         Glorot and Bengio 2010
//	lecun    N(0, 1/n_in)                            LeCun et al. 1998
//	torch    uniform on ±1/√n_in                     torch.nn.Linear's default
//	normal   N(0, InitScale²), whatever the layer    the code of Andrychowicz et al. 2016
//
// The biases are 0, except with torch and normal: there they have the same distribution as the weights.
func WeightInits() []string { return []string{"he", "glorot", "lecun", "torch", "normal"} }

// validateStart returns an error for an initial scale that would have no effect.
func (o Options) validateStart() error {
	if o.InitScale != 0 && o.WeightInit != "" && o.WeightInit != "normal" {
		return fmt.Errorf("tasks: init-scale %v with weight-init %s, which takes the scale of every layer from its width; leave init-scale out, or take weight-init normal",
			o.InitScale, o.WeightInit)
	}
	return nil
}

// start writes the starting point of a network with these tensors: matrices and convolutions, and biases, each behind the weights of its layer. All
// numbers come from rng.
func (o Options) start(theta []float32, tensors []optimizer.Tensor, rng *rand.Rand) {
	normal := func(dst []float32, deviation float64) {
		for i := range dst {
			dst[i] = float32(deviation * rng.NormFloat64())
		}
	}
	for i, t := range tensors {
		part, weights := theta[t.From:t.From+t.Len()], t
		bias := t.Kind == optimizer.Bias
		if bias {
			weights = tensors[i-1]
		}
		fanIn, fanOut := float64(weights.Inputs()), float64(weights.Outputs())
		if weights.Kind == optimizer.Convolution {
			fanOut *= 9 // each input contributes to 9 outputs of a channel
		}
		switch {
		case o.WeightInit == "torch":
			uniform(part, 1/math.Sqrt(fanIn), rng)
		case o.WeightInit == "normal":
			normal(part, o.InitScale)
		case bias:
			clear(part)
		case o.WeightInit == "he":
			normal(part, math.Sqrt(2/fanIn))
		case o.WeightInit == "glorot":
			uniform(part, math.Sqrt(6/(fanIn+fanOut)), rng)
		case o.WeightInit == "lecun":
			normal(part, math.Sqrt(1/fanIn))
		}
	}
}

// uniform draws numbers on ±bound.
func uniform(dst []float32, bound float64, rng *rand.Rand) {
	for i := range dst {
		dst[i] = float32(bound * (2*rng.Float64() - 1))
	}
}
