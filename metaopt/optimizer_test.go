package metaopt_test

import (
	"bytes"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"learnedopt/checkpoints"
	"learnedopt/lstm"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
)

func someOptimizer(t *testing.T, cfg lstm.Config) *metaopt.Optimizer {
	t.Helper()
	net, err := lstm.Init{}.Random(cfg, newRand(4))
	if err != nil {
		t.Fatal(err)
	}
	return &metaopt.Optimizer{Network: net, Provenance: metaopt.Provenance{Task: "test", Seed: 7, MetaSteps: 3, Steps: 100, Unroll: 20}}
}

// TestSaveLoad expects the same rule back: shape, every bit of φ, provenance, and
// therefore every update.
func TestSaveLoad(t *testing.T) {
	for _, cfg := range []lstm.Config{
		{},
		{Inputs: lstm.RNNProp, Readout: lstm.Tanh, Dense: 4, Hidden: 3, Layers: 3, Scale: 0.01},
		{Inputs: lstm.Raw | lstm.LogAndSign, P: 5, NoLSTM: true, Scale: -1},
		{Inputs: lstm.LogAndSign | lstm.Clock, P: 10, SignP: 5, Readout: lstm.Exp, Hidden: 2, Anneal: 7},
		{Inputs: lstm.Momenta, Context: lstm.ShapeContext | lstm.TimeContext, FanIn: true, Readout: lstm.Mix, Hidden: 3, Layers: 1},
		{Inputs: lstm.Momenta | lstm.Clock, Context: lstm.NormContext | lstm.FeedbackContext, Dense: 2, Hidden: 3},
	} {
		opt := someOptimizer(t, cfg)
		path := filepath.Join(t.TempDir(), "a.mopt")
		if err := metaopt.Save(path, opt); err != nil {
			t.Fatal(err)
		}
		back, err := metaopt.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if back.Network.Config() != opt.Network.Config() || back.Provenance != opt.Provenance {
			t.Errorf("saved %+v %+v, loaded %+v %+v", opt.Network.Config(), opt.Provenance, back.Network.Config(), back.Provenance)
		}
		if !slices.Equal(back.Network.Params(), opt.Network.Params()) {
			t.Error("parameters differ")
		}
		a, b := make([]float32, 40), make([]float32, 40)
		for i := range a {
			a[i] = float32(math.Sin(float64(i)))
		}
		copy(b, a)
		ra, rb := opt.Start(optimizer.Flat(40)), back.Start(optimizer.Flat(40))
		for range 3 {
			if err := errors.Join(ra.Step(a, a), rb.Step(b, b)); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(a, b) {
			t.Error("the loaded optimizer steps elsewhere")
		}
	}
}

func TestLoadRejects(t *testing.T) {
	opt := someOptimizer(t, lstm.Config{Hidden: 3})
	file := func(change func(*checkpoints.File)) []byte {
		var buf bytes.Buffer
		if err := metaopt.Write(&buf, opt); err != nil {
			t.Fatal(err)
		}
		f, err := checkpoints.Read(&buf)
		if err != nil {
			t.Fatal(err)
		}
		change(f)
		var out bytes.Buffer
		if err := checkpoints.Write(&out, f); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	config := func(change func(map[string]any)) func(*checkpoints.File) {
		return func(f *checkpoints.File) {
			var m map[string]any
			if err := f.DecodeConfig(&m); err != nil {
				t.Fatal(err)
			}
			change(m)
			if err := f.EncodeConfig(m); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := metaopt.Read(bytes.NewReader(file(func(*checkpoints.File) {}))); err != nil {
		t.Fatalf("the unchanged file: %v", err)
	}
	for says, change := range map[string]func(*checkpoints.File){
		"kind":    func(f *checkpoints.File) { f.Kind = "recipe" },
		"lstm2/b": func(f *checkpoints.File) { f.Tensors = slices.Delete(f.Tensors, 3, 4) },
		"extra": func(f *checkpoints.File) {
			f.Tensors = append(f.Tensors, checkpoints.Tensor{Name: "extra", Data: []float32{1}})
		},
		"lstm1/w":  func(f *checkpoints.File) { f.Tensors[0].Shape = []int{12, 5} },
		"inputs":   config(func(m map[string]any) { m["inputs"] = "smell" }),
		"context":  config(func(m map[string]any) { m["context"] = "smell" }),
		"momenta":  config(func(m map[string]any) { m["readout"] = "mix" }),
		"read-out": config(func(m map[string]any) { m["readout"] = "sin" }),
		"scale":    config(func(m map[string]any) { m["scale"] = 0.0 }),
		"hidden":   config(func(m map[string]any) { m["hidden"] = int64(1) << 40 }),
		"momentum": config(func(m map[string]any) { m["momentum"] = 0.9 }),
	} {
		_, err := metaopt.Read(bytes.NewReader(file(change)))
		if err == nil {
			t.Errorf("a wrong %s is accepted", says)
		} else if !strings.Contains(err.Error(), says) && says != "kind" {
			t.Errorf("a wrong %s: %v", says, err)
		}
	}
	if _, err := metaopt.Load(filepath.Join(t.TempDir(), "none.mopt")); err == nil || !strings.Contains(err.Error(), "none.mopt") {
		t.Errorf("a missing file: %v", err)
	}
}

// TestStepRefusesBadGradients expects parameters and state to stay unchanged.
func TestStepRefusesBadGradients(t *testing.T) {
	opt := someOptimizer(t, lstm.Config{Hidden: 3})
	theta, twin := []float32{1, 2, 3}, []float32{1, 2, 3}
	run, clean := opt.Start(optimizer.Flat(3)), opt.Start(optimizer.Flat(3))
	good := []float32{1, -1, 0.5}
	if err := run.Step(theta, good); err != nil {
		t.Fatal(err)
	}
	var diverged *optimizer.DivergedError
	if err := run.Step(theta, []float32{0, float32(math.NaN()), 0}); !errors.As(err, &diverged) || diverged.Coordinate != 1 || diverged.Step != 1 {
		t.Fatalf("a NaN gradient: %v", err)
	}
	if err := run.Step(theta, good); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := clean.Step(twin, good); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(theta, twin) {
		t.Errorf("after a refused gradient the run is at %v, want %v", theta, twin)
	}
	if n := testing.AllocsPerRun(20, func() { _ = run.Step(theta, good) }); n != 0 {
		t.Errorf("Step allocates %v times", n)
	}
}
