package command

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"learnedopt/sweep"
	"learnedopt/sweep/results"
	"learnedopt/tasks"
)

// swept returns the arguments of a sweep over four cells of quadratics, which takes a fraction of a second.
func swept(out string, more ...string) []string {
	return append([]string{"sweep", "pretrained:quadratic", "--batch", "4", "--axis", "dims=2,5", "--axis", "steps=5,12", "--runs", "4",
		"--tune-runs", "2", "--grid", "1", "--rules", "sgd,adam", "--out", out}, more...)
}

// sweptFiles are the files of such a sweep.
var sweptFiles = []string{"cells.jsonl", "sweep.json", "tuning.jsonl", "results.csv", "heatmap-quadratic.svg", "heatmap-quadratic.png", "curves-all.svg", "curves-all.png", "time-all.svg", "time-all.png"}

func TestSweepFromEndToEnd(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "sweep")
	a := succeed(t, swept(dir)...)
	for _, want := range []string{"dims  steps", "best tuned", "speed-up", "in time  ms a step  update", "4 cells, averages over 4 fresh instances", "In wall time that is ", "1× time-*.svg and .png", "quadratic: won ", " of 4 cells", "Worst cell: dims=",
		"Tuned adam needs", "Written to " + dir} {
		if !strings.Contains(a.stdout, want) {
			t.Errorf("the table lacks %q:\n%s", want, a.stdout)
		}
	}
	if !strings.Contains(a.stderr, "0 of 12 results are there") {
		t.Errorf("remarks %q", a.stderr)
	}
	for _, name := range sweptFiles {
		if len(readFile(t, filepath.Join(dir, name))) == 0 {
			t.Errorf("%s is empty", name)
		}
	}
	records := lines(t, filepath.Join(dir, results.CellsFile))
	if len(records) != 12 {
		t.Errorf("%d records, want 4 cells of 3 rules", len(records))
	}
	for _, r := range records {
		for _, key := range []string{"key", "version", "time", "task", "cell", "steps", "runs", "seed", "rule", "mean_losses", "final_losses", "diverged", "curve_steps", "curve", "curve_ci95", "seconds", "step_time"} {
			if _, ok := r[key]; !ok {
				t.Errorf("a record lacks %q: %v", key, r)
			}
		}
		// compare must accept the task.
		if _, err := tasks.Parse(r["task"].(string)); err != nil {
			t.Error(err)
		}
	}
	if rows := strings.Count(readFile(t, filepath.Join(dir, resultsFile)), "\n"); rows != 1+12*4 {
		t.Errorf("%d rows in the CSV, want a header and 12 records of 4 instances", rows)
	}
	// The same command again computes nothing, prints the same table, and writes the same bytes of pictures.
	before, picture := readFile(t, filepath.Join(dir, results.CellsFile)), readFile(t, filepath.Join(dir, "heatmap-quadratic.svg"))
	b := succeed(t, swept(dir)...)
	if b.stdout != a.stdout || !strings.Contains(b.stderr, "12 of 12") || readFile(t, filepath.Join(dir, results.CellsFile)) != before || readFile(t, filepath.Join(dir, "heatmap-quadratic.svg")) != picture {
		t.Errorf("a second run is another:\n%s\n%s", b.stdout, b.stderr)
	}
	// With one more value, the old records stay unchanged.
	succeed(t, swept(dir, "--axis", "loss-scale=1,10")...)
	if after := readFile(t, filepath.Join(dir, results.CellsFile)); !strings.HasPrefix(after, before) || strings.Count(after, "\n") != 24 {
		t.Error("a further axis did not just add records")
	}
}

// The numbers of a cell equal the numbers of metaopt compare.
func TestSweepAgreesWithCompare(t *testing.T) {
	dir := t.TempDir()
	a := succeed(t, swept(dir, "--json", "--quiet")...)
	if a.stderr != "" {
		t.Errorf("--quiet says %q", a.stderr)
	}
	var res results.Results
	if err := json.Unmarshal([]byte(a.stdout), &res); err != nil {
		t.Fatalf("--json: %v", err)
	}
	cell := res.Cells[3]
	args := append([]string{"compare", "pretrained:quadratic"}, tasks.MustParse(cell.Task).Args()...)
	c := readJSON(t, succeed(t, append(args, "--steps", "12", "--runs", "4", "--tune-runs", "2", "--grid", "1", "--rules", "sgd,adam", "--json", "-")...).stdout)
	paired := c["paired"].([]any)[0].(map[string]any)
	if d := cell.Duels[0]; paired["ratio"] != float64(d.Ratio.Ratio) || !strings.HasPrefix(d.Best, paired["against"].(string)) {
		t.Errorf("sweep %+v, compare %v", d, paired)
	}
	for i, rule := range c["rules"].([]any) {
		if got := rule.(map[string]any)["mean_losses"].([]any)[2]; got != float64(cell.Records[i].MeanLosses[2]) {
			t.Errorf("rule %d: mean loss %v on the third instance, compare's %v", i, cell.Records[i].MeanLosses[2], got)
		}
	}
}

