package comparison

import (
	"math"
	"strings"
	"testing"

	"learnedopt/compare"
	"learnedopt/sweep/results"
)

// Every cell is in exactly one place: in the sheet of its values on the third and further axes, at its values on the first two
// axes.
func TestSheetsPlaceEveryCell(t *testing.T) {
	axes := []results.Axis{{Key: "a", Values: []string{"1", "2", "3"}}, {Key: "b", Values: []string{"1", "2"}}, {Key: "c", Values: []string{"1", "2"}}, {Key: "d", Values: []string{"1", "2", "3"}}}
	for n := range len(axes) + 1 {
		res := &results.Results{Manifest: &results.Manifest{Axes: axes[:n]}}
		all := []map[string]string{{}}
		for _, a := range axes[:n] {
			var next []map[string]string
			for _, values := range all {
				for _, v := range a.Values {
					more := map[string]string{a.Key: v}
					for key, value := range values {
						more[key] = value
					}
					next = append(next, more)
				}
			}
			all = next
		}
		for _, values := range all {
			res.Cells = append(res.Cells, results.CellResult{Cell: results.Cell{Values: values}})
		}
		sheets, x, y, _ := sheets(res)
		seen := map[*results.CellResult]bool{}
		for _, s := range sheets {
			for i, row := range s.cells {
				for j, c := range row {
					seen[c] = true
					for key, want := range map[string]string{x.Key: x.Values[j], y.Key: y.Values[i]} {
						if c.Values[key] != want {
							t.Errorf("%d axes, sheet %q: cell %v is at %s %s", n, s.title, c.Values, key, want)
						}
					}
					for _, key := range []string{"c", "d"} {
						if v := c.Values[key]; v != "" && !strings.Contains(s.title, key+" "+v) {
							t.Errorf("%d axes: cell %v is in the sheet %q", n, c.Values, s.title)
						}
					}
				}
			}
		}
		if len(seen) != len(all) {
			t.Errorf("%d axes: %d cells are drawn, want %d", n, len(seen), len(all))
		}
	}
}

