package reproduce

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"learnedopt/baselines"
	"learnedopt/compare"
	"learnedopt/internal/durable"
	"learnedopt/metaopt"
	"learnedopt/report"
	"learnedopt/report/comparison"
)

// Files of a figure's folder.
const (
	curvesFile = "curves"      // .png and .svg
	resultFile = "result.json" // FigureResult, and of the table a list of RowResult
	tableFile  = "table.md"    // the table in Markdown
)

// FigureResult is a figure's result.json.
type FigureResult struct {
	Figure      string                `json:"figure"`
	Number      string                `json:"number"`
	Commands    []string              `json:"commands"`
	Comparisons []*compare.Comparison `json:"comparisons"`
	Tuning      [][]baselines.Tuned   `json:"tuning"`
	// Paper are the paper's values, one list for each comparison.
	Paper [][]PaperStep `json:"paper"`
}

// paperNote explains the paper's values.
const paperNote = "The paper's values are read off its figure, within 5%. Its hand-designed rules were tuned for the last loss, ours for the mean over all steps."

// A Drawn figure is in its folder.
type Drawn struct {
	Figure
	Dir   string
	Files []string // the names of its files
	write func(io.Writer, comparison.TableWriter) error
}

// Write writes the figure's table, and in sentences what it says.
func (d *Drawn) Write(w io.Writer, table comparison.TableWriter) error { return d.write(w, table) }

// Figure runs a figure, draws it and writes its folder: the picture, the table and the results. A name that is no
// figure's panics.
func (r *Reproduction) Figure(ctx context.Context, name string) (*Drawn, error) {
	i := slices.Index(FigureNames(), name)
	if i < 0 {
		panic(panicFigure)
	}
	return r.figure(ctx, figures[i])
}

// figure runs and draws a figure.
func (r *Reproduction) figure(ctx context.Context, f Figure) (*Drawn, error) {
	if f.grid != nil {
		return r.architectures(ctx, f)
	}
	v, err := r.versus(f.task, f.options, f.steps)
	if err != nil {
		return nil, err
	}
	entrants, err := r.learned(f.task)
	if err != nil {
		return nil, err
	}
	tell(r.listener, FigureStarted{Figure: f, Task: v.Family.Name(), Of: 1})
	res, err := r.store.compare(ctx, v, entrants)
	if err != nil {
		return nil, err
	}
	paper := f.paper
	if !r.asPublished(f.task) {
		paper = nil
	}
	plot, err := f.plot(res.Comparison, paper, horizonOf(entrants))
	if err != nil {
		return nil, err
	}
	out := FigureResult{
		Figure: f.Name, Number: f.Number, Comparisons: []*compare.Comparison{res.Comparison},
		Tuning: [][]baselines.Tuned{res.Tuned}, Paper: [][]PaperStep{paper},
	}
	for _, e := range entrants {
		out.Commands = append(out.Commands, compareCommand(v, e.path))
	}
	return r.write(f, out, plot, func(w io.Writer, table comparison.TableWriter) error {
		return f.print(w, table, res.Comparison, paper)
	})
}

// horizonOf returns the number of steps for which all entrants were trained, or 0 if they differ.
func horizonOf(entrants []entrant) int {
	var all []*metaopt.Optimizer
	for _, e := range entrants {
		all = append(all, e.optimizer)
	}
	return comparison.CommonHorizon(all)
}

// write writes a figure's folder, and returns what is in it.
func (r *Reproduction) write(f Figure, out FigureResult, plot *report.Plot, print func(io.Writer, comparison.TableWriter) error) (*Drawn, error) {
	dir := filepath.Join(r.Out, f.Name)
	if err := makeFolder(dir); err != nil {
		return nil, err
	}
	for _, format := range []string{".png", ".svg"} {
		if err := plot.Save(filepath.Join(dir, curvesFile+format)); err != nil {
			return nil, err
		}
	}
	if err := writeJSON(filepath.Join(dir, resultFile), out); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "### %s: %s\n\n![%s](%s.svg)\n\n", f.Number, f.Title, f.Title, curvesFile)
	if err := print(&b, report.Markdown); err != nil {
		return nil, err
	}
	fmt.Fprintf(&b, "\n```sh\n%s\n```\n", strings.Join(out.Commands, "\n"))
	if err := durable.Replace(filepath.Join(dir, tableFile), b.Bytes()); err != nil {
		return nil, err
	}
	return &Drawn{f, dir, []string{curvesFile + ".png", curvesFile + ".svg", resultFile, tableFile}, print}, nil
}

// writeJSON writes v to a file.
func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return durable.Replace(path, append(data, '\n'))
}

// scale is what a result's losses are divided by.
func (f Figure) scale(r compare.Result) compare.Number {
	if f.ratio {
		return r.Curve[0]
	}
	return 1
}

