package sweep

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"learnedopt/baselines"
	"learnedopt/compare"
	"learnedopt/metaopt"
	"learnedopt/sweep/results"
	"learnedopt/tasks"
	"learnedopt/versus"
)

// runAll runs a sweep to its end and returns its records without their times.
func runAll(t testing.TB, c Config, dir string) map[string]results.Record {
	t.Helper()
	s := open(t, dir)
	defer closeStore(t, s)
	if err := plan(t, c).Run(t.Context(), s, RunOptions{}); err != nil {
		t.Fatal(err)
	}
	return timeless(s.Records())
}

func timeless(records map[string]results.Record) map[string]results.Record {
	plain := map[string]results.Record{}
	for key, r := range records {
		r.Time, r.Seconds, r.StepTime = "", 0, nil
		plain[key] = r
	}
	return plain
}

// The records hold the numbers that compare.Evaluate gives at the learning rates that baselines.Tune finds.
func TestRecordsAreEvaluations(t *testing.T) {
	c := small(t)
	p := plan(t, c)
	records := runAll(t, c, t.TempDir())
	if len(records) != p.Total() || p.Missing(records) != 0 {
		t.Fatalf("%d records, want %d", len(records), p.Total())
	}
	for _, cell := range p.Cells {
		family, err := tasks.New("quadratic", tasks.Options{Batch: 4, Dims: map[string]int{"2": 2, "5": 5}[cell.Values["dims"]]})
		if err != nil {
			t.Fatal(err)
		}
		contenders := []compare.Contender{{Name: "q", Kind: compare.Learned, Rule: c.Learned[0].Optimizer.Network}}
		for _, name := range c.Rules {
			tuned, err := baselines.Tune(t.Context(), name, baselines.TuneConfig{Family: family, Steps: cell.Steps, Runs: 2, Grid: baselines.GridOf(1), Seed: 3})
			if err != nil {
				t.Fatal(err)
			}
			contenders = append(contenders, compare.Contender{Name: name + " (tuned here)", Kind: compare.Baseline, Rule: tuned.Rule, LearningRate: tuned.LearningRate})
		}
		want, err := compare.Evaluate(t.Context(), compare.EvalConfig{Family: family, Contenders: contenders, Steps: cell.Steps, Runs: 5, Seed: 3})
		if err != nil {
			t.Fatal(err)
		}
		for k, w := range want.Rules {
			r := records[cell.Keys[k]]
			if r.Rule.Name != w.Name || r.Rule.Kind != w.Kind || r.Task != want.Task || r.Steps != want.Steps || r.Runs != 5 || r.Seed != 3 ||
				!reflect.DeepEqual(r.Rule.LearningRate, w.LearningRate) || !reflect.DeepEqual(r.Cell, cell.Values) {
				t.Errorf("%s: record %+v is not of %+v", p.Name(cell), r.Rule, w)
			}
			if !reflect.DeepEqual(r.MeanLosses, w.MeanLosses) || !reflect.DeepEqual(r.FinalLosses, w.FinalLosses) ||
				!reflect.DeepEqual(r.Curve, w.Curve) || !reflect.DeepEqual(r.CurveCI95, w.CurveCI95) || r.Diverged != w.Diverged {
				t.Errorf("%s, %s: other losses than Evaluate's", p.Name(cell), w.Name)
			}
			if long := len(r.Reach) > 0; long != strings.HasPrefix(w.Name, "adam") {
				t.Errorf("%s has a reach: %v", w.Name, long)
			}
		}
		// The comparison is Evaluate's too.
		res := p.Results(records)
		for i := range res.Cells {
			if d := res.Cells[i].Duels[0]; reflect.DeepEqual(res.Cells[i].Values, cell.Values) &&
				(d.Best != want.Paired[0].Against || d.Ratio.Ratio != want.Paired[0].Ratio || d.Ratio.CI95 != want.Paired[0].RatioCI95) {
				t.Errorf("%s: duel %+v, paired %+v", p.Name(cell), d, want.Paired[0])
			}
		}
	}
}

