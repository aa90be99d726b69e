package exchange

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"learnedopt/internal/pythontest"
)

// Python reads the files that Go writes: npz with NumPy, without pickles, and the other formats with their
// own packages if those are installed.
func TestPythonReads(t *testing.T) {
	python := pythontest.Find(t, "msgpack, numpy", "python3-msgpack and python3-numpy")
	f, dir := sample(t), t.TempDir()
	args := []string{filepath.Join("testdata", "read.py")}
	for _, format := range Formats() {
		data, err := Marshal(f, format)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "x"+format.Extension())
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, path)
	}
	var got []struct {
		Metadata struct {
			Kind       string
			Config     map[string]any
			Provenance map[string]any
		}
		Floats  map[string]bool
		Tensors map[string][]any
	}
	if err := json.Unmarshal([]byte(python.Run(t, args...)), &got); err != nil {
		t.Fatal(err)
	}
	tensors := map[string][]any{}
	for _, x := range f.Tensors {
		shape, elements, dtype := []any{}, []any{}, "float32"
		for _, d := range x.Shape {
			shape = append(shape, float64(d))
		}
		for _, v := range x.Data {
			elements = append(elements, float64(v))
		}
		if x.Data64 != nil {
			dtype = "float64"
			for _, v := range x.Data64 {
				elements = append(elements, v)
			}
		}
		if x.Bytes != nil {
			dtype = "uint8"
			for _, v := range x.Bytes {
				elements = append(elements, float64(v))
			}
		}
		tensors[x.Name] = []any{shape, dtype, elements}
	}
	config := map[string]any{
		"whole": 5.0, "int": 5.0, "negative": -5.0, "large": float64(1 << 63), "small": 5e-324, "minus zero": math.Copysign(0, -1), "tenth": 0.1, "1e30": 1e30,
		"nil": nil, "yes": true, "list": []any{1.0, 1.0, "ü", []any{}, map[string]any{}}, "": "",
	}
	p := f.Provenance
	provenance := map[string]any{
		"name": p.Name, "task": p.Task, "seed": strconv.FormatUint(p.Seed, 10), "meta_steps": float64(p.MetaSteps), "steps": float64(p.Steps),
		"unroll": float64(p.Unroll), "meta_learning_rate": p.MetaLearningRate, "valid_loss": p.ValidLoss, "version": p.Version,
		"command": p.Command, "source": p.Source,
	}
	for i, format := range Formats() {
		g := got[i]
		for _, row := range g.Tensors { // numbers are hexadecimal, and so exact
			for k, text := range row[2].([]any) {
				x, err := strconv.ParseFloat(text.(string), 64)
				if err != nil {
					t.Fatal(err)
				}
				row[2].([]any)[k] = x
			}
		}
		for what, d := range map[string]string{
			"tensors": cmp.Diff(tensors, g.Tensors, sameBits), "config": cmp.Diff(config, g.Metadata.Config, sameBits),
			"provenance": cmp.Diff(provenance, g.Metadata.Provenance),
		} {
			if d != "" {
				t.Errorf("%s: %s:\n%s", format, what, d)
			}
		}
		if g.Metadata.Kind != f.Kind || !g.Floats["whole"] || g.Floats["int"] {
			t.Errorf("%s: kind %q; 5.0 is a float: %v; 5 is one: %v", format, g.Metadata.Kind, g.Floats["whole"], g.Floats["int"])
		}
	}
}
