package checkpoints

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// A parser reads msgpack from memory, value by value. Before it allocates memory for a value it
// checks that the value's bytes exist. It uses only the functions of the msgpack package that read headers:
// the general decoder allocates as much as a header claims, accepts nil
// for any value and keeps its extensions in a process-wide table.
type parser struct {
	data   []byte
	base   int64 // offset of data in the file
	r      *bytes.Reader
	d      *msgpack.Decoder
	values int
}

func newParser(data []byte, base int64) *parser {
	r := bytes.NewReader(data)
	return &parser{data: data, base: base, r: r, d: msgpack.NewDecoder(r)}
}

func (p *parser) left() int     { return p.r.Len() }
func (p *parser) pos() int      { return len(p.data) - p.r.Len() }
func (p *parser) offset() int64 { return p.base + int64(p.pos()) }

func (p *parser) failf(offset int64, format string, args ...any) *FormatError {
	return &FormatError{Offset: offset, Reason: fmt.Sprintf(format, args...)}
}

// read turns an error of the msgpack package into a FormatError. The package reads from memory, so the only
// possible error is the end of the data.
func (p *parser) read(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &FormatError{Offset: p.offset(), Reason: "the value ends too early", Err: io.ErrUnexpectedEOF}
	}
	return &FormatError{Offset: p.offset(), Reason: err.Error(), Err: err}
}

// A form is the kind of a value, which follows from its first byte.
type form string

const (
	formNil     form = "nil"
	formBool    form = "a bool"
	formInt     form = "an integer"
	formUint    form = "an unsigned integer"
	formFloat32 form = "a float32"
	formFloat64 form = "a float64"
	formString  form = "a string"
	formBytes   form = "a byte string"
	formArray   form = "an array"
	formMap     form = "a map"
	formExt     form = "an extension"
	formNone    form = "no msgpack value"
)

// next returns the form of the next value.
func (p *parser) next() (form, error) {
	c, err := p.d.PeekCode()
	if err != nil {
		return "", p.read(err)
	}
	switch {
	case c <= msgpcode.PosFixedNumHigh, c >= msgpcode.Uint8 && c <= msgpcode.Uint64:
		return formUint, nil
	case c >= msgpcode.NegFixedNumLow, c >= msgpcode.Int8 && c <= msgpcode.Int64:
		return formInt, nil
	case c == msgpcode.Nil:
		return formNil, nil
	case c == msgpcode.False, c == msgpcode.True:
		return formBool, nil
	case c == msgpcode.Float:
		return formFloat32, nil
	case c == msgpcode.Double:
		return formFloat64, nil
	case msgpcode.IsString(c):
		return formString, nil
	case msgpcode.IsBin(c):
		return formBytes, nil
	case msgpcode.IsFixedArray(c), c == msgpcode.Array16, c == msgpcode.Array32:
		return formArray, nil
	case msgpcode.IsFixedMap(c), c == msgpcode.Map16, c == msgpcode.Map32:
		return formMap, nil
	case msgpcode.IsExt(c):
		return formExt, nil
	}
	return formNone, nil
}

func (p *parser) want(what string, forms ...form) error {
	got, err := p.next()
	if err != nil {
		return err
	}
	for _, f := range forms {
		if got == f {
			return nil
		}
	}
	return p.failf(p.offset(), "%s is %s, want %s", what, got, forms[0])
}

// count returns n, or an error if fewer bytes are left than n items of at least size bytes each
// need.
func (p *parser) count(start int64, what string, n, size int, err error) (int, error) {
	if err != nil {
		return 0, p.read(err)
	}
	if n < 0 || n > p.left()/size {
		return 0, p.failf(start, "%s claims %d items, %d bytes are left", what, uint32(n), p.left())
	}
	return n, nil
}

func (p *parser) mapLen(what string) (int, error) {
	if err := p.want(what, formMap); err != nil {
		return 0, err
	}
	start := p.offset()
	n, err := p.d.DecodeMapLen()
	return p.count(start, what, n, 2, err)
}

func (p *parser) arrayLen(what string) (int, error) {
	if err := p.want(what, formArray); err != nil {
		return 0, err
	}
	start := p.offset()
	n, err := p.d.DecodeArrayLen()
	return p.count(start, what, n, 1, err)
}

