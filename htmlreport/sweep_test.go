package htmlreport

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"learnedopt/compare"
	"learnedopt/metaopt"
	"learnedopt/sweep"
	"learnedopt/sweep/results"
	"learnedopt/tasks"
)

func readSweep(t *testing.T, declared, cells string) *Source {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "sweep")
	if declared != "" {
		write(t, filepath.Join(dir, sweepFile), declared)
	}
	write(t, filepath.Join(dir, cellsFile), cells)
	s, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestASweepIsRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sweep")
	writeSweep(t, dir, "mlp")
	s, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	w := s.Sweep
	if s.Kind != "sweep" || len(w.Cells) != 29 || w.Planned != 30 {
		t.Fatalf("%s, %d of %d cells", s.Kind, len(w.Cells), w.Planned)
	}
	if got := fmt.Sprint(w.Axes); got != "[{units [5 10 20 40 80]} {steps [100 1000 10000]} {activation [sigmoid relu]}]" {
		t.Errorf("axes %s", got)
	}
	c := w.Cells[0]
	if c.At["units"] != "5" || len(c.Rules) != 3 || c.Rules[0].Name != "mlp" || !c.Rules[0].Learned || c.Rules[1].Tuned != "base" || len(c.Rules[0].Curve.Steps) > cellPoints {
		t.Errorf("cell 0: %+v", c)
	}
	p := c.Pairs[0]
	if p.Baseline != "adam" || p.Verdict != won || fmt.Sprintf("%.4f", p.Ratio) != "0.5556" || p.SpeedUp == nil || *p.SpeedUp != 4 || p.Censored {
		t.Errorf("pair %+v", p)
	}
	wantTexts(t, s, "[mixed] mlp against adam in 29 cells: won 13, lost 16, open 0. Median speed-up: at least 2.11× the steps, at least 0.527× the wall time. Worst cell: units 40, steps 10000, activation sigmoid, by the runs that diverged (lost).",
		"29 of 30 cells have results.",
		"units 40, steps 10000, activation sigmoid: mlp diverged in 2 of 8 runs: instance 0: loss not finite at step 12")
}

// Without sweep.json the axes come from the cells, with numbers in order of size.
func TestAxesOfCells(t *testing.T) {
	cells := ""
	for _, units := range []int{80, 5, 10} {
		cells += cellRecord(t, units, 100, "relu", "mlp", compare.Learned, 1, 0)
	}
	s := readSweep(t, "", cells)
	if got := fmt.Sprint(s.Sweep.Axes); got != "[{activation [relu]} {steps [100]} {units [5 10 80]}]" || s.Sweep.Planned != 0 || len(s.Problems) != 0 {
		t.Errorf("axes %s, %d cells planned, problems %v", got, s.Sweep.Planned, s.Problems)
	}
}

