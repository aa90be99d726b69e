package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"learnedopt/baselines"
	"learnedopt/compare"
	"learnedopt/internal/durable"
	"learnedopt/metaopt"
	"learnedopt/report"
)

// tableFile is a figure's table in Markdown, beside curves and result.json.
const tableFile = "table.md"

// figureResult is a figure's result.json.
type figureResult struct {
	Figure      string                `json:"figure"`
	Number      string                `json:"number"`
	Commands    []string              `json:"commands"`
	Comparisons []*compare.Comparison `json:"comparisons"`
	Tuning      [][]baselines.Tuned   `json:"tuning"`
	// Paper holds the paper's values, one list for each comparison.
	Paper [][]paperStep `json:"paper"`
}

// paperNote explains the paper's values.
const paperNote = "The paper's values are read off its figure, within 5%. Its hand-designed rules were tuned for the last loss, ours for the mean over all steps."

// figure runs and draws a figure.
func (r *reproduction) figure(ctx context.Context, f figure) error {
	if f.grid != nil {
		return r.architectures(ctx, f)
	}
	v, err := r.versus(f.task, f.options, f.steps)
	if err != nil {
		return err
	}
	entrants, err := r.learned(f.task)
	if err != nil {
		return err
	}
	r.note("%s, %s, on %s", f.name, f.number, v.family.Name())
	res, err := r.store.compare(ctx, v, entrants)
	if err != nil {
		return err
	}
	paper := f.paper
	if !r.asPublished(f.task) {
		paper = nil
	}
	plot, err := f.plot(res.comparison, paper, horizonOf(entrants))
	if err != nil {
		return err
	}
	out := figureResult{
		Figure: f.name, Number: f.number, Comparisons: []*compare.Comparison{res.comparison},
		Tuning: [][]baselines.Tuned{res.tuned}, Paper: [][]paperStep{paper},
	}
	for _, e := range entrants {
		out.Commands = append(out.Commands, v.compareCommand(e.path))
	}
	return r.write(f, out, plot, func(w io.Writer, table tableWriter) error {
		return f.print(w, table, res.comparison, paper)
	})
}

// horizonOf returns the number of steps for which all entrants were trained, or 0 if they differ.
func horizonOf(entrants []entrant) int {
	var all []*metaopt.Optimizer
	for _, e := range entrants {
		all = append(all, e.optimizer)
	}
	return commonHorizon(all)
}

// write writes a figure's folder, then prints its table.
func (r *reproduction) write(f figure, out figureResult, plot *report.Plot, print func(io.Writer, tableWriter) error) error {
	dir := filepath.Join(r.out, f.name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("%w; choose another folder with --out", err)
	}
	for _, format := range []string{".png", ".svg"} {
		if err := plot.Save(filepath.Join(dir, curvesFile+format)); err != nil {
			return err
		}
	}
	if err := r.writeJSON(filepath.Join(dir, resultFile), out); err != nil {
		return err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "### %s: %s\n\n![%s](%s.svg)\n\n", f.number, f.title, f.title, curvesFile)
	if err := print(&b, report.Markdown); err != nil {
		return err
	}
	fmt.Fprintf(&b, "\n```sh\n%s\n```\n", strings.Join(out.Commands, "\n"))
	if err := durable.Replace(filepath.Join(dir, tableFile), b.Bytes()); err != nil {
		return err
	}
	fmt.Fprintf(r.stdout, "%s (%s): %s\n\n", f.name, f.number, f.title)
	if err := print(r.stdout, report.Table); err != nil {
		return err
	}
	fmt.Fprintf(r.stdout, "\nWritten to %s: %s.png, %[2]s.svg, %s, %s\n\n", dir, curvesFile, resultFile, tableFile)
	return nil
}

// scale returns the number by which a result's losses are divided.
func (f figure) scale(r compare.Result) compare.Number {
	if f.ratio {
		return r.Curve[0]
	}
	return 1
}

// plot draws the curves and the paper's values.
func (f figure) plot(c *compare.Comparison, paper []paperStep, horizon int) (*report.Plot, error) {
	var series []report.Series
	for _, r := range ranked(c) {
		scaled := func(x []compare.Number) []float64 {
			y := floats(x)
			for i := range y {
				y[i] /= float64(f.scale(r))
			}
			return y
		}
		series = append(series, report.Series{
			Name: displayName(r), Mean: scaled(r.Curve), Lo: scaled(r.CurveCI95[0]), Hi: scaled(r.CurveCI95[1]),
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
	title := fmt.Sprintf("%s: %s (mean of %d instances)", f.number, f.title, c.Runs)
	return report.Curves(title, series, o)
}

// The names of the paper's values.
const (
	paperLSTM = "paper, LSTM"
	paperBest = "paper, best hand-designed"
)

// print writes the table of a comparison at the paper's steps.
func (f figure) print(w io.Writer, table tableWriter, c *compare.Comparison, paper []paperStep) error {
	what := "losses"
	if f.ratio {
		what = "losses as a part of the first one"
	}
	fmt.Fprintf(w, "%s: %d steps, %s, averages over %d fresh instances\n\n", c.Task, c.Steps, what, c.Runs)
	steps := slices.Clone(paper)
	if len(steps) == 0 {
		steps = []paperStep{{Step: c.Steps}}
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
	for _, r := range ranked(c) {
		cells := []string{displayName(r), "–"}
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
		all = append(all, "Mean loss, "+pairedText(c, p))
	}
	return all
}

// lastRatios compares the learned rules with the best hand-designed rule at the last step.
func (f figure) lastRatios(c *compare.Comparison, paper []paperStep) []string {
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
