package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"learnedopt/metaopt"
	"learnedopt/metatrain"
	"learnedopt/optimizer"
	"learnedopt/tasks"
)

// gradientOf is the record of a command line's flags.
func gradientOf(t *testing.T, flags []string) estimatorRecord {
	t.Helper()
	var f estimatorFlags
	cmd := &cobra.Command{}
	f.add(cmd)
	if err := cmd.Flags().Parse(flags); err != nil {
		t.Fatal(err)
	}
	r, err := f.record(cmd.Flags().Changed)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Whatever the flags ask for, the record's own flags ask for too, and nothing that
// another record does.
func TestEstimatorFlagsRoundTrip(t *testing.T) {
	seen := map[estimatorRecord]string{}
	for flags, want := range map[string]estimatorRecord{
		"":                          {Estimator: "backprop", Objective: "sum"},
		"--second-derivatives":      {Estimator: "backprop", Objective: "sum", SecondDerivatives: true},
		"--adjoint-coordinates 7":   {Estimator: "backprop", Objective: "sum", AdjointCoordinates: 7},
		"--objective last":          {Estimator: "backprop", Objective: "last"},
		"--objective ramp":          {Estimator: "backprop", Objective: "ramp"},
		"--estimator es":            {Estimator: "es", Objective: "sum", Perturbation: 0.01, Pairs: 1},
		"--estimator pes --pairs 3": {Estimator: "pes", Objective: "sum", Perturbation: 0.01, Pairs: 3},
		"--estimator pes --perturbation 0.02 --objective log": {Estimator: "pes", Objective: "log", Perturbation: 0.02, Pairs: 1},
		"--objective relative":                                {Estimator: "backprop", Objective: "relative", Reference: "adam@0.01"},
		"--objective relative --reference sgd@0.001":          {Estimator: "backprop", Objective: "relative", Reference: "sgd@0.001"},
		"--imitate 1":                           {Estimator: "backprop", Objective: "sum", Imitate: 1, Teacher: "adam@0.01"},
		"--imitate 0.5 --teacher nesterov@0.03": {Estimator: "backprop", Objective: "sum", Imitate: 0.5, Teacher: "nesterov@0.03"},
	} {
		got := gradientOf(t, strings.Fields(flags))
		if got != want {
			t.Errorf("%q: %+v, want %+v", flags, got, want)
		}
		if again := gradientOf(t, got.args()); again != got {
			t.Errorf("%q: by way of %q %+v, want %+v", flags, got.args(), again, got)
		}
		if flags == "" && len(got.args()) > 0 {
			t.Errorf("the default needs flags: %q", got.args())
		}
		if other, ok := seen[got]; ok {
			t.Errorf("%q and %q are the same", flags, other)
		}
		seen[got] = flags
	}
}

// The command in the file trains the same bytes, whatever estimator it was, and another
// network than the default; the log says what was asked for.
func TestEstimatorsAreReproducedAndLogged(t *testing.T) {
	settings := []string{"--rules", "none", "--meta-lr", "0.03", "--meta-steps", "20"}
	plain, err := metaopt.Load(trained(t, settings...))
	if err != nil {
		t.Fatal(err)
	}
	for flags, want := range map[string]map[string]any{
		"--estimator pes --pairs 3 --objective log":               {"estimator": "pes", "perturbation": 0.01, "pairs": 3.0, "objective": "log"},
		"--objective relative --imitate 0.5 --second-derivatives": {"reference": "adam@0.01", "imitate": 0.5, "second_derivatives": true},
	} {
		path := trained(t, append(strings.Fields(flags), settings...)...)
		start := lines(t, filepath.Join(filepath.Dir(path), logFile))[0]
		for key, value := range want {
			if start[key] != value {
				t.Errorf("%s: the log says %s %v, want %v", flags, key, start[key], value)
			}
		}
		o, err := metaopt.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		again := t.TempDir()
		succeed(t, append(strings.Fields(o.Provenance.Command)[1:], "--rules", "none", "--out", again, "--runs", "2")...)
		if readFile(t, path) != readFile(t, filepath.Join(again, optimizerFile)) {
			t.Errorf("not the same bytes by %s", o.Provenance.Command)
		}
		if slices.Equal(o.Network.Params(), plain.Network.Params()) {
			t.Errorf("%s: the network of the default", flags)
		}
	}
}

// The estimator of a record is the one its flags ask for.
func TestEstimatorOfARecord(t *testing.T) {
	r := estimatorRecord{Estimator: "pes", Perturbation: 0.5, Pairs: 2, Objective: "relative", Reference: "sgd@0.1", Imitate: 0.25, Teacher: "adam@1"}
	e, err := r.build(tasks.Quadratic{})
	im, ok := e.(*metatrain.Imitation)
	if err != nil || !ok || im.Probability != 0.25 {
		t.Fatalf("%+v, %v", e, err)
	}
	pes, ok := im.Estimator.(*metatrain.PES)
	if !ok || pes.Perturbation != 0.5 || pes.Pairs != 2 {
		t.Fatalf("%+v", im.Estimator)
	}
	want, err := parseRule("sgd@0.1")
	if relative, ok := pes.Objective.(metatrain.Relative); err != nil || !ok || relative.Rule != want {
		t.Errorf("%+v, want a reference %+v", pes.Objective, want)
	}
}

// Trainings on classifiers keep the differences of gradients that they were made with, alone and in mixtures; others
// are exact as ever.
func TestSecondDerivativesOfATask(t *testing.T) {
	r := estimatorRecord{Estimator: "backprop", Objective: "sum", SecondDerivatives: true}
	for _, c := range []struct {
		task string
		want bool
	}{
		{"quadratic dims=2,3 gradient-noise=0,1", false},
		{"rosenbrock loss-scale=2", false},
		{"digits units=3", true},
		{"digits units=3,4 loss-scale=1,2", true},
		{"digits units=3 gradient-noise=1", true},
	} {
		family, err := tasks.MustParse(c.task).Family("")
		if err != nil {
			t.Fatal(err)
		}
		e, err := r.build(family)
		if tb, ok := e.(*metatrain.TruncatedBackprop); err != nil || !ok || tb.Differences != c.want || !tb.SecondDerivatives {
			t.Errorf("%s: %+v, %v, want differences: %v", family.Name(), e, err, c.want)
		}
	}
	e, err := estimatorRecord{Estimator: "backprop", Objective: "sum"}.build(smallDigits(t))
	if err != nil || e.(*metatrain.TruncatedBackprop).Differences {
		t.Errorf("first order: %+v, %v", e, err)
	}
}

func smallDigits(t *testing.T) optimizer.Family {
	t.Helper()
	family, err := tasks.New("digits", tasks.Options{Units: 3})
	if err != nil {
		t.Fatal(err)
	}
	return family
}

func TestEstimatorFlagsThatMakeNoSense(t *testing.T) {
	t.Chdir(t.TempDir()) // whatever is accepted by mistake leaves its run here
	for flags, remedy := range map[string]string{
		"--pairs 2":                                "--estimator es or pes",
		"--perturbation 0.1":                       "--estimator es or pes",
		"--estimator es --perturbation 0":          "--perturbation",
		"--estimator es --pairs 0":                 "--pairs",
		"--estimator pes --second-derivatives":     "drop",
		"--estimator es --adjoint-coordinates 3":   "drop",
		"--estimator guess":                        "backprop, es or pes",
		"--objective best":                         "sum, last, log, ramp or relative",
		"--reference adam@0.1":                     "--objective relative",
		"--objective relative --reference adam":    "adam@0.01",
		"--objective relative --reference adam@0":  "adam@0.01",
		"--objective relative --reference adam@-1": "learning rate",
		"--objective relative --reference magic@1": "nesterov",
		"--teacher adam@0.1":                       "--imitate",
		"--imitate 0":                              "above 0",
		"--imitate 1.5":                            "at most 1",
		"--imitate 1 --objective log":              "lower the probability",
		"--imitate 1 --estimator pes --pairs 2":    "lower the probability",
		"--second-derivatives --estimator backprop --adjoint-coordinates 5": "--adjoint-coordinates needs",
	} {
		fail(t, exitUsage, append([]string{"meta-train"}, strings.Fields(flags)...), remedy)
	}
}