// The page agrees with package results on the same folder, for a finished sweep and for half of one.
func TestASweepThatWasRun(t *testing.T) {
	o, err := metaopt.Pretrained("quadratic")
	if err != nil {
		t.Fatal(err)
	}
	plan, err := sweep.Config{
		Task:  tasks.MustParse("quadratic batch=4"),
		Axes:  []sweep.Axis{{Key: "dims", Values: []string{"2", "5"}}, {Key: "loss-scale", Values: []string{"1", "1e12"}}},
		Steps: 30, Runs: 5, Seed: 3, Learned: []sweep.Learned{{Name: "q", Source: "pretrained:quadratic", Optimizer: o}},
		Rules: []string{"sgd", "adam"}, Tune: sweep.TuneBoth, TuneRuns: 2, Grid: 1, Reach: 3,
	}.Plan()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "sweep")
	store, err := sweep.OpenStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := errors.Join(plan.Write(dir), plan.Run(t.Context(), store, sweep.RunOptions{})); err != nil {
		t.Fatal(err)
	}
	check := func() (pairs, faster, diverged int) {
		t.Helper()
		page, err := Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		want, err := results.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(page.Sweep.Axes); page.Kind != "sweep" || n != 2 || page.Sweep.Planned != 4 || fmt.Sprint(page.Sweep.Seeds) != "[3]" {
			t.Fatalf("%s of %d axes, %d cells planned, seeds %v", page.Kind, n, page.Sweep.Planned, page.Sweep.Seeds)
		}
		for i, a := range want.Axes {
			if got := page.Sweep.Axes[i]; got.Name != a.Key || !slices.Equal(got.Values, a.Values) {
				t.Errorf("axis %v, want %v", got, a)
			}
		}
		cells := page.Sweep.Cells
		for _, w := range want.Cells {
			if len(w.Records) == 0 {
				continue
			}
			k := slices.IndexFunc(cells, func(c Cell) bool { return maps.Equal(c.At, w.Values) })
			if k < 0 || cells[k].Task != w.Task || cells[k].Steps != w.Steps || len(cells[k].Rules) != len(w.Records) {
				t.Fatalf("cell %v is not on the page as it is: %d of %v", w.Values, k, cells)
			}
			for _, r := range w.Records {
				if r.Diverged > 0 {
					diverged++
				}
				at := slices.IndexFunc(cells[k].Rules, func(x Rule) bool { return x.Name == r.Rule.Name })
				if at < 0 {
					t.Fatalf("%s is not on the page", r.Rule.Name)
				}
				got, found := cells[k].Rules[at], r.Result()
				if got.Learned != (r.Rule.Kind == compare.Learned) || got.MeanLoss != number(found.MeanLoss) || got.FinalLoss != number(found.FinalLoss) ||
					got.Diverged != r.Diverged || got.Runs != r.Runs || got.Tuned != r.Rule.Tuned || got.Source != r.Rule.Source || got.Digest != r.Rule.Digest ||
					(got.LearningRate == nil) != (r.Rule.LearningRate == nil) || got.LearningRate != nil && float64(*got.LearningRate) != *r.Rule.LearningRate {
					t.Errorf("rule %+v, want %+v", got, r.Rule)
				}
				if n := len(got.Curve.Steps); n != len(r.Curve) || got.Curve.Steps[n-1] != r.Steps || got.Curve.Mean[n-1] != number(r.Curve[n-1]) && r.Curve[n-1].Finite() {
					t.Errorf("%s: a curve of %d points", r.Rule.Name, n)
				}
				for baseline, ratio := range r.Paired {
					pairs++
					at := slices.IndexFunc(cells[k].Pairs, func(p Pair) bool { return p.Learned == r.Rule.Name && p.Baseline == baseline })
					if at < 0 {
						t.Fatalf("%s against %s is not on the page", r.Rule.Name, baseline)
					}
					p := cells[k].Pairs[at]
					if p.Ratio != number(ratio.Ratio) || p.CI95 != [2]Num{number(ratio.CI95[0]), number(ratio.CI95[1])} || p.Verdict != ratio.Verdict {
						t.Errorf("pair %+v, want %+v", p, ratio)
					}
					s, ok := r.SpeedUp[baseline]
					if ok != (p.SpeedUp != nil) || ok && (float64(*p.SpeedUp) != s.Factor || p.Censored != s.Censored) {
						t.Errorf("speed-up %+v, want %+v", p, s)
					}
					if ok {
						faster++
					}
				}
				if r.Rule.Kind == compare.Learned && len(cells[k].Pairs) != len(r.Paired) {
					t.Errorf("%d pairs, want %d", len(cells[k].Pairs), len(r.Paired))
				}
			}
		}
		return pairs, faster, diverged
	}
	if pairs, faster, diverged := check(); pairs < 12 || faster == 0 || diverged == 0 {
		t.Errorf("%d pairs, %d speed-ups, %d rules that diverged: no test", pairs, faster, diverged)
	}
	whole, err := os.ReadFile(filepath.Join(dir, cellsFile))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(whole), "\n")
	write(t, filepath.Join(dir, cellsFile), strings.Join(lines[:8], "")+lines[8][:20])
	if pairs, _, _ := check(); pairs != 4+2 {
		t.Errorf("%d pairs of the first eight records, want those of the first cell and two more", pairs)
	}
}

// Pairs follow from the losses: the pairs that a record itself holds are ignored. Rules on different instances are not paired.
func TestPairsFollowFromTheLosses(t *testing.T) {
	with := func(rule, kind string, change func(*results.Record)) string {
		r := newRecord(5, 100, "relu", rule, kind, 0.9, 0)
		change(&r)
		return line(t, r)
	}
	cells := with("adam", compare.Baseline, func(*results.Record) {}) +
		with("mlp", compare.Learned, func(r *results.Record) {
			r.Paired = map[string]results.Ratio{"adam": {Ratio: 0.1, Verdict: compare.Won}}
			r.SpeedUp = map[string]results.SpeedUp{"adam": {Factor: 99}}
		}) +
		with("sgd", compare.Baseline, func(r *results.Record) {
			r.Runs, r.MeanLosses, r.FinalLosses = 9, append(r.MeanLosses, 1), append(r.FinalLosses, 1)
		}) +
		with("nesterov", compare.Baseline, func(r *results.Record) { r.Seed = 6 }) + with("rmsprop", compare.Baseline, func(r *results.Record) { r.Steps = 99 })
	s := readSweep(t, "", cells)
	pairs := s.Sweep.Cells[0].Pairs
	if len(pairs) != 1 || pairs[0].Baseline != "adam" || pairs[0].Verdict != open || pairs[0].Ratio != 1 || *pairs[0].SpeedUp == 99 {
		t.Errorf("%+v", pairs)
	}
	wantTexts(t, s, "[open] mlp against adam in 1 cells: won 0, lost 0, open 1.")
}

