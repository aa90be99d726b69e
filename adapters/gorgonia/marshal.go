package gorgoniaopt

import (
	"encoding"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"

	"gorgonia.org/tensor"

	"learnedopt/internal/saved"
	"learnedopt/optimizer"
)

var (
	_ encoding.BinaryMarshaler   = (*Solver)(nil)
	_ encoding.BinaryUnmarshaler = (*Solver)(nil)
)

// The binary form, all of it little-endian:
//
//	"gorgonia", version (uint32), nodes (uint32), steps (uint64),
//	for each node: length of the name (uint32), name, bytes per element (uint8: 4 or 8),
//	               number of dimensions (uint8), each dimension (uint64),
//	for the definitions of the rule and of the layout: length (uint64), text,
//	length of the state (uint64), the state's own binary form,
//	number of kept weights (uint64), 0 or the number of coordinates, and each weight (float64),
//	CRC-32C of all bytes before it (uint32)
const (
	magic        = "gorgonia"
	stateVersion = 3
	headerSize   = 24
	maxDims      = 64
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// MarshalBinary implements encoding.BinaryMarshaler; encoding/gob uses it too. It saves the rule's state, the
// names, shapes and number types of the nodes, the settings of the rule (see metaopt.Run.MarshalBinary) and the
// layout. It does not save the weights. A run that is restored together with the weights of the same moment
// continues as if it had not been interrupted, bit for bit.
//
// It is an error if the solver is not bound yet, if a node has no name or the name of another node, or if the
// rule's states cannot be saved.
func (s *Solver) MarshalBinary() ([]byte, error) {
	if s.slots == nil {
		return nil, errUnbound
	}
	state, definition := s.saved.state, s.saved.definition
	if s.state != nil {
		definition = [2]string{saved.Define("rule", s.rule), saved.Define("layout", s.known)}
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
	for _, text := range definition {
		data = binary.LittleEndian.AppendUint64(data, uint64(len(text)))
		data = append(data, text...)
	}
	data = binary.LittleEndian.AppendUint64(data, uint64(len(state)))
	data = append(data, state...)
	data = binary.LittleEndian.AppendUint64(data, uint64(len(s.kept)))
	for _, x := range s.kept {
		data = binary.LittleEndian.AppendUint64(data, math.Float64bits(x))
	}
	return binary.LittleEndian.AppendUint32(data, crc32.Checksum(data, castagnoli)), nil
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler. The solver must have the saved rule with the same settings; it
// then continues where the saved solver was. If settings differ, the error names them and wraps ErrChanged;
// ResumeChanged accepts such a solver. The next Step or Bind finds the nodes by their names, and returns an error for
// another network or, after SetLayout, for another layout. Every error wraps ErrState and leaves the solver unchanged.
func (s *Solver) UnmarshalBinary(data []byte) error { return s.resume(data, false) }

// ResumeChanged is UnmarshalBinary for a solver whose settings or layout differ from the saved ones. The run continues
// with the solver's own settings, as in metaopt.Run.ResumeChanged. If the saved state does not fit them, the next Step
// or Bind returns the error.
func (s *Solver) ResumeChanged(data []byte) error { return s.resume(data, true) }

func (s *Solver) resume(data []byte, changed bool) error {
	const sum = 4
	if len(data) < headerSize+sum || string(data[:len(magic)]) != magic {
		return fmt.Errorf("%w: %d bytes that are no saved solver", ErrState, len(data))
	}
	body := data[:len(data)-sum]
	if got, want := crc32.Checksum(body, castagnoli), binary.LittleEndian.Uint32(data[len(body):]); got != want {
		return fmt.Errorf("%w: checksum %08x, want %08x: the data are damaged or cut short", ErrState, got, want)
	}
	back, err := parse(body)
	if err != nil {
		return err
	}
	back.saved.changed = changed
	if err := back.saved.check(0, saved.Define("rule", s.rule)); err != nil {
		return err
	}
	back.rule, back.refine = s.rule, s.refine
	*s = *back
	return nil
}

// savedState is what UnmarshalBinary keeps until the solver is bound.
type savedState struct {
	state      []byte // the state's binary form; nil if there is none
	definition [2]string
	changed    bool // settings and layout may differ
}

// check returns an error if the definition of the rule (part 0) or of the layout (part 1) differs from the saved one.
func (s *savedState) check(part int, now string) error {
	if s.changed || s.definition[part] == now {
		return nil
	}
	return fmt.Errorf("%w: %w: %s", ErrState, ErrChanged, saved.Difference(s.definition[part], now))
}

// parse returns the saved solver, still without a rule. body is the binary form without its checksum.
func parse(body []byte) (*Solver, error) {
	r := &reader{data: body[len(magic):]}
	version, nodes, count := r.uint32(), r.uint32(), r.uint64()
	switch {
	case version != stateVersion:
		return nil, fmt.Errorf("%w: version %d; this library reads version %d", ErrState, version, stateVersion)
	case nodes == 0 || count > math.MaxInt:
		return nil, fmt.Errorf("%w: %d nodes and %d steps", ErrState, nodes, count)
	}
	s := &Solver{steps: int(count)}
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
			return nil, fmt.Errorf("%w: elements of %d bytes", ErrState, size)
		}
		dims := r.uint8()
		t.shape = make([]int, 0, dims)
		for range dims {
			d := r.uint64()
			if d > math.MaxInt || d > 0 && t.size > math.MaxInt/int(d) {
				return nil, fmt.Errorf("%w: a dimension of %d", ErrState, d)
			}
			t.shape = append(t.shape, int(d))
			t.size *= int(d)
		}
		if r.short || t.name == "" || names[t.name] || n > math.MaxInt-t.size {
			return nil, fmt.Errorf("%w: node %q of shape %v is cut short, nameless, listed twice or too large", ErrState, t.name, t.shape)
		}
		names[t.name] = true
		n += t.size
		s.slots = append(s.slots, t)
	}
	for i := range s.saved.definition {
		s.saved.definition[i] = string(r.bytes(r.uint64()))
	}
	s.saved.state = append([]byte{}, r.bytes(r.uint64())...)
	switch length := r.uint64(); {
	case length != 0 && length != uint64(n):
		return nil, fmt.Errorf("%w: %d kept weights for %d coordinates", ErrState, length, n)
	case length > uint64(len(r.data)/8):
		r.short = true
	default:
		for range length {
			s.kept = append(s.kept, math.Float64frombits(r.uint64()))
		}
	}
	if r.short || len(r.data) > 0 {
		return nil, fmt.Errorf("%w: the state is cut short or has something appended", ErrState)
	}
	return s, nil
}

// A reader reads until the data end. After that it returns zeros and sets short.
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

// restored returns a state on a layout: the saved state if there is one, otherwise a fresh one.
func (s *Solver) restored(layout optimizer.Layout) (optimizer.State, error) {
	state := s.rule.Start(layout)
	if s.saved.state == nil {
		return state, nil
	}
	if err := s.saved.check(1, saved.Define("layout", layout)); err != nil {
		return nil, err
	}
	if c, ok := state.(saved.Changer); ok && s.saved.changed {
		if err := c.UnmarshalChanged(s.saved.state); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrState, err)
		}
		return state, nil
	}
	saver, ok := state.(encoding.BinaryUnmarshaler)
	if !ok {
		return nil, fmt.Errorf("%w: saved by another rule: "+errNotSaved, ErrState, state)
	}
	if err := saver.UnmarshalBinary(s.saved.state); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	return state, nil
}
