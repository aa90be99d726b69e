package command

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"learnedopt/internal/durable"
)

// Every task with every estimator trains the same bytes on one core and on four, with and without an interrupt. METAOPT_DIGESTS
// names a file for the checksums of all results: .ci/run compares them with the checksums of a build with -race.
func TestDeterminismMatrix(t *testing.T) {
	families := map[string][]string{
		"quadratic":         {"--task", "quadratic", "--dims", "2,3", "--batch", "4"},
		"quadratic-uniform": {"--task", "quadratic-uniform", "--dims", "3", "--batch", "4", "--gradient-noise", "0.1", "--condition", "10"},
		"rosenbrock":        {"--task", "rosenbrock", "--batch", "4", "--random-scaling", "1", "--loss-scale", "0.1"},
		"digits":            {"--task", "digits", "--units", "3", "--activation", "sigmoid,relu", "--batch", "8", "--convex"},
	}
	estimators := map[string][]string{
		"backprop":           {},
		"second derivatives": {"--second-derivatives", "--adjoint-clip", "0.5", "--objective", "log"},
		"es":                 {"--estimator", "es"},
		"pes":                {"--estimator", "pes", "--meta-batch", "3", "--random-steps"},
		"imitation":          {"--imitate", "0.3", "--inputs", "logsign+rnnprop+clock"},
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	var digests []string
	for task, family := range families {
		for name, estimator := range estimators {
			t.Chdir(t.TempDir())
			args := slices.Concat([]string{"meta-train", "--out", "run", "--steps", "8", "--unroll", "2", "--hidden", "4", "--valid-runs", "2", "--valid-every", "3",
				"--runs", "2", "--rules", "none", "--meta-steps", "8", "--seed", "3", "--save-every", "1ns"}, family, estimator)
			runtime.GOMAXPROCS(1)
			succeed(t, args...)
			if err := os.Rename("run", "whole"); err != nil {
				t.Fatal(err)
			}
			digests = append(digests, fmt.Sprintf("%x %s, %s", sha256.Sum256([]byte(readFile(t, filepath.Join("whole", optimizerFile)))), task, name))
			if testing.Short() {
				continue // one core and no interrupt: the reference
			}
			runtime.GOMAXPROCS(4)
			ctx, cancel := context.WithCancel(t.Context())
			saves := 0
			mend := durable.Break(func(op durable.Op, path string) error {
				if op == durable.Rename && filepath.Base(path) == stateFile {
					if saves++; saves == 5 {
						cancel()
					}
				}
				return nil
			})
			a := cli(ctx, args...)
			mend()
			cancel()
			if a.code != exitInterrupted {
				t.Fatalf("%s, %s: exit %d: %s", task, name, a.code, a.stderr)
			}
			succeed(t, "meta-train", "--resume", "run")
			sameRun(t, "run", "whole")
			if t.Failed() {
				t.Fatalf("%s, %s", task, name)
			}
		}
	}
	if out := os.Getenv("METAOPT_DIGESTS"); out != "" {
		slices.Sort(digests)
		if err := os.WriteFile(out, []byte(strings.Join(digests, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
