package exchange

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"math"
	"strings"

	"learnedopt/checkpoints"
)

// appendData appends a tensor's elements, little-endian.
func appendData(b []byte, t *checkpoints.Tensor) []byte {
	for _, x := range t.Data {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	for _, x := range t.Data64 {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
	}
	return b
}

// decode returns the tensor of the given bytes. It allocates as much as data has,
// and says what is wrong where the shape asks for more or less.
func decode(name string, shape []int, double bool, data []byte) (t checkpoints.Tensor, wrong string) {
	width := 4
	if double {
		width = 8
	}
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
	if len(data)%width != 0 || len(data)/width != n {
		return t, fmt.Sprintf("%d bytes of data, shape %v has %d elements of %d bytes", len(data), shape, n, width)
	}
	t = checkpoints.Tensor{Name: name, Shape: shape}
	if double {
		t.Data64 = make([]float64, n)
		for i := range t.Data64 {
			t.Data64[i] = math.Float64frombits(binary.LittleEndian.Uint64(data[8*i:]))
		}
		return t, ""
	}
	t.Data = make([]float32, n)
	for i := range t.Data {
		t.Data[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return t, ""
}

// unsafeName says whether a name would be trouble as a path below a folder into
// which someone unpacks an archive.
func unsafeName(name string) bool {
	return name == "." || !fs.ValidPath(name) || strings.ContainsAny(name, `\:`) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' })
}
