package command

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"learnedopt/metaopt"
)

// With every estimator, the command in the file trains the same bytes again. The network differs from the default
// estimator's, and the log names the estimator.
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

func TestEstimatorFlagsThatMakeNoSense(t *testing.T) {
	t.Chdir(t.TempDir()) // a command line that is accepted by mistake writes its run here
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
