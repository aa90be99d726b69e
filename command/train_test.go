package command

import (
	"context"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"learnedopt/metaopt"
	"learnedopt/runfolder"
)

func TestMetaTrainWritesARun(t *testing.T) {
	t.Chdir(t.TempDir())
	a := succeed(t, append([]string{"meta-train", "--meta-steps", "10"}, small...)...)
	dir := filepath.Join("runs", defaultTask+"-seed0")
	for _, name := range append([]string{"learned", "mean loss", dir}, append(defaultRules, runfolder.Files()...)...) {
		if !strings.Contains(a.stdout, name) {
			t.Errorf("standard output lacks %q:\n%s", name, a.stdout)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != len(runfolder.Files()) {
		t.Errorf("the folder holds %v (%v), want %v", entries, err, runfolder.Files())
	}
	o, err := metaopt.Load(filepath.Join(dir, optimizerFile))
	if err != nil || o.Provenance.Task != defaultTask+" dims=10 batch=4" || o.Network.Config().Hidden != 4 {
		t.Errorf("optimizer: %+v, %v", o, err)
	}
	f, err := os.Open(filepath.Join(dir, "curves.png"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := png.Decode(f); err != nil {
		t.Errorf("curves.png: %v", err)
	}
	if svg := readFile(t, filepath.Join(dir, "curves.svg")); !strings.Contains(svg, "<svg") || !strings.Contains(svg, "nesterov") {
		t.Error("curves.svg does not draw nesterov")
	}
	result := readJSON(t, readFile(t, filepath.Join(dir, resultFile)))
	checkComparison(t, result["comparison"].(map[string]any), 5, 11)
	if tuning := result["tuning"].([]any); len(tuning) != 4 || len(tuning[0].(map[string]any)["grid"].([]any)) < 5 {
		t.Errorf("tuning is %v", tuning)
	}
	train := result["train"].(map[string]any)
	if train["reason"] != "meta-steps" || train["meta_steps"] != 10.0 || train["command"] != o.Provenance.Command {
		t.Errorf("train is %v", train)
	}
}

func TestLogBeginsWithTheConfigurationAndEndsWithTheReason(t *testing.T) {
	log := lines(t, filepath.Join(filepath.Dir(trained(t, "--seed", "7")), logFile))
	first, last := log[0], log[len(log)-1]
	network, _ := first["network"].(map[string]any)
	if first["event"] != "start" || first["seed"] != 7.0 || first["unroll"] != 5.0 || first["meta_learning_rate"] != 0.003 ||
		network["inputs"] != "logsign" || network["hidden"] != 4.0 {
		t.Errorf("the log begins with %v", first)
	}
	if last["event"] != "end" || last["reason"] != "meta-steps" || last["meta_steps"] != 5.0 {
		t.Errorf("the log ends with %v", last)
	}
	var kinds []string
	for _, line := range log[1 : len(log)-1] {
		kinds = append(kinds, line["event"].(string))
	}
	if want := []string{"validation", "episode", "episode", "validation"}; !slices.Equal(kinds, want) {
		t.Errorf("events %v, want %v", kinds, want)
	}
}

// keys returns the names of all fields in v, at every depth, sorted and without duplicates.
func keys(v any) []string {
	var found []string
	switch v := v.(type) {
	case map[string]any:
		for name, field := range v {
			found = append(append(found, name), keys(field)...)
		}
	case []any:
		for _, element := range v {
			found = append(found, keys(element)...)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// Every validation in the log has diagnostics, and docs/training.md explains every field of them.
func TestLogHoldsDiagnostics(t *testing.T) {
	log := lines(t, filepath.Join(filepath.Dir(trained(t)), logFile))
	var all []map[string]any
	for _, line := range log {
		d, ok := line["diagnostics"].(map[string]any)
		if ok != (line["event"] == "validation") {
			t.Errorf("diagnostics %v in %v", ok, line["event"])
		}
		if ok {
			all = append(all, d)
		}
	}
	if len(all) != 2 || all[0]["training"] != nil || all[1]["training"] == nil {
		t.Fatalf("diagnostics %v", all)
	}
	want := []string{"clipped", "clipped_signs", "count", "f", "g", "gates", "gradient_rms", "i", "inputs", "max_norm", "mean_norm", "meta_gradient",
		"non_finite", "o", "of", "sampled", "small_gradients", "training", "update_rms", "update_to_gradient", "validation", "windows", "zero_gradients"}
	if got := keys(all[1]); !slices.Equal(got, want) {
		t.Errorf("fields %q, want %q", got, want)
	}
	doc := readFile(t, filepath.Join("..", "docs", "training.md"))
	_, section, _ := strings.Cut(doc, "## Why does it not learn?")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, name := range append(want, "first", "meta_step", "instance", "step", "what", "coordinate") {
		if !strings.Contains(section, "`"+name+"`") && !strings.Contains(section, "."+name+"`") && !strings.Contains(section, "`"+name+".") {
			t.Errorf("docs/training.md does not explain %s", name)
		}
	}
}

func TestSameSeedSameBytes(t *testing.T) {
	a, b, c := trained(t, "--seed", "1"), trained(t, "--seed", "1"), trained(t, "--seed", "2")
	if readFile(t, a) != readFile(t, b) {
		t.Error("two runs of the same seed differ")
	}
	if readFile(t, a) == readFile(t, c) {
		t.Error("two runs of different seeds are the same")
	}
}

// The command in a file trains the same bytes again, even if time ended the first training.
func TestProvenanceCommandReproduces(t *testing.T) {
	dir := t.TempDir()
	args := append([]string{"meta-train", "--time", "200ms", "--inputs", "rnnprop", "--second-derivatives", "--clip", "inf",
		"--name", "it's me", "--out", dir}, small...)
	succeed(t, args...)
	path := filepath.Join(dir, optimizerFile)
	o, err := metaopt.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if o.Network.Config().Readout.String() != "tanh" {
		t.Error("rnnprop alone does not end in tanh")
	}
	command := o.Provenance.Command
	const quoted = `--name 'it'\''s me'`
	if !strings.HasPrefix(command, "metaopt meta-train --task ") || !strings.HasSuffix(command, quoted) || strings.Contains(command, dir) {
		t.Fatalf("the command is %s", command)
	}
	again := t.TempDir()
	words := strings.Fields(strings.TrimSuffix(command, quoted))[1:]
	succeed(t, append(words, "--name", "it's me", "--out", again, "--runs", "2", "--tune-runs", "1")...)
	if readFile(t, path) != readFile(t, filepath.Join(again, optimizerFile)) {
		t.Errorf("not the same bytes by %s", command)
	}
}

func TestAnExistingRunIsNotOverwritten(t *testing.T) {
	path := trained(t)
	before := readFile(t, path)
	args := append([]string{"meta-train", "--meta-steps", "5", "--seed", "9", "--out", filepath.Dir(path)}, small...)
	fail(t, exitFailure, args, filepath.Dir(path), "already holds a run", "--out")
	if readFile(t, path) != before {
		t.Error("the optimizer changed")
	}
	t.Chdir(t.TempDir())
	for _, dir := range []string{"runs/quadratic-seed3", "runs/quadratic-seed3-2", "runs/quadratic-seed3-3"} {
		args := append([]string{"meta-train", "--task", "quadratic", "--meta-steps", "5", "--seed", "3"}, small...)
		if a := succeed(t, args...); !strings.Contains(a.stdout, "Written to "+filepath.FromSlash(dir)+":") {
			t.Errorf("want a run in %s:\n%s", dir, a.stdout)
		}
	}
}

func TestWarmStart(t *testing.T) {
	path := trained(t, "--inputs", "raw", "--scale", "0.5")
	o, err := metaopt.Load(trained2(t, "--init", path))
	if err != nil || o.Network.Config().Inputs.String() != "raw" || o.Network.Config().Scale != 0.5 {
		t.Errorf("%+v, %v", o, err)
	}
	fail(t, exitUsage, []string{"meta-train", "--init", path, "--scale", "1"}, "--scale", "--init")
	// Of the shape of a network two things can be changed. The record of the run says so. One is the orthogonal direction.
	orthogonal := trained(t, "--inputs", "momenta", "--orthogonal")
	mean := trained2(t, "--init", orthogonal, "--orthogonal-mean")
	if o, err = metaopt.Load(mean); err != nil || !o.Network.Config().OrthogonalMean {
		t.Errorf("%+v, %v", o, err)
	}
	succeed(t, "verify", mean)
	fail(t, exitUsage, []string{"meta-train", "--init", path, "--orthogonal-mean", "--meta-steps", "1", "--out", filepath.Join(t.TempDir(), "run")}, "the mean weight belongs to the orthogonal direction")
	// The other is a hypernetwork, which is drawn from the seed.
	hyper := trained2(t, "--init", trained(t, "--inputs", "momenta", "--context", "shape+time"), "--hyper", "3")
	if o, err = metaopt.Load(hyper); err != nil || o.Network.Config().Hyper != 3 {
		t.Errorf("%+v, %v", o, err)
	}
	succeed(t, "verify", hyper)
	if a := succeed(t, "inspect", hyper); !strings.Contains(a.stdout, "hypernetwork × 3") {
		t.Error(a.stdout)
	}
	fail(t, exitUsage, []string{"meta-train", "--init", hyper, "--hyper", "3", "--meta-steps", "1", "--out", filepath.Join(t.TempDir(), "run")}, "has a hypernetwork")
}

// trained2 is like trained, without the flags that cannot be set together with --init.
func trained2(t *testing.T, flags ...string) string {
	dir := filepath.Join(t.TempDir(), "run")
	args := []string{"meta-train", "--meta-steps", "5", "--out", dir}
	for i := 0; i < len(small); i += 2 {
		if small[i] != "--hidden" {
			args = append(args, small[i:i+2]...)
		}
	}
	succeed(t, append(args, flags...)...)
	return filepath.Join(dir, optimizerFile)
}

func TestAnInterruptKeepsTheBest(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan answer)
	go func() {
		done <- cli(ctx, append([]string{"meta-train", "--time", "10m", "--out", dir}, small...)...)
	}()
	for strings.Count(string(peek(filepath.Join(dir, logFile))), `"validation"`) < 3 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	a := <-done
	path := filepath.Join(dir, optimizerFile)
	if a.code != exitInterrupted || a.stdout != "" || !strings.Contains(a.stderr, "metaopt: interrupted at meta-step") || !strings.Contains(a.stderr, path) {
		t.Errorf("exit %d\n%s%s", a.code, a.stdout, a.stderr)
	}
	if _, err := metaopt.Load(path); err != nil {
		t.Error(err)
	}
	log := lines(t, filepath.Join(dir, logFile))
	if last := log[len(log)-1]; last["event"] != "end" || last["reason"] != "interrupted" {
		t.Errorf("the log ends with %v", last)
	}
}

func peek(path string) []byte {
	data, _ := os.ReadFile(path)
	return data
}

func TestAnInterruptBeforeAnything(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	a := cli(ctx, append([]string{"meta-train", "--out", dir}, small...)...)
	if a.code != exitInterrupted || !strings.Contains(a.stderr, "nothing to keep") {
		t.Errorf("exit %d: %s", a.code, a.stderr)
	}
}

// If everything diverges at once, the network from before is kept and the error says what happened.
func TestADivergenceIsAFailureThatKeepsTheBest(t *testing.T) {
	dir := t.TempDir()
	a := cli(t.Context(), append([]string{"meta-train", "--task", "rosenbrock", "--meta-steps", "500", "--meta-lr", "1e30",
		"--clip", "inf", "--inputs", "raw", "--scale", "1e30", "--out", dir}, small...)...)
	if a.code != exitFailure || !strings.Contains(a.stderr, "--meta-lr") && !strings.Contains(a.stderr, "meta learning rate") ||
		!strings.Contains(a.stderr, optimizerFile) {
		t.Errorf("exit %d: %s", a.code, a.stderr)
	}
	log := lines(t, filepath.Join(dir, logFile))
	if last := log[len(log)-1]; last["reason"] != "diverged" {
		t.Errorf("the log ends with %v", last)
	}
}

// A limit of meta-steps replaces the default limit of time.
func TestMetaStepsAreTheOnlyLimit(t *testing.T) {
	for flag, want := range map[string]string{"--meta-steps=3": `"unroll":5,"meta_steps_limit":3,"meta_learning_rate"`, "--time=50ms": `"unroll":5,"seconds_limit":0.05,"meta_learning_rate"`} {
		out := filepath.Join(t.TempDir(), "run")
		succeed(t, append([]string{"meta-train", flag, "--out", out}, small...)...)
		if first, _, _ := strings.Cut(readFile(t, filepath.Join(out, logFile)), "\n"); !strings.Contains(first, want) {
			t.Errorf("%s: the log begins with %s, want %s", flag, first, want)
		}
	}
}
