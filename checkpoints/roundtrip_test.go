package checkpoints

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// sameBits compares floats by their bits, so that −0 is not 0.
var sameBits = cmp.Options{
	cmp.Comparer(func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }),
	cmp.Comparer(func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }),
	cmpopts.EquateEmpty(),
}

func TestRoundTrip(t *testing.T) {
	for name, f := range map[string]*File{"full": full(t), "minimal": minimal()} {
		data := bytesOf(t, f)
		got, err := Read(bytes.NewReader(data))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if d := cmp.Diff(f, got, sameBits); d != "" {
			t.Errorf("%s changed (-wrote +read):\n%s", name, d)
		}
		if again := bytesOf(t, got); !bytes.Equal(data, again) {
			t.Errorf("%s: written again it has other bytes", name)
		}
	}
}

func TestRoundTripProperty(t *testing.T) {
	finite64 := rapid.Float64().Filter(finite)
	finite32 := rapid.Float32().Filter(func(x float32) bool { return finite(float64(x)) })
	leaf := rapid.OneOf(
		rapid.Bool().AsAny(), rapid.Uint64().AsAny(), rapid.Int64().AsAny(), rapid.String().AsAny(),
		finite64.AsAny(), finite32.AsAny(), rapid.SliceOf(rapid.Byte()).AsAny(), rapid.Just[any](nil),
		rapid.SliceOf(rapid.Int()).AsAny(), rapid.MapOf(rapid.String(), rapid.String()).AsAny(),
	)
	rapid.Check(t, func(t *rapid.T) {
		f := &File{
			Kind: rapid.StringN(1, 16, maxKind).Draw(t, "kind"),
			Provenance: Provenance{
				Name: rapid.String().Draw(t, "name"), Command: rapid.String().Draw(t, "command"),
				Seed: rapid.Uint64().Draw(t, "seed"), MetaSteps: rapid.IntRange(0, math.MaxInt).Draw(t, "metasteps"),
				ValidLoss: finite64.Draw(t, "valid"), Recipe: rapid.String().Draw(t, "recipe"),
			},
		}
		if err := f.EncodeConfig(rapid.MapOf(rapid.String(), leaf).Draw(t, "config")); err != nil {
			t.Fatal(err)
		}
		for _, name := range rapid.SliceOfNDistinct(rapid.StringN(1, 64, maxName), 0, 5, rapid.ID[string]).Draw(t, "names") {
			x := Tensor{Name: name, Shape: rapid.SliceOfN(rapid.IntRange(1, 4), 0, 4).Draw(t, "shape")}
			n, _ := elements(x.Shape)
			if rapid.Bool().Draw(t, "wide") {
				x.Data64 = rapid.SliceOfN(finite64, int(n), int(n)).Draw(t, "data64")
			} else {
				x.Data = rapid.SliceOfN(finite32, int(n), int(n)).Draw(t, "data")
			}
			f.Tensors = append(f.Tensors, x)
		}
		var b bytes.Buffer
		if err := Write(&b, f); err != nil {
			t.Fatal(err)
		}
		data := bytes.Clone(b.Bytes())
		got, err := Read(&b)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(f, got, sameBits); d != "" {
			t.Fatal(d)
		}
		if err := Write(&b, got); err != nil || !bytes.Equal(b.Bytes(), data) {
			t.Fatalf("written again: other bytes, or %v", err)
		}
	})
}

