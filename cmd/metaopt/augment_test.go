package main

import (
	"path/filepath"
	"testing"

	"learnedopt/metaopt"
)

// What episodes add to the task is in the command and the log, not in the task that
// the file names and is compared on.
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

// A training on a mixture is reproduced, and compared on the mixture or on one of it.
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