// With KLGuard there is a further rule for each learned rule, whose losses are those of the guarded network, and no other record changes.
func TestLearnedRulesUnderAKLGuard(t *testing.T) {
	c := small(t)
	plain := runAll(t, c, t.TempDir())
	c.KLGuard = 0.01
	records, p := runAll(t, c, t.TempDir()), plan(t, c)
	for key, want := range plain {
		if !reflect.DeepEqual(records[key], want) {
			t.Errorf("%s in %v is another record", want.Rule.Name, want.Cell)
		}
	}
	if p.Rules[1].Name != "q"+KLGuardSuffix || p.Rules[1].KLGuard != 0.01 || len(records) != len(plain)+len(p.Cells) {
		t.Fatalf("rules %+v, %d records, %d without", p.Rules, len(records), len(plain))
	}
	q := compare.Contender{Name: "q", Rule: metaopt.Bounded{Rule: c.Learned[0].Optimizer.Network, Guard: metaopt.KLGuard{Radius: 0.01}}}
	for i, cell := range p.Cells {
		want, err := compare.Evaluate(t.Context(), compare.EvalConfig{Family: p.families[i], Contenders: []compare.Contender{q}, Steps: cell.Steps, Runs: 5, Seed: 3})
		if err != nil || !slices.Equal(want.Rules[0].MeanLosses, records[cell.Keys[1]].MeanLosses) {
			t.Errorf("%s: losses %v, want %v, error %v", p.Name(cell), records[cell.Keys[1]].MeanLosses, want.Rules[0].MeanLosses, err)
		}
		if slices.Equal(records[cell.Keys[0]].MeanLosses, records[cell.Keys[1]].MeanLosses) {
			t.Errorf("%s: the guard never acts: this test tells nothing", p.Name(cell))
		}
	}
	c.KLGuard = -1
	if c.Validate() == nil {
		t.Error("a negative radius is valid")
	}
}

// With TuneLearned there is a further rule for each learned rule and place of tuning. Its multiplier is the one that
// versus.TuneMultipliers finds, its losses are those of the scaled network, and no other record changes.
func TestLearnedRulesAreTuned(t *testing.T) {
	c := small(t)
	c.Tune, c.Grid = TuneBoth, 4
	plain := runAll(t, c, t.TempDir())
	c.TuneLearned = true
	dir := t.TempDir()
	records, p := runAll(t, c, dir), plan(t, c)
	for key, want := range plain {
		if !reflect.DeepEqual(records[key], want) {
			t.Errorf("%s in %v is another record", want.Rule.Name, want.Cell)
		}
	}
	var names []string
	for _, r := range p.Rules {
		names = append(names, r.Name)
	}
	if want := []string{"q", "q×tuned (tuned here)", "q×tuned (tuned on the base task)"}; !slices.Equal(names[:3], want) || len(records) != len(plain)+2*len(p.Cells) {
		t.Fatalf("rules %q, %d records, %d without", names, len(records), len(plain))
	}
	q := compare.Contender{Name: "q", Rule: c.Learned[0].Optimizer.Network}
	moved := 0
	for i, cell := range p.Cells {
		tuned, err := versus.TuneMultipliers(t.Context(), []compare.Contender{q}, 4, baselines.TuneConfig{Family: p.families[i], Steps: cell.Steps, Runs: 2, Seed: 3})
		if err != nil {
			t.Fatal(err)
		}
		r := records[cell.Keys[1]]
		if r.Rule.Multiplier == nil || *r.Rule.Multiplier != tuned[0].LearningRate || r.Rule.LearningRate != nil || r.Rule.Tuned != TuneCell || r.Rule.Digest != p.Rules[0].Digest {
			t.Fatalf("%s: %+v, tuned %v", p.Name(cell), r.Rule, tuned[0].LearningRate)
		}
		want, err := compare.Evaluate(t.Context(), compare.EvalConfig{Family: p.families[i], Contenders: []compare.Contender{versus.Scaled(q, "", tuned[0].LearningRate)}, Steps: cell.Steps, Runs: 5, Seed: 3})
		if err != nil || !slices.Equal(want.Rules[0].MeanLosses, r.MeanLosses) {
			t.Errorf("%s: losses %v, want %v, error %v", p.Name(cell), r.MeanLosses, want.Rules[0].MeanLosses, err)
		}
		base := records[cell.Keys[2]]
		if first := records[p.Cells[0].Keys[2]]; base.Rule.Multiplier == nil || *base.Rule.Multiplier != *first.Rule.Multiplier {
			t.Errorf("%s: the multiplier of the base task is %v, elsewhere %v", p.Name(cell), base.Rule.Multiplier, first.Rule.Multiplier)
		}
		if tuned[0].LearningRate != *base.Rule.Multiplier {
			moved++
		}
	}
	if moved == 0 {
		t.Error("the same multiplier is the best in every cell: this test tells nothing")
	}
	if res := p.Results(records); len(res.Summaries) != 3 || res.Missing != 0 || res.Cells[0].Records[1].Rule.Multiplier == nil {
		t.Errorf("%d summaries, %d missing", len(res.Summaries), res.Missing)
	}
	// The folder holds all of it: nothing is computed again, whatever the rule is called.
	s := open(t, dir)
	defer closeStore(t, s)
	c.Learned[0].Name = "renamed"
	if err := plan(t, c).Run(t.Context(), s, RunOptions{Progress: func(int, int64, int64) { t.Error("something is computed again") }}); err != nil {
		t.Error(err)
	}
}