func TestALaterRecordReplacesAnEarlierOne(t *testing.T) {
	s := readSweep(t, "", cellRecord(t, 5, 100, "relu", "mlp", compare.Learned, 0.5, 0)+cellRecord(t, 5, 100, "relu", "mlp", compare.Learned, 0.7, 0))
	if rules := s.Sweep.Cells[0].Rules; len(rules) != 1 || float64(rules[0].MeanLoss) < 0.65 {
		t.Errorf("%+v", rules)
	}
}

func TestHostileSweeps(t *testing.T) {
	good := cellRecord(t, 5, 100, "relu", "mlp", compare.Learned, 0.5, 0)
	with := func(change func(*results.Record)) string {
		r := newRecord(5, 100, "relu", "mlp", compare.Learned, 0.5, 0)
		change(&r)
		return strings.TrimSuffix(line(t, r), "\n")
	}
	many := make([]compare.Number, maxInstances+1)
	bad := []string{
		"{", `{"rule":{"name":"x"},"mean_losses":[]}`, strings.Repeat("[", 20000), strings.Replace(good[:len(good)-1], `"mean_losses":[`, `"mean_losses":["a",`, 1),
		with(func(r *results.Record) { r.Runs, r.MeanLosses, r.FinalLosses = len(many), many, many }),
		with(func(r *results.Record) { r.Key = "" }), with(func(r *results.Record) { r.Rule.Name = "" }), with(func(r *results.Record) { r.Steps = 0 }),
		with(func(r *results.Record) { r.Runs = 7 }), with(func(r *results.Record) { r.FinalLosses = nil }), with(func(r *results.Record) { r.Curve = nil }),
		with(func(r *results.Record) { r.Reach, r.ReachEvery = many, 0 }), with(func(r *results.Record) { r.Reach, r.ReachEvery = make([]compare.Number, maxReach+1), 1 }),
		with(func(r *results.Record) {
			for i := range maxAxes + 1 {
				r.Cell[fmt.Sprint(i)] = ""
			}
		}),
	}
	s := readSweep(t, "", strings.Join(bad, "\n")+"\n"+good)
	wantTexts(t, s, fmt.Sprintf("cells.jsonl: lines that could not be read and were left out: %d", len(bad)))
	if len(s.Sweep.Cells) != 1 {
		t.Errorf("%d cells", len(s.Sweep.Cells))
	}
	// If sweep.json cannot be read, all cells are still shown.
	axes := func(n int) []results.Axis { return make([]results.Axis, n) }
	for want, m := range map[string]any{
		"unexpected end of JSON input":                                       nil,
		"cannot unmarshal number into Go struct field":                       map[string]any{"axes": []any{map[string]any{"key": "units", "values": []int{5}}}},
		`rule "mlp" of kind "odd"`:                                           results.Manifest{Rules: []results.Rule{{Name: "mlp", Kind: "odd"}}},
		fmt.Sprintf("%d axes; a page has at most %d", maxAxes+1, maxAxes):    results.Manifest{Axes: axes(maxAxes + 1)},
		fmt.Sprintf("%d cells; a page has at most %d", maxCells+1, maxCells): results.Manifest{Cells: make([]results.Cell, maxCells+1)},
		fmt.Sprintf("%d values of an axis; a page has", maxValues+1):         results.Manifest{Axes: []results.Axis{{Values: make([]string, maxValues+1)}}},
	} {
		text := "{"
		if m != nil {
			text = line(t, m)
		}
		s := readSweep(t, text, good)
		if len(s.Sweep.Cells) != 1 || len(s.Sweep.Axes) != 3 {
			t.Errorf("%s: %d cells, %d axes", want, len(s.Sweep.Cells), len(s.Sweep.Axes))
		}
		wantTexts(t, s, "sweep.json: could not be read: ", want)
	}
}

