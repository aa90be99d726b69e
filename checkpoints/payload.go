package checkpoints

import (
	"bytes"
	"encoding/binary"
	"math"

	"github.com/vmihailenco/msgpack/v5"
)

// extArray is flax's msgpack extension for an array:
// [shape, dtype name, elements in C order, little-endian].
const extArray = 1

// writePayload appends f's payload; marshal has checked f.
func writePayload(b *bytes.Buffer, f *File, config map[string]any) error {
	e := msgpack.NewEncoder(b)
	provenance, err := toTree(f.Provenance)
	if err != nil {
		return err
	}
	if err := e.EncodeMapLen(4); err != nil {
		return err
	}
	for _, entry := range []struct {
		key  string
		tree any
	}{{"config", config}, {"kind", f.Kind}, {"provenance", provenance}} {
		if err := e.EncodeString(entry.key); err != nil {
			return err
		}
		if err := encodeTree(e, entry.tree); err != nil {
			return err
		}
	}
	if err := e.EncodeString("tensors"); err != nil {
		return err
	}
	if err := e.EncodeMapLen(len(f.Tensors)); err != nil {
		return err
	}
	for i := range f.Tensors {
		if err := writeTensor(b, e, &f.Tensors[i]); err != nil {
			return err
		}
	}
	return nil
}

func writeTensor(b *bytes.Buffer, e *msgpack.Encoder, t *Tensor) error {
	if err := e.EncodeString(t.Name); err != nil {
		return err
	}
	size := 4*len(t.Data) + 8*len(t.Data64) + len(t.Bytes)
	var head bytes.Buffer
	h := msgpack.NewEncoder(&head)
	if err := h.EncodeArrayLen(3); err != nil {
		return err
	}
	if err := h.EncodeArrayLen(len(t.Shape)); err != nil {
		return err
	}
	for _, d := range t.Shape {
		if err := h.EncodeInt(int64(d)); err != nil {
			return err
		}
	}
	if err := h.EncodeString(t.dtype()); err != nil {
		return err
	}
	if err := h.EncodeBytesLen(size); err != nil {
		return err
	}
	if err := e.EncodeExtHeader(extArray, head.Len()+size); err != nil {
		return err
	}
	b.Write(head.Bytes())
	b.Grow(size)
	out := b.AvailableBuffer()
	for _, x := range t.Data {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(x))
	}
	for _, x := range t.Data64 {
		out = binary.LittleEndian.AppendUint64(out, math.Float64bits(x))
	}
	b.Write(out)
	b.Write(t.Bytes)
	return nil
}

// readPayload parses a payload that starts at offset base of its file.
func readPayload(data []byte, base int64) (*File, error) {
	f := new(File)
	p := newParser(data, base)
	seen := 0
	err := p.each("the payload", maxTensors, func(key string, at int64) error {
		seen++
		switch key {
		case "kind":
			var err error
			f.Kind, err = p.text("kind", 1, maxKind)
			return err
		case "config":
			if err := p.want("config", formMap); err != nil {
				return err
			}
			tree, err := p.tree()
			if err != nil {
				return err
			}
			f.Config = configBytes(tree.(map[string]any))
			return nil
		case "provenance":
			return p.provenance(&f.Provenance)
		case "tensors":
			return p.each("tensors", maxTensors, func(name string, at int64) error {
				if wrong := checkText("a tensor's name", name, 1, maxName); wrong != "" {
					return p.failf(at, "%s", wrong)
				}
				t, err := p.tensor(name)
				f.Tensors = append(f.Tensors, t)
				return err
			})
		}
		return p.failf(at, "unknown key %q in the payload", key)
	})
	if err != nil {
		return nil, err
	}
	if seen != 4 {
		return nil, p.failf(base, "the payload has %d keys, want config, kind, provenance and tensors", seen)
	}
	if p.left() != 0 {
		return nil, p.failf(p.offset(), "%d bytes after the payload's value", p.left())
	}
	return f, nil
}

