package comparison

import (
	"fmt"
	"math"
	"strings"

	"learnedopt/compare"
	"learnedopt/report"
	"learnedopt/sweep/results"
)

// A Picture is a file of a sweep's folder, in two formats.
type Picture struct {
	Name string // without extension
	Plot *report.Plot
}

// How the names of a sweep's pictures begin.
const (
	HeatPrefix   = "heatmap-" // and the learned rule
	CurvesPrefix = "curves-"  // and the values of further axes
	TimePrefix   = "time-"    // likewise: the same curves against wall time
)

// A sheet is a rectangle of cells: the first axis along x, the second along y, at fixed values of the
// others.
type sheet struct {
	title string // names the fixed values
	cells [][]*results.CellResult
}

// sheets divides the cells into sheets. The third axis varies fastest, so that it runs along rows of panels.
func sheets(res *results.Results) (all []sheet, x, y results.Axis, columns int) {
	axis := func(i int) results.Axis {
		if i < len(res.Axes) {
			return res.Axes[i]
		}
		return results.Axis{Values: []string{""}}
	}
	x, y = axis(0), axis(1)
	columns = len(axis(2).Values)
	further := res.Axes[min(2, len(res.Axes)):]
	total := 1
	for _, a := range further {
		total *= len(a.Values)
	}
	for k := range total {
		fixed, rest := map[string]string{}, k
		var words []string
		for _, a := range further {
			fixed[a.Key] = a.Values[rest%len(a.Values)]
			rest /= len(a.Values)
			words = append(words, a.Key+" "+fixed[a.Key])
		}
		s := sheet{title: strings.Join(words, ", ")}
		for _, vy := range y.Values {
			var row []*results.CellResult
			for _, vx := range x.Values {
				row = append(row, findCell(res, fixed, x, vx, y, vy))
			}
			s.cells = append(s.cells, row)
		}
		all = append(all, s)
	}
	return all, x, y, columns
}

func findCell(res *results.Results, fixed map[string]string, x results.Axis, vx string, y results.Axis, vy string) *results.CellResult {
	for i := range res.Cells {
		c := &res.Cells[i]
		fits := (x.Key == "" || c.Values[x.Key] == vx) && (y.Key == "" || c.Values[y.Key] == vy)
		for key, value := range fixed {
			fits = fits && c.Values[key] == value
		}
		if fits {
			return c
		}
	}
	return nil // not reached: the cells are all combinations
}

// DrawSweep draws a heat map of each learned rule, and the learning curves of every sheet, by step and, if the times of steps are
// known, by wall time.
func DrawSweep(res *results.Results) ([]Picture, error) {
	var pictures []Picture
	for _, s := range res.Summaries {
		if s.Cells == 0 {
			continue
		}
		plot, err := drawHeat(res, s.Rule)
		if err != nil {
			return nil, err
		}
		pictures = append(pictures, Picture{HeatPrefix + plainName(tunedName(res, s.Rule)), plot})
	}
	all, x, y, _ := sheets(res)
	for _, s := range all {
		name := "all"
		if s.title != "" {
			name = plainName(s.title)
		}
		plot, err := drawSheet(res, s, x, y, nil)
		if err != nil {
			return nil, err
		}
		if plot != nil {
			pictures = append(pictures, Picture{CurvesPrefix + name, plot})
		}
		if !timedSweep(res) {
			continue
		}
		if plot, err = drawSheet(res, s, x, y, sheetClock(s)); err != nil {
			return nil, err
		}
		if plot != nil {
			pictures = append(pictures, Picture{TimePrefix + name, plot})
		}
	}
	return pictures, nil
}

// plainName replaces characters of a name that do not belong in a file's name.
func plainName(s string) string {
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' {
			return r
		}
		return '-'
	}, s)
	for strings.Contains(plain, "--") {
		plain = strings.ReplaceAll(plain, "--", "-")
	}
	return strings.Trim(plain, "-.")
}

func drawHeat(res *results.Results, rule string) (*report.Plot, error) {
	all, x, y, columns := sheets(res)
	o := report.HeatOptions{
		X: x.Values, Y: y.Values, XLabel: x.Key, YLabel: y.Key, Columns: columns,
		ScaleLabel: "ratio of mean losses",
		Caption: fmt.Sprintf("Mean loss of %s ÷ that of the best tuned rule, on the same %d instances, and the 95%% interval of the pairs. Won, lost (bold): it excludes 1. "+
			"×: how many times as many steps tuned %s needs to reach the learned rule's final loss. Tuned %s.", rule, res.Runs, results.ReachRule, tunedOn(res.Tune)),
	}
	var panels []report.HeatPanel
	for _, s := range all {
		p := report.HeatPanel{Title: s.title}
		for _, row := range s.cells {
			var fields []report.Heat
			for _, c := range row {
				fields = append(fields, heatOf(res, c, rule))
			}
			p.Fields = append(p.Fields, fields)
		}
		panels = append(panels, p)
	}
	return report.HeatMap(fmt.Sprintf("%s against the best tuned rule", rule), panels, o)
}

