package lstm

import (
	"fmt"

	"learnedopt/internal/simd"
)

// Annealed returns the network with the given Config.Anneal.
func (net *Network) Annealed(steps int) (*Network, error) {
	cfg := net.Config()
	cfg.Anneal = steps
	return NewNetwork(cfg, net.core.phi)
}

// Extend returns a network that reads more: the inputs are those of net and
// others, whose weights start at 0. So it computes what net computes, and training
// can go on from there with more to see. Inputs that leave one of net's out are an
// error.
func (net *Network) Extend(inputs Inputs) (*Network, error) {
	old := net.core.geometry
	cfg := old.cfg
	if inputs&cfg.Inputs != cfg.Inputs {
		return nil, fmt.Errorf("lstm: a network of inputs %v cannot become one of %v: name all it has, and more", cfg.Inputs, inputs)
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
	return &Network{newCore(geo, simd.Float32(), append(phi, rest...))}, nil
}
