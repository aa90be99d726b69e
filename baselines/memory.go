package baselines

import (
	"encoding/binary"
	"fmt"
	"math"

	"learnedopt/internal/precondition"
	"learnedopt/optimizer"
)

// stateVersion is the version of the binary form of all states.
const stateVersion = 1

// A memory holds everything that changes in a state: the number of updates, the rule's
// vectors, of n coordinates unless the rule says otherwise, and its scalars. It implements the
// binary form of every state.
type memory struct {
	rule    string // at most 8 bytes
	n       int
	steps   uint64
	vectors [][]float32
	scalars []float64
}

// newMemory returns a fresh memory of the given number of zero vectors.
func newMemory(rule validator, name string, layout optimizer.Layout, vectors int) memory {
	n := layout.Len()
	if n <= 0 {
		panic(errDimension)
	}
	precondition.Valid(rule)
	m := memory{rule: name, n: n, vectors: make([][]float32, vectors)}
	for i := range m.vectors {
		m.vectors[i] = make([]float32, n)
	}
	return m
}

// step checks the lengths and counts an update.
func (m *memory) step(dst, grad []float32) {
	precondition.Length("baselines", "dst", dst, m.n)
	precondition.Length("baselines", "Point.Grad", grad, m.n)
	m.steps++
}

// decayed returns the parameters if a rule with the weight decay λ reads them, else nil.
func (m *memory) decayed(lambda float64, p optimizer.Point) []float32 {
	if lambda == 0 {
		return nil
	}
	precondition.Length("baselines", "Point.Theta", p.Theta, m.n)
	return p.Theta
}

// shrink subtracts a multiple of theta, or nothing if theta is nil.
func shrink(dst, theta []float32, by float64) {
	k := float32(by)
	for i, x := range theta {
		dst[i] -= float32(k * x)
	}
}

// header returns the 32 bytes that open the binary form: the rule's name
// padded with zeros, version, number of vectors, steps, coordinates.
func (m *memory) header(steps uint64) []byte {
	h := make([]byte, 8, m.size())
	copy(h, m.rule)
	h = binary.LittleEndian.AppendUint32(h, stateVersion)
	h = binary.LittleEndian.AppendUint32(h, uint32(len(m.vectors)))
	h = binary.LittleEndian.AppendUint64(h, steps)
	return binary.LittleEndian.AppendUint64(h, uint64(m.n))
}

func (m *memory) size() int {
	size := headerSize + 8*len(m.scalars)
	for _, v := range m.vectors {
		size += 4 * len(v)
	}
	return size
}

const (
	headerSize  = 32
	stepsOffset = 16
)

// MarshalBinary implements encoding.BinaryMarshaler. The rule's
// hyper-parameters are not part of the state; metaopt.Run saves them.
func (m *memory) MarshalBinary() ([]byte, error) {
	data := m.header(m.steps)
	for _, v := range m.vectors {
		for _, x := range v {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
		}
	}
	for _, x := range m.scalars {
		data = binary.LittleEndian.AppendUint64(data, math.Float64bits(x))
	}
	return data, nil
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler. The data must come
// from a state with the same kind of rule and number of coordinates. Errors wrap
// ErrState and leave the state unchanged.
func (m *memory) UnmarshalBinary(data []byte) error {
	if len(data) < headerSize {
		return fmt.Errorf("%w: %d bytes are too few for a header", ErrState, len(data))
	}
	steps := binary.LittleEndian.Uint64(data[stepsOffset:])
	if want := m.header(steps); string(want) != string(data[:headerSize]) {
		return fmt.Errorf("%w: header %x, want %x: start the state with the rule and the number of coordinates that it was saved with",
			ErrState, data[:headerSize], want)
	}
	if len(data) != m.size() {
		return fmt.Errorf("%w: %d bytes, want %d: the data are cut short or have something appended", ErrState, len(data), m.size())
	}
	m.steps = steps
	data = data[headerSize:]
	for _, v := range m.vectors {
		for i := range v {
			v[i] = math.Float32frombits(binary.LittleEndian.Uint32(data))
			data = data[4:]
		}
	}
	for i := range m.scalars {
		m.scalars[i] = math.Float64frombits(binary.LittleEndian.Uint64(data))
		data = data[8:]
	}
	return nil
}
