package exchange

import (
	"archive/zip"
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"learnedopt/checkpoints"
)

// sample is a file that uses everything that all formats can hold.
func sample(t testing.TB) *checkpoints.File {
	t.Helper()
	f := &checkpoints.File{
		Kind: "lstm-optimizer",
		Provenance: checkpoints.Provenance{
			Name: "Größe \"20\"\n</script>", Task: "mnist", Seed: math.MaxUint64, MetaSteps: 1000, Steps: 100, Unroll: 20,
			MetaLearningRate: 1e-3, ValidLoss: 0.1 + 0.2, Command: "metaopt meta-train \u2028 \x00", Source: "arXiv:1606.04474",
		},
		Tensors: []checkpoints.Tensor{
			{Name: "lstm2/w", Shape: []int{2, 3}, Data: []float32{1, -2.5, 3e-39, math.MaxFloat32, 0.1, float32(math.Copysign(0, -1))}},
			{Name: "lstm1/b", Shape: []int{3}, Data64: []float64{math.Pi, -1e300, 5e-324}},
			{Name: "alone", Data: []float32{7}},
			{Name: "deep", Shape: []int{1, 1, 1, 1, 1, 1, 1, 1}, Data: []float32{1}},
			{Name: "one", Shape: []int{1}, Data64: []float64{7}},
			{Name: "state", Shape: []int{2, 3}, Bytes: []byte{0, 255, '\n', 0x80, 7, 1}},
			{Name: "flag", Bytes: []byte{1}},
		},
	}
	if err := f.EncodeConfig(map[string]any{
		"whole": 5.0, "int": 5, "negative": -5, "large": uint64(1 << 63), "small": 5e-324, "minus zero": math.Copysign(0, -1), "tenth": 0.1, "1e30": 1e30,
		"nil": nil, "yes": true, "list": []any{1, 1.0, "ü", []any{}, map[string]any{}}, "": "",
	}); err != nil {
		t.Fatal(err)
	}
	return f
}

// sameBits compares floats by their bits.
var sameBits = cmp.Options{
	cmp.Comparer(func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }),
	cmp.Comparer(func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }),
}

func TestRoundTrip(t *testing.T) {
	f := sample(t)
	for _, format := range Formats() {
		var b, again bytes.Buffer
		if err := Write(&b, f, format); err != nil {
			t.Fatal(err)
		}
		if err := Write(&again, sample(t), format); err != nil || !bytes.Equal(b.Bytes(), again.Bytes()) {
			t.Errorf("%s: equal files have other bytes, %v", format, err)
		}
		got, said, err := Read(&b)
		if err != nil || said != format {
			t.Errorf("%s is read as %q: %v", format, said, err)
			continue
		}
		if d := cmp.Diff(f, got, sameBits); d != "" { // Config as bytes: 5.0 has not become 5
			t.Errorf("%s (-written +read):\n%s", format, d)
		}
	}
}

// Every format either keeps all that a tensor can hold, or refuses the file. The test finds fields of Tensor that exchange
// does not know and would drop silently.
func TestEveryTypeOfElementsIsKept(t *testing.T) {
	types := 0
	for _, field := range reflect.VisibleFields(reflect.TypeFor[checkpoints.Tensor]()) {
		if field.Type.Kind() != reflect.Slice || field.Name == "Shape" {
			continue
		}
		types++
		f := &checkpoints.File{Kind: "other", Tensors: []checkpoints.Tensor{
			{Name: "before", Shape: []int{1}, Data: []float32{3}}, {Name: "x", Shape: []int{2}}, {Name: "after", Shape: []int{1}, Data: []float32{4}},
		}}
		elements := reflect.MakeSlice(field.Type, 2, 2)
		elements.Index(1).Set(reflect.ValueOf(1).Convert(field.Type.Elem()))
		reflect.ValueOf(&f.Tensors[1]).Elem().FieldByIndex(field.Index).Set(elements)
		for _, format := range Formats() {
			data, err := Marshal(f, format)
			if err != nil {
				continue
			}
			got, _, err := Read(bytes.NewReader(data))
			if err != nil {
				t.Errorf("%s, %s: %v", format, field.Name, err)
			} else if d := cmp.Diff(f, got); d != "" {
				t.Errorf("%s, %s (-written +read):\n%s", format, field.Name, d)
			}
		}
	}
	if types < 3 {
		t.Errorf("%d types of elements, want float32, float64 and uint8 at least", types)
	}
}

