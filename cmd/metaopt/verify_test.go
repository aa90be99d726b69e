package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"learnedopt/metaopt"
)

// What a file's own command trains is the file, whichever way it was trained.
func TestVerify(t *testing.T) {
	first, later := trained(t), filepath.Join(t.TempDir(), "run")
	succeed(t, "meta-train", "--init", first, "--inputs", "logsign+clock", "--anneal", "5", "--meta-steps", "6", "--valid-every", "3", "--valid-runs", "2", "--steps", "10", "--unroll", "5", "--rules", "none", "--runs", "2", "--out", later)
	for name, path := range map[string]string{
		"backprop":     first,
		"from a file":  filepath.Join(later, optimizerFile),
		"seeds":        trained(t, "--seeds", "2"),
		"pes, a name":  trained(t, "--estimator", "pes", "--name", "it's PES"),
		"rollback":     trained(t, "--on-non-finite", "rollback"),
		"random sizes": trained(t, "--random-steps", "--random-scaling", "1", "--meta-batch", "2"),
	} {
		if a := succeed(t, "verify", path); !strings.HasPrefix(a.stdout, "equal: ") {
			t.Errorf("%s: verify says %q", name, a.stdout)
		}
	}
}

// A file whose parameters or history are not what its command trains is told from one whose are.
func TestVerifyTellsADifference(t *testing.T) {
	path := trained(t)
	for what, change := range map[string]func(o *metaopt.Optimizer){
		"1 of ": func(o *metaopt.Optimizer) {
			phi := slices.Clone(o.Network.Params())
			phi[17] += 1e-6
			o.Network = o.Network.With(phi)
		},
		"the parameters are the same, but": func(o *metaopt.Optimizer) { o.Provenance.ValidLoss /= 2 },
		"parameters differ":                func(o *metaopt.Optimizer) { o.Provenance.Command += " --meta-lr 0.02" },
	} {
		o, err := metaopt.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		change(o)
		other := filepath.Join(t.TempDir(), "other.mopt")
		if err := metaopt.Save(other, o); err != nil {
			t.Fatal(err)
		}
		fail(t, exitFailure, []string{"verify", "-q", other}, "not equal", what)
	}
}

// A command in a file is anybody's text: what is no training is refused, and nothing is written.
func TestVerifyTakesNoOtherCommand(t *testing.T) {
	path := trained(t)
	o, err := metaopt.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	good := o.Provenance.Command
	dir := t.TempDir()
	t.Chdir(dir)
	for command, word := range map[string]string{
		"":                          "does not say",
		"rm -rf /":                  "not made by metaopt meta-train",
		"metaopt sweep x":           "not made by metaopt meta-train",
		"metaopt meta-train 'x":     "not made by metaopt meta-train",
		good + " --out escaped":     "--out",
		good + " --tensorboard tb":  "--tensorboard",
		good + " --resume x":        "--resume",
		good + " --replay x":        "--replay",
		good + " --data-dir /x":     "--data-dir",
		good + " --no-such-flag 1":  "another version",
		good + " more":              "argument",
		good + " --units 999999999": "units",
		"metaopt meta-train --task quadratic --time 1h":         "--time",
		"metaopt meta-train --task quadratic":                   "no --meta-steps",
		"metaopt meta-train --init missing.mopt --meta-steps 5": "--init says where",
	} {
		o.Provenance.Command = command
		other := filepath.Join(t.TempDir(), "other.mopt")
		if err := metaopt.Save(other, o); err != nil {
			t.Fatal(err)
		}
		fail(t, exitFailure, []string{"verify", "-q", other}, word)
	}
	fail(t, exitUsage, []string{"verify", path, "--init", path}, "did not begin from another")
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("a command wrote %v, %v", left, err)
	}
}

func TestShellSplit(t *testing.T) {
	for _, args := range [][]string{{"metaopt", "meta-train"}, {"a b", "it's", "", `\`, "--name=x"}, {"'"}} {
		var quoted []string
		for _, a := range args {
			quoted = append(quoted, shellQuote(a))
		}
		if got, err := shellSplit(strings.Join(quoted, " ")); err != nil || !slices.Equal(got, args) {
			t.Errorf("%q: %q, %v", args, got, err)
		}
	}
}
