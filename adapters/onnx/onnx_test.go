package onnx_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"learnedopt/adapters/onnx"
	"learnedopt/internal/pythontest"
	"learnedopt/internal/stream"
	"learnedopt/metaopt"
)

// optimizers returns the optimizers of the corpus, and those that come with the library, by name.
func optimizers(t *testing.T) map[string]*metaopt.Optimizer {
	t.Helper()
	all := map[string]*metaopt.Optimizer{}
	files, err := filepath.Glob(filepath.Join("..", "..", "metaopt", "testdata", "corpus", "*.mopt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	shipped, err := filepath.Glob(filepath.Join("..", "..", "metaopt", "pretrained", "*.mopt"))
	if err != nil || len(shipped) == 0 {
		t.Fatalf("nothing is shipped: %v", err)
	}
	for _, file := range append(files, shipped...) {
		o, err := metaopt.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(file), ".mopt")] = o
	}
	return all
}

// models writes every model that can be made into a folder, as NAME.ROWS.onnx, and returns the paths by name.
func models(t *testing.T, all map[string]*metaopt.Optimizer) map[string]string {
	t.Helper()
	folder, paths := t.TempDir(), map[string]string{}
	for name, o := range all {
		data, err := onnx.Marshal(o)
		var eyes *onnx.EyesError
		if errors.As(err, &eyes) != o.Network.Eyes() || err != nil && eyes == nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err != nil {
			continue
		}
		rows := o.Network.NewState(1).Size()
		paths[name] = filepath.Join(folder, fmt.Sprintf("%s.%d.onnx", name, rows))
		if err := os.WriteFile(paths[name], data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if len(paths) < 10 {
		t.Fatalf("only %d models", len(paths))
	}
	return paths
}

func TestRefusals(t *testing.T) {
	o, err := metaopt.Pretrained("general")
	if err != nil {
		t.Fatal(err)
	}
	_, err = onnx.Marshal(o)
	for _, want := range []string{"general", "context", "fan-in", "momenta", "library for C"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

// The checker of the package onnx accepts the models, infers all their shapes, and finds the inputs and outputs that the package promises.
func TestChecker(t *testing.T) {
	python := pythontest.Find(t, "onnx", "python3-onnx")
	all := optimizers(t)
	var args, want []string
	for name, path := range models(t, all) {
		args = append(args, path)
		line := "gradient[n] step[] -> update[n]"
		if rows := all[name].Network.NewState(1).Size(); rows > 0 {
			line = fmt.Sprintf("gradient[n] state[%d,n] step[] -> update[n] next_state[%[1]d,n]", rows)
		}
		want = append(want, line)
	}
	got := python.Run(t, append([]string{filepath.Join("testdata", "check.py")}, args...)...)
	if got != strings.Join(want, "\n")+"\n" {
		t.Errorf("the models have\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

// runtimeVersion is the version of onnxruntime-web that the test is known to pass with.
const runtimeVersion = "1.30.0"

// onnxruntime-web runs the models to Go's updates over 100 steps, for gradients over many orders of magnitude, with zeros. The states are
// handed on, so that errors would grow. Both compute in float32. Tolerance: 1e-4 of an update or of the largest update of its step: rounding is
// 6e-8 times some hundred operations, sigmoid and tanh are off by some ulp, and an LSTM remembers errors for some ten steps.
func TestRuntime(t *testing.T) {
	folder := os.Getenv("METAOPT_ONNXRUNTIME")
	if folder == "" {
		t.Skipf("METAOPT_ONNXRUNTIME names no folder: npm install --prefix FOLDER onnxruntime-web@%s, and set it to FOLDER to run this", runtimeVersion)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skipf("%v: install nodejs to run this", err)
	}
	const steps, n = 100, 17
	rng := stream.New(3, "onnx", 0)
	gradients := make([][]float32, steps)
	for k := range gradients {
		gradients[k] = make([]float32, n)
		for i := range n - 1 { // the last coordinate never has a gradient
			gradients[k][i] = float32(math.Copysign(math.Exp(3*rng.NormFloat64()-float64(i)/2), rng.NormFloat64()))
		}
	}
	data, err := json.Marshal(gradients)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "gradients.json")
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	all := optimizers(t)
	paths := models(t, all)
	args := []string{filepath.Join("testdata", "run.cjs"), folder, file}
	for _, path := range paths {
		args = append(args, path)
	}
	cmd := exec.Command(node, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, errs.Bytes())
	}
	var got map[string][][]float64
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for name, path := range paths {
		state, u, worst := all[name].Network.NewState(n), make([]float32, n), 0.0
		if len(got[path]) != steps {
			t.Fatalf("%s: %d steps", name, len(got[path]))
		}
		for k, g := range gradients {
			state.Advance(u, g)
			size := 0.0
			for _, x := range u {
				size = max(size, math.Abs(float64(x)))
			}
			for i, x := range u {
				worst = max(worst, math.Abs(got[path][k][i]-float64(x))/max(math.Abs(float64(x)), min(size, 1)))
			}
		}
		t.Logf("%s: updates differ by at most %.1e", name, worst)
		if !(worst <= 1e-4) {
			t.Errorf("%s: that is too much", name)
		}
	}
}
