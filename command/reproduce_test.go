package command

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"learnedopt/compare"
	"learnedopt/reproduce"
)

const quadraticFile = "../metaopt/testdata/quadratic.mopt"

// modified returns when each file of the cache was written.
func modified(t *testing.T, out string) map[string]int64 {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(out, "cache"))
	if err != nil {
		t.Fatal(err)
	}
	times := map[string]int64{}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		times[e.Name()] = info.ModTime().UnixNano()
	}
	return times
}

// This test checks a figure, its files, and what a second run takes from the cache.
func TestReproduceAFigureAndAgain(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	args := []string{"reproduce", "quadratics", "--optimizer", quadraticFile, "--quick", "--runs", "2", "--tune-runs", "1", "--out", out}
	a := succeed(t, args...)
	for _, want := range []string{"Fig. 4, left", "quadratic dims=10 batch=128: 100 steps", "step 20", "paper's", "0.039", "0.215",
		"the paper's LSTM / adam: 0.765.", "on the same instances", "within 5%"} {
		if !strings.Contains(a.stdout, want) {
			t.Errorf("no %q in\n%s", want, a.stdout)
		}
	}
	dir := filepath.Join(out, "quadratics")
	table := readFile(t, filepath.Join(dir, "table.md"))
	for _, want := range []string{"| rule ", "(curves.svg)", "metaopt compare " + quadraticFile + " --task quadratic --dims 10 --batch 128 --steps 100 --runs 2 --tune-runs 1 --grid 1 --seed 0"} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q in\n%s", want, table)
		}
	}
	if svg := readFile(t, filepath.Join(dir, "curves.svg")); !strings.Contains(svg, "paper, LSTM") || !strings.Contains(svg, "paper, best hand-designed") || !strings.Contains(svg, "f(θ_t) / f(θ_0)") {
		t.Error("the picture lacks the paper's values")
	}
	var res reproduce.FigureResult
	if err := json.Unmarshal([]byte(readFile(t, filepath.Join(dir, resultFile))), &res); err != nil || len(res.Comparisons) != 1 || len(res.Tuning[0]) != 4 || len(res.Paper[0]) != 2 {
		t.Errorf("%v, %+v", err, res)
	}

	// The printed command gives the numbers of the figure, digit for digit.
	command := strings.Fields(table[strings.Index(table, "metaopt compare"):strings.LastIndex(table, "\n```")])
	var same compare.Comparison
	if err := json.Unmarshal([]byte(succeed(t, append(command[1:], "--json", "-")...).stdout), &same); err != nil {
		t.Fatal(err)
	}
	for i, r := range res.Comparisons[0].Rules {
		if s := same.Rules[i]; s.Name != r.Name || s.MeanLoss != r.MeanLoss || !slices.Equal(s.Curve, r.Curve) {
			t.Errorf("%s: mean loss %v, by the printed command %s %v", r.Name, r.MeanLoss, s.Name, s.MeanLoss)
		}
	}
	if !slices.Equal(same.Paired, res.Comparisons[0].Paired) {
		t.Errorf("paired %+v, by the printed command %+v", res.Comparisons[0].Paired, same.Paired)
	}

	before := modified(t, out)
	if b := succeed(t, args...); b.stdout != a.stdout {
		t.Errorf("again:\n%s\nfirst:\n%s", b.stdout, a.stdout)
	}
	if after := modified(t, out); len(before) != 6 || len(after) != 6 {
		t.Errorf("the cache holds %v", after)
	} else {
		for name, at := range before {
			if after[name] != at {
				t.Errorf("%s was computed again", name)
			}
		}
	}
	// A row of the table asks the same questions. Another optimizer adds only one question.
	other := trained(t, "--name", "other", "--task", "quadratic")
	b := succeed(t, "reproduce", "table", "--rows", "quadratic-100", "--optimizer", other, "--quick", "--runs", "2", "--tune-runs", "1", "--out", out)
	after := modified(t, out)
	for name, at := range before {
		if after[name] != at {
			t.Errorf("%s was computed again for another optimizer", name)
		}
	}
	if len(after) != 7 || !strings.Contains(b.stdout, "last ≤ 0.7 × tuned") {
		t.Errorf("the cache holds %v after\n%s", after, b.stdout)
	}
	// Another seed is another question.
	succeed(t, append(args, "--seed", "1")...)
	for name, at := range modified(t, out) {
		if at == before[name] {
			t.Errorf("%s is that of another seed", name)
		}
	}
}

func TestReproduceRefuses(t *testing.T) {
	fail(t, exitUsage, []string{"reproduce", "quadratic"}, "did you mean", "quadratics")
	fail(t, exitUsage, []string{"reproduce", "mnist", "relu"}, "one figure")
	fail(t, exitUsage, []string{"reproduce", "mnist", "--rows", "mnist-100"}, "--rows")
	fail(t, exitUsage, []string{"reproduce", "table", "--rows", "mnist-1000000"}, "did you mean", "mnist-10000")
	empty := t.TempDir()
	fail(t, exitFailure, []string{"reproduce", "mnist", "--optimizer", quadraticFile, "--data-dir", empty, "--out", filepath.Join(empty, "out")}, "metaopt data fetch mnist")
	if _, err := os.Stat(filepath.Join(empty, "out")); err == nil {
		t.Error("a folder was made without data")
	}
	a := succeed(t, "reproduce")
	for _, name := range append(reproduce.FigureNames(), reproduce.Table) {
		if !strings.Contains(a.stdout, "\n"+name+" ") {
			t.Errorf("the list lacks %s:\n%s", name, a.stdout)
		}
	}
}

// The figures of MNIST are drawn on the digits, which need no download and for which the paper has no values.
func TestReproduceOnDigits(t *testing.T) {
	if testing.Short() {
		t.Skip("renders the digits; not with -short")
	}
	out := t.TempDir()
	a := succeed(t, "reproduce", "mnist", "--optimizer", quadraticFile, "--data", "digits", "--quick", "--runs", "1", "--tune-runs", "1", "--out", out)
	if !strings.Contains(a.stdout, "digits units=20") || strings.Contains(a.stdout, "paper's") {
		t.Errorf("not the digits alone:\n%s", a.stdout)
	}
}