// --tune-learned, also as a setting of a file, adds a learned rule with a tuned factor and its heat map. What the folder held stays.
func TestSweepTunesLearnedRules(t *testing.T) {
	dir := t.TempDir()
	succeed(t, swept(dir)...)
	before := readFile(t, filepath.Join(dir, results.CellsFile))
	config := filepath.Join(dir, "tune.toml")
	if err := os.WriteFile(config, []byte("tune-learned = true\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	a := succeed(t, swept(dir, "--config", config)...)
	if after := readFile(t, filepath.Join(dir, results.CellsFile)); !strings.HasPrefix(after, before) || strings.Count(after, "\n") != 16 {
		t.Error("the tuned rule did not just add records")
	}
	for _, want := range []string{"quadratic×tuned (tuned here): won ", "heatmap-quadratic-tuned.svg"} {
		if !strings.Contains(a.stdout, want) {
			t.Errorf("no %q in\n%s", want, a.stdout)
		}
	}
	if svg := readFile(t, filepath.Join(dir, "time-all.svg")); !strings.Contains(svg, "quadratic×tuned") || !strings.Contains(svg, "wall time on one core (ms)") {
		t.Error("the picture against time lacks the tuned rule or its axis")
	}
	b := succeed(t, swept(dir, "--tune-learned")...)
	if !strings.Contains(b.stderr, "16 of 16") || b.stdout != a.stdout {
		t.Errorf("the flag is another setting than the file's: %s", b.stderr)
	}
	fail(t, exitUsage, swept(dir, "--tune-learned=maybe"), "tune-learned")
}

// A folder without times, from before there were any, has the tables and pictures that it always had.
func TestSweepWithoutTimes(t *testing.T) {
	dir := t.TempDir()
	succeed(t, swept(dir)...)
	path := filepath.Join(dir, results.CellsFile)
	stripped := regexp.MustCompile(`,"step_time":\{[^}]*\}`).ReplaceAllString(readFile(t, path), "")
	if strings.Contains(stripped, "step_time") || strings.Count(stripped, "\n") != 12 {
		t.Fatal("the times are still there")
	}
	if err := os.WriteFile(path, []byte(stripped), 0o644); err != nil {
		t.Fatal(err)
	}
	os.Remove(filepath.Join(dir, "time-all.svg"))
	a := succeed(t, swept(dir)...)
	if strings.Contains(a.stdout, "ms a step") || strings.Contains(a.stdout, "wall time") || exists(filepath.Join(dir, "time-all.svg")) || !strings.Contains(a.stderr, "12 of 12") {
		t.Errorf("%s%s", a.stderr, a.stdout)
	}
}

func TestSweepConfig(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sweep.toml")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(`optimizers = ["pretrained:quadratic"]
task = "quadratic"
batch = 4
steps = 6
runs = 3
tune-runs = 1
grid = 1
rules = ["adam"]
tune = "both"
out = "` + filepath.ToSlash(dir) + `/toml"

[axes]
dims = [2, 3]
gradient-noise = [0, 0.1]
`)
	succeed(t, "sweep", "--config", path)
	m, err := results.ReadManifest(filepath.Join(dir, "toml"))
	if err != nil || m.Runs != 3 || m.Steps != 6 || len(m.Rules) != 3 || len(m.Cells) != 4 || m.Cells[3].Task != "quadratic dims=3 batch=4 gradient-noise=0.1" {
		t.Errorf("error %v: %+v", err, m)
	}
	// Flags and arguments override the file. An axis replaces only the file's axis of the same name.
	out := filepath.Join(dir, "flags")
	succeed(t, "sweep", "pretrained:quadratic-uniform", "--config", path, "--runs", "2", "--rules", "sgd", "--axis", "dims=4", "--out", out)
	m, err = results.ReadManifest(out)
	if err != nil || m.Runs != 2 || m.Steps != 6 || m.Rules[0].Name != "quadratic-uniform" || m.Rules[1].Baseline != "sgd" || len(m.Cells) != 2 || m.Cells[1].Task != "quadratic dims=4 batch=4 gradient-noise=0.1" {
		t.Errorf("error %v: %+v", err, m)
	}
	write("task = \"quadratic\"\nstep = 5\n")
	fail(t, exitUsage, []string{"sweep", "--config", path, "--out", out}, `sweep.toml:2: no key "step", did you mean "steps"`)
	write("optimizers = \"pretrained:quadratic\"\n\nruns = 0\n")
	fail(t, exitUsage, []string{"sweep", "--config", path, "--out", out}, `sweep.toml:3: runs = "0": it must be a whole number of at least 1`)
	write("[axes]\nunits = [0]\n")
	fail(t, exitUsage, []string{"sweep", "--config", path, "--out", out}, `sweep.toml:2: axis units: "0": it must be`)
	fail(t, exitFailure, []string{"sweep", "--config", filepath.Join(dir, "none.toml"), "--out", out}, "none.toml")

	// Some editors begin a file with a byte-order mark, and TOML's integers end at 2⁶³ − 1.
	write("\uFEFFstep = 3\n")
	fail(t, exitUsage, []string{"sweep", "--config", path, "--out", out}, `sweep.toml:1: no key "step", did you mean "steps"`)
	write("steps = 3\nseed = 18446744073709551615\n")
	fail(t, exitUsage, []string{"sweep", "--config", path, "--out", out}, `sweep.toml:2: 18446744073709551615 is out of range`, `write it in quotes, as seed = "18446744073709551615"`)
	write("\uFEFFseed = \"18446744073709551615\"\n" + `optimizers = ["pretrained:quadratic-uniform"]` + "\ntask = \"quadratic\"\nrules = [\"sgd\"]\nruns = 1\ntune-runs = 1\ngrid = 1\n[axes]\nsteps = [5]\n")
	seeded := filepath.Join(dir, "seeded")
	succeed(t, "sweep", "--config", path, "--out", seeded)
	if m, err := results.ReadManifest(seeded); err != nil || m.Seed != math.MaxUint64 {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestSweepErrors(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ line, want string }{
		{"sweep pretrained:quadratic", "needs --out DIR"},
		{"sweep --rules none --out " + dir, "nothing to run"},
		{"sweep pretrained:quadratic --axis unit=5 --out " + dir, `--axis: no axis "unit", did you mean "units"`},
		{"sweep pretrained:quadratic --axis dims=2 --axis dims=3 --out " + dir, "--axis dims is there twice"},
		{"sweep pretrained:quadratic --axis units=5 --out " + dir, "--units does not apply to the task quadratic"},
		{"sweep pretrained:quadratic --tune never --out " + dir, "base, cell or both"},
		{"sweep pretrained:quadratic pretrained:mlp --out " + dir, "choose a task with --task"},
		{"sweep pretrained:quadratic --axis condition=1e9 --out " + dir, "condition number 1e+09"},
		{"sweep pretrained:quadratic --loss-scale 0 --out " + dir, "--loss-scale"},
		{"sweep pretrained:quadratic --gradient-noise -1 --out " + dir, "at least 0"},
	} {
		fail(t, exitUsage, strings.Fields(c.line), c.want)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("mistakes left %v in the folder, error %v", entries, err)
	}
}

// A folder holds results of one kind, or a report would show only one of them.
func TestOneFolderHoldsOneKind(t *testing.T) {
	path, dir := trained(t), t.TempDir()
	run := filepath.Dir(path)
	fail(t, exitFailure, []string{"sweep", path, "--axis", "dims=2", "--steps", "3", "--out", run}, "--out "+run, "meta-training", "choose another")
	succeed(t, "sweep", path, "--axis", "dims=2", "--steps", "3", "--runs", "2", "--rules", "none", "--out", dir)
	fail(t, exitFailure, []string{"meta-train", "--meta-steps", "2", "--out", dir}, "--out "+dir, "sweep", "choose another")
	for _, file := range []string{optimizerFile, logFile} {
		if exists(filepath.Join(dir, file)) {
			t.Errorf("%s was written into the folder of a sweep", file)
		}
	}
}

func TestSweepRefusesASecondProcess(t *testing.T) {
	dir := t.TempDir()
	s, err := sweep.OpenStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	fail(t, exitFailure, swept(dir, "--quiet"), dir, "another sweep is writing to this folder")
}

// cancelling is a writer that cancels a context when a certain text is written.
type cancelling struct {
	bytes.Buffer
	text   string
	cancel func()
}

func (c *cancelling) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(c.text)) {
		c.cancel()
	}
	return c.Buffer.Write(p)
}

func TestSweepIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	dir := t.TempDir()
	stderr := &cancelling{text: "sweeping over", cancel: cancel}
	var stdout bytes.Buffer
	if code := run(ctx, swept(dir), &stdout, stderr); code != exitInterrupted || stdout.Len() > 0 {
		t.Errorf("exit %d, output %q", code, stdout.String())
	}
	if want := "interrupted; 0 of 12 results are in " + dir + ", and the same command continues"; !strings.Contains(stderr.String(), want) {
		t.Errorf("%q does not say %q", stderr.String(), want)
	}
	if a := succeed(t, swept(dir)...); !strings.Contains(a.stdout, "of 4 cells") {
		t.Errorf("the same command does not continue: %s", a.stdout)
	}
}

// With several learned rules, four axes and no tuned rules, there is a row and a picture for everything.
func TestSweepOfManyAxes(t *testing.T) {
	dir := t.TempDir()
	a := succeed(t, "sweep", "pretrained:quadratic", "pretrained:quadratic-uniform", "--task", "quadratic", "--batch", "2", "--axis", "dims=2,3", "--axis", "steps=3,4", "--axis", "loss-scale=1,2",
		"--axis", "condition=1,9", "--runs", "2", "--tune-runs", "1", "--grid", "1", "--rules", "sgd", "--tune", "both", "--out", dir)
	if n := strings.Count(a.stdout, "sgd (tuned "); n != 32+2 || !strings.Contains(a.stdout, "quadratic-uniform: won") {
		t.Errorf("%d mentions of a tuned sgd, want one for each of 16 cells and 2 rules and for the worst ones:\n%s", n, a.stdout)
	}
	for _, name := range []string{"heatmap-quadratic.svg", "heatmap-quadratic-uniform.svg", "curves-loss-scale-1-condition-1.svg", "curves-loss-scale-2-condition-1.svg",
		"curves-loss-scale-1-condition-9.svg", "curves-loss-scale-2-condition-9.svg"} {
		readFile(t, filepath.Join(dir, name))
	}
	if strings.Contains(a.stdout, "NaN") || strings.Contains(a.stdout, "Inf") {
		t.Errorf("the table has numbers that are none:\n%s", a.stdout)
	}
	alone := succeed(t, "sweep", "--rules", "sgd,adam", "--task", "quadratic", "--batch", "2", "--axis", "dims=2,3", "--steps", "3", "--runs", "2", "--tune-runs", "1", "--grid", "1", "--out", filepath.Join(dir, "alone"))
	for _, want := range []string{"sgd", "adam", "1× curves-*.svg"} {
		if !strings.Contains(alone.stdout, want) {
			t.Errorf("hand-designed rules alone: no %s in\n%s", want, alone.stdout)
		}
	}
}

func TestSweepCompletesAxes(t *testing.T) {
	if a := succeed(t, "__complete", "sweep", "x.mopt", "--axis", "un"); !strings.Contains(a.stdout, "units=") {
		t.Errorf("completion of --axis: %q", a.stdout)
	}
	if a := succeed(t, "__complete", "sweep", "x.mopt", "--tune", ""); !strings.Contains(a.stdout, "cell") {
		t.Errorf("completion of --tune: %q", a.stdout)
	}
}

// Files that were trained on different tasks are swept over whole tasks without --task.
func TestSweepOverWholeTasks(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	args := []string{"sweep", "pretrained:quadratic", "pretrained:quadratic-uniform", "--rules", "none", "--runs", "1", "--steps", "2", "--out", dir}
	fail(t, 2, args, "choose a task with --task")
	out := succeed(t, append(args, "--axis", "task=quadratic dims=2 batch=1,rosenbrock batch=2")...).stdout
	if !strings.Contains(out, "rosenbrock") {
		t.Errorf("no cell of the second task:\n%s", out)
	}
}
