package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unicode"

	"github.com/spf13/cobra"

	"learnedopt/metaopt"
)

func TestUsageErrors(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"meta-trian", `did you mean "meta-train"`},
		{"nonsense", "see metaopt --help"},
		{"--foo", "--foo; see metaopt --help"},
		{"meta-train --foo", "--foo; see metaopt meta-train --help"},
		{"meta-train x", `takes no argument, not "x"`},
		{"meta-train --steps 0", `--steps "0": it must be a whole number of at least 1`},
		{"meta-train --steps many", `--steps "many"`},
		{"meta-train --steps", "--steps"},
		{"meta-train --steps 30", "30 steps are not a whole number of windows of 20"},
		{"meta-train --time 0s", "--time"},
		{"meta-train --time fast", "90s or 10m"},
		{"meta-train --time 1s --meta-steps 5", "set one of them"},
		{"meta-train --meta-lr -1", `--meta-lr "-1": it must be a positive number`},
		{"meta-train --meta-lr nan", "--meta-lr"},
		{"meta-train --meta-lr inf", "--meta-lr"},
		{"meta-train --seed -1", "--seed"},
		{"meta-train --inputs nothing", "Use raw, logsign, rnnprop"},
		{"meta-train --inputs raw --p 5", "--p does not apply"},
		{"meta-train --readout cubic", "linear, tanh, exp or mix"},
		{"meta-train --hidden 100000", "100000 hidden units"},
		{"meta-train --quiet=maybe", "--quiet"},
		{"meta-train --out", "--out"},
		{"meta-train --task mnis", `did you mean "mnist"`},
		{"meta-train --units 3", "--units does not apply to the task " + defaultTask},
		{"meta-train --second-derivatives --adjoint-coordinates 5", "--adjoint-coordinates needs"},
		{"meta-train --task digits --dims 3", "--dims does not apply"},
		{"meta-train --task digits --activation cubic", "sigmoid, relu, tanh, elu, gelu, silu or leaky-relu"},
		{"meta-train --task digits --weight-init xavier", "he, glorot, lecun, torch or normal"},
		{"meta-train --task digits --weight-init normal,he --init-scale 0.1", "leave init-scale out, or take weight-init normal"},
		{"compare", "needs a FILE.mopt, or hand-designed rules"},
		{"compare --rules none", "nothing to compare"},
		{"compare --rules adam,foo", `unknown rule "foo"`},
		{"compare --rules adam,adam", "names adam twice"},
		{"compare --rules adam --plot x.gif", ".svg or .png"},
		{"compare --rules adam --runs 0", "--runs"},
		{"inspect", "needs a FILE.mopt"},
		{"inspect a b", "not 2 arguments"},
		{"inspect a --plot x.gif", ".svg or .png"},
		{"import", "needs a FILE"},
		{"export", "needs a FILE.mopt"},
		{"export pretrained:mlp", "--format is needed: npz, safetensors, flax-msgpack or onnx"},
		{"export pretrained:mlp --format pickle", "--format \"pickle\": it must be npz, safetensors, flax-msgpack or onnx"},
		{"export pretrained:nonsense --format npz", "There are general"},
		{"compare --tsk mnist", `unknown flag: --tsk, did you mean "--task"? See metaopt compare --help`},
		{"compare --nonsense", "unknown flag: --nonsense; see metaopt compare --help"},
		{"data", "metaopt data fetch"},
		{"data fech", `did you mean "fetch"`},
		{"data fetch", "mnist, fashion-mnist or cifar10"},
		{"data fetch imagenet", "imagenet"},
		{"version now", "takes no argument"},
		{"help nonsense", "nonsense"},
		{"completion ksh", "ksh"},
		{"completion bash x", "x"},
	} {
		fail(t, exitUsage, strings.Fields(c.line), c.want)
	}
}

func TestFailures(t *testing.T) {
	dir := t.TempDir()
	fail(t, exitFailure, []string{"meta-train", "--task", "mnist", "--data-dir", dir}, dir, "metaopt data fetch mnist")
	fail(t, exitFailure, []string{"meta-train", "--init", dir + "/none.mopt"}, "none.mopt")
	t.Setenv("METAOPT_DATA", dir+"/by-variable")
	fail(t, exitFailure, []string{"meta-train", "--task", "mnist"}, "by-variable")
	fail(t, exitFailure, []string{"meta-train", "--task", "mnist", "--data-dir", dir + "/by-flag"}, "by-flag")
}

func TestFetchIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	a := cli(ctx, "data", "fetch", "mnist", "--data-dir", dir)
	if a.code != exitInterrupted || !strings.Contains(a.stderr, dir) || !strings.Contains(a.stderr, "run the same command again") {
		t.Errorf("exit %d: %s", a.code, a.stderr)
	}
}

func TestTheGuideAndVersion(t *testing.T) {
	alone := succeed(t)
	_, start, _ := strings.Cut(alone.stdout, "Start here:\n")
	if !strings.HasPrefix(start, "  metaopt meta-train ") || alone.stderr != "" {
		t.Errorf("metaopt alone says %q, %q", alone.stdout, alone.stderr)
	}
	a := succeed(t, "version")
	for _, word := range []string{"metaopt ", "go1.", "/", "kernels: "} {
		if !strings.Contains(a.stdout, word) {
			t.Errorf("version lacks %q: %s", word, a.stdout)
		}
	}
}

