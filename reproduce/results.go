package reproduce

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"learnedopt/baselines"
	"learnedopt/compare"
	"learnedopt/internal/durable"
	"learnedopt/report"
	"learnedopt/report/comparison"
	"learnedopt/versus"
)

// A RowResult is a finished row of the table for one learned optimizer.
type RowResult struct {
	Row        string              `json:"row"`
	Optimizer  string              `json:"optimizer"`
	Hash       string              `json:"sha256"`
	Command    string              `json:"command"`
	Reached    bool                `json:"reached"`
	Bounds     []string            `json:"bounds"`
	Comparison *compare.Comparison `json:"comparison"`
	Tuning     []baselines.Tuned   `json:"tuning"`
	cells      []string
}

var resultHeader = []string{"row", "steps", "best tuned hand-designed", "best published learned", "ours: mean [95%] / last five [95%]",
	"mean, ours / best tuned [95%]", "target", "reached?", "command"}

// chosenRows are those of --rows, in the order of the table.
func (r *Reproduction) chosenRows() []resultRow {
	return slices.DeleteFunc(resultRows(), func(row resultRow) bool { return len(r.Rows) > 0 && !slices.Contains(r.Rows, row.name) })
}

// A TableOfResults is in its folder, with a picture of each row.
type TableOfResults struct {
	Dir   string
	Files []string // the names of its files, pictures apart
	r     *Reproduction
	done  []RowResult
}

// Write writes the rows, and how they came about.
func (t *TableOfResults) Write(w io.Writer, table comparison.TableWriter) error {
	return t.r.printRows(w, table, t.done)
}

// Table fills in the rows of Config.Rows, and writes what there is after each.
func (r *Reproduction) Table(ctx context.Context) (*TableOfResults, error) {
	dir := filepath.Join(r.Out, Table)
	if err := makeFolder(dir); err != nil {
		return nil, err
	}
	var done []RowResult
	rows := r.chosenRows()
	for i, row := range rows {
		v, err := r.versus(row.task, row.options, row.steps)
		if err != nil {
			return nil, err
		}
		entrants, err := r.learned(row.task)
		if err != nil {
			return nil, err
		}
		tell(r.listener, RowStarted{Row: row.name, Index: i, Of: len(rows)})
		res, err := r.store.compare(ctx, v, entrants)
		if err != nil {
			return nil, err
		}
		plot, err := comparison.Plot(res.Comparison, horizonOf(entrants))
		if err != nil {
			return nil, err
		}
		if err := plot.Save(filepath.Join(dir, row.name+".svg")); err != nil {
			return nil, err
		}
		for _, e := range entrants {
			done = append(done, row.result(v, e, res, len(entrants) > 1, r.asPublished(row.task)))
		}
		if err := r.writeTable(dir, done); err != nil {
			return nil, err
		}
	}
	return &TableOfResults{Dir: dir, Files: []string{tableFile, resultFile}, r: r, done: done}, nil
}

func (r *Reproduction) writeTable(dir string, done []RowResult) error {
	if err := writeJSON(filepath.Join(dir, resultFile), done); err != nil {
		return err
	}
	var b bytes.Buffer
	if err := r.printRows(&b, report.Markdown, done); err != nil {
		return err
	}
	return durable.Replace(filepath.Join(dir, tableFile), b.Bytes())
}

func (r *Reproduction) printRows(w io.Writer, table comparison.TableWriter, done []RowResult) error {
	var cells [][]string
	for _, d := range done {
		cells = append(cells, d.cells)
	}
	if err := table(w, resultHeader, cells); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, `
Mean of f(θ_0) … f(θ_T) / mean of the last five, over %d fresh instances; learning rates tuned for the mean on
%d other instances, %d learning rates from 1e-4 to 10. Over more than 500 steps fewer instances
and, over more than 1000, at most 3 learning rates a decade: as the commands say.
`, r.Runs, r.TuneRuns, 5*r.Grid+1)
	return err
}

// result puts a row together.
func (row resultRow) result(v versus.Config, e entrant, res versus.Result, several, published bool) RowResult {
	c := res.Comparison
	ours := *gridRule(c, e.name, compare.Learned)
	tuned := slices.DeleteFunc(slices.Clone(c.Rules), func(r compare.Result) bool { return r.Kind != compare.Baseline })
	slices.SortStableFunc(tuned, func(p, q compare.Result) int {
		return cmp.Or(cmp.Compare(p.Diverged, q.Diverged), cmp.Compare(p.MeanLoss, q.MeanLoss))
	})
	out := RowResult{
		Row: row.name, Optimizer: e.name, Hash: e.hash, Command: compareCommand(v, e.path), Reached: true, Comparison: c, Tuning: res.Tuned,
	}
	best := "–"
	if len(tuned) > 0 {
		best = tunedText(tuned)
	}
	var targets, missed []string
	for _, b := range row.goal.bounds(ours, tuned) {
		text := b.text
		targets = append(targets, text)
		if !b.met() {
			out.Reached = false
			name, _, bounded := strings.Cut(text, " ≤")
			if !bounded {
				name = "diverged"
			}
			missed = append(missed, name+" "+short(b.value))
		}
		out.Bounds = append(out.Bounds, fmt.Sprintf("%s: %s", text, short(b.value)))
	}
	reached := "yes"
	if !out.Reached {
		reached = "no: " + strings.Join(missed, ", ")
	}
	cell := fmt.Sprintf("%s [%s] / %s [%s]", loss3(ours.MeanLoss), rangeText(ours.MeanLossCI95[0], ours.MeanLossCI95[1], 1),
		loss3(ours.FinalLoss), rangeText(ours.FinalLossCI95[0], ours.FinalLossCI95[1], 1))
	if ours.Diverged > 0 {
		cell = fmt.Sprintf("diverged in %d of %d", ours.Diverged, c.Runs)
	}
	if several {
		cell = e.name + ": " + cell
	}
	paired := "–"
	for _, p := range c.Paired {
		if p.Name == e.name && p.RatioCI95[1].Finite() {
			paired = fmt.Sprintf("%s [%s] %s", loss3(p.Ratio), rangeText(p.RatioCI95[0], p.RatioCI95[1], 1), p.Verdict)
		} else if p.Name == e.name {
			paired = p.Verdict
		}
	}
	known := "–"
	if row.published != "" && published {
		known = row.published
	}
	out.cells = []string{row.title, fmt.Sprint(row.steps), best, known, cell, paired, strings.Join(targets, ", "), reached, "`" + out.Command + "`"}
	return out
}

// tunedText names the rule with the lowest mean loss. If another rule has the lowest mean over the last five losses, it names
// that rule too.
func tunedText(tuned []compare.Result) string {
	best := tuned[0]
	text := fmt.Sprintf("%s %s: %s / %s", best.Name, rate(best), loss3(best.MeanLoss), loss3(best.FinalLoss))
	final := slices.MinFunc(tuned, func(p, q compare.Result) int { return cmp.Compare(p.FinalLoss, q.FinalLoss) })
	if final.FinalLoss < best.FinalLoss {
		text += fmt.Sprintf("; last five of %s %s: %s", final.Name, rate(final), loss3(final.FinalLoss))
	}
	return text
}

func rate(r compare.Result) string {
	if r.LearningRate == nil {
		return "–"
	}
	return short(*r.LearningRate)
}

// loss3 prints three significant digits.
func loss3(x compare.Number) string { return short(float64(x)) }
