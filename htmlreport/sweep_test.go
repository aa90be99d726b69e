package htmlreport

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"learnedopt/compare"
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
	wantTexts(t, s, "[mixed] mlp against adam in 29 cells: won 13, lost 16, open 0. Median speed-up: at least 2.11 times the steps.",
		"Worst cell: units 40, steps 10000, activation sigmoid, by the runs that diverged (lost).", "29 of 30 cells have results.",
		"units 40, steps 10000, activation sigmoid: mlp diverged in 2 of 8 runs: instance 0: loss not finite at step 12")
}

// Without sweep.json axes come from the cells, numbers in order of size.
func TestAxesOfCells(t *testing.T) {
	cells := ""
	for _, units := range []int{80, 5, 10} {
		cells += cellRecord(t, units, 100, "relu", "mlp", compare.Learned, 1, 0)
	}
	s := readSweep(t, "", cells)
	if got := fmt.Sprint(s.Sweep.Axes); got != "[{activation [relu]} {steps [100]} {units [5 10 80]}]" {
		t.Errorf("axes %s", got)
	}
	s = readSweep(t, `{"axes":{"units":[5,10,80,160],"dims":[1]}}`, cells)
	if got := fmt.Sprint(s.Sweep.Axes); got != "[{units [5 10 80 160]} {dims [1]} {activation [relu]} {steps [100]}]" {
		t.Errorf("axes %s", got)
	}
}

