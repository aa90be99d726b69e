package lstm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
)

// ErrState is wrapped by every error of State.UnmarshalBinary.
var ErrState = errors.New("lstm: bad state")

// The binary form of a state, all of it little-endian: a header
//
//	"lstm" and four zeros, version (uint32), floats a coordinate (uint32),
//	steps (uint64), coordinates n (uint64), the network's fingerprint (uint64)
//
// and then, for each float of a coordinate, a row of n float32: h and then c of each layer,
// with RNNProp inputs m and v, with Momenta the five averages, and with eyes the last update. With eyes five floats for
// each tensor follow.
const (
	stateVersion = 1
	stateHeader  = 40
	stepsOffset  = 16
	printOffset  = 32
)

// rows returns the number of floats that a state holds for each coordinate.
func (s *State) rows() int { return s.s.c.stateSize / lanes }

// header returns the header of the state's binary form.
func (s *State) header(steps uint64) []byte {
	h := make([]byte, 8, stateHeader)
	copy(h, "lstm")
	h = binary.LittleEndian.AppendUint32(h, stateVersion)
	h = binary.LittleEndian.AppendUint32(h, uint32(s.rows()))
	h = binary.LittleEndian.AppendUint64(h, steps)
	h = binary.LittleEndian.AppendUint64(h, uint64(s.s.n))
	return binary.LittleEndian.AppendUint64(h, s.s.c.fingerprint())
}

// fingerprint returns a checksum (FNV-1a) of configuration and parameters.
func (c *core[T]) fingerprint() uint64 {
	h := fnv.New64a()
	// Each field is named: a new field of Config must not change the fingerprints in saved runs.
	fmt.Fprintln(h, c.cfg.Inputs, c.cfg.P, c.cfg.SignP, c.cfg.Dense, c.cfg.Hidden, c.cfg.Layers, c.cfg.Readout, c.cfg.Scale, c.cfg.Anneal)
	if c.cfg.eyes() {
		fmt.Fprintln(h, c.cfg.Context, c.cfg.FanIn)
	}
	if c.cfg.Orthogonal {
		fmt.Fprintln(h, "orthogonal")
	}
	if c.cfg.OrthogonalMean {
		fmt.Fprintln(h, "mean")
	}
	if c.cfg.Hyper > 0 {
		fmt.Fprintln(h, "hyper", c.cfg.Hyper)
	}
	if c.half {
		fmt.Fprintln(h, "half")
	}
	var b [8]byte
	for _, x := range c.phi {
		binary.LittleEndian.PutUint64(b[:], math.Float64bits(float64(x)))
		h.Write(b[:])
	}
	return h.Sum64()
}

// Definition returns the configuration and a checksum of the parameters. A saved run keeps them, so that it is not
// continued with another network.
func (net *Network) Definition() any {
	return struct {
		Config     Config
		Parameters string
	}{net.core.cfg, fmt.Sprintf("%016x", net.core.fingerprint())}
}

// MarshalBinary implements encoding.BinaryMarshaler: 40 bytes, and four more for each float of
// the state. The network is not saved. A state that UnmarshalBinary restores makes the
// same updates, bit for bit.
func (s *State) MarshalBinary() ([]byte, error) {
	head := s.header(uint64(s.s.steps))
	data := make([]byte, s.marshalled())
	at := copy(data, head)
	s.values(func(x float32) {
		binary.LittleEndian.PutUint32(data[at:], math.Float32bits(x))
		at += 4
	})
	return data, nil
}

// values calls read for each float of the state, in the order of the binary form.
func (s *State) values(read func(x float32)) {
	s.s.values(read)
	for k := range s.s.memories {
		for _, x := range s.s.memories[k].fields() {
			read(*x)
		}
	}
}

// setValues sets each float of the state, in the order of the binary form, to the next one of next.
func (s *State) setValues(next func() float32) {
	clear(s.s.data)
	clear(s.s.cells)
	s.s.setValues(next)
	for k := range s.s.memories {
		for _, x := range s.s.memories[k].fields() {
			*x = next()
		}
	}
}

// Size returns the number of floats in the state: n times the floats per coordinate, and with eyes five for each tensor.
func (s *State) Size() int { return s.rows()*s.s.n + memorySize*len(s.s.memories) }

// Values returns the floats of the state, in the rows of its binary form. Values and Steps are everything
// that changes in a run. They do not depend on the network's parameters: meta-training keeps them while φ changes.
func (s *State) Values() []float32 {
	values := make([]float32, 0, s.Size())
	s.values(func(x float32) { values = append(values, x) })
	return values
}

// SetValues sets the Steps and Values of s. It panics unless there are Size values.
func (s *State) SetValues(steps int, values []float32) {
	if len(values) != s.Size() {
		panic(errLength)
	}
	s.setValues(func() (x float32) {
		x, values = values[0], values[1:]
		return x
	})
	s.s.steps = steps
}

func (s *State) marshalled() int { return stateHeader + 4*s.Size() }

// UnmarshalBinary implements encoding.BinaryUnmarshaler. The data must come from a state with
// the same network and number of coordinates. Errors wrap ErrState and leave the state
// unchanged.
func (s *State) UnmarshalBinary(data []byte) error { return s.unmarshal(data, false) }

// UnmarshalChanged is UnmarshalBinary for data from another network with the same number of floats per coordinate, such
// as a network with another Scale or Anneal, or with other parameters.
func (s *State) UnmarshalChanged(data []byte) error { return s.unmarshal(data, true) }

func (s *State) unmarshal(data []byte, changed bool) error {
	if len(data) < stateHeader {
		return fmt.Errorf("%w: %d bytes are too few for a header", ErrState, len(data))
	}
	steps := binary.LittleEndian.Uint64(data[stepsOffset:])
	switch want := s.header(steps); {
	case string(want[:stepsOffset]) != string(data[:stepsOffset]) || string(want[stepsOffset+8:printOffset]) != string(data[stepsOffset+8:printOffset]):
		return fmt.Errorf("%w: header %x, want %x: start the state with the network and the number of coordinates that it was saved with",
			ErrState, data[:printOffset], want[:printOffset])
	case !changed && string(want[printOffset:]) != string(data[printOffset:stateHeader]):
		return fmt.Errorf("%w: it was saved with another network (%x, not %x): load the optimizer that the run was started with",
			ErrState, data[printOffset:stateHeader], want[printOffset:])
	case steps > math.MaxInt:
		return fmt.Errorf("%w: %d steps", ErrState, steps)
	case len(data) != s.marshalled():
		return fmt.Errorf("%w: %d bytes, want %d: the data are cut short or have something appended", ErrState, len(data), s.marshalled())
	}
	data = data[stateHeader:]
	s.setValues(func() float32 {
		x := math.Float32frombits(binary.LittleEndian.Uint32(data))
		data = data[4:]
		return x
	})
	s.s.steps = int(steps)
	return nil
}