// plot draws the curves and the paper's values.
func (f Figure) plot(c *compare.Comparison, paper []PaperStep, horizon int) (*report.Plot, error) {
	var series []report.Series
	for _, r := range comparison.Ranked(c) {
		scaled := func(x []compare.Number) []float64 {
			y := make([]float64, len(x))
			for i, v := range x {
				y[i] = float64(v) / float64(f.scale(r))
			}
			return y
		}
		series = append(series, report.Series{
			Name: comparison.DisplayName(r), Mean: scaled(r.Curve), Lo: scaled(r.CurveCI95[0]), Hi: scaled(r.CurveCI95[1]),
			Learned: r.Kind == compare.Learned,
		})
	}
	o := report.CurveOptions{Horizon: float64(horizon), YMin: f.yMin, YMax: f.yMax}
	if f.ratio {
		o.YLabel = "loss f(θ_t) / f(θ_0)"
	}
	var x, lstm, best []float64
	for _, p := range paper {
		_, value := p.best()
		x, lstm, best = append(x, float64(p.Step)), append(lstm, p.LSTM), append(best, value)
	}
	if len(paper) > 0 {
		o.Points = []report.Points{
			{Name: paperLSTM, X: x, Y: lstm, Learned: true},
			{Name: paperBest, X: x, Y: best},
		}
	}
	title := fmt.Sprintf("%s: %s (mean of %d instances)", f.Number, f.Title, c.Runs)
	return report.Curves(title, series, o)
}

// The names of the paper's values.
const (
	paperLSTM = "paper, LSTM"
	paperBest = "paper, best hand-designed"
)

// print writes the table of a comparison at the paper's steps.
func (f Figure) print(w io.Writer, table comparison.TableWriter, c *compare.Comparison, paper []PaperStep) error {
	what := "losses"
	if f.ratio {
		what = "losses as a part of the first one"
	}
	fmt.Fprintf(w, "%s: %d steps, %s, averages over %d fresh instances\n\n", c.Task, c.Steps, what, c.Runs)
	steps := slices.Clone(paper)
	if len(steps) == 0 {
		steps = []PaperStep{{Step: c.Steps}}
	}
	header := []string{"rule", "learning rate"}
	for _, p := range steps {
		header = append(header, fmt.Sprintf("step %d", p.Step))
		if p.Step == c.Steps {
			header = append(header, "95% interval")
		}
		if len(paper) > 0 {
			header = append(header, "paper's")
		}
	}
	var rows [][]string
	for _, r := range comparison.Ranked(c) {
		cells := []string{comparison.DisplayName(r), "–"}
		if r.LearningRate != nil {
			cells[1] = short(*r.LearningRate)
		}
		for _, p := range steps {
			scale := float64(f.scale(r))
			cells = append(cells, short(float64(r.Curve[p.Step])/scale))
			if p.Step == c.Steps {
				cells = append(cells, rangeText(r.CurveCI95[0][p.Step], r.CurveCI95[1][p.Step], scale))
			}
			value := p.of(r.Name)
			if r.Kind == compare.Learned {
				value = p.LSTM
			}
			if len(paper) > 0 {
				cells = append(cells, short(value))
			}
		}
		rows = append(rows, cells)
	}
	if err := table(w, header, rows); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, text := range append(f.lastRatios(c, paper), pairedTexts(c)...) {
		fmt.Fprintln(w, text)
	}
	if len(paper) > 0 {
		fmt.Fprintln(w, paperNote)
	}
	return nil
}

func pairedTexts(c *compare.Comparison) []string {
	var all []string
	for _, p := range c.Paired {
		all = append(all, "Mean loss, "+comparison.PairedText(c, p))
	}
	return all
}

// lastRatios says how far the learned rules are below the best hand-designed one at the last step.
func (f Figure) lastRatios(c *compare.Comparison, paper []PaperStep) []string {
	at := func(r compare.Result) float64 { return float64(r.Curve[c.Steps]) }
	least, name := math.Inf(1), ""
	for _, r := range c.Rules {
		if r.Kind == compare.Baseline && at(r) < least {
			least, name = at(r), r.Name
		}
	}
	var texts []string
	for _, r := range c.Rules {
		if r.Kind != compare.Learned || name == "" {
			continue
		}
		text := fmt.Sprintf("Step %d, %s / %s: %s", c.Steps, r.Name, name, short(at(r)/least))
		for _, p := range paper {
			if rule, best := p.best(); p.Step == c.Steps {
				text += fmt.Sprintf("; the paper's LSTM / %s: %s", rule, short(p.LSTM/best))
			}
		}
		texts = append(texts, text+".")
	}
	return texts
}

// rangeText prints an interval.
func rangeText(lo, hi compare.Number, scale float64) string {
	if !lo.Finite() || !hi.Finite() {
		return "–"
	}
	return short(float64(lo)/scale) + "–" + short(float64(hi)/scale)
}
