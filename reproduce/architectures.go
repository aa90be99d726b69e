package reproduce

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"

	"learnedopt/compare"
	"learnedopt/report"
	"learnedopt/report/comparison"
)

// architectures runs and draws the last loss against the number of units, with a panel for
// each number of layers.
func (r *Reproduction) architectures(ctx context.Context, f Figure) (*Drawn, error) {
	entrants, err := r.learned(f.task)
	if err != nil {
		return nil, err
	}
	if r.Quick {
		f.grid = slices.DeleteFunc(slices.Clone(f.grid), func(a architecture) bool { return !a.coarse })
	}
	out := FigureResult{Figure: f.Name, Number: f.Number}
	for i, a := range f.grid {
		if !r.asPublished(f.task) {
			f.grid = slices.Clone(f.grid)
			f.grid[i].paper = PaperStep{}
		}
		v, err := r.versus(f.task, fmt.Sprintf("units=%d layers=%d", a.units, a.layers), f.steps)
		if err != nil {
			return nil, err
		}
		tell(r.listener, FigureStarted{Figure: f, Task: v.Family.Name(), Index: i, Of: len(f.grid)})
		res, err := r.store.compare(ctx, v, entrants)
		if err != nil {
			return nil, err
		}
		out.Comparisons, out.Tuning = append(out.Comparisons, res.Comparison), append(out.Tuning, res.Tuned)
		out.Paper = append(out.Paper, nil)
		if p := f.grid[i].paper; p.LSTM != 0 {
			p.Step = f.steps
			out.Paper[i] = []PaperStep{p}
		}
		for _, e := range entrants {
			out.Commands = append(out.Commands, compareCommand(v, e.path))
		}
	}
	var names []string
	for _, e := range entrants {
		names = append(names, e.name)
	}
	plot, err := f.plotGrid(out.Comparisons, names)
	if err != nil {
		return nil, err
	}
	return r.write(f, out, plot, func(w io.Writer, table comparison.TableWriter) error {
		return f.printGrid(w, table, out.Comparisons, names)
	})
}

// gridRule returns the result of a rule, or nil if the rule could not be tuned.
func gridRule(c *compare.Comparison, name, kind string) *compare.Result {
	i := slices.IndexFunc(c.Rules, func(r compare.Result) bool { return r.Name == name && r.Kind == kind })
	if i < 0 {
		return nil
	}
	return &c.Rules[i]
}

// plotGrid draws the last losses of comparisons, one for each of f.grid.
func (f Figure) plotGrid(comparisons []*compare.Comparison, learned []string) (*report.Plot, error) {
	layers := map[int]int{} // to the panel
	var panels []report.Panel
	published := slices.ContainsFunc(f.grid, func(a architecture) bool { return a.paper.LSTM != 0 })
	for i, a := range f.grid {
		at, ok := layers[a.layers]
		if !ok {
			at = len(panels)
			layers[a.layers] = at
			panel := report.Panel{Title: fmt.Sprintf("%d hidden layers", a.layers)}
			if a.layers == 1 {
				panel.Title = "1 hidden layer"
			}
			for _, name := range learned {
				panel.Series = append(panel.Series, report.Series{
					Name: comparison.DisplayName(compare.Result{Name: name, Kind: compare.Learned}), Learned: true,
				})
			}
			for _, name := range defaultRules {
				panel.Series = append(panel.Series, report.Series{Name: name})
			}
			if published {
				panel.Points = []report.Points{{Name: paperLSTM, Learned: true}, {Name: paperBest}}
			}
			panels = append(panels, panel)
		}
		panel := &panels[at]
		for k := range panel.Series {
			s := &panel.Series[k]
			name, kind := s.Name, compare.Baseline
			if s.Learned {
				name, kind = learned[k], compare.Learned
			}
			mean, lo, hi := math.NaN(), math.NaN(), math.NaN()
			if r := gridRule(comparisons[i], name, kind); r != nil {
				last := len(r.Curve) - 1
				mean, lo, hi = float64(r.Curve[last]), float64(r.CurveCI95[0][last]), float64(r.CurveCI95[1][last])
			}
			s.X, s.Mean, s.Lo, s.Hi = append(s.X, float64(a.units)), append(s.Mean, mean), append(s.Lo, lo), append(s.Hi, hi)
		}
		if a.paper.LSTM != 0 {
			_, best := a.paper.best()
			for k, y := range []float64{a.paper.LSTM, best} {
				panel.Points[k].X, panel.Points[k].Y = append(panel.Points[k].X, float64(a.units)), append(panel.Points[k].Y, y)
			}
		}
	}
	title := fmt.Sprintf("%s: loss after %d steps (mean of %d instances)", f.Number, f.steps, comparisons[0].Runs)
	return report.Panels(title, panels, report.CurveOptions{
		XLabel: "units of each hidden layer", YLabel: fmt.Sprintf("loss f(θ_%d)", f.steps), Width: 1000,
	})
}

// printGrid writes a row for each architecture.
func (f Figure) printGrid(w io.Writer, table comparison.TableWriter, comparisons []*compare.Comparison, learned []string) error {
	fmt.Fprintf(w, "Loss after %d steps, averages over %d fresh instances\n\n", f.steps, comparisons[0].Runs)
	header := []string{"layers", "units"}
	for _, name := range learned {
		header = append(header, comparison.DisplayName(compare.Result{Name: name, Kind: compare.Learned}))
	}
	header = append(append(header, defaultRules...), "learned / best", paperLSTM, paperBest, "paper's LSTM / best")
	var rows [][]string
	for i, a := range f.grid {
		cells := []string{fmt.Sprint(a.layers), fmt.Sprint(a.units)}
		bestLearned, bestTuned := math.Inf(1), math.Inf(1)
		add := func(name, kind string, best *float64) {
			value := math.NaN()
			if r := gridRule(comparisons[i], name, kind); r != nil {
				value = float64(r.Curve[len(r.Curve)-1])
				*best = min(*best, value)
			}
			cells = append(cells, short(value))
		}
		for _, name := range learned {
			add(name, compare.Learned, &bestLearned)
		}
		for _, name := range defaultRules {
			add(name, compare.Baseline, &bestTuned)
		}
		lstm, best := math.NaN(), math.NaN()
		if a.paper.LSTM != 0 {
			lstm = a.paper.LSTM
			_, best = a.paper.best()
		}
		rows = append(rows, append(cells, short(bestLearned/bestTuned), short(lstm), short(best), short(lstm/best)))
	}
	if err := table(w, header, rows); err != nil {
		return err
	}
	if slices.ContainsFunc(f.grid, func(a architecture) bool { return a.paper.LSTM != 0 }) {
		fmt.Fprintf(w, "\n%s\n", paperNote)
	}
	return nil
}
