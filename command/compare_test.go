package command

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"learnedopt/compare"
	"learnedopt/metaopt"
)

// checkComparison checks the JSON on which other programs rely.
func checkComparison(t *testing.T, c map[string]any, rules, curve int) {
	t.Helper()
	for _, key := range []string{"task", "steps", "runs", "rules"} {
		if c[key] == nil {
			t.Errorf("the comparison lacks %q: %v", key, slices.Collect(maps.Keys(c)))
		}
	}
	list := c["rules"].([]any)
	if len(list) != rules {
		t.Errorf("%d rules, want %d", len(list), rules)
	}
	for _, item := range list {
		rule := item.(map[string]any)
		for _, key := range []string{"name", "kind", "learning_rate", "mean_loss", "mean_loss_ci95", "final_loss", "diverged", "curve", "step_time"} {
			if _, ok := rule[key]; !ok {
				t.Errorf("rule %v lacks %q", rule["name"], key)
			}
		}
		kind, lr := rule["kind"], rule["learning_rate"]
		if (kind != "learned" || lr != nil) && (kind != "baseline" || lr == nil) {
			t.Errorf("%v is a %v with learning rate %v", rule["name"], kind, lr)
		}
		if len(rule["mean_loss_ci95"].([]any)) != 2 || len(rule["curve"].([]any)) != curve {
			t.Errorf("%v: interval of %v, curve of %d, want 2 and %d", rule["name"], rule["mean_loss_ci95"], len(rule["curve"].([]any)), curve)
		}
	}
}

func TestCompareUsesTheFilesTask(t *testing.T) {
	path := trained(t)
	dir := t.TempDir()
	jsonPath, plotPath := filepath.Join(dir, "c.json"), filepath.Join(dir, "c.svg")
	a := succeed(t, "compare", path, "--dims", "3", "--steps", "20", "--runs", "3", "--tune-runs", "1", "--json", jsonPath, "--plot", plotPath)
	c := readJSON(t, readFile(t, jsonPath))
	checkComparison(t, c, 5, 21)
	if want := defaultTask + " dims=3 batch=4"; c["task"] != want || !strings.Contains(a.stdout, want) {
		t.Errorf("task %v, want %v with the dims that were asked for", c["task"], want)
	}
	if svg := readFile(t, plotPath); !strings.Contains(svg, "training horizon") {
		t.Error("the plot does not mark the 10 steps that were trained for")
	}
}

// A file that cannot be written is an error before the work. If it cannot be written only after the work, the table is there all the same.
func TestCompareLosesNoResult(t *testing.T) {
	path := trained(t)
	short := []string{"compare", path, "--steps", "5", "--runs", "2", "--rules", "none"}
	locked := lockedFolder(t)
	for _, flag := range []string{"--json", "--plot"} {
		file := filepath.Join(locked, "c.svg")
		// One line: no word of work that began.
		fail(t, exitFailure, append(short, flag, file), flag+" "+file+": the folder "+locked+" cannot be written to: ", "another")
	}
	c := &compare.Comparison{Task: "some task", Rules: []compare.Result{{Name: "rule"}}}
	var out strings.Builder
	f := compareFlags{json: filepath.Join(locked, "c.json")}
	if err := f.write(&app{stdout: &out}, c, 0); err == nil || !strings.Contains(out.String(), "some task") {
		t.Errorf("error %v and the output %q", err, out.String())
	}
}

// lockedFolder returns a folder in which not even root can make files.
func lockedFolder(t *testing.T) string {
	t.Helper()
	const dir = "/proc/self"
	if _, err := os.Stat(dir); err != nil {
		t.Skip("this needs the folder /proc of Linux")
	}
	return dir
}

// An optimizer that was trained for several tasks has none that compare or sweep could take: the error lists them and names the
// flag, which helps. One task for validations is the file's task, whatever the training's tasks were.
func TestCompareAsksForOneOfSeveralTasks(t *testing.T) {
	path := trained(t, severalTasks...)
	words := []string{path, "several tasks, quadratic dims=5 batch=4 | rosenbrock dims=2 batch=4;", "choose one with --task"}
	fail(t, exitUsage, []string{"compare", path}, words...)
	fail(t, exitUsage, []string{"sweep", path, "--axis", "steps=5", "--out", filepath.Join(t.TempDir(), "sweep")}, words...)
	fail(t, exitUsage, []string{"compare", "pretrained:general"}, "several tasks, mnist units=48", "choose one with --task")
	small := []string{"--steps", "5", "--runs", "2", "--rules", "none", "--json", "-"}
	one := trained(t, "--also", "rosenbrock", "--valid-task", "quadratic dims=6")
	for want, args := range map[string][]string{
		"rosenbrock dims=2 batch=128": {"compare", path, "--task", "rosenbrock"},
		"quadratic dims=6 batch=128":  {"compare", one},
	} {
		a := succeed(t, append(args, small...)...)
		if got := readJSON(t, a.stdout)["task"]; got != want {
			t.Errorf("%s: the task is %v, want %s", strings.Join(args, " "), got, want)
		}
	}
}

