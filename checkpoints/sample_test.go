package checkpoints

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
)

// sampleConfig has a field of every type that a maker is likely to need.
type sampleConfig struct {
	Hidden  int              `msgpack:"hidden"`
	Layers  []int            `msgpack:"layers"`
	Scale   float64          `msgpack:"scale"`
	Clip    float32          `msgpack:"clip"`
	Input   string           `msgpack:"input"`
	Nested  sampleNested     `msgpack:"nested"`
	Counts  map[string]int64 `msgpack:"counts"`
	State   []byte           `msgpack:"state"`
	Narrow  int8             `msgpack:"narrow"`
	Curve   bool             `msgpack:"curve"`
	Note    *string          `msgpack:"note"`
	Horizon int              `msgpack:"horizon,omitempty"`
}

type sampleNested struct {
	Beta float64 `msgpack:"beta"`
	Kind string  `msgpack:"kind"`
}

func newConfig() sampleConfig {
	return sampleConfig{
		Hidden: 20, Layers: []int{20, 20}, Scale: 0.1, Clip: 0.25, Input: "log-and-sign",
		Nested: sampleNested{Beta: 0.95, Kind: "rnnprop"},
		Counts: map[string]int64{"z": -1, "b": 300, "a": 1 << 40}, State: []byte{0, 255, 1}, Narrow: -7, Curve: true,
	}
}

// full is a file that uses every part of the format.
func full(t testing.TB) *File {
	t.Helper()
	f := &File{
		Kind: "lstm-optimizer",
		Provenance: Provenance{
			Name: "Größe 20", Task: "quadratics", Seed: math.MaxUint64, MetaSteps: 1000, Steps: 100, Unroll: 20,
			MetaLearningRate: 0.003, ValidLoss: 0.154, Version: "v0.1.0",
			Command: "metaopt meta-train --task quadratics", Source: "arXiv:1606.04474",
		},
		Tensors: []Tensor{
			{Name: "lstm/1/w", Shape: []int{2, 3}, Data: []float32{1, -2.5, 3e-39, 4, 0.1, 0}},
			{Name: "adam/m", Shape: []int{3}, Data64: []float64{math.Pi, -1e300, 5e-324}},
			{Name: "alone", Data: []float32{7}},
			{Name: "a before b", Shape: []int{1, 1, 1, 1, 1, 1, 1, 2}, Data: []float32{math.MaxFloat32, float32(math.Copysign(0, -1))}},
			{Name: "alone64", Data64: []float64{7}},
		},
	}
	if err := f.EncodeConfig(newConfig()); err != nil {
		t.Fatal(err)
	}
	return f
}

// minimal is the smallest valid file.
func minimal() *File { return &File{Kind: "k"} }

func bytesOf(t testing.TB, f *File) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, f); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// seal makes a file from a payload, with the right header and the right SHA-256.
func seal(payload []byte) []byte {
	b := []byte(magic)
	b = binary.LittleEndian.AppendUint32(b, Version)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	b = append(b, payload...)
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// A pair is an entry of a hand-made map, which may have its entries in any order.
type pair struct {
	key   string
	value any
}

// pack encodes hand-made payloads: pairs become maps with the entries in this order, and bytes are
// inserted as they are.
type splice []byte

func pack(t testing.TB, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	e := msgpack.NewEncoder(&b)
	var put func(v any)
	put = func(v any) {
		switch x := v.(type) {
		case []pair:
			e.EncodeMapLen(len(x))
			for _, p := range x {
				e.EncodeString(p.key)
				put(p.value)
			}
		case splice:
			b.Write(x)
		case ext:
			e.EncodeExtHeader(x.id, len(x.data))
			b.Write(x.data)
		case int:
			e.EncodeInt(int64(x))
		default:
			if err := e.Encode(v); err != nil {
				t.Fatal(err)
			}
		}
	}
	put(v)
	return b.Bytes()
}

type ext struct {
	id   int8
	data []byte
}

// array is a hand-made flax array.
func array(t testing.TB, shape, dtype, data any) ext {
	t.Helper()
	var b []byte
	b = append(b, 0x93)
	for _, v := range []any{shape, dtype, data} {
		b = append(b, pack(t, v)...)
	}
	return ext{extArray, b}
}

func formatError(t *testing.T, err error) *FormatError {
	t.Helper()
	var fe *FormatError
	if !errors.As(err, &fe) {
		t.Fatalf("got error %v, want a *FormatError", err)
	}
	return fe
}