// Files that Python wrote can be read.
func TestBytesOfOthers(t *testing.T) {
	want := []checkpoints.Tensor{
		{Name: "state", Shape: []int{2, 3}, Bytes: []byte{0, 51, 102, 153, 204, 255}}, {Name: "w", Shape: []int{1}, Data: []float32{0.5}},
	}
	for _, name := range []string{"numpy-uint8.npz", "safetensors-uint8.safetensors"} {
		r, err := os.Open(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := Read(r)
		r.Close()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		slices.SortFunc(got.Tensors, func(a, b checkpoints.Tensor) int { return strings.Compare(a.Name, b.Name) })
		if d := cmp.Diff(want, got.Tensors); d != "" {
			t.Errorf("%s:\n%s", name, d)
		}
	}
}

// Headers of arrays are read as any writer may write them.
func TestHeadersOfOthers(t *testing.T) {
	for text, want := range map[string]checkpoints.Tensor{
		"{'shape': (1,), 'fortran_order': False, 'descr': '<f4'}\n":         {Name: "w", Shape: []int{1}, Data: []float32{1}},
		`{"descr":"<f4","fortran_order":False,"shape":(1,)}`:                {Name: "w", Shape: []int{1}, Data: []float32{1}},
		"{'descr' : '<f4' ,\n'fortran_order' : False , 'shape' : ( 1L, ) }": {Name: "w", Shape: []int{1}, Data: []float32{1}},
		"{'descr': '<f4', 'fortran_order': True, 'shape': (), }\n":          {Name: "w", Data: []float32{1}},
		"{'descr': '|u1', 'fortran_order': True, 'shape': (2, 2)}\n":        {Name: "w", Shape: []int{2, 2}, Bytes: []byte{0, 128, 0, 63}},
	} {
		f, err := read(archive(t, zip.Store, entry{"w.npy", header(text)}, metadataEntry(t)), NPZ)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if d := cmp.Diff([]checkpoints.Tensor{want}, f.Tensors); d != "" {
			t.Errorf("%q:\n%s", text, d)
		}
	}
	// Element (i, j, k) of an array of 2 × 3 × 4 in Fortran order.
	in := make([]int, 24)
	for i := range 2 {
		for j := range 3 {
			for k := range 4 {
				in[i+2*(j+3*k)] = 100*i + 10*j + k
			}
		}
	}
	for at, x := range rowMajor(in, []int{2, 3, 4}) {
		if want := 100*(at/12) + 10*(at/4%3) + at%4; x != want {
			t.Errorf("element %d is %d, want %d", at, x, want)
		}
	}
}

// The corpus was written by NumPy, safetensors and flax (testdata/make.py).
func TestFilesOfOthers(t *testing.T) {
	want := &checkpoints.File{
		Kind: "other",
		Provenance: checkpoints.Provenance{
			Name: "from Python, ü", Task: "mnist", Seed: 1<<64 - 1, MetaSteps: 70000, Steps: 100, Unroll: 20, MetaLearningRate: 1e-3,
		},
		Tensors: []checkpoints.Tensor{
			{Name: "b", Shape: []int{2}, Data64: []float64{1, -2}}, {Name: "lstm1/w", Shape: []int{2, 3}, Data: []float32{0, 0.5, 1, 1.5, 2, 2.5}},
			{Name: "s", Data: []float32{3}},
		},
	}
	if err := want.EncodeConfig(map[string]any{"hidden": 20, "scale": 5.0, "list": []any{1, 1.0, nil}}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"numpy.npz", "numpy-compressed.npz", "safetensors.safetensors", "flax.msgpack"} {
		r, err := os.Open(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := Read(r)
		r.Close()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d := cmp.Diff(want, got, sameBits); d != "" {
			t.Errorf("%s:\n%s", name, d)
		}
	}
}

func TestDetect(t *testing.T) {
	f := sample(t)
	for _, format := range Formats() {
		data, err := Marshal(f, format)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := Detect(data[:Peek]); got != format || !ok {
			t.Errorf("%s is taken for %q", format, got)
		}
	}
	var mopt bytes.Buffer
	if err := checkpoints.Write(&mopt, f); err != nil {
		t.Fatal(err)
	}
	for name, head := range map[string][]byte{
		"mopt": mopt.Bytes()[:Peek], "empty": nil, "pickle": []byte("\x80\x03}q\x00(X\x06"), "old pickle": []byte("(dp0\nS'ls"),
		"text": []byte("once upon"), "long header": []byte("\xff\xff\xff\xff\xff\xff\xff\xff{"),
	} {
		if got, ok := Detect(head); ok {
			t.Errorf("%s is taken for %s", name, got)
		}
	}
	if _, _, err := Read(strings.NewReader("once upon a time")); formatError(t, err).Reason != "it is none of [npz safetensors flax-msgpack]" {
		t.Error(err)
	}
	broken := errors.New("the disk is broken")
	if _, _, err := Read(failing{broken}); !errors.Is(err, broken) {
		t.Errorf("a reader's own error became %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestWriteRefuses(t *testing.T) {
	config := func(v any) func(*checkpoints.File) {
		return func(f *checkpoints.File) {
			if err := f.EncodeConfig(map[string]any{"a": map[string]any{"x": []any{v}}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	tensor := func(name string) func(*checkpoints.File) {
		return func(f *checkpoints.File) { f.Tensors[0].Name = name }
	}
	for _, c := range []struct {
		want    string
		formats []Format
		change  func(f *checkpoints.File)
	}{
		{"config.a.x[0] is a float32, 0.5", []Format{NPZ, SafeTensors}, config(float32(0.5))},
		{"config.a.x[0] is a []uint8", []Format{NPZ, SafeTensors}, config([]byte{1})},
		{"config.a.x[0] is a float64, +Inf: JSON has no word for it; use flax-msgpack", []Format{NPZ, SafeTensors}, config(math.Inf(1))},
		{"is not allowed for an entry of an archive", []Format{NPZ}, tensor("../up")},
		{"is not allowed for an entry of an archive", []Format{NPZ}, tensor("/etc/passwd")},
		{"is not allowed for an entry of an archive", []Format{NPZ}, tensor(`C:\x`)},
		{"is not allowed for an entry of an archive", []Format{NPZ}, tensor("a\nb")},
		{"; use flax-msgpack", []Format{NPZ, SafeTensors}, tensor("__metadata__")},
		{"element 0 is NaN", Formats(), func(f *checkpoints.File) { f.Tensors[0].Data[0] = float32(math.NaN()) }},
		{`two tensors are named "alone"`, Formats(), tensor("alone")},
		{"no such format", []Format{"pickle"}, func(*checkpoints.File) {}},
	} {
		for _, format := range append(Formats(), "pickle") {
			f := sample(t)
			c.change(f)
			var b bytes.Buffer
			err := Write(&b, f, format)
			refuses := strings.Contains(strings.Join(toStrings(c.formats), " ")+" ", string(format)+" ")
			if format == "pickle" && !refuses {
				continue
			}
			if !refuses {
				if err != nil {
					t.Errorf("%s: %v", format, err)
				}
				continue
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || b.Len() > 0 {
				t.Errorf("%s: got %v, want %q", format, err, c.want)
				continue
			}
			if fe := formatError(t, err); fe.Format != format {
				t.Errorf("%v is of format %s", err, fe.Format)
			}
		}
	}
	broken := errors.New("the disk is full")
	if err := Write(failing{broken}, sample(t), NPZ); !errors.Is(err, broken) {
		t.Errorf("a writer's own error became %v", err)
	}
}

func toStrings(formats []Format) (all []string) {
	for _, f := range formats {
		all = append(all, string(f))
	}
	return all
}

func formatError(t testing.TB, err error) *FormatError {
	t.Helper()
	var fe *FormatError
	if !errors.As(err, &fe) || fe.Reason == "" {
		t.Fatalf("got error %v, want a *FormatError with a reason", err)
	}
	return fe
}
