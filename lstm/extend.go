package lstm

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"learnedopt/internal/simd"
)

// Annealed returns the network with Config.Anneal set to steps.
func (net *Network) Annealed(steps int) (*Network, error) {
	cfg := net.Config()
	cfg.Anneal = steps
	return net.reshaped(cfg)
}

// WithOrthogonalMean returns the network with Config.OrthogonalMean set. Its updates differ from net's: the orthogonal directions
// get the mean of their weights in a tensor. It is an error if net has no orthogonal directions.
func (net *Network) WithOrthogonalMean() (*Network, error) {
	cfg := net.Config()
	cfg.OrthogonalMean = true
	return net.reshaped(cfg)
}

// WithHyper returns the network with Config.Hyper set to units. At first all factors are 1, so that it computes what net computes; the
// first layer is drawn from rng. It is an error if net has a hypernetwork, or cannot have one.
func (net *Network) WithHyper(units int, rng *rand.Rand) (*Network, error) {
	cfg := net.Config()
	if cfg.Hyper > 0 {
		return nil, fmt.Errorf("lstm: the network has a hypernetwork, of %d hidden units", cfg.Hyper)
	}
	cfg.Hyper = units
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	geo := newGeometry(cfg)
	phi := append(slices.Clone(net.core.phi), make([]float32, geo.hyper.size())...)
	geo.hyper.draw(phi, rng)
	c := newCore(geo, simd.Float32(), phi)
	c.half = net.core.half
	return &Network{c}, nil
}

// reshaped returns the network with another configuration, which has the same parameters.
func (net *Network) reshaped(cfg Config) (*Network, error) {
	reshaped, err := NewNetwork(cfg, net.core.phi)
	if err == nil {
		reshaped.core.half = net.core.half
	}
	return reshaped, err
}

// Extend returns a network with the given inputs: net's inputs and new ones. The weights of
// the new inputs are 0, so the network computes what net computes, and training can
// continue with more information. It is an error if an input of net is missing.
func (net *Network) Extend(inputs Inputs) (*Network, error) {
	old := net.core.geometry
	cfg := old.cfg
	if inputs&cfg.Inputs != cfg.Inputs {
		return nil, fmt.Errorf("lstm: a network with inputs %v cannot be extended to %v: name all its inputs and the new ones", cfg.Inputs, inputs)
	}
	cfg.Inputs = inputs
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	geo := newGeometry(cfg)
	phi := make([]float32, 0, geo.size)
	rest := net.core.phi
	width := geo.maps[0].out
	for i := range inputNames {
		bit := Inputs(1 << i)
		rows := bit.features() * width
		switch {
		case old.cfg.Inputs&bit != 0:
			phi, rest = append(phi, rest[:rows]...), rest[rows:]
		case inputs&bit != 0:
			phi = append(phi, make([]float32, rows)...)
		}
	}
	c := newCore(geo, simd.Float32(), append(phi, rest...))
	c.half = net.core.half
	return &Network{c}, nil
}
