package tasks

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// WeightInits are the distributions that a classifier's layers start from. With n_in inputs and
// n_out outputs of a layer the elements of its weights W are iid
//
//	he       N(0, 2/n_in)                            He et al. 2015, for ReLU
//	glorot   uniform on ±√(6/(n_in + n_out))         Glorot and Bengio 2010
//	lecun    N(0, 1/n_in)                            LeCun et al. 1998
//	torch    uniform on ±1/√n_in                     torch.nn.Linear's default
//	normal   N(0, InitScale²), whatever the layer    the code of Andrychowicz et al. 2016
//
// and its biases are 0, but for torch and normal, where they have the distribution of the weights.
func WeightInits() []string { return []string{"he", "glorot", "lecun", "torch", "normal"} }

// validateStart refuses a scale that would change nothing.
func (o Options) validateStart() error {
	if o.InitScale != 0 && o.WeightInit != "" && o.WeightInit != "normal" {
		return fmt.Errorf("tasks: init-scale %v with weight-init %s, which takes the scale of every layer from its width; leave init-scale out, or take weight-init normal",
			o.InitScale, o.WeightInit)
	}
	return nil
}

// start writes the starting point of layers of the given widths, weights and then biases of one
// layer after the other, all from one stream.
func (o Options) start(theta []float32, widths []int, rng *rand.Rand) {
	normal := func(dst []float32, deviation float64) {
		for i := range dst {
			dst[i] = float32(deviation * rng.NormFloat64())
		}
	}
	uniform := func(dst []float32, bound float64) {
		for i := range dst {
			dst[i] = float32(bound * (2*rng.Float64() - 1))
		}
	}
	for l := range len(widths) - 1 {
		in, out := widths[l], widths[l+1]
		w, b := theta[:in*out], theta[in*out:(in+1)*out]
		theta = theta[(in+1)*out:]
		clear(b)
		switch fanIn := float64(in); o.WeightInit {
		case "he":
			normal(w, math.Sqrt(2/fanIn))
		case "glorot":
			uniform(w, math.Sqrt(6/(fanIn+float64(out))))
		case "lecun":
			normal(w, math.Sqrt(1/fanIn))
		case "torch":
			uniform(w, 1/math.Sqrt(fanIn))
			uniform(b, 1/math.Sqrt(fanIn))
		case "normal":
			normal(w, o.InitScale)
			normal(b, o.InitScale)
		}
	}
}