func tunedOn(tune string) string {
	switch tune {
	case results.TuneBase:
		return "once, on the base task"
	case results.TuneCell:
		return "in each cell"
	}
	return "in each cell and on the base task"
}

// heatOf returns a cell's field in a rule's heat map.
func heatOf(res *results.Results, c *results.CellResult, rule string) report.Heat {
	for _, d := range c.Duels {
		if d.Rule != rule || d.Best == "" {
			continue
		}
		h := report.Heat{Ratio: float64(d.Ratio.Ratio), Text: ratioText(d.Ratio.Ratio), Note: d.Ratio.Verdict, Decided: d.Ratio.Verdict != results.Open}
		if d.Ratio.CI95[1].Finite() {
			h.Range = intervalText(d.Ratio)
		}
		switch {
		case d.Diverged > 0:
			h.Ratio, h.Text, h.Note = math.Inf(1), "diverged", fmt.Sprintf("%s, %d/%d", d.Ratio.Verdict, d.Diverged, res.Runs)
		case !d.BestMeanLoss.Finite():
			h.Ratio, h.Text, h.Note = math.SmallestNonzeroFloat64, "< all", "others diverged"
		case d.SpeedUp != nil:
			h.Note += ", " + strings.ReplaceAll(speedText(d.SpeedUp), " ", "")
		}
		return h
	}
	return report.Heat{Ratio: math.NaN(), Text: "–"}
}

// drawSheet draws the learning curves of a sheet, against wall time if a clock is given. It returns nil if there are none.
func drawSheet(res *results.Results, s sheet, x, y results.Axis, in *clock) (*report.Plot, error) {
	o := report.MultipleOptions{Caption: fmt.Sprintf("Means of %d instances and their 95%% intervals. Tuned %s.", res.Runs, tunedOn(res.Tune))}
	if x.Key != "" {
		for _, v := range x.Values {
			o.X = append(o.X, x.Key+" "+v)
		}
	}
	if y.Key != "" {
		for _, v := range y.Values {
			o.Y = append(o.Y, y.Key+" "+v)
		}
	}
	if res.Tune == results.TuneBoth {
		o.Caption = fmt.Sprintf("Means of %d instances and their 95%% intervals. Rules as tuned in each cell.", res.Runs)
	}
	if in != nil {
		o.XLabel, o.LogX = in.label(), true
	}
	any := false
	var rows [][]report.Panel
	for _, cells := range s.cells {
		var row []report.Panel
		for _, c := range cells {
			var panel report.Panel
			for _, rule := range res.Rules {
				if res.Tune == results.TuneBoth && rule.Tuned == results.TuneBase {
					continue
				}
				series := seriesOf(res, c, rule)
				if in != nil {
					series = in.times(series, c, rule)
				}
				any = any || len(series.Mean) > 1
				panel.Series = append(panel.Series, series)
			}
			if in != nil {
				fitEmpty(panel.Series)
			}
			row = append(row, panel)
		}
		rows = append(rows, row)
	}
	if !any {
		return nil, nil
	}
	title := s.title
	if title == "" {
		title = "Learning curves"
	} else {
		title = "Learning curves: " + title
	}
	return report.Multiples(title, rows, o)
}

// seriesOf returns a rule's curve in a cell. If there is no record, the curve has no points.
func seriesOf(res *results.Results, c *results.CellResult, rule results.Rule) report.Series {
	s := report.Series{Name: tunedName(res, rule.Name), Learned: rule.Kind == compare.Learned}
	for _, r := range c.Records {
		if r.Rule.Name != rule.Name {
			continue
		}
		for _, t := range r.CurveSteps {
			s.X = append(s.X, float64(t))
		}
		s.Mean, s.Lo, s.Hi = floats(r.Curve), floats(r.CurveCI95[0]), floats(r.CurveCI95[1])
		return s
	}
	s.Mean = []float64{math.NaN(), math.NaN()}
	s.X = []float64{0, float64(c.Steps)}
	return s
}