func TestWriteRejects(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	many := minimal()
	for range maxTensors + 1 {
		many.Tensors = append(many.Tensors, Tensor{Name: "x", Data: []float32{1}})
	}
	one := func(x Tensor) *File { f := minimal(); f.Tensors = []Tensor{x}; return f }
	for want, f := range map[string]*File{
		"kind is empty":                           {},
		"kind has 65 bytes":                       {Kind: strings.Repeat("k", 65)},
		"kind is not UTF-8":                       {Kind: "\xff"},
		"config is not a map":                     {Kind: "k", Config: []byte{0x90}},
		"config: bad checkpoint: byte 1":          {Kind: "k", Config: []byte{0x80, 0x80}},
		"the value ends too early":                {Kind: "k", Config: []byte{0x81, 0xa0, 0xcd}},
		"a count is negative":                     {Kind: "k", Provenance: Provenance{Steps: -1}},
		"provenance: a float is not finite":       {Kind: "k", Provenance: Provenance{ValidLoss: nan}},
		"provenance.task is not UTF-8":            {Kind: "k", Provenance: Provenance{Task: "\xff"}},
		"provenance.source has 65537":             {Kind: "k", Provenance: Provenance{Source: strings.Repeat("s", maxText+1)}},
		"provenance.recipe has 65537":             {Kind: "k", Provenance: Provenance{Recipe: strings.Repeat("r", maxText+1)}},
		"provenance.recipe is not UTF-8":          {Kind: "k", Provenance: Provenance{Recipe: "\xff"}},
		"4097 tensors":                            many,
		"a tensor's name is empty":                one(Tensor{Data: []float32{1}}),
		"a tensor's name has 257":                 one(Tensor{Name: strings.Repeat("n", 257), Data: []float32{1}}),
		"has 0 elements, want 1":                  one(Tensor{Name: "x"}),
		"has 2 elements, want 1":                  one(Tensor{Name: "x", Data: []float32{1, 2}}),
		"dimension 0":                             one(Tensor{Name: "x", Shape: []int{0}}),
		"dimension -1":                            one(Tensor{Name: "x", Shape: []int{-1, -1}, Data: []float32{1}}),
		"is too large":                            one(Tensor{Name: "x", Shape: []int{1 << 20, 1 << 20, 1 << 24}}),
		"9 dimensions":                            one(Tensor{Name: "x", Shape: make([]int, 9)}),
		"data of two types":                       one(Tensor{Name: "x", Data: []float32{}, Data64: []float64{1}}),
		`tensor "x": element 1 is NaN`:            one(Tensor{Name: "x", Shape: []int{2}, Data: []float32{1, float32(nan)}}),
		`tensor "y": element 0 is +Inf; only`:     one(Tensor{Name: "y", Data64: []float64{inf}}),
		`two tensors are named "x"`:               {Kind: "k", Tensors: []Tensor{{Name: "x", Data: []float32{1}}, {Name: "x", Data: []float32{1}}}},
		"more than 32 maps and arrays within":     {Kind: "k", Config: append(bytes.Repeat([]byte{0x81, 0xa0}, 33), 0xc0)},
		"more than 65536 values":                  {Kind: "k", Config: append([]byte{0x81, 0xa0, 0xdd, 0, 1, 0, 0}, make([]byte, 1<<16)...)},
		"no msgpack value where plain data":       {Kind: "k", Config: []byte{0x81, 0xa0, 0xc1}},
		"an extension where plain data is wanted": {Kind: "k", Config: []byte{0x81, 0xa0, 0xd4, 1, 0}},
	} {
		var b bytes.Buffer
		err := Write(&b, f)
		if err == nil {
			t.Errorf("wrote a file, want error %q", want)
			continue
		}
		if fe := formatError(t, err); !strings.Contains(fe.Reason, want) || fe.Offset != -1 {
			t.Errorf("got %v, want %q", err, want)
		}
		if b.Len() != 0 {
			t.Errorf("%q: %d bytes were written", want, b.Len())
		}
	}
}

// failing accepts n bytes. Then it returns an error, or only writes fewer bytes than asked.
type failing struct {
	n     int
	err   error
	taken bytes.Buffer
}

func (w *failing) Write(p []byte) (int, error) {
	if len(p) <= w.n-w.taken.Len() {
		return w.taken.Write(p)
	}
	n, _ := w.taken.Write(p[:w.n-w.taken.Len()])
	return n, w.err
}

func TestWriteReturnsTheWritersError(t *testing.T) {
	f := full(t)
	data := bytesOf(t, f)
	full := errors.New("no space left on device")
	for n := range data {
		w := &failing{n: n, err: full}
		if err := Write(w, f); !errors.Is(err, full) {
			t.Fatalf("a writer that fails after %d bytes: got %v", n, err)
		}
		if !bytes.Equal(w.taken.Bytes(), data[:n]) {
			t.Fatalf("a writer that fails after %d bytes got other bytes", n)
		}
		if err := Write(&failing{n: n}, f); !errors.Is(err, io.ErrShortWrite) {
			t.Fatalf("a writer that stops after %d bytes: got %v", n, err)
		}
	}
	if err := Write(&failing{n: len(data), err: full}, f); err != nil {
		t.Errorf("a writer with just enough room: %v", err)
	}
}

func TestLookup(t *testing.T) {
	f := full(t)
	w, err := f.Float32("lstm/1/w", 2, 3)
	if err != nil || len(w) != 6 || w[1] != -2.5 {
		t.Errorf("Float32: %v, %v", w, err)
	}
	m, err := f.Float64("adam/m", 3)
	if err != nil || len(m) != 3 || m[0] != math.Pi {
		t.Errorf("Float64: %v, %v", m, err)
	}
	if x, err := f.Float32("alone"); err != nil || len(x) != 1 {
		t.Errorf("a scalar: %v, %v", x, err)
	}
	for want, err := range map[string]error{
		`tensor "none" is missing`:                             second(f.Float32("none")),
		`tensor "adam/m" is float64[3], want float32[3]`:       second(f.Float32("adam/m", 3)),
		`tensor "lstm/1/w" is float32[2 3], want float32[3 2]`: second(f.Float32("lstm/1/w", 3, 2)),
		`tensor "alone" is float32[], want float64[]`:          second(f.Float64("alone")),
		`tensor "what" is missing`:                             f.Expect("what"),
		`tensor "adam/m" is not known`:                         f.Expect("lstm/1/w"),
	} {
		if fe := formatError(t, err); fe.Reason != want {
			t.Errorf("got %q, want %q", fe.Reason, want)
		}
	}
	if err := f.Expect("alone64", "a before b", "alone", "adam/m", "lstm/1/w"); err != nil {
		t.Error(err)
	}
}

func second[T any](_ T, err error) error { return err }
