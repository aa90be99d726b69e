package exchange

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"math"
	"strings"

	"learnedopt/checkpoints"
)

// A dtype is a type of elements: its name in npz, its name in safetensors, and its size in bytes.
type dtype struct {
	npy, safeTensors string
	width            int
}

// The types that a checkpoints.Tensor can have, and the field that holds each.
var (
	float32s = dtype{"<f4", "F32", 4} // Data
	float64s = dtype{"<f8", "F64", 8} // Data64
	uint8s   = dtype{"|u1", "U8", 1}  // Bytes
)

func dtypes() []dtype { return []dtype{float32s, float64s, uint8s} }

// dtypeOf returns the type of a valid tensor.
func dtypeOf(t *checkpoints.Tensor) dtype {
	switch {
	case t.Data64 != nil:
		return float64s
	case t.Bytes != nil:
		return uint8s
	}
	return float32s
}

// appendData appends a tensor's elements, little-endian.
func appendData(b []byte, t *checkpoints.Tensor) []byte {
	for _, x := range t.Data {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	for _, x := range t.Data64 {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
	}
	return append(b, t.Bytes...)
}

// decode returns the tensor of the given bytes. It allocates as much as data has.
// wrong is the fault if the shape needs more or fewer bytes, else "".
func decode(name string, shape []int, of dtype, data []byte) (t checkpoints.Tensor, wrong string) {
	if len(shape) > maxRank {
		return t, fmt.Sprintf("%d dimensions, at most %d are allowed", len(shape), maxRank)
	}
	n := 1
	for _, d := range shape {
		if d < 1 || d > maxFile/n {
			return t, fmt.Sprintf("shape %v", shape)
		}
		n *= d
	}
	if len(data)%of.width != 0 || len(data)/of.width != n {
		return t, fmt.Sprintf("%d bytes of data, shape %v has %d elements of %d bytes", len(data), shape, n, of.width)
	}
	t = checkpoints.Tensor{Name: name, Shape: shape}
	switch of {
	case float64s:
		t.Data64 = make([]float64, n)
		for i := range t.Data64 {
			t.Data64[i] = math.Float64frombits(binary.LittleEndian.Uint64(data[8*i:]))
		}
	case uint8s:
		t.Bytes = bytes.Clone(data)
	default:
		t.Data = make([]float32, n)
		for i := range t.Data {
			t.Data[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		}
	}
	return t, ""
}

// stranger says what tensors without our metadata are, if they are known: the weights of other people's optimizers.
func stranger(tensors []checkpoints.Tensor) string {
	has := func(a, b int) bool {
		for _, t := range tensors {
			if len(t.Shape) == 2 && (t.Shape[0] == a && t.Shape[1] == b || t.Shape[0] == b && t.Shape[1] == a) {
				return true
			}
		}
		return false
	}
	if has(39, 32) && has(32, 2) {
		return "the weights of a small_fc_lopt optimizer, a perceptron of 39 inputs, 32 units and 2 outputs, as PyLO and learned_optimization have; " +
			"this program's networks are others, and cannot be made of them"
	}
	return ""
}

// unsafeName reports whether a name would be dangerous as a path in an archive that someone
// unpacks into a folder.
func unsafeName(name string) bool {
	return name == "." || !fs.ValidPath(name) || strings.ContainsAny(name, `\:`) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' })
}
