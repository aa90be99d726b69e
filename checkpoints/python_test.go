package checkpoints

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"learnedopt/internal/pythontest"
)

// python runs the snippets of docs/format.md followed by code; it skips the test if there is no Python.
func python(t *testing.T, code string, args ...string) string {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join("..", "docs", "format.md"))
	if err != nil {
		t.Fatal(err)
	}
	var program strings.Builder
	snippets := regexp.MustCompile("(?s)```python\n(.*?)```").FindAllSubmatch(doc, -1)
	if len(snippets) != 2 {
		t.Fatalf("docs/format.md has %d Python snippets, want a reader and a writer", len(snippets))
	}
	program.WriteString("import hashlib, struct\nimport msgpack\nimport numpy as np\n") // docs/format.md says what the reader needs
	for _, s := range snippets {
		program.Write(s[1])
	}
	program.WriteString(code)
	interpreter := pythontest.Find(t, "msgpack, numpy", "python3-msgpack and python3-numpy")
	return interpreter.Run(t, append([]string{"-c", program.String()}, args...)...)
}

func TestPythonReads(t *testing.T) {
	out := python(t, `
import json, sys
f = parse_mopt(open(sys.argv[1], "rb").read())
print(json.dumps({
    "keys": list(f), "kind": f["kind"], "config": {k: v for k, v in f["config"].items() if k != "state"},
    "state": list(f["config"]["state"]), "seed": str(f["provenance"]["seed"]), "name": f["provenance"]["name"],
    "tensors": [[k, list(a.shape), a.dtype.name, [float(x).hex() for x in a.ravel()]] for k, a in f["tensors"].items()],
}))`, filepath.Join("testdata", "v1-full.mopt"))
	var got struct {
		Keys       []string
		Kind       string
		Config     map[string]any
		State      []int
		Seed, Name string
		Tensors    [][]any
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"config", "kind", "provenance", "tensors"}, got.Keys); d != "" {
		t.Error(d)
	}
	if got.Kind != "lstm-optimizer" || got.Seed != "18446744073709551615" || got.Name != "Größe 20" {
		t.Errorf("got %+v", got)
	}
	want := map[string]any{
		"hidden": 20.0, "layers": []any{20.0, 20.0}, "scale": 0.1, "clip": 0.25, "input": "log-and-sign", "narrow": -7.0,
		"nested": map[string]any{"beta": 0.95, "kind": "rnnprop"}, "curve": true, "note": nil,
		"counts": map[string]any{"a": float64(1 << 40), "b": 300.0, "z": -1.0},
	}
	if d := cmp.Diff(want, got.Config); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]int{0, 255, 1}, got.State); d != "" {
		t.Error(d)
	}
	tensors := [][]any{
		{"lstm/1/w", []any{2.0, 3.0}, "float32", []any{"0x1.0000000000000p+0", "-0x1.4000000000000p+1",
			"0x1.0556400000000p-128", "0x1.0000000000000p+2", "0x1.99999a0000000p-4", "0x0.0p+0"}},
		{"adam/m", []any{3.0}, "float64", []any{"0x1.921fb54442d18p+1", "-0x1.7e43c8800759cp+996", "0x0.0000000000001p-1022"}},
		{"alone", []any{}, "float32", []any{"0x1.c000000000000p+2"}},
		{"a before b", []any{1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0}, "float32", []any{"0x1.fffffe0000000p+127", "-0x0.0p+0"}},
		{"alone64", []any{}, "float64", []any{"0x1.c000000000000p+2"}},
	}
	if d := cmp.Diff(tensors, got.Tensors); d != "" {
		t.Error(d)
	}
}

// pythonProgram writes pythonFile.
const pythonProgram = `
import sys
config = {"hidden": 20, "nested": {"b": [1, -1, 1 << 63, -(1 << 63)], "a": None}, "Zeta": 0.5, "blob": b"\x00\xff", "é": "ü" * 40}
provenance = dict(name="from Python", task="mnist", seed=(1 << 64) - 1, meta_steps=70000, steps=100, unroll=20,
    meta_learning_rate=1e-3, valid_loss=0, version="", command="", source="x" * 300)
tensors = {"w": np.arange(600, dtype="<f4").reshape(20, 30).T, "b": np.float64([1, -2]), "s": np.array(3, "<f4")}
save(sys.argv[1], config, "other", provenance, tensors)
`

func pythonFile(t *testing.T) *File {
	w := make([]float32, 600)
	for i := range w {
		w[i] = float32(i%20*30 + i/20)
	}
	f := &File{
		Kind: "other",
		Provenance: Provenance{
			Name: "from Python", Task: "mnist", Seed: 1<<64 - 1, MetaSteps: 70000, Steps: 100, Unroll: 20,
			MetaLearningRate: 1e-3, Source: strings.Repeat("x", 300),
		},
		Tensors: []Tensor{
			{Name: "w", Shape: []int{30, 20}, Data: w}, {Name: "b", Shape: []int{2}, Data64: []float64{1, -2}},
			{Name: "s", Data: []float32{3}},
		},
	}
	if err := f.EncodeConfig(map[string]any{
		"hidden": 20, "nested": map[string]any{"b": []any{1, -1, uint64(1 << 63), int64(-1 << 63)}, "a": nil},
		"Zeta": 0.5, "blob": []byte{0, 255}, "é": strings.Repeat("ü", 40),
	}); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestPythonWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "python.mopt")
	corpus := filepath.Join("testdata", "v1-python.mopt")
	if _, err := os.Stat(corpus); *add && os.IsNotExist(err) {
		path = corpus
	}
	python(t, pythonProgram, path)
	got, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(pythonFile(t), got, sameBits); d != "" {
		t.Errorf("(-want +read)\n%s", d)
	}
}

// Python reads a file that Go wrote and writes it again. The bytes must be the same, so that the
// two writers agree on the canonical form.
func TestPythonWritesTheSameBytes(t *testing.T) {
	f := full(t)
	// Python has no float32 of its own outside arrays.
	if err := f.EncodeConfig(map[string]any{
		"beta": 0.95, "z": []int64{-1, -32, -33, -129, 127, 128, 255, 256, 65535, 65536, 1 << 40}, "B": strings.Repeat("x", 31),
		"a": strings.Repeat("x", 32), "aa": strings.Repeat("x", 256), "t": true, "n": nil, "bin": make([]byte, 300),
		"list": make([]int, 16),
	}); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	a, b := filepath.Join(folder, "a.mopt"), filepath.Join(folder, "b.mopt")
	if err := Save(a, f); err != nil {
		t.Fatal(err)
	}
	python(t, `
import sys
f = parse_mopt(open(sys.argv[1], "rb").read())
for key in "config", "provenance":
    f[key] = dict(reversed(f[key].items()))
save(sys.argv[2], **f)
`, a, b)
	want, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("Python wrote\n% x, Go\n% x", got, want)
	}
}
