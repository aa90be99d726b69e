package gorgoniaopt

import (
	"encoding"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"

	"gorgonia.org/tensor"

	"learnedopt/optimizer"
)

var (
	_ encoding.BinaryMarshaler   = (*Solver)(nil)
	_ encoding.BinaryUnmarshaler = (*Solver)(nil)
)

// The binary form, all of it little-endian:
//
//	"gorgonia", version (uint32), nodes (uint32), steps (uint64),
//	of each node: length of the name (uint32), name, bytes an element (uint8: 4 or 8),
//	              dimensions (uint8), each dimension (uint64),
//	length of the state (uint64), the state's own binary form,
//	length of the kept weights (uint64): 0 or the number of coordinates, each of them (float64),
//	CRC-32C of all before it (uint32)
const (
	magic        = "gorgonia"
	stateVersion = 2
	headerSize   = 24
	maxDims      = 64
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// MarshalBinary implements encoding.BinaryMarshaler; encoding/gob uses it too. It saves the rule's state and
// the names, shapes and number types of the nodes, neither the rule nor the weights. A run that goes on
// from it and from the weights of the same moment is the uninterrupted one, bit for bit.
//
// It is an error if the solver is not bound yet, a node has no name or that of another node, or the rule's
// states cannot be saved.
func (s *Solver) MarshalBinary() ([]byte, error) {
	if s.slots == nil {
		return nil, errUnbound
	}
	state := s.saved
	if s.state != nil {
		saver, ok := s.state.(encoding.BinaryMarshaler)
		if !ok {
			return nil, fmt.Errorf("gorgoniaopt: "+errNotSaved, s.state)
		}
		var err error
		if state, err = saver.MarshalBinary(); err != nil {
			return nil, fmt.Errorf("gorgoniaopt: saving the state: %w", err)
		}
	}
	data := append([]byte(nil), magic...)
	data = binary.LittleEndian.AppendUint32(data, stateVersion)
	data = binary.LittleEndian.AppendUint32(data, uint32(len(s.slots)))
	data = binary.LittleEndian.AppendUint64(data, uint64(s.steps))
	names := map[string]bool{}
	for i := range s.slots {
		t := &s.slots[i]
		switch {
		case t.name == "":
			return nil, fmt.Errorf("gorgoniaopt: %s has no name, by which a saved state is matched; name it by gorgonia.WithName", t.label(i))
		case names[t.name]:
			return nil, fmt.Errorf("gorgoniaopt: two nodes are called %s; a saved state is matched by names, give each its own", t.name)
		case len(t.shape) > maxDims:
			return nil, fmt.Errorf("gorgoniaopt: %s has %d dimensions; %d can be saved", t.name, len(t.shape), maxDims)
		}
		names[t.name] = true
		data = binary.LittleEndian.AppendUint32(data, uint32(len(t.name)))
		data = append(data, t.name...)
		data = append(data, byte(t.dtype.Size()), byte(len(t.shape)))
		for _, d := range t.shape {
			data = binary.LittleEndian.AppendUint64(data, uint64(d))
		}
	}
	data = binary.LittleEndian.AppendUint64(data, uint64(len(state)))
	data = append(data, state...)
	data = binary.LittleEndian.AppendUint64(data, uint64(len(s.kept)))
	for _, x := range s.kept {
		data = binary.LittleEndian.AppendUint64(data, math.Float64bits(x))
	}
	return binary.LittleEndian.AppendUint32(data, crc32.Checksum(data, castagnoli)), nil
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler: the solver, which must be of the rule that was saved,
// goes on where the saved one was. The next Step or Bind finds the nodes by their names; that the
// data are of another rule, network or number of coordinates is its error. Damaged data are an error that wraps
// ErrState, and the solver is unchanged.
func (s *Solver) UnmarshalBinary(data []byte) error {
	const sum = 4
	if len(data) < headerSize+sum || string(data[:len(magic)]) != magic {
		return fmt.Errorf("%w: %d bytes that are no saved solver", ErrState, len(data))
	}
	body := data[:len(data)-sum]
	if got, want := crc32.Checksum(body, castagnoli), binary.LittleEndian.Uint32(data[len(body):]); got != want {
		return fmt.Errorf("%w: checksum %08x, want %08x: the data are damaged or cut short", ErrState, got, want)
	}
	slots, steps, state, kept, err := parse(body)
	if err != nil {
		return err
	}
	*s = Solver{rule: s.rule, refine: s.refine, slots: slots, steps: steps, saved: append([]byte{}, state...), kept: kept}
	return nil
}

// parse takes the binary form, without its checksum, apart.
func parse(body []byte) (slots []slot, steps int, state []byte, kept []float64, err error) {
	r := &reader{data: body[len(magic):]}
	version, nodes, count := r.uint32(), r.uint32(), r.uint64()
	switch {
	case version != stateVersion:
		return nil, 0, nil, nil, fmt.Errorf("%w: version %d; this library reads version %d", ErrState, version, stateVersion)
	case nodes == 0 || count > math.MaxInt:
		return nil, 0, nil, nil, fmt.Errorf("%w: %d nodes and %d steps", ErrState, nodes, count)
	}
	names := map[string]bool{}
	n := 0
	for range nodes {
		t := slot{name: string(r.bytes(uint64(r.uint32()))), at: n, size: 1}
		switch size := r.uint8(); size {
		case 4:
			t.dtype = tensor.Float32
		case 8:
			t.dtype = tensor.Float64
		default:
			return nil, 0, nil, nil, fmt.Errorf("%w: elements of %d bytes", ErrState, size)
		}
		dims := r.uint8()
		t.shape = make([]int, 0, dims)
		for range dims {
			d := r.uint64()
			if d > math.MaxInt || d > 0 && t.size > math.MaxInt/int(d) {
				return nil, 0, nil, nil, fmt.Errorf("%w: a dimension of %d", ErrState, d)
			}
			t.shape = append(t.shape, int(d))
			t.size *= int(d)
		}
		if r.short || t.name == "" || names[t.name] || n > math.MaxInt-t.size {
			return nil, 0, nil, nil, fmt.Errorf("%w: node %q of shape %v is cut short, nameless, listed twice or too large", ErrState, t.name, t.shape)
		}
		names[t.name] = true
		n += t.size
		slots = append(slots, t)
	}
	state = r.bytes(r.uint64())
	switch length := r.uint64(); {
	case length != 0 && length != uint64(n):
		return nil, 0, nil, nil, fmt.Errorf("%w: %d kept weights for %d coordinates", ErrState, length, n)
	case length > uint64(len(r.data)/8):
		r.short = true
	default:
		for range length {
			kept = append(kept, math.Float64frombits(r.uint64()))
		}
	}
	if r.short || len(r.data) > 0 {
		return nil, 0, nil, nil, fmt.Errorf("%w: the state is cut short or has something appended", ErrState)
	}
	return slots, int(count), state, kept, nil
}

// A reader reads until the data end; from then on it delivers zeros.
type reader struct {
	data  []byte
	short bool
}

func (r *reader) bytes(n uint64) []byte {
	if r.short || n > uint64(len(r.data)) {
		r.short, r.data = true, nil
		return nil
	}
	head := r.data[:n]
	r.data = r.data[n:]
	return head
}

func (r *reader) uint8() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// restored returns a state on a layout: a fresh one, or the saved one if there is one.
func (s *Solver) restored(layout optimizer.Layout) (optimizer.State, error) {
	state := s.rule.Start(layout)
	if s.saved == nil {
		return state, nil
	}
	saver, ok := state.(encoding.BinaryUnmarshaler)
	if !ok {
		return nil, fmt.Errorf("%w: saved by another rule: "+errNotSaved, ErrState, state)
	}
	if err := saver.UnmarshalBinary(s.saved); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	return state, nil
}
