package command

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"learnedopt/metaopt"
	"learnedopt/recipe"
)

// severalTasks are the flags of a training on three tasks, some of them reparametrized, one with matrices, that validates on two others, with
// everything that a network can see and combine.
var severalTasks = []string{"--also", "digits units=3 image-size=2 batch=2 | quadratic dims=4 batch=2", "--valid-task", "quadratic dims=5 batch=4 | rosenbrock batch=4",
	"--tensor-scaling", "0.5", "--inputs", "momenta", "--readout", "mix", "--context", "shape+norms+feedback+time", "--fan-in", "--orthogonal", "--orthogonal-mean", "--hide-length", "0.5"}

// Every kind of training can be verified: the recipe in its file trains the same file.
func TestVerify(t *testing.T) {
	first, later := trained(t), filepath.Join(t.TempDir(), "run")
	succeed(t, "meta-train", "--init", first, "--inputs", "logsign+clock", "--anneal", "5", "--meta-steps", "6", "--valid-every", "3", "--valid-runs", "2", "--steps", "10", "--unroll", "5", "--rules", "none", "--runs", "2", "--out", later)
	for name, path := range map[string]string{
		"backprop":      first,
		"from a file":   filepath.Join(later, optimizerFile),
		"seeds":         trained(t, "--seeds", "2"),
		"pes, a name":   trained(t, "--estimator", "pes", "--name", "it's PES"),
		"rollback":      trained(t, "--on-non-finite", "rollback"),
		"several tasks": trained(t, severalTasks...),
		"random sizes":  trained(t, "--random-steps", "--random-scaling", "1", "--meta-batch", "2"),
	} {
		if a := succeed(t, "verify", path); !strings.HasPrefix(a.stdout, "equal: ") {
			t.Errorf("%s: verify says %q", name, a.stdout)
		}
	}
}

// verify finds a file whose parameters or history differ from what its command trains.
func TestVerifyTellsADifference(t *testing.T) {
	path := trained(t)
	for what, change := range map[string]func(o *metaopt.Optimizer){
		"1 of ": func(o *metaopt.Optimizer) {
			phi := slices.Clone(o.Network.Params())
			phi[17] += 1e-6
			o.Network = o.Network.With(phi)
		},
		"the parameters are the same, but": func(o *metaopt.Optimizer) { o.Provenance.ValidLoss /= 2 },
		"parameters differ": func(o *metaopt.Optimizer) {
			r, err := recipe.Of(o.Provenance)
			if err != nil {
				t.Fatal(err)
			}
			r.MetaLR = 0.02
			if err := r.Sign(&o.Provenance); err != nil {
				t.Fatal(err)
			}
		},
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

// The command in a file may come from a stranger. verify refuses a command that is not a training, and writes nothing.
func TestVerifyTakesNoOtherCommand(t *testing.T) {
	path := trained(t)
	o, err := metaopt.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	good := o.Provenance
	dir := t.TempDir()
	t.Chdir(dir)
	refused := func(p metaopt.Provenance, word string) {
		t.Helper()
		o.Provenance = p
		other := filepath.Join(t.TempDir(), "other.mopt")
		if err := metaopt.Save(other, o); err != nil {
			t.Fatal(err)
		}
		fail(t, exitFailure, []string{"verify", "-q", other}, word)
	}
	// A file from before recipes has only a command.
	for command, word := range map[string]string{
		"":                                                      "does not say",
		"rm -rf /":                                              "not a command of metaopt meta-train",
		"metaopt sweep x":                                       "not a command of metaopt meta-train",
		"metaopt meta-train 'x":                                 "not a command of metaopt meta-train",
		good.Command + " --out escaped":                         "--out",
		good.Command + " --tensorboard tb":                      "--tensorboard",
		good.Command + " --resume x":                            "--resume",
		good.Command + " --replay x":                            "--replay",
		good.Command + " --data-dir /x":                         "--data-dir",
		good.Command + " --no-such-flag 1":                      "of this version",
		good.Command + " more":                                  "more",
		good.Command + " --units 9":                             "units",
		"metaopt meta-train --task quadratic --time 1h":         "no number of meta-steps",
		"metaopt meta-train --task quadratic":                   "no number of meta-steps",
		"metaopt meta-train --init missing.mopt --meta-steps 5": "--init says where",
	} {
		p := good
		p.Recipe, p.Command = "", command
		refused(p, word)
	}
	for text, word := range map[string]string{
		"{":                           "does not end",
		`{"defaults": 99}`:            "version 99",
		`{"defaults": 2, "out": "x"}`: `no key "out"`,
		`{"defaults": 2}`:             "different trainings",
		strings.Replace(good.Recipe, `"hidden":4`, `"hidden":5`, 1):                 "different trainings",
		strings.Replace(good.Recipe, `"hidden":4`, `"hidden":4000`, 1):              "hidden units",
		strings.Replace(good.Recipe, `"hidden":4`, `"hidden":4,"tensorboard":1`, 1): `no key "tensorboard"`,
	} {
		p := good
		p.Recipe = text
		refused(p, word)
	}
	p := good
	p.Command = ""
	refused(p, "different trainings")
	fail(t, exitUsage, []string{"verify", path, "--init", path}, "did not begin from another")
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("a command wrote %v, %v", left, err)
	}
}