// A page bounds the number of pairs that it compares, whatever the folder holds, and says which cells have no pairs.
func TestPairsAreBounded(t *testing.T) {
	l := newSweepLog(manifest{})
	l.work = maxWork - 8
	for _, units := range []int{5, 10} {
		l.add([]byte(cellRecord(t, units, 100, "relu", "mlp", compare.Learned, 0.5, 0)))
		l.add([]byte(cellRecord(t, units, 100, "relu", "adam", compare.Baseline, 0.9, 0)))
	}
	for range 2 { // the second time checks that a cell's old work is not counted twice
		l.compare(0)
	}
	l.compare(1)
	if a, b := l.sweep.Cells[0], l.sweep.Cells[1]; len(a.Pairs) != 1 || len(b.Pairs) != 0 || len(b.Rules) != 2 || !l.unpaired {
		t.Errorf("%d and %d pairs, %d rules", len(a.Pairs), len(b.Pairs), len(b.Rules))
	}
	r := newReader(folder{t.TempDir(), "."}, "x")
	r.sweep = l
	r.poll()
	var all problems
	r.unreadable(&all)
	if len(all.list) != 1 || !strings.Contains(all.list[0].What, "some cells have none") {
		t.Errorf("%v", all.list)
	}
}

// A pair without a ratio counts as better than every ratio if it was won, else as worse than every ratio.
func TestWorse(t *testing.T) {
	ordered := []Pair{{Ratio: nan, Verdict: won}, {Ratio: 0.5, Verdict: won}, {Ratio: 1, Verdict: open}, {Ratio: 3, Verdict: lost}, {Ratio: nan, Verdict: open}, {Ratio: nan, Verdict: lost}}
	for i, p := range ordered {
		for j, q := range ordered {
			if got := worse(p, q); got != (i > j) {
				t.Errorf("%+v is worse than %+v: %v", p, q, got)
			}
		}
	}
}

func TestCompareValues(t *testing.T) {
	values := []string{"relu", "1e3", "20", "sigmoid", "5", "0.1"}
	slices.SortFunc(values, compareValues)
	if got := strings.Join(values, " "); got != "0.1 5 20 1e3 relu sigmoid" {
		t.Error(got)
	}
}

// A manifest says which records belong to its cells, and the current names of their rules.
func TestRecordsGoWhereTheManifestSays(t *testing.T) {
	m := &results.Manifest{Version: "v2", Runs: 8, Axes: []results.Axis{{Key: "units", Values: []string{"5", "10"}}},
		Rules: []results.Rule{{Name: "new name", Kind: compare.Learned, Digest: "abc"}, {Name: "adam", Kind: compare.Baseline, Baseline: "adam", Tuned: results.TuneCell}},
		Cells: []results.Cell{
			{Values: map[string]string{"units": "5"}, Keys: []string{keyOf("mlp", 5, 100, "relu"), keyOf("adam", 5, 100, "relu")}},
			{Values: map[string]string{"units": "10"}, Keys: []string{keyOf("mlp", 10, 100, "relu"), keyOf("adam", 5, 100, "relu")}},
		}}
	cells := cellRecord(t, 5, 100, "relu", "mlp", compare.Learned, 0.5, 0) + cellRecord(t, 5, 100, "relu", "adam", compare.Baseline, 0.9, 0) +
		cellRecord(t, 80, 100, "relu", "mlp", compare.Learned, 0.5, 0)
	s := readSweep(t, line(t, m), cells)
	w := s.Sweep
	if len(w.Cells) != 2 || w.Planned != 2 || fmt.Sprint(w.Axes) != "[{units [5 10]}]" {
		t.Fatalf("%d cells of %d, axes %v", len(w.Cells), w.Planned, w.Axes)
	}
	if c := w.Cells[0]; c.Name != "units 5" || c.Rules[0].Name != "new name" || c.Rules[0].Digest != "abc" || c.Rules[1].Tuned != "cell" || *c.Rules[1].LearningRate != 0.03 || len(c.Pairs) != 1 {
		t.Errorf("%+v", c)
	}
	if c := w.Cells[1]; c.Name != "units 10" || len(c.Rules) != 1 || c.Rules[0].Name != "adam" {
		t.Errorf("a record that two cells share: %+v", c)
	}
	for _, x := range w.Settings {
		if strings.HasPrefix(x.Name, "cells") {
			t.Errorf("the cells are among the settings: %v", x)
		}
	}
	// Records with more instances belong to another sweep.
	m.Runs = 9
	if s := readSweep(t, line(t, m), cells); len(s.Sweep.Cells) != 0 {
		t.Errorf("%d cells of another number of instances", len(s.Sweep.Cells))
	}
}