func TestSummaryText(t *testing.T) {
	res := &results.Results{Manifest: &results.Manifest{Axes: []results.Axis{{Key: "units"}}, Runs: 20}, Cells: []results.CellResult{{}, {
		Cell:  results.Cell{Values: map[string]string{"units": "80"}},
		Duels: []results.Duel{{Rule: "mine", Best: "sgd (tuned here)", Ratio: results.Ratio{Ratio: 1.5}}},
	}}}
	bound := results.SpeedUp{Factor: 4, Censored: true}
	s := results.Summary{Rule: "mine", Cells: 4, Won: 2, Lost: 1, Open: 1, Worst: 1, SpeedUps: []results.SpeedUp{{Factor: 0.5}, {Factor: 2}, bound}}
	const head = "mine: won 2 of 4 cells, lost 1, open 1. Worst cell: units=80, with 1.50 × the mean loss of sgd (tuned here)."
	for _, c := range []struct {
		ups  []results.SpeedUp
		want string
	}{
		{s.SpeedUps, head + " Tuned adam needs 2.00× as many steps to reach its final loss: the median of 3 cells, from 0.50× to more than 4×."},
		{[]results.SpeedUp{bound, bound}, head + " Tuned adam needs at least 4× as many steps to reach its final loss: the median of 2 cells."},
		{[]results.SpeedUp{{Factor: 0.5}}, head + " Tuned adam needs 0.50× as many steps to reach its final loss."},
		{nil, head},
	} {
		s.SpeedUps = c.ups
		if got := summaryText(res, s); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	res.Cells[1].Duels[0].Diverged = 3
	if got := summaryText(res, s); !strings.HasSuffix(got, "Worst cell: units=80, where it diverged in 3 of 20.") {
		t.Errorf("%q", got)
	}
	res.Cells[1].Duels[0].Diverged, res.Cells[1].Duels[0].BestDiverged = 0, 2
	if got := summaryText(res, s); !strings.HasSuffix(got, "Worst cell: units=80, where sgd (tuned here) diverged in 2 of 20.") {
		t.Errorf("%q", got)
	}
}

// If only the best tuned rule diverged, the row says so and shows no numbers that do not exist.
func TestARowSaysWhichRuleDiverged(t *testing.T) {
	inf := compare.Number(math.Inf(1))
	record := func(name, kind string, losses ...compare.Number) results.Record {
		r := results.Record{Steps: 1, Runs: len(losses), Rule: results.Rule{Name: name, Kind: kind}, MeanLosses: losses, FinalLosses: losses}
		for _, x := range losses {
			if !x.Finite() {
				r.Diverged++
			}
		}
		return r
	}
	res := &results.Results{Manifest: &results.Manifest{Runs: 3, Tune: results.TuneCell}}
	c := results.Compare(results.Cell{}, []results.Record{record("mine", compare.Learned, 3, 3, 3), record("adam (tuned here)", compare.Baseline, 1, inf, 1)})
	if got, want := strings.Join(duelCells(res, c.Duels[0]), "|"), "3.0000|adam|1/3 diverged|–|–|won|–"; got != want {
		t.Errorf("row %s, want %s", got, want)
	}
	if h := heatOf(res, &c, "mine"); h.Text != "< all" || h.Note != "others diverged" || !h.Decided || h.Range != "" {
		t.Errorf("field %+v", h)
	}
}

func TestRatioText(t *testing.T) {
	for x, want := range map[float64]string{0.849: "0.85", 1: "1.00", 9.994: "9.99", 9.996: "10.0", 12.34: "12.3", 123.4: "123", 54321: "54321", 1e6: "1e+06", 0.0123: "0.012"} {
		if got := ratioText(compare.Number(x)); got != want {
			t.Errorf("%v is %q, want %q", x, got, want)
		}
	}
}

// timedSweepResults is a sweep over two cells: a learned rule and adam, timed in the first cell, and in the second adam alone. Adam needs
// half of the steps and an eighth of the time.
func timedSweepResults() *results.Results {
	m := &results.Manifest{Axes: []results.Axis{{Key: "units", Values: []string{"5", "10"}}}, Runs: 2, Tune: results.TuneCell, Rules: []results.Rule{
		{Name: "mine", Kind: compare.Learned}, {Name: "mine×tuned (tuned here)", Kind: compare.Learned, Tuned: results.TuneCell},
		{Name: "adam (tuned here)", Kind: compare.Baseline, Baseline: "adam", Tuned: results.TuneCell},
	}}
	records := map[string]results.Record{}
	for i, units := range m.Axes[0].Values {
		c := results.Cell{Values: map[string]string{"units": units}, Task: "task", Steps: 4}
		for k, rule := range m.Rules {
			key := units + rule.Name
			c.Keys = append(c.Keys, key)
			r := results.Record{Key: key, Steps: 4, Runs: 2, Rule: rule, MeanLosses: []compare.Number{1, 2}, FinalLosses: []compare.Number{1, 1},
				CurveSteps: []int{0, 2, 4}, Curve: []compare.Number{9, 3, 1}, CurveCI95: [2][]compare.Number{{8, 2, 1}, {10, 4, 2}}}
			switch {
			case k == 2:
				r.Reach, r.ReachEvery, r.StepTime = []compare.Number{9, 3, 1, 1, 1}, 1, &compare.StepTime{Gradient: 0.002, Update: 0.0005}
			case i == 0:
				r.StepTime = &compare.StepTime{Gradient: 0.002, Update: 0.008}
			}
			records[key] = r
		}
		m.Cells = append(m.Cells, c)
	}
	return m.Results(records)
}

// The table of a sweep has the time of a step where it is known, and the speed-up in time beside the speed-up in steps.
func TestSweepTableSaysWhatTimeTells(t *testing.T) {
	var b strings.Builder
	if err := WriteSweep(&b, timedSweepResults()); err != nil {
		t.Fatal(err)
	}
	text := spaces(b.String())
	for _, want := range []string{
		"verdict speed-up in time ms a step update\n", "\n 5 mine 1.5000 adam 1.5000 1.00 1.00–1.00 open 0.50× 0.12× 10 80%\n", "\n 5 mine×tuned 1.5000 adam", "\n 10 mine 1.5000 adam 1.5000 1.00 1.00–1.00 open 0.50× – – –\n",
		"In time: the same in wall time. " + timeNote, "needs 0.50× as many steps to reach its final loss: the median of 2 cells. In wall time that is 0.12× the time.\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	// Hand-designed rules alone have their times, too.
	res := timedSweepResults()
	for i := range res.Cells {
		res.Cells[i].Duels, res.Cells[i].Records = nil, res.Cells[i].Records[2:]
	}
	b.Reset()
	if err := WriteSweep(&b, res); err != nil || !strings.Contains(spaces(b.String()), "adam 1.5000 – – – – – – – 2.5 20%") {
		t.Errorf("error %v:\n%s", err, b.String())
	}
}

// Beside the curves by step there are the curves by time, with a gap for rules that were not timed in a cell.
func TestSweepIsDrawnAgainstTime(t *testing.T) {
	pictures := func(res *results.Results) map[string]string {
		all, err := DrawSweep(res)
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]string{}
		for _, p := range all {
			found[p.Name] = svg(t, p.Plot)
		}
		return found
	}
	all := pictures(timedSweepResults())
	for _, name := range []string{"heatmap-mine", "heatmap-mine-tuned", "curves-all", "time-all"} {
		if all[name] == "" {
			t.Errorf("no picture %s in %d", name, len(all))
		}
	}
	for want, there := range map[string]bool{"wall time on one core (ms)": true, "mine×tuned": true, ">20<": true, ">0<": false, "NaN": false} {
		if strings.Contains(all["time-all"], want) != there {
			t.Errorf("%q is in the picture against time: %v", want, !there)
		}
	}
	res := timedSweepResults()
	for i := range res.Cells {
		for k := range res.Cells[i].Records {
			res.Cells[i].Records[k].StepTime = nil
		}
	}
	if all = pictures(res); all["time-all"] != "" || all["curves-all"] == "" {
		t.Error("a picture against time without times, or none by step")
	}
}