// A learned rule's updates are multiplied by --learned-scale, and tuned by --tune-learned. The time of a step is in the JSON, the
// table and a second picture. No loss depends on any of this.
func TestCompareScalesLearnedRulesAndTimesAll(t *testing.T) {
	dir := t.TempDir()
	plot := filepath.Join(dir, "c.svg")
	base := []string{"compare", "pretrained:quadratic", "--batch", "4", "--dims", "30", "--rules", "sgd", "--steps", "12", "--runs", "3", "--tune-runs", "1", "--grid", "4"}
	rules := func(more ...string) map[string]compare.Result {
		a := succeed(t, append(slices.Clone(base), append(more, "--json", "-")...)...)
		if !strings.Contains(a.stderr, "ms a step") {
			t.Errorf("the table has no times:\n%s", a.stderr)
		}
		var c compare.Comparison
		if err := json.Unmarshal([]byte(a.stdout), &c); err != nil {
			t.Fatal(err)
		}
		found := map[string]compare.Result{}
		for _, r := range c.Rules {
			if r.StepTime == nil || !(r.StepTime.Gradient > 0 && r.StepTime.Update > 0) {
				t.Errorf("%s has the time %+v", r.Name, r.StepTime)
			}
			found[r.Name] = r
		}
		return found
	}
	plain, tuned := rules(), rules("--tune-learned", "--plot", plot)
	if len(tuned) != 3 || !slices.Equal(plain["quadratic"].MeanLosses, tuned["quadratic"].MeanLosses) || !slices.Equal(plain["sgd"].MeanLosses, tuned["sgd"].MeanLosses) {
		t.Errorf("with --tune-learned the losses of the other rules are %+v, without it %+v", tuned, plain)
	}
	best := tuned["quadratic×tuned"]
	if best.Kind != compare.Learned || best.Multiplier == nil || *best.Multiplier == 1 || best.MeanLoss == plain["quadratic"].MeanLoss {
		t.Fatalf("the tuned rule is %+v", best)
	}
	// A state of 16 bits changes a loss, but little.
	both := rules("--half-state")
	whole, half := both["quadratic"], both["quadratic, 16-bit state"]
	if near := math.Abs(float64(half.MeanLoss/whole.MeanLoss) - 1); len(both) != 3 || whole.MeanLoss != plain["quadratic"].MeanLoss || !(near > 0 && near < 0.01) {
		t.Errorf("with a state of 16 bits: %+v and %+v", whole, half)
	}
	// The tuned multiplier is one that can be set.
	scaled := rules("--learned-scale", strconv.FormatFloat(*best.Multiplier, 'g', -1, 64))
	name := fmt.Sprintf("quadratic×%g", *best.Multiplier)
	if r := scaled[name]; len(scaled) != 2 || !slices.Equal(r.MeanLosses, best.MeanLosses) || *r.Multiplier != *best.Multiplier {
		t.Errorf("scaled by %v: %+v, tuned %+v", *best.Multiplier, scaled, best)
	}
	for path, word := range map[string]string{plot: "inner step", filepath.Join(dir, "c-time.svg"): "wall time on one core (ms)"} {
		if svg := readFile(t, path); !strings.Contains(svg, word) || !strings.Contains(svg, "quadratic×tuned") {
			t.Errorf("%s lacks %q or the tuned rule", path, word)
		}
	}
	fail(t, exitUsage, []string{"compare", "--rules", "adam", "--learned-scale", "0.3"}, "--learned-scale is for learned rules")
	fail(t, exitUsage, []string{"compare", "--rules", "adam", "--half-state"}, "--half-state is for learned rules")
	fail(t, exitUsage, []string{"compare", "--rules", "adam", "--tune-learned"}, "--tune-learned is for learned rules")
	fail(t, exitUsage, []string{"compare", "pretrained:quadratic", "--learned-scale", "0"}, "--learned-scale", "positive")
}

