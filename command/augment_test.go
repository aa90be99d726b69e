package command

import (
	"math"
	"path/filepath"
	"testing"

	"learnedopt/metaopt"
)

// What episodes add to the task is recorded in the command and the log. It is not in the task that the file names and on which
// it is compared.
func TestAugmentationIsReproduced(t *testing.T) {
	path := trained(t, "--random-scaling", "1.5", "--convex")
	reproduces(t, path)
	o, err := metaopt.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := "quadratic-uniform dims=10 batch=4"; o.Provenance.Task != want {
		t.Errorf("the task is %q, want %q", o.Provenance.Task, want)
	}
	if start := lines(t, filepath.Join(filepath.Dir(path), logFile))[0]; start["random_scaling"] != 1.5 || start["convex"] != true {
		t.Errorf("the log begins with %v", start)
	}
	plain := readFile(t, trained(t))
	if readFile(t, trained(t, "--random-scaling", "0")) != plain {
		t.Error("--random-scaling 0 is not none")
	}
	for _, flags := range [][]string{{"--random-scaling", "1.5"}, {"--convex"}} {
		if readFile(t, trained(t, flags...)) == plain {
			t.Errorf("%q changes nothing", flags)
		}
	}
	fail(t, exitUsage, append([]string{"meta-train", "--random-scaling", "-1"}, small...), "at least 0")
	fail(t, exitUsage, append([]string{"meta-train", "--random-scaling", "30"}, small...), "at most 20")
}

// Validation and the choice among seeds use the task itself. Networks that hardly move have the same losses there with and
// without the convex problem, whose loss begins at 1/3.
func TestAugmentationIsOfEpisodesAlone(t *testing.T) {
	scores := func(flags ...string) (valid, choice float64) {
		path := trained(t, append([]string{"--meta-lr", "1e-9", "--seeds", "2"}, flags...)...)
		train := readJSON(t, readFile(t, filepath.Join(filepath.Dir(path), resultFile)))["train"].(map[string]any)
		for _, line := range lines(t, filepath.Join(filepath.Dir(path), logFile)) {
			if line["event"] == "select" {
				choice = line["seeds"].([]any)[0].(map[string]any)["select"].(map[string]any)["mean_loss"].(float64)
			}
		}
		return train["valid_loss"].(float64), choice
	}
	valid, choice := scores()
	augmentedValid, augmentedChoice := scores("--convex")
	if math.Abs(valid-augmentedValid) > 1e-3 {
		t.Errorf("validation loss %v, with --convex %v", valid, augmentedValid)
	}
	if choice == 0 || math.Abs(choice-augmentedChoice) > 1e-3 {
		t.Errorf("loss %v of the choice among seeds, with --convex %v", choice, augmentedChoice)
	}
}

// A training on a mixture can be reproduced, and compared on the mixture or on one of its tasks.
func TestMixtureOfTasks(t *testing.T) {
	path := trained(t, "--dims", "2,5", "--batch", "4,4,1")
	reproduces(t, path)
	o, err := metaopt.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := "quadratic-uniform dims=2,5 batch=4,4,1"; o.Provenance.Task != want {
		t.Fatalf("the task is %q, want %q", o.Provenance.Task, want)
	}
	for flag, want := range map[string]string{"2": "quadratic-uniform dims=2 batch=4,4,1", "": o.Provenance.Task} {
		args := []string{"compare", path, "--rules", "none", "--runs", "2", "--steps", "3", "-q", "--json", "-"}
		if flag != "" {
			args = append(args, "--dims", flag)
		}
		if got := readJSON(t, succeed(t, args...).stdout)["task"]; got != want {
			t.Errorf("compares on %v, want %q", got, want)
		}
	}
}