// The pair of a cell is what package metaopt says of the same losses.
func TestPairsAreThoseOfMetaopt(t *testing.T) {
	s := readSweep(t, "", cellRecord(t, 5, 100, "relu", "mlp", compare.Learned, 0.95, 0)+cellRecord(t, 5, 100, "relu", "adam", compare.Baseline, 0.9, 0))
	losses := func(level float64) (x []compare.Number) {
		l := newSweepLog(manifest{})
		l.add([]byte(cellRecord(t, 5, 100, "relu", "x", compare.Learned, level, 0)))
		return l.sweep.Cells[0].records[0].MeanLosses
	}
	a, b := losses(0.95), losses(0.9)
	c := compare.Comparison{Runs: len(a), Seed: 5, Rules: []compare.Result{
		{Name: "mlp", Kind: compare.Learned, MeanLosses: a, MeanLoss: mean(a)}, {Name: "adam", Kind: compare.Baseline, MeanLosses: b, MeanLoss: mean(b)},
	}}
	c.Pair()
	got, want := s.Sweep.Cells[0].Pairs[0], c.Paired[0]
	if got.Verdict != want.Verdict || got.Ratio != Num(want.Ratio) || got.CI95 != [2]Num{Num(want.RatioCI95[0]), Num(want.RatioCI95[1])} || got.Verdict != lost {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// What a record says of its pairs counts; another number of instances is no pair.
func TestPairsOfRecords(t *testing.T) {
	said := strings.Replace(cellRecord(t, 5, 100, "relu", "mlp", compare.Learned, 0.5, 0), `"key"`, `"paired":{"adam":{"ratio":0.98,"ci95":[0.9,1.1],"verdict":"undecided"}},"key"`, 1)
	adam := cellRecord(t, 5, 100, "relu", "adam", compare.Baseline, 0.9, 0)
	sgd := strings.Replace(cellRecord(t, 5, 100, "relu", "sgd", compare.Baseline, 0.9, 0), `"mean_losses":[`, `"mean_losses":[1,`, 1)
	nesterov := strings.Replace(cellRecord(t, 5, 100, "relu", "nesterov", compare.Baseline, 0.9, 0), `"seed":5`, `"seed":6`, 1)
	s := readSweep(t, "", adam+said+sgd+nesterov)
	pairs := s.Sweep.Cells[0].Pairs
	if p := pairs[0]; p.Baseline != "adam" || p.Verdict != open || p.Ratio != 0.98 || p.CI95 != [2]Num{0.9, 1.1} {
		t.Errorf("%+v", p)
	}
	if p := pairs[1]; p.Baseline != "sgd" || p.Verdict != open || p.Ratio.finite() {
		t.Errorf("a pair of other numbers of instances: %+v", p)
	}
	if p := pairs[2]; p.Baseline != "nesterov" || p.Verdict != open || p.Ratio.finite() {
		t.Errorf("a pair of other instances: %+v", p)
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
	many := `{"rule":{"name":"x"},"mean_losses":[` + strings.Repeat("1,", maxInstances) + `1]}`
	bad := []string{"{", many, `{"rule":{"name":"x"},"mean_losses":[]}`, `{"mean_losses":[1]}`, `{"rule":{"name":"x"},"mean_losses":["a"]}`, strings.Repeat("[", 20000)}
	s := readSweep(t, `{"axes":[{"name":"units","values":[`+strings.Repeat("1,", 100000)+`1]}]}`, strings.Join(bad, "\n")+"\n"+good)
	wantTexts(t, s, fmt.Sprintf("cells.jsonl: lines that could not be read and were left out: %d", len(bad)))
	if len(s.Sweep.Cells) != 1 || len(s.Sweep.Axes[0].Values) > maxValues+1 {
		t.Errorf("%d cells, %d values", len(s.Sweep.Cells), len(s.Sweep.Axes[0].Values))
	}
	if s = readSweep(t, "{", good); len(s.Sweep.Cells) != 1 {
		t.Error("a broken sweep.json hides the cells")
	}
	wantTexts(t, s, "sweep.json: could not be read: unexpected end of JSON input")
}

func TestCompareValues(t *testing.T) {
	values := []string{"relu", "1e3", "20", "sigmoid", "5", "0.1"}
	slices.SortFunc(values, compareValues)
	if got := strings.Join(values, " "); got != "0.1 5 20 1e3 relu sigmoid" {
		t.Error(got)
	}
}

// A manifest says which records are of its cells, and what they are called now.
func TestRecordsGoWhereTheManifestSays(t *testing.T) {
	manifest := `{"version":"v2","axes":[{"key":"units","values":["5","10"]}],"rules":[{"name":"new name","kind":"learned","digest":"abc"},{"name":"adam","kind":"baseline","tuned":"cell"}],
		"cells":[{"values":{"units":"5"},"keys":["mlp5100relu","adam5100relu"]},{"values":{"units":"10"},"keys":["mlp10100relu","adam5100relu"]}]}`
	cells := cellRecord(t, 5, 100, "relu", "mlp", compare.Learned, 0.5, 0) + cellRecord(t, 5, 100, "relu", "adam", compare.Baseline, 0.9, 0) +
		cellRecord(t, 80, 100, "relu", "mlp", compare.Learned, 0.5, 0)
	s := readSweep(t, manifest, cells)
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
}

// The speed-up by the curve that the hand-designed rule has reached: the final loss of 0.9·0.25·(mean of 1+0.2 sin) is there at index 2.
func TestSpeedUpByReach(t *testing.T) {
	for reach, want := range map[string]string{"[2,1,0.2,0.1,0.05]": "0.4 false", "[2,1,0.9,0.8]": "0.6 true", "[0.01]": "0 false"} {
		adam := strings.Replace(cellRecord(t, 5, 100, "relu", "adam", compare.Baseline, 2, 0), `"key"`, `"reach":`+reach+`,"reach_every":20,"key"`, 1)
		learned := strings.Replace(cellRecord(t, 5, 100, "relu", "mlp", compare.Learned, 0.9, 0), `"speed_up"`, `"x"`, 1)
		p := readSweep(t, "", adam+learned).Sweep.Cells[0].Pairs[0]
		if p.SpeedUp == nil || fmt.Sprintf("%v %v", *p.SpeedUp, p.Censored) != want {
			t.Errorf("%s: %+v, want %s", reach, p, want)
		}
	}
}