// With Times every record has the time of a step, and its losses are what they are without.
func TestTimesAreInTheRecords(t *testing.T) {
	c := small(t)
	want := runAll(t, c, t.TempDir())
	c.Times = true
	s := open(t, t.TempDir())
	defer closeStore(t, s)
	if err := plan(t, c).Run(t.Context(), s, RunOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, r := range s.Records() {
		if r.StepTime == nil || !(r.StepTime.Gradient > 0 && r.StepTime.Update > 0) {
			t.Errorf("%s in %v: %+v", r.Rule.Name, r.Cell, r.StepTime)
		}
	}
	if !reflect.DeepEqual(timeless(s.Records()), want) {
		t.Error("with times, the records are others")
	}
}

func TestRecordsDoNotDependOnProcessors(t *testing.T) {
	var all []map[string]results.Record
	c := small(t)
	c.Tune = TuneBoth
	for _, procs := range []int{1, 2} {
		func() {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			all = append(all, runAll(t, c, t.TempDir()))
		}()
	}
	if !reflect.DeepEqual(all[0], all[1]) {
		t.Error("GOMAXPROCS 1 and 2 give other records")
	}
}

// A sweep is cancelled, the end of its last line is lost, and it is continued. It then holds the same records as a
// sweep that was never interrupted, and no finished record was computed again.
func TestResume(t *testing.T) {
	c := small(t)
	want := runAll(t, c, t.TempDir())
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	s := open(t, dir)
	p := plan(t, c)
	var total int64
	err := p.Run(ctx, s, RunOptions{Progress: func(cell int, done, all int64) {
		total = all
		if cell == 2 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want a cancellation", err)
	}
	closeStore(t, s)
	path := filepath.Join(dir, results.CellsFile)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(before), "\n"); lines != 2*len(p.Rules) {
		t.Fatalf("%d records of two cells before the interrupt", lines)
	}
	if err := os.WriteFile(path, before[:len(before)-7], 0o644); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	first, last := int64(-1), int64(0)
	err = p.Run(t.Context(), s, RunOptions{Progress: func(_ int, done, all int64) {
		if first < 0 {
			first = all
		}
		last = done
	}})
	if err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	if first >= total || last != first {
		t.Errorf("%d of %d inner steps the second time, of %d the first", last, first, total)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	whole := before[:strings.LastIndexByte(strings.TrimSuffix(string(before), "\n"), '\n')+1]
	if !strings.HasPrefix(string(after), string(whole)) || strings.Count(string(after), "\n") != p.Total() {
		t.Error("the records that were there are not as they were, each once")
	}
	s = open(t, dir)
	defer closeStore(t, s)
	if !reflect.DeepEqual(timeless(s.Records()), want) {
		t.Error("the records are not those of a sweep that was never interrupted")
	}
	err = p.Run(t.Context(), s, RunOptions{Progress: func(int, int64, int64) { t.Error("a finished sweep runs again") }})
	if err != nil {
		t.Error(err)
	}
}

// A learning rate of the base task is tuned once for all cells. It is not tuned again when an optimizer is added.
func TestTuningIsKept(t *testing.T) {
	c := small(t)
	c.Tune, c.Axes = TuneBase, []Axis{{Key: "loss-scale", Values: []string{"1000", "1", "10"}}}
	dir := t.TempDir()
	records := runAll(t, c, dir)
	rates := map[string]float64{}
	for _, r := range records {
		if r.Rule.Kind == compare.Baseline {
			if before, ok := rates[r.Rule.Name]; ok && before != *r.Rule.LearningRate {
				t.Errorf("%s has the learning rates %v and %v", r.Rule.Name, before, *r.Rule.LearningRate)
			}
			rates[r.Rule.Name] = *r.Rule.LearningRate
		}
	}
	base, err := tasks.New("quadratic", tasks.Options{Batch: 4})
	if err != nil {
		t.Fatal(err)
	}
	want, err := baselines.Tune(t.Context(), "sgd", baselines.TuneConfig{Family: base, Steps: 8, Runs: 2, Grid: baselines.GridOf(1), Seed: 3})
	if got := rates["sgd (tuned on the base task)"]; err != nil || got != want.LearningRate {
		t.Errorf("sgd has the learning rate %v, want %v of the base task; error %v", got, want.LearningRate, err)
	}
	s := open(t, dir)
	defer closeStore(t, s)
	if len(s.tunings) != 2 {
		t.Errorf("%d tunings, want sgd and adam", len(s.tunings))
	}
	for _, tuning := range s.tunings {
		if tuning.Task != "quadratic dims=10 batch=4" || tuning.Steps != 8 {
			t.Errorf("%s was tuned on %s, %d steps; want the base task", tuning.Rule, tuning.Task, tuning.Steps)
		}
	}
	c.Learned[0].Optimizer, _ = metaopt.Pretrained("mlp")
	var steps int64
	if err := plan(t, c).Run(t.Context(), s, RunOptions{Progress: func(_ int, done, _ int64) { steps = done }}); err != nil {
		t.Fatal(err)
	}
	if want := int64(3 * 5 * 8); steps != want {
		t.Errorf("another optimizer took %d inner steps, want its own %d", steps, want)
	}
}

// A rule that diverges at every learning rate is left out for good; the other rules still run.
func TestUntunableRuleIsLeftOut(t *testing.T) {
	c := small(t)
	c.Axes, c.Rules = []Axis{{Key: "loss-scale", Values: []string{"1", "1e11"}}}, []string{"sgd", "adam"}
	c.Steps = 30
	dir := t.TempDir()
	for pass := range 2 {
		s := open(t, dir)
		var notes []string
		p := plan(t, c)
		calls := 0
		err := p.Run(t.Context(), s, RunOptions{
			Note:     func(format string, _ ...any) { notes = append(notes, format) },
			Progress: func(int, int64, int64) { calls++ },
		})
		if err != nil {
			t.Fatal(err)
		}
		left := slices.ContainsFunc(notes, func(n string) bool { return strings.Contains(n, "left out") })
		if missing := p.Missing(s.Records()); missing != 1 || left != (pass == 0) || (calls > 0) != (pass == 0) {
			t.Errorf("pass %d: %d records are missing, left out: %v, %d runs", pass, missing, left, calls)
		}
		res := p.Results(s.Records())
		if d := res.Cells[1].Duels[0]; d.Best != "adam (tuned here)" || res.Missing != 1 {
			t.Errorf("pass %d: best is %q of what is there", pass, d.Best)
		}
		closeStore(t, s)
	}
}

func TestDivergencesAreTold(t *testing.T) {
	c := small(t)
	c.Axes, c.Rules, c.Tune = []Axis{{Key: "loss-scale", Values: []string{"1", "1e12"}}}, []string{"sgd"}, TuneBase
	c.Steps = 30
	p := plan(t, c)
	dir := t.TempDir()
	records := runAll(t, c, dir)
	r := records[p.Cells[1].Keys[1]] // sgd with the rate of scale 1
	if r.Diverged != 5 || len(r.DivergedAt) != 5 || !strings.HasPrefix(r.DivergedAt[2], "instance 2: ") || !strings.Contains(r.DivergedAt[2], "diverged at step") {
		t.Fatalf("%d diverged: %q", r.Diverged, r.DivergedAt)
	}
	for _, x := range append(r.MeanLosses, r.FinalLosses...) {
		if !math.IsInf(float64(x), 1) {
			t.Errorf("a diverged run has the loss %v", x)
		}
	}
	if err := p.Write(dir); err != nil {
		t.Fatal(err)
	}
	res, err := results.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if d := res.Cells[1].Duels[0]; d.Ratio.Verdict != compare.Won || d.BestDiverged != 5 || d.Ratio.Ratio.Finite() {
		t.Errorf("against what diverged: %+v", d)
	}
}
