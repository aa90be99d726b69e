package runfolder

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"learnedopt/compare"
	"learnedopt/lstm"
	"learnedopt/metaopt"
	"learnedopt/metatrain"
	"learnedopt/tasks"
)

// own is a training as a program would write it.
func own() metatrain.TrainConfig {
	return metatrain.TrainConfig{
		Family: tasks.Quadratic{Dims: 3, Batch: 2}, Network: lstm.Config{Hidden: 3, Layers: 1, Scale: 0.1},
		Steps: 20, MetaSteps: 12, ValidEvery: 5, ValidRuns: 2, Seed: 3,
		Estimator: &metatrain.TruncatedBackprop{Objective: metatrain.Log{}, SecondDerivatives: true},
	}
}

func TestTrain(t *testing.T) {
	plain, err := metatrain.NewTrainer(own())
	if err != nil {
		t.Fatal(err)
	}
	want, err := plain.Train(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "run")
	cfg := own()
	var kinds []string
	cfg.OnEvent = func(e metatrain.Event) { kinds = append(kinds, e.Kind) }
	early := false
	cfg.AtRest = func(tr *metatrain.Trainer) error {
		if tr.MetaSteps() == 3 { // the network of the first validation is there before the training is over
			_, err := metaopt.Load(filepath.Join(dir, OptimizerFile))
			early = err == nil
		}
		return nil
	}
	got, err := Train(t.Context(), dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Network.Params(), want.Network.Params()) || got.Provenance != want.Provenance {
		t.Error("the folder changed what was trained")
	}
	loaded, err := metaopt.Load(filepath.Join(dir, OptimizerFile))
	if err != nil || !slices.Equal(loaded.Network.Params(), want.Network.Params()) {
		t.Errorf("the file is not what was trained (%v)", err)
	}
	if !early {
		t.Error("no network in the folder while the training ran")
	}
	lines := bytes.Split(bytes.TrimSpace(read(t, filepath.Join(dir, LogFile))), []byte("\n"))
	if len(lines) != len(kinds)+2 {
		t.Fatalf("%d lines for %d events", len(lines), len(kinds))
	}
	var start startEvent
	var end endEvent
	if err := errors.Join(json.Unmarshal(lines[0], &start), json.Unmarshal(lines[len(lines)-1], &end)); err != nil {
		t.Fatal(err)
	}
	if start.Task != "quadratic dims=3 batch=2" || start.Objective != "log" || !start.SecondDerivatives || start.MetaSteps != 12 || start.Event != "start" {
		t.Errorf("start: %+v", start)
	}
	if end.Event != "end" || end.Reason != "meta-steps" || end.MetaSteps != 12 || end.ValidLoss != compare.Number(want.Provenance.ValidLoss) {
		t.Errorf("end: %+v", end)
	}
	if _, err := Train(t.Context(), dir, own()); err == nil || !strings.Contains(err.Error(), "already holds a run") {
		t.Errorf("a second training in the folder: %v", err)
	}
}

func TestTrainEnds(t *testing.T) {
	wrong := own()
	wrong.Unroll = 7
	dir := filepath.Join(t.TempDir(), "run")
	if _, err := Train(t.Context(), dir, wrong); err == nil || exists(dir) {
		t.Errorf("a wrong configuration: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cfg := own()
	cfg.OnEvent = func(e metatrain.Event) {
		if e.MetaStep == 6 {
			cancel()
		}
	}
	o, err := Train(ctx, dir, cfg)
	if !errors.Is(err, context.Canceled) || o == nil {
		t.Errorf("canceled: %v, %v", o, err)
	}
	if log := string(read(t, filepath.Join(dir, LogFile))); !strings.Contains(log, `"reason":"interrupted"`) {
		t.Error("the log does not say how the training ended")
	}
	if _, err := metaopt.Load(filepath.Join(dir, OptimizerFile)); err != nil {
		t.Error(err)
	}
	failing := own()
	failing.AtRest = func(*metatrain.Trainer) error { return errors.New("no more\npaper") }
	dir2 := filepath.Join(t.TempDir(), "run")
	if _, err := Train(t.Context(), dir2, failing); err == nil {
		t.Error("an error of AtRest was lost")
	}
	if log := string(read(t, filepath.Join(dir2, LogFile))); !strings.Contains(log, `"error":"no more; paper"`) {
		t.Error("the log does not have the error")
	}
}

func TestWriteComparison(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	for seed := range uint64(2) { // the second one replaces the first
		if err := WriteComparison(dir, &compare.Comparison{Task: "mine", Steps: 5, Runs: 6, Seed: seed}); err != nil {
			t.Fatal(err)
		}
	}
	var got Result
	if err := json.Unmarshal(read(t, filepath.Join(dir, ResultFile)), &got); err != nil {
		t.Fatal(err)
	}
	if got.Comparison == nil || got.Comparison.Task != "mine" || got.Comparison.Seed != 1 {
		t.Errorf("%+v", got.Comparison)
	}
	for _, there := range []string{`{"comparison":null,"train":{}}`, `not JSON`} {
		if err := os.WriteFile(filepath.Join(dir, ResultFile), []byte(there), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := WriteComparison(dir, &compare.Comparison{}); err == nil || string(read(t, filepath.Join(dir, ResultFile))) != there {
			t.Errorf("%s was replaced (%v)", there, err)
		}
	}
	if err := WriteComparison(dir, nil); err == nil {
		t.Error("no comparison was written")
	}
}