func (p *parser) provenance(dst *Provenance) error {
	start := p.offset()
	if err := p.want("provenance", formMap); err != nil {
		return err
	}
	tree, err := p.tree()
	if err != nil {
		return err
	}
	if err := decodeStrict("provenance", tree, dst); err != nil {
		return p.failf(start, "%s", err.(*FormatError).Reason)
	}
	if wrong := dst.check(); wrong != "" {
		return p.failf(start, "%s", wrong)
	}
	return nil
}

func (p *parser) tensor(name string) (t Tensor, err error) {
	start := p.offset()
	fail := func(at int64, format string, args ...any) (Tensor, error) {
		err := p.failf(at, format, args...)
		err.Reason = "tensor " + quote(name) + ": " + err.Reason
		return Tensor{}, err
	}
	if err := p.want("tensor "+quote(name), formExt); err != nil {
		return Tensor{}, err
	}
	id, n, err := p.d.DecodeExtHeader()
	if n, err = p.count(start, "tensor "+quote(name), n, 1, err); err != nil {
		return Tensor{}, err
	}
	if id != extArray {
		return fail(start, "extension %d, want %d", id, extArray)
	}
	inner := p.offset()
	sub := newParser(p.raw(n), inner)
	parts, err := sub.arrayLen("an array's content")
	if err != nil {
		return Tensor{}, err
	}
	if parts != 3 {
		return fail(inner, "%d parts, want shape, dtype and data", parts)
	}
	shapeAt := sub.offset()
	shape, err := sub.shape()
	if err != nil {
		return Tensor{}, err
	}
	dtypeAt := sub.offset()
	dtype, err := sub.text("a dtype", 1, maxName)
	if err != nil {
		return Tensor{}, err
	}
	width := map[string]int64{"float32": 4, "float64": 8, "uint8": 1}[dtype]
	if width == 0 {
		return fail(dtypeAt, "dtype %q, want float32, float64 or uint8", dtype)
	}
	want, wrong := elements(shape)
	if wrong != "" {
		return fail(shapeAt, "%s", wrong)
	}
	data, err := sub.bytes("an array's data")
	if err != nil {
		return Tensor{}, err
	}
	dataAt := sub.offset() - int64(len(data))
	if int64(len(data)) != want*width {
		return fail(dataAt, "%d bytes of data, want %d for %s%v", len(data), want*width, dtype, shape)
	}
	if sub.left() != 0 {
		return fail(sub.offset(), "%d bytes after the data", sub.left())
	}
	t = Tensor{Name: name, Shape: shape}
	if width == 1 {
		t.Bytes = bytes.Clone(data)
		return t, nil
	}
	if width == 4 {
		t.Data = make([]float32, want)
		for i := range t.Data {
			t.Data[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
			if !finite(float64(t.Data[i])) {
				return fail(dataAt+4*int64(i), "element %d is %v; only finite numbers are stored", i, t.Data[i])
			}
		}
		return t, nil
	}
	t.Data64 = make([]float64, want)
	for i := range t.Data64 {
		t.Data64[i] = math.Float64frombits(binary.LittleEndian.Uint64(data[8*i:]))
		if !finite(t.Data64[i]) {
			return fail(dataAt+8*int64(i), "element %d is %v; only finite numbers are stored", i, t.Data64[i])
		}
	}
	return t, nil
}

// shape reads an array of dimensions; an empty one is nil.
func (p *parser) shape() (shape []int, err error) {
	start := p.offset()
	n, err := p.arrayLen("a shape")
	if err != nil {
		return nil, err
	}
	if n > maxRank {
		return nil, p.failf(start, "%d dimensions, at most %d are allowed", n, maxRank)
	}
	for range n {
		at := p.offset()
		if err := p.want("a dimension", formUint, formInt); err != nil {
			return nil, err
		}
		d, err := p.d.DecodeInt64()
		if err != nil {
			return nil, p.read(err)
		}
		if d < 1 || d > maxPayload {
			return nil, p.failf(at, "dimension %d, want 1 to %d", d, maxPayload)
		}
		shape = append(shape, int(d))
	}
	return shape, nil
}
