package command

import (
	"path/filepath"
	"strings"
	"testing"

	"learnedopt/metaopt"
)

// reproduces trains again by the command in a file. The bytes must be the same.
func reproduces(t *testing.T, path string) {
	t.Helper()
	o, err := metaopt.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	again := t.TempDir()
	succeed(t, append(strings.Fields(o.Provenance.Command)[1:], "--out", again, "--runs", "2", "--tune-runs", "1")...)
	if readFile(t, path) != readFile(t, filepath.Join(again, optimizerFile)) {
		t.Errorf("not the same bytes by %s", o.Provenance.Command)
	}
}

// If the learning rate decays until meta-step 1000 and time ends the training earlier, it must be reproduced with the same
// decay.
func TestScheduleIsReproduced(t *testing.T) {
	dir := t.TempDir()
	succeed(t, append([]string{"meta-train", "--time", "100ms", "--warm-up", "7", "--meta-lr-decay", "0.1", "--decay-steps", "1000",
		"--out", dir}, small...)...)
	path := filepath.Join(dir, optimizerFile)
	reproduces(t, path)
	plain, decayed := readFile(t, trained(t)), readFile(t, trained(t, "--meta-lr-decay", "0.1"))
	if plain == decayed {
		t.Error("the decay changes nothing")
	}
	start := lines(t, filepath.Join(dir, logFile))[0]
	if start["warm_up"] != 7.0 || start["meta_learning_rate_decay"] != 0.1 || start["decay_steps"] != 1000.0 {
		t.Errorf("the log begins with %v", start)
	}
	fail(t, exitUsage, append([]string{"meta-train", "--time", "1s", "--meta-lr-decay", "0.5"}, small...), "only time limits")
}

func TestValidationHorizonsAreReproducedAndLogged(t *testing.T) {
	path := trained(t, "--valid-steps", "5,10,40", "--selection", "geometric", "--meta-steps", "40", "--meta-lr", "0.03")
	reproduces(t, path)
	log := lines(t, filepath.Join(filepath.Dir(path), logFile))
	horizons, _ := log[1]["horizons"].([]any)
	if log[1]["event"] != "validation" || len(horizons) != 3 || horizons[2].(map[string]any)["steps"] != 40.0 ||
		horizons[2].(map[string]any)["geometric"] == nil {
		t.Errorf("the first validation is %v", log[1])
	}
	result := readJSON(t, readFile(t, filepath.Join(filepath.Dir(path), resultFile)))["train"].(map[string]any)
	valid := log[1]["valid"].(map[string]any)
	if result["selection"] != "geometric" || len(result["valid_steps"].([]any)) != 3 || result["start_valid_loss"] != valid["geometric"] {
		t.Errorf("train is %v after %v", result, valid)
	}
	fail(t, exitUsage, append([]string{"meta-train", "--valid-steps", "20,10"}, small...), "ascend")
	fail(t, exitUsage, append([]string{"meta-train", "--selection", "luck"}, small...), "geometric-both")
}

// TestCurriculumIsReproduced reproduces two curricula with random lengths: one ends by itself, the other by time.
func TestCurriculumIsReproduced(t *testing.T) {
	for _, limit := range [][]string{{"--meta-steps", "5000"}, {"--time", "60ms"}} {
		dir := t.TempDir()
		args := append([]string{"meta-train", "--horizons", "10,20,40", "--stage-patience", "2", "--random-steps", "--out", dir}, limit...)
		for i := 0; i < len(small); i += 2 {
			if small[i] != "--steps" {
				args = append(args, small[i:i+2]...)
			}
		}
		succeed(t, args...)
		path := filepath.Join(dir, optimizerFile)
		reproduces(t, path)
		o, err := metaopt.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		result := readJSON(t, readFile(t, filepath.Join(dir, resultFile)))
		train := result["train"].(map[string]any)
		if train["kept_steps"] != float64(o.Provenance.Steps) || result["comparison"].(map[string]any)["steps"] != train["kept_steps"] {
			t.Errorf("train is %v, the file says %d steps", train, o.Provenance.Steps)
		}
		if limit[0] == "--time" {
			continue
		}
		log := lines(t, filepath.Join(dir, logFile))
		var stages []map[string]any
		for _, line := range log {
			if line["event"] == "stage" {
				stages = append(stages, line["stage"].(map[string]any))
			}
		}
		if len(stages) == 0 || stages[0]["from_steps"] != 10.0 || stages[len(stages)-1]["to_steps"] != 0.0 || train["reason"] != "curriculum" {
			t.Errorf("stages %v, train is %v", stages, train)
		}
	}
	fail(t, exitUsage, append([]string{"meta-train", "--horizons", "10,20"}, small...), "--horizons", "--steps")
	fail(t, exitUsage, append([]string{"meta-train", "--stage-patience", "2"}, small...), "--stage-patience")
}
