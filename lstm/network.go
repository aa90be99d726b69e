package lstm

import (
	"fmt"

	"learnedopt/internal/gemm"
	"learnedopt/internal/simd"
	"learnedopt/optimizer"
)

// A Network is an update rule: a configuration and its parameters φ. It is
// immutable and safe for concurrent use.
type Network struct {
	core *core[float32]
}

var _ optimizer.Rule = (*Network)(nil)

// NewNetwork returns the network of the given shape with parameters φ, which are
// copied. φ has Size(cfg) elements in the order of Tensors. A wrong length and
// non-finite elements are errors.
func NewNetwork(cfg Config, phi []float32) (*Network, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	geo := newGeometry(cfg)
	if len(phi) != geo.size {
		return nil, fmt.Errorf("lstm: %d parameters for a network of %d", len(phi), geo.size)
	}
	if i := optimizer.NonFinite(phi); i >= 0 {
		return nil, fmt.Errorf("lstm: parameter %d is %v", i, phi[i])
	}
	return &Network{newCore(geo, simd.Float32(), append([]float32(nil), phi...))}, nil
}

// Size returns the number of parameters of a network of the given shape.
func Size(cfg Config) (int, error) {
	if err := cfg.Validate(); err != nil {
		return 0, err
	}
	return newGeometry(cfg).size, nil
}

// Config returns the network's shape with its defaults filled in.
func (net *Network) Config() Config { return net.core.cfg }

// Params returns a copy of φ.
func (net *Network) Params() []float32 { return append([]float32(nil), net.core.phi...) }

// Size returns the number of parameters.
func (net *Network) Size() int { return len(net.core.phi) }

// With returns the network of the same shape with other parameters, which are
// copied. It panics if their number is wrong.
func (net *Network) With(phi []float32) *Network {
	if len(phi) != net.core.size {
		panic(errPhi)
	}
	c := newCore(net.core.geometry, net.core.k, append([]float32(nil), phi...))
	c.half = net.core.half
	return &Network{c}
}

// A Tensor is a named part of φ.
type Tensor struct {
	Name  string
	Shape []int
	Data  []float32
}

// Tensors returns φ as named tensors, copied, in the order in which φ holds
// them: "dense/w" [X,E] and "dense/b" [E] if there is a dense layer; for each
// LSTM layer k = 1… "lstmk/w" [D+H,4H], which multiplies the layer's D inputs and
// then its H previous outputs, and "lstmk/b" [4H], gates in the order i, f, g, o;
// "readout/w" [H,R] and "readout/b" [R], where R is 2 for Exp, 6 for Mix, 7 for Mix with Orthogonal, and 1 otherwise; and with Config.Hyper of
// U units, for C numbers of context and F factors, "hyper1/w" [C,U], "hyper1/b" [U], "hyper2/w" [U,F], "hyper2/b" [F].
func (net *Network) Tensors() []Tensor {
	tensors := net.core.tensors()
	at := 0
	for i := range tensors {
		t := &tensors[i]
		size := 1
		for _, d := range t.Shape {
			size *= d
		}
		t.Data = append([]float32(nil), net.core.phi[at:at+size]...)
		at += size
	}
	return tensors
}

// Layout returns the tensors of a network of the given shape, without data.
func Layout(cfg Config) ([]Tensor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return newGeometry(cfg).tensors(), nil
}

func (g *geometry) tensors() []Tensor {
	var all []Tensor
	for _, m := range g.maps {
		all = append(all,
			Tensor{Name: m.name + "/w", Shape: []int{m.in, m.out}},
			Tensor{Name: m.name + "/b", Shape: []int{m.out}})
	}
	if h := g.hyper; h.hidden > 0 {
		all = append(all,
			Tensor{Name: "hyper1/w", Shape: []int{h.in, h.hidden}}, Tensor{Name: "hyper1/b", Shape: []int{h.hidden}},
			Tensor{Name: "hyper2/w", Shape: []int{h.hidden, h.out}}, Tensor{Name: "hyper2/b", Shape: []int{h.out}})
	}
	return all
}

// A State is the memory of a run over n coordinates: 2·H·layers floats per
// coordinate, and two more with RNNProp inputs.
type State struct {
	s state[float32]
}

var _ optimizer.State = (*State)(nil)

// Needs implements optimizer.Rule: a network with eyes reads the parameters, other networks gradients alone.
func (net *Network) Needs() optimizer.Needs { return optimizer.Needs{Theta: net.Eyes()} }

// Eyes says whether the network sees more than the gradient of one coordinate: it has a Context, FanIn or the input
// Momenta. Its updates then depend on the layout and the parameters.
func (net *Network) Eyes() bool { return net.core.cfg.eyes() }

// WithHalfState returns the network with states that keep h and c of the LSTM layers as float16 (IEEE 754 binary16), so in half
// of the memory. Everything is computed in float32 as before, and running averages remain float32. Updates differ a little: h and c
// are rounded to 11 bits after each step. Where a state is larger than the caches, an update is faster too. Such a state has no adjoint: Adjoint
// and Gather panic.
func (net *Network) WithHalfState() *Network {
	c := *net.core
	c.half = true
	return &Network{&c}
}

