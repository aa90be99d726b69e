package lstm

import (
	"fmt"
	"math"
	"math/rand/v2"

	"learnedopt/internal/simd"
)

// An Init says how the parameters of a new network are drawn. The zero value draws them
// as PyTorch does for LSTM cells: every parameter is uniform on ±1/√H, where H is the
// number of hidden units of an LSTM layer. For a network without LSTM layers, H is the
// number of features instead.
//
// After long training, optimizers have weights ten times as large and forget gates near 1.
// Thousands of meta-steps go into building these up. Starting there saves them:
// docs/training.md has the figures.
type Init struct {
	// Gain multiplies weights and biases of the LSTM layers. Default 1.
	Gain float64
	// InputGain multiplies the weights of the features, in addition to Gain. Default 1.
	InputGain float64
	// Memory is the longest memory T, in steps, of a layer's units. Forget biases
	// are drawn as
	//
	//	b_f = ln u,   u ~ U[1, T−1]
	//
	// so that units forget after about u steps (chrono initialization, Tallec and
	// Ollivier 2018, arXiv:1804.11188, without its input biases). Default 0: forget
	// biases are drawn like the other biases.
	Memory float64
}

// WithDefaults returns in with its defaults filled in.
func (in Init) WithDefaults() Init {
	if in.Gain == 0 {
		in.Gain = 1
	}
	if in.InputGain == 0 {
		in.InputGain = 1
	}
	return in
}

// Validate returns an error if in, with its defaults filled in, is not valid.
func (in Init) Validate() error {
	in = in.WithDefaults()
	bad := func(x float64) bool { return !(x > 0 && x <= maxGain) }
	switch {
	case bad(in.Gain) || bad(in.InputGain):
		return fmt.Errorf("lstm: gains of the initial weights are %v and %v; they must be in (0, %d]", in.Gain, in.InputGain, maxGain)
	case in.Memory != 0 && !(in.Memory >= 2 && in.Memory <= maxMemory):
		return fmt.Errorf("lstm: initial memory of %v steps; it must be 0, or 2 to %d", in.Memory, maxMemory)
	}
	return nil
}

const (
	maxGain   = 1000
	maxMemory = 1_000_000_000
)

// Random returns a network with parameters drawn from rng.
func (in Init) Random(cfg Config, rng *rand.Rand) (*Network, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := in.Validate(); err != nil {
		return nil, err
	}
	in = in.WithDefaults()
	geo := newGeometry(cfg)
	width := geo.cfg.Hidden
	if len(geo.layers) == 0 {
		width = geo.features
	}
	bound := 1 / math.Sqrt(float64(width))
	phi := make([]float32, geo.size)
	for i := range phi {
		phi[i] = float32(bound * (2*rng.Float64() - 1))
	}
	scale(phi[:geo.features*geo.maps[0].out], in.InputGain)
	if geo.cfg.Readout == Mix {
		scale(phi[geo.read.off:], 0.1)
		bias := phi[geo.read.off+geo.read.in*geo.read.out:]
		if geo.cfg.Orthogonal { // begin near Muon, which has Adam's direction for the other tensors
			bias[1], bias[simd.Mixed+1] = -0.3, -0.15
		} else { // begin near Adam: −m̂/√v
			bias[1] = -1
		}
	}
	h := geo.cfg.Hidden
	for _, l := range geo.layers {
		scale(phi[l.off:l.off+l.size()], in.Gain)
	}
	if in.Memory > 0 {
		for _, l := range geo.layers {
			forget := phi[l.off+l.in*l.out+h:][:h]
			for j := range forget {
				forget[j] = float32(math.Log(1 + rng.Float64()*(in.Memory-2)))
			}
		}
	}
	if geo.hyper.hidden > 0 {
		geo.hyper.draw(phi, rng)
	}
	return &Network{newCore(geo, simd.Float32(), phi)}, nil
}

func scale(x []float32, by float64) {
	for i := range x {
		x[i] *= float32(by)
	}
}
