package comparison

import (
	"fmt"
	"math"
	"slices"

	"learnedopt/compare"
	"learnedopt/report"
	"learnedopt/sweep/results"
)

// timed says whether the time of a step was measured of any rule.
func timed(rules []compare.Result) bool {
	return slices.ContainsFunc(rules, func(r compare.Result) bool { return r.StepTime != nil })
}

// timeHeader names the columns of timeCells.
var timeHeader = []string{"ms a step", "update"}

// timeNote says what these columns are.
const timeNote = "ms a step: gradient and update, on one core of this machine. Update: its part of the step."

// timeCells returns the milliseconds of a step, and the update's part of it.
func timeCells(s *compare.StepTime) []string {
	if s == nil {
		return []string{"–", "–"}
	}
	return []string{fmt.Sprintf("%.3g", 1000*s.Seconds()), percent(s.Share())}
}

func percent(share float64) string { return fmt.Sprintf("%.0f%%", 100*share) }

// timeText compares the two rules of a pair at the moment when the one with the shorter steps has done all of its steps. It
// returns "" if the time of a step of one of them is not known.
func timeText(c *compare.Comparison, p compare.Paired) string {
	find := func(name, kind string) *compare.Result {
		i := slices.IndexFunc(c.Rules, func(r compare.Result) bool { return r.Name == name && r.Kind == kind })
		if i < 0 || c.Rules[i].StepTime == nil || !(c.Rules[i].StepTime.Seconds() > 0) {
			return nil
		}
		return &c.Rules[i]
	}
	own, other := find(p.Name, compare.Learned), find(p.Against, compare.Baseline)
	if own == nil || other == nil {
		return ""
	}
	factor := own.StepTime.Seconds() / other.StepTime.Seconds()
	text := fmt.Sprintf("A step of %s takes %s × as long as one of %s; the update is %s of it.",
		own.Name, ratioText(compare.Number(factor)), other.Name, percent(own.StepTime.Share()))
	slow, fast := own, other
	if factor < 1 {
		slow, fast, factor = other, own, 1/factor
	}
	done := int(float64(c.Steps) / factor)
	switch {
	case len(slow.Curve) <= done:
		return text
	case done < 1:
		return text + fmt.Sprintf(" That is more than all %d steps of %s.", c.Steps, fast.Name)
	}
	text += fmt.Sprintf(" In the time of the %d steps of %s, %s does %d", c.Steps, fast.Name, slow.Name, done)
	if loss := lastMean(slow.Curve[:done+1]); loss.Finite() && fast.FinalLoss.Finite() {
		text += fmt.Sprintf(": its final loss is then %s, that of %s %s", Loss(loss), fast.Name, Loss(fast.FinalLoss))
	}
	return text + "."
}

// lastMean is the mean of the last five losses of a curve: the final loss of a run that ends there.
func lastMean(curve []compare.Number) (mean compare.Number) {
	last := curve[max(0, len(curve)-5):]
	for _, x := range last {
		mean += x / compare.Number(len(last))
	}
	return mean
}

// A clock says how pictures show time.
type clock struct {
	unit string
	each float64 // units a second
}

// clockFor returns the clock for runs of up to so many seconds.
func clockFor(longest float64) clock {
	if longest < 10 {
		return clock{"ms", 1000}
	}
	return clock{"s", 1}
}

// label names the axis of time.
func (c clock) label() string { return fmt.Sprintf("wall time on one core (%s)", c.unit) }

// timedSweep says whether the time of a step was measured of any rule in any cell.
func timedSweep(res *results.Results) bool {
	for i := range res.Cells {
		for k := range res.Cells[i].Records {
			if res.Cells[i].Records[k].StepTime != nil {
				return true
			}
		}
	}
	return false
}

// sheetClock returns the clock for the longest run of a sheet.
func sheetClock(s sheet) *clock {
	longest := 0.0
	for _, row := range s.cells {
		for _, c := range row {
			for k := range c.Records {
				if t := c.Records[k].StepTime; t != nil {
					longest = max(longest, float64(c.Steps)*t.Seconds())
				}
			}
		}
	}
	in := clockFor(longest)
	return &in
}

// times returns a rule's curve in a cell with times in place of steps. A curve whose times are not known has no points.
func (c clock) times(s report.Series, cell *results.CellResult, rule results.Rule) report.Series {
	i := slices.IndexFunc(cell.Records, func(r results.Record) bool { return r.Rule.Name == rule.Name })
	if i < 0 || cell.Records[i].StepTime == nil || !(cell.Records[i].StepTime.Seconds() > 0) {
		return report.Series{Name: s.Name, Learned: s.Learned}
	}
	s.X = slices.Clone(s.X)
	for k := range s.X {
		s.X[k] *= c.each * cell.Records[i].StepTime.Seconds()
	}
	return s
}

// fitEmpty gives curves without points two that cannot be drawn, where the panel's other curves are: every panel has every rule.
func fitEmpty(panel []report.Series) {
	span := []float64{1, 10}
	for _, s := range panel {
		if n := len(s.X); n > 1 {
			span = []float64{s.X[n-1] / 2, s.X[n-1]}
		}
	}
	for i := range panel {
		if len(panel[i].Mean) == 0 {
			panel[i].X, panel[i].Mean = span, []float64{math.NaN(), math.NaN()}
		}
	}
}

// PlotTime draws the learning curves against wall time, a step of each rule at its own time. The steps' times are of the
// machine that measured them. Rules without a time are left out; it returns nil if no rule has one.
func PlotTime(c *compare.Comparison) (*report.Plot, error) {
	var (
		series  []report.Series
		longest float64
	)
	for _, r := range c.Rules {
		if r.StepTime != nil {
			longest = max(longest, float64(c.Steps)*r.StepTime.Seconds())
		}
	}
	if longest == 0 {
		return nil, nil
	}
	in := clockFor(longest)
	for _, r := range Ranked(c) {
		if r.StepTime == nil || !(r.StepTime.Seconds() > 0) {
			continue
		}
		s := seriesOfResult(r)
		for t := range s.Mean {
			s.X = append(s.X, in.each*float64(t)*r.StepTime.Seconds())
		}
		series = append(series, s)
	}
	title := fmt.Sprintf("%s (mean of %d instances)", c.Task, c.Runs)
	return report.Curves(title, series, report.CurveOptions{XLabel: in.label(), LogX: true})
}