// The help of every command has examples that contain its name, and lists its flags.
func TestHelp(t *testing.T) {
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		examples := 0
		for line := range strings.Lines(cmd.Example) {
			if strings.HasPrefix(line, "  ") && strings.Contains(line, cmd.CommandPath()) {
				examples++
			}
		}
		if examples < 2 {
			t.Errorf("%s has %d examples that name it", cmd.CommandPath(), examples)
		}
		a := succeed(t, append(strings.Fields(cmd.CommandPath())[1:], "--help")...)
		for _, want := range []string{cmd.Example, "-h, --help", "Usage:"} {
			if !strings.Contains(a.stdout, want) {
				t.Errorf("%s --help lacks %q", cmd.CommandPath(), want)
			}
		}
		for line := range strings.Lines(a.stdout) {
			if len(strings.TrimRight(line, "\n")) > usageWidth {
				t.Errorf("%s --help is too wide: %s", cmd.CommandPath(), line)
			}
			if strings.Contains(line, "=true|false") {
				t.Errorf("%s --help: %s", cmd.CommandPath(), line)
			}
		}
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit(newRoot(&app{stdout: io.Discard, stderr: io.Discard}))
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if a := succeed(t, "completion", shell); !strings.Contains(a.stdout, "metaopt") {
			t.Errorf("no completion for %s", shell)
		}
	}
	for line, want := range map[string]string{
		"meta-train --task ":     "quadratic-uniform\n",
		"compare --rules ":       "nesterov\n",
		"compare --activation ":  "relu\n",
		"data fetch ":            "fashion-mnist\n",
		"inspect x":              "mopt\n",
		"import ":                "safetensors\n",
		"export pre":             "pretrained:mlp\n",
		"export x --format f":    "flax-msgpack\n",
		"meta-train --readout ":  "tanh\n",
		"meta-train --lstm-laye": "--lstm-layers",
	} {
		if a := succeed(t, append([]string{"__complete"}, strings.Split(line, " ")...)...); !strings.Contains(a.stdout, want) {
			t.Errorf("%q is completed by %q, want %q", line, a.stdout, want)
		}
	}
}

func TestOneLine(t *testing.T) {
	for _, c := range []struct{ err, want string }{
		{"metaopt: sampling: tasks: no data; fetch it", "sampling: no data; fetch it"},
		{"tasks/fetch: no mirror has x:\n  https://a: gone\n  https://b: gone\n", "no mirror has x: https://a: gone; https://b: gone"},
		{"checkpoints: a\nbaselines: b", "a; b"},
		{"open my/tasks: no", "open my/tasks: no"},
		{"distributed: the cell dims=2: worker x: sweep: no", "the cell dims=2: worker x: no"},
		{"embedded: no port", "no port"},
	} {
		if got := oneLine(errors.New(c.err)); got != c.want {
			t.Errorf("%q becomes %q, want %q", c.err, got, c.want)
		}
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

// If the reader of standard output goes away, that is no failure. If results cannot be written, it is one.
func TestStandardOutputFails(t *testing.T) {
	for err, want := range map[error]int{
		errors.New("no space"):                 exitFailure,
		fmt.Errorf("write: %w", syscall.EPIPE): exitOK,
	} {
		var stderr strings.Builder
		if code := run(t.Context(), []string{"version"}, failingWriter{err}, &stderr); code != want {
			t.Errorf("%v: exit %d, want %d: %s", err, code, want, stderr.String())
		}
	}
}

// A file may come from a stranger: its name must not send control characters to the terminal, on stdout or stderr.
func TestNamesDoNothingToATerminal(t *testing.T) {
	path := trained(t)
	o, err := metaopt.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	const hostile = "x\x1b[2J\x1b]0;title\a\r\u009b1A\u007fy"
	o.Provenance.Recipe = "" // as in files from before recipes: the command is shown
	o.Provenance.Name, o.Provenance.Command, o.Provenance.Source, o.Provenance.Version = hostile, hostile, hostile, hostile
	other := filepath.Join(t.TempDir(), "other.mopt")
	if err := metaopt.Save(other, o); err != nil {
		t.Fatal(err)
	}
	o.Provenance.Task = hostile
	foreign := filepath.Join(t.TempDir(), "foreign.mopt")
	if err := metaopt.Save(foreign, o); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"inspect " + other, "inspect " + foreign, "verify " + other, "compare --runs 2 --tune-runs 1 --rules adam " + other,
		"compare --markdown --runs 2 --rules none " + other, "sweep --runs 2 --tune-runs 1 --grid 1 --rules adam --axis steps=5 " + other + " --out " + t.TempDir(),
	} {
		a := cli(t.Context(), strings.Fields(line)...)
		if i := strings.IndexFunc(a.stdout+a.stderr, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }); i >= 0 {
			t.Errorf("metaopt %s: exit %d, prints %q", line, a.code, (a.stdout + a.stderr)[max(0, i-20):])
		}
		if !strings.Contains(a.stdout+a.stderr, "title") {
			t.Errorf("metaopt %s: exit %d, no name in %q", line, a.code, a.stdout+a.stderr)
		}
	}
}
