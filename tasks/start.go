package tasks

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// WeightInits returns the names of the distributions of a classifier's initial weights. In a layer with n_in inputs and
// n_out outputs the elements of W are iid:
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

// start writes the starting point of a network with layers of the given widths, one layer after the other, the weights
// of a layer before its biases. All numbers come from rng.
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