// HalfState says whether states keep h and c as float16.
func (net *Network) HalfState() bool { return net.core.half }

// Start implements optimizer.Rule. The state that it returns is a *State.
func (net *Network) Start(layout optimizer.Layout) optimizer.State {
	s := &State{}
	s.s.init(net.core, layout)
	return s
}

// NewState returns the state of a fresh run over n coordinates whose tensors are unknown.
func (net *Network) NewState(n int) *State { return net.Start(optimizer.Flat(n)).(*State) }

// Update implements optimizer.State.
func (s *State) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	s.s.update(dst, p.Grad, p.Theta, p.Total)
	return 0, nil
}

// Advance is Update for callers that know the state's type and a network without eyes: it writes the update for grad into
// dst, which may be grad. Wrong lengths panic, and so does a network with eyes.
func (s *State) Advance(dst, grad []float32) { s.s.update(dst, grad, nil, 0) }

// Context returns what a network with eyes saw at the last update, for Adjoint: a few numbers for each tensor, and with
// Config.Orthogonal two for each coordinate. It is valid until the next update. Without eyes it is empty.
func (s *State) Context() []float32 { return s.s.context }

// Steps returns the number of updates so far.
func (s *State) Steps() int { return s.s.steps }

// Len returns the number of coordinates n.
func (s *State) Len() int { return s.s.n }

// Network returns the network that the state belongs to.
func (s *State) Network() *Network { return &Network{s.s.c} }

// SetNetwork continues the run with another network's parameters, as meta-training does at
// every meta-step. It panics unless net has the shape of the state's network.
func (s *State) SetNetwork(net *Network) {
	if !net.core.like(s.s.c) {
		panic(errShape)
	}
	s.s.c = net.core
}

// Fits says whether the two states can be copied to each other: they belong to
// networks of the same shape and have the same coordinates in the same tensors.
func (s *State) Fits(other *State) bool {
	return s.SameNetwork(other) && s.s.fits(&other.s)
}

// SameNetwork says whether the two states belong to networks of the same shape.
func (s *State) SameNetwork(other *State) bool { return s.s.c.like(other.s.c) }

// CopyFrom makes s a copy of from. It panics unless from fits s.
func (s *State) CopyFrom(from *State) {
	if !s.Fits(from) {
		panic(errShape)
	}
	s.s.copyFrom(&from.s)
}

// Clone returns a copy of s.
func (s *State) Clone() *State {
	c := &State{}
	c.s.initLike(&s.s)
	c.s.copyFrom(&s.s)
	return c
}

// Gather makes s the state of the given coordinates of from, which ascend, for Adjoint. s keeps from's tensors, with fewer
// coordinates each; GatherContext makes contexts of s from contexts of from. Unroll and Follow go backwards through it, but not for networks with
// OrthogonalMean, whose means are over all coordinates of a tensor. It panics unless the networks have the same
// shape and every coordinate is one of from's.
func (s *State) Gather(from *State, coordinates []int) {
	switch {
	case !s.s.c.like(from.s.c):
		panic(errShape)
	case s.s.c.half:
		panic(errHalf)
	}
	s.s.c, s.s.steps = from.s.c, from.s.steps
	parts := append([]part(nil), from.s.parts...)
	at, block := 0, 0
	for k := range parts {
		p, first := &parts[k], at
		for at < len(coordinates) && coordinates[at] < p.from+p.n {
			at++
		}
		if at-first != p.n {
			p.axes = gemm.Axes{} // a part of a matrix cannot be orthogonalized
		}
		p.from, p.n, p.block = first, at-first, block
		block += blocks(p.n)
	}
	if at != len(coordinates) {
		panic(errLength)
	}
	s.s.setParts(parts, len(coordinates))
	copy(s.s.memories, from.s.memories)
	size := s.s.c.stateSize
	for k := range parts {
		p, of := &parts[k], &from.s.parts[k]
		for i := range p.n {
			j := coordinates[p.from+i] - of.from
			if j < 0 || i > 0 && coordinates[p.from+i] <= coordinates[p.from+i-1] {
				panic(errParts)
			}
			to, source := s.s.place(p, 0, i), from.s.place(of, 0, j)
			for row := 0; row < size; row += lanes {
				s.s.data[to+row] = from.s.data[source+row]
			}
		}
	}
}

// GatherContext returns the context, of all coordinates of s, that belongs to the given ones. It appends to dst[:0].
func (s *State) GatherContext(dst, context []float32, coordinates []int) []float32 {
	if len(context) != s.s.seen() {
		panic(errContext)
	}
	tensors := min(len(context), len(s.s.parts)*s.s.c.contextSize())
	dst = append(dst[:0], context[:tensors]...)
	for rest := context[tensors:]; len(rest) > 0; rest = rest[s.s.n:] {
		for _, i := range coordinates {
			dst = append(dst, rest[i])
		}
	}
	return dst
}

// Zero resets s to the start of a fresh run.
func (s *State) Zero() {
	clear(s.s.data)
	clear(s.s.cells)
	clear(s.s.memories)
	s.s.steps = 0
}