func TestCompareJSONOnStandardOutputIsNothingElse(t *testing.T) {
	a := succeed(t, "compare", "--rules", "adam,sgd", "--batch", "4", "--steps", "5", "--runs", "2", "--tune-runs", "1", "--json", "-")
	c := readJSON(t, a.stdout)
	checkComparison(t, c, 2, 6)
	if !strings.Contains(a.stderr, "adam") {
		t.Error("no table on stderr")
	}
	if b := succeed(t, "compare", "--rules", "adam,sgd", "--batch", "4", "--steps", "5", "--runs", "2", "--tune-runs", "1", "--markdown"); !strings.Contains(b.stdout, "\n| adam ") {
		t.Errorf("no Markdown:\n%s", b.stdout)
	}
	var again compare.Comparison
	if err := json.Unmarshal([]byte(a.stdout), &again); err != nil || again.Rules[0].Name != "adam" {
		t.Errorf("%+v, %v", again, err)
	}
}

// Each row has its own name, even for the same file under two paths, and for a file with the name of a rule.
func TestCompareNamesAreDistinct(t *testing.T) {
	path := trained(t, "--name", "adam")
	dir := t.TempDir()
	var paths []string
	for _, name := range []string{"a/optimizer.mopt", "b/optimizer.mopt"} {
		copied := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(copied), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(copied, []byte(readFile(t, path)), 0o644); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, copied)
	}
	a := succeed(t, append([]string{"compare", "--rules", "adam", "--steps", "5", "--runs", "2", "--tune-runs", "1", "--json", "-"}, paths...)...)
	var c compare.Comparison
	if err := json.Unmarshal([]byte(a.stdout), &c); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range c.Rules {
		names = append(names, r.Name)
	}
	if want := []string{"a/optimizer", "b/optimizer", "adam"}; !slices.Equal(names, want) {
		t.Errorf("names %q, want %q", names, want)
	}
	fail(t, exitUsage, []string{"compare", paths[0], paths[0]}, "twice", paths[0])
}

func TestCompareRefuses(t *testing.T) {
	dir := t.TempDir()
	bad, l2l := filepath.Join(dir, "bad.mopt"), filepath.Join(dir, "x.l2l")
	good := readFile(t, trained(t))
	for path, data := range map[string]string{bad: good[:len(good)-9], l2l: "\x80\x03"} {
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	fail(t, exitFailure, []string{"compare", bad}, bad, "intact")
	fail(t, exitFailure, []string{"compare", l2l}, l2l, "metaopt import")
	missing := filepath.Join(dir, "missing.mopt")
	fail(t, exitFailure, []string{"compare", missing}, missing, "metaopt meta-train")
	fail(t, exitFailure, []string{"compare", "--rules", "adam", "--plot", filepath.Join(dir, "no", "x.png")}, "no folder")
	fail(t, exitFailure, []string{"compare", "--rules", "adam", "--json", dir}, dir, "is a folder")
}

func TestCompareNeedsTheTask(t *testing.T) {
	quadratic, rosenbrock := trained(t), trained(t, "--task", "rosenbrock")
	fail(t, exitUsage, []string{"compare", quadratic, rosenbrock}, "--task", "rosenbrock dims=2")
	o, err := metaopt.Load(quadratic)
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range []string{"", "my own task", "quadratic dims=10", "nothing dims=10 batch=4", "quadratic dims=x batch=4"} {
		o.Provenance.Task = task
		path := filepath.Join(t.TempDir(), "o.mopt")
		if err := metaopt.Save(path, o); err != nil {
			t.Fatal(err)
		}
		if a := cli(t.Context(), "compare", path); a.code != exitUsage || !strings.Contains(a.stderr, "task") {
			t.Errorf("task %q: exit %d: %s", task, a.code, a.stderr)
		}
	}
}

// A classifier's table and JSON also have the validation loss and the test accuracy.
func TestCompareOnAClassifier(t *testing.T) {
	if testing.Short() {
		t.Skip("renders the digits; not with -short")
	}
	a := succeed(t, "compare", "--task", "digits", "--units", "4", "--batch", "8", "--rules", "adam", "--steps", "3", "--runs", "2",
		"--tune-runs", "1", "--json", "-")
	rule := readJSON(t, a.stdout)["rules"].([]any)[0].(map[string]any)
	loss, _ := rule["valid_loss"].(float64)
	accuracy, _ := rule["test_accuracy"].(float64)
	if loss <= 0 || accuracy <= 0 || accuracy > 1 {
		t.Errorf("valid_loss %v, test_accuracy %v", rule["valid_loss"], rule["test_accuracy"])
	}
	if !strings.Contains(a.stderr, "test accuracy") || !strings.Contains(a.stderr, "%") {
		t.Errorf("the table lacks the accuracy:\n%s", a.stderr)
	}
}
