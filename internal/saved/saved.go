// Package saved defines the binary form of the states of a run, which may contain other
// states: a name and a version, then the fields one after the other, all little-endian, and then
// a checksum.
package saved

import (
	"encoding"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// A Writer appends fields. Bytes returns its first error.
type Writer struct {
	data []byte
	err  error
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is the name, up to 8 bytes and padded with zeros, and the version.
func header(name string, version uint32) []byte {
	h := make([]byte, 8)
	copy(h, name)
	return binary.LittleEndian.AppendUint32(h, version)
}

// NewWriter starts a form with the given name, of up to 8 bytes, and version.
func NewWriter(name string, version uint32) *Writer { return &Writer{data: header(name, version)} }

// Int appends a count, which must not be negative.
func (w *Writer) Int(x int) { w.data = binary.LittleEndian.AppendUint64(w.data, uint64(x)) }

// Float appends any float64.
func (w *Writer) Float(x float64) {
	w.data = binary.LittleEndian.AppendUint64(w.data, math.Float64bits(x))
}

// Text appends a text.
func (w *Writer) Text(s string) { w.blob([]byte(s)) }

func (w *Writer) blob(b []byte) {
	w.Int(len(b))
	w.data = append(w.data, b...)
}

// Floats32 appends the length of x and x.
func (w *Writer) Floats32(x []float32) {
	w.Int(len(x))
	for _, v := range x {
		w.data = binary.LittleEndian.AppendUint32(w.data, math.Float32bits(v))
	}
}

// Floats64 appends the length of x and x.
func (w *Writer) Floats64(x []float64) {
	w.Int(len(x))
	for _, v := range x {
		w.Float(v)
	}
}

// State appends the binary form of a state.
func (w *Writer) State(s any) {
	m, ok := s.(encoding.BinaryMarshaler)
	if !ok {
		w.err = errors.Join(w.err, fmt.Errorf("a %T cannot be saved: it has no MarshalBinary", s))
		return
	}
	b, err := m.MarshalBinary()
	w.err = errors.Join(w.err, err)
	w.blob(b)
}

// Bytes returns the form, or the first error of State.
func (w *Writer) Bytes() ([]byte, error) {
	if w.err != nil {
		return nil, w.err
	}
	return binary.LittleEndian.AppendUint32(w.data, crc32.Checksum(w.data, castagnoli)), nil
}

// A Reader reads fields in order. After an error all further fields are zero; Close returns the error.
type Reader struct {
	data    []byte
	err     error
	changed bool
}

// A Changer is a state that can also continue from the data of a state with other settings, as far as the data fit. A state
// that reads no settings from its data does not need this method.
type Changer interface {
	UnmarshalChanged(data []byte) error
}

// Changed says that the data may come from a state with other settings. This also holds for the states in it. It returns r.
func (r *Reader) Changed() *Reader {
	r.changed = true
	return r
}

// MayDiffer reports whether Changed was called.
func (r *Reader) MayDiffer() bool { return r.changed }

// NewReader returns a Reader of a form with this name and version.
func NewReader(data []byte, name string, version uint32) *Reader {
	r := &Reader{}
	want := header(name, version)
	end := len(data) - crc32.Size
	switch {
	case end < len(want):
		r.fail("%d bytes are too few for a header and a checksum", len(data))
	case string(data[:len(want)]) != string(want):
		r.fail("it begins with %q, want %q: start with the rule that it was saved with", data[:len(want)], want)
	case crc32.Checksum(data[:end], castagnoli) != binary.LittleEndian.Uint32(data[end:]):
		r.fail("the checksum is wrong: the data are damaged, cut short or have something appended")
	default:
		r.data = data[len(want):end]
	}
	return r
}

func (r *Reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
	r.data = nil
}

// take returns the next n bytes, nil if fewer are left.
func (r *Reader) take(n uint64) []byte {
	if r.err != nil {
		return nil
	}
	if n > uint64(len(r.data)) {
		r.fail("%d bytes are left, want %d", len(r.data), n)
		return nil
	}
	b := r.data[:n]
	r.data = r.data[n:]
	return b
}

func (r *Reader) uint() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// Int reads a count.
func (r *Reader) Int() int {
	x := r.uint()
	if x > math.MaxInt {
		r.fail("a count of %d", x)
		return 0
	}
	return int(x)
}

// Same reads a count, which must be want.
func (r *Reader) Same(what string, want int) {
	if got := r.Int(); r.err == nil && got != want {
		r.fail("%s %d, want %d: start with the rule and the number of coordinates that it was saved with", what, got, want)
	}
}

// Float reads a float64.
func (r *Reader) Float() float64 { return math.Float64frombits(r.uint()) }

// Text reads a text.
func (r *Reader) Text() string { return string(r.take(r.uint())) }

// Floats32 reads n floats, or nil if the length in the data is 0.
func (r *Reader) Floats32(n int) []float32 {
	b := r.floats(n, 4)
	if b == nil {
		return nil
	}
	x := make([]float32, n)
	for i := range x {
		x[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return x
}

// Floats64 reads n floats, or nil if the length in the data is 0.
func (r *Reader) Floats64(n int) []float64 {
	b := r.floats(n, 8)
	if b == nil {
		return nil
	}
	x := make([]float64, n)
	for i := range x {
		x[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
	}
	return x
}

// SomeFloats64 reads any number of floats; it returns nil if there are none.
func (r *Reader) SomeFloats64() []float64 {
	if n := len(r.data); r.err == nil && n >= 8 {
		if got := binary.LittleEndian.Uint64(r.data); got <= uint64(n/8) {
			return r.Floats64(int(got))
		}
	}
	r.fail("%d bytes are left, too few for the floats that follow", len(r.data))
	return nil
}

func (r *Reader) floats(n, size int) []byte {
	switch got := r.uint(); {
	case r.err != nil || got == 0:
		return nil
	case got != uint64(n):
		r.fail("%d floats, want %d: start with the rule and the number of coordinates that it was saved with", got, n)
		return nil
	case got > math.MaxInt/8:
		r.fail("%d floats", got)
		return nil
	}
	return r.take(uint64(n) * uint64(size))
}

// State reads the binary form of a state into s, which must be new. After an error s must not be
// used.
func (r *Reader) State(s any) {
	b := r.take(r.uint())
	if r.err != nil {
		return
	}
	if c, ok := s.(Changer); ok && r.changed {
		if err := c.UnmarshalChanged(b); err != nil {
			r.fail("%w", err)
		}
		return
	}
	u, ok := s.(encoding.BinaryUnmarshaler)
	if !ok {
		r.fail("a %T cannot be resumed: it has no UnmarshalBinary", s)
		return
	}
	if err := u.UnmarshalBinary(b); err != nil {
		r.fail("%w", err)
	}
}

// Fail makes Close return this error, unless there was an earlier one.
func (r *Reader) Fail(err error) { r.fail("%w", err) }

// Err returns the error so far.
func (r *Reader) Err() error { return r.err }

// Close returns the first error. Data that are left over are an error too.
func (r *Reader) Close() error {
	if r.err == nil && len(r.data) > 0 {
		r.fail("%d bytes too many", len(r.data))
	}
	return r.err
}