// raw returns the next n bytes; they alias the input. n was checked by count.
func (p *parser) raw(n int) []byte {
	at := p.pos()
	p.r.Seek(int64(n), io.SeekCurrent)
	return p.data[at : at+n : at+n]
}

// bytes reads a byte string; the result aliases the input.
func (p *parser) bytes(what string) ([]byte, error) {
	if err := p.want(what, formBytes); err != nil {
		return nil, err
	}
	return p.blob(what)
}

func (p *parser) blob(what string) ([]byte, error) {
	start := p.offset()
	n, err := p.d.DecodeBytesLen()
	if n, err = p.count(start, what, n, 1, err); err != nil {
		return nil, err
	}
	return p.raw(n), nil
}

// text reads a string of least to most bytes.
func (p *parser) text(what string, least, most int) (string, error) {
	start := p.offset()
	if err := p.want(what, formString); err != nil {
		return "", err
	}
	b, err := p.blob(what)
	if err != nil {
		return "", err
	}
	s := string(b)
	if wrong := checkText(what, s, least, most); wrong != "" {
		return "", p.failf(start, "%s", wrong)
	}
	return s, nil
}

// each reads a map with string keys. It calls visit for every key, and visit reads
// the value. A key that comes twice is an error.
func (p *parser) each(what string, most int, visit func(key string, at int64) error) error {
	start := p.offset()
	n, err := p.mapLen(what)
	if err != nil {
		return err
	}
	if n > most {
		return p.failf(start, "%s has %d entries, at most %d are allowed", what, n, most)
	}
	seen := make(map[string]bool)
	for range n {
		at := p.offset()
		key, err := p.text("a key of "+what, 0, maxText)
		if err != nil {
			return err
		}
		if seen[key] {
			return p.failf(at, "%s has the key %q twice", what, key)
		}
		seen[key] = true
		if err := visit(key, at); err != nil {
			return err
		}
	}
	return nil
}

// tree reads one plain value with everything in it.
func (p *parser) tree() (any, error) {
	p.values = 0
	return p.value(0)
}

// value reads one plain value that is inside depth other values.
func (p *parser) value(depth int) (any, error) {
	start := p.offset()
	got, err := p.next()
	if err != nil {
		return nil, err
	}
	if depth > maxDepth {
		return nil, p.failf(start, "more than %d maps and arrays within each other", maxDepth)
	}
	if p.values++; p.values > maxValues {
		return nil, p.failf(start, "more than %d values", maxValues)
	}
	switch got {
	case formNil:
		return nil, p.read(p.d.DecodeNil())
	case formBool:
		b, err := p.d.DecodeBool()
		return b, p.read(err)
	case formUint:
		n, err := p.d.DecodeUint64()
		return n, p.read(err)
	case formInt:
		n, err := p.d.DecodeInt64()
		if n >= 0 { // a signed code may hold a non-negative number too
			return uint64(n), p.read(err)
		}
		return n, p.read(err)
	case formFloat32:
		x, err := p.d.DecodeFloat32()
		if x != x {
			return nil, p.failf(start, "a NaN")
		}
		return x, p.read(err)
	case formFloat64:
		x, err := p.d.DecodeFloat64()
		if math.IsNaN(x) {
			return nil, p.failf(start, "a NaN")
		}
		return x, p.read(err)
	case formString:
		return p.text("a string", 0, maxText)
	case formBytes:
		b, err := p.bytes("a byte string")
		if len(b) > maxText {
			return nil, p.failf(start, "a byte string has %d bytes, at most %d are allowed", len(b), maxText)
		}
		return bytes.Clone(b), err
	case formArray:
		n, err := p.arrayLen("an array")
		if err != nil {
			return nil, err
		}
		items := []any{}
		for range n {
			item, err := p.value(depth + 1)
			if err != nil {
				return nil, err
			}
			items = append(items, item)
		}
		return items, nil
	case formMap:
		m := map[string]any{}
		return m, p.each("a map", maxValues, func(key string, _ int64) (err error) {
			m[key], err = p.value(depth + 1)
			return err
		})
	}
	return nil, p.failf(start, "%s where plain data is wanted", got)
}
