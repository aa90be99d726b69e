// Package comparison puts a comparison of rules, or a sweep of them over many tasks, into tables, sentences and pictures. It
// knows how package compare and package sweep/results keep results; package report, which draws, does not.
//
//	err := comparison.Write(os.Stdout, c, report.Table) // or report.Markdown
//	plot, err := comparison.Plot(c, comparison.CommonHorizon(optimizers))
//	err = plot.Save("curves.svg")
package comparison

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"learnedopt/compare"
	"learnedopt/metaopt"
	"learnedopt/report"
)

// Ranked returns the results by mean loss, those with fewer divergences first.
func Ranked(c *compare.Comparison) []compare.Result {
	rules := slices.Clone(c.Rules)
	slices.SortStableFunc(rules, func(a, b compare.Result) int {
		return cmp.Or(cmp.Compare(a.Diverged, b.Diverged), cmp.Compare(a.MeanLoss, b.MeanLoss))
	})
	return rules
}

// TableWriter is report.Table or report.Markdown.
type TableWriter func(w io.Writer, header []string, rows [][]string) error

// Write writes a row for each rule, the best rule first, and below the table in sentences who won. The names of
// rules come from files, which may be anybody's, and are written as they are.
func Write(w io.Writer, c *compare.Comparison, table TableWriter) error {
	fmt.Fprintf(w, "%s: %d steps, averages over %d fresh instances\n\n", c.Task, c.Steps, c.Runs)
	rules := Ranked(c)
	scored := slices.ContainsFunc(rules, func(r compare.Result) bool { return r.ValidLoss != nil })
	header := []string{"rule", "learning rate", "mean loss", "95% interval", "final loss", "diverged"}
	withTimes := timed(rules)
	if withTimes {
		header = append(header, timeHeader...)
	}
	if scored {
		header = append(header, "valid loss", "test accuracy")
	}
	var rows [][]string
	for _, r := range rules {
		row := []string{
			DisplayName(r), "–", Loss(r.MeanLoss), Loss(r.MeanLossCI95[0]) + "–" + Loss(r.MeanLossCI95[1]),
			Loss(r.FinalLoss), fmt.Sprintf("%d/%d", r.Diverged, c.Runs),
		}
		switch {
		case r.LearningRate != nil:
			row[1] = fmt.Sprintf("%.3g", *r.LearningRate)
		case r.Multiplier != nil:
			row[1] = fmt.Sprintf("× %.3g", *r.Multiplier)
		}
		if r.Diverged > 0 {
			row[3] = "–"
		}
		if withTimes {
			row = append(row, timeCells(r.StepTime)...)
		}
		if scored && r.ValidLoss != nil {
			accuracy := "–"
			if r.TestAccuracy != nil {
				accuracy = fmt.Sprintf("%.2f%%", 100**r.TestAccuracy)
			}
			row = append(row, Loss(compare.Number(*r.ValidLoss)), accuracy)
		} else if scored {
			row = append(row, "–", "–")
		}
		rows = append(rows, row)
	}
	if err := table(w, header, rows); err != nil {
		return err
	}
	fmt.Fprint(w, "\nMean loss: over all steps, start included. Final loss: over the last five.\n")
	if withTimes {
		fmt.Fprintln(w, timeNote)
	}
	sentences := []string{verdict(rules, len(c.Paired) > 0)}
	for _, p := range c.Paired {
		sentences = append(sentences, PairedText(c, p), timeText(c, p))
	}
	for _, text := range append(sentences, handovers(rules, c.Runs)) {
		if text != "" {
			fmt.Fprintln(w, text)
		}
	}
	return nil
}

// DisplayName marks a learned rule whose name does not say so.
func DisplayName(r compare.Result) string {
	if r.Kind == compare.Learned && strings.TrimSuffix(strings.TrimSuffix(r.Name, GuardSuffix), KLGuardSuffix) != compare.Learned {
		return r.Name + " (learned)"
	}
	return r.Name
}

// Loss prints four significant digits, or four decimals of a loss from 0.001 to 10; "–" if it is not finite.
func Loss(x compare.Number) string {
	switch {
	case !x.Finite():
		return "–"
	case x >= 0.001 && x < 10:
		return fmt.Sprintf("%.4f", float64(x))
	}
	return fmt.Sprintf("%.4g", float64(x))
}

// PairedText says what the paired comparison found.
func PairedText(c *compare.Comparison, p compare.Paired) string {
	text := fmt.Sprintf("%s against %s on the same instances: %s", p.Name, p.Against, p.Verdict)
	own, other := c.Diverged(p)
	switch {
	case own+other > 0:
		text += ", since " + divergedText(own, other, c.Runs, p.Against)
	case p.RatioCI95[1].Finite():
		text += fmt.Sprintf(", %s × its mean loss (95%% interval of the pairs %s–%s)", Loss(p.Ratio), Loss(p.RatioCI95[0]), Loss(p.RatioCI95[1]))
	case p.DifferenceCI95[1].Finite(): // of losses that are not positive
		text += fmt.Sprintf(", its mean loss %+.4g (95%% interval of the pairs %+.4g to %+.4g)", float64(p.Difference), float64(p.DifferenceCI95[0]), float64(p.DifferenceCI95[1]))
	}
	if p.Verdict == compare.Undecided && p.DifferenceCI95[1].Finite() {
		if text += ": more --runs would tell"; c.Runs < compare.LeastPairs {
			text += fmt.Sprintf("; a verdict takes %d", compare.LeastPairs)
		}
	}
	return text + "."
}

// divergedText says how often a learned rule and another rule diverged. These numbers decide the verdict.
func divergedText(own, other, runs int, against string) string {
	if own == other {
		return fmt.Sprintf("both diverged in %d of %d runs", own, runs)
	}
	return fmt.Sprintf("it diverged in %d of %d runs and %s in %d", own, runs, against, other)
}

// verdict compares the best learned rule with the best tuned rule. It returns "" if one of them is missing or has no finite
// loss. If the two were not paired, it compares their intervals.
func verdict(rules []compare.Result, paired bool) string {
	best := func(kind string) *compare.Result {
		i := slices.IndexFunc(rules, func(r compare.Result) bool { return r.Kind == kind })
		if i < 0 || !rules[i].MeanLoss.Finite() {
			return nil
		}
		return &rules[i]
	}
	learned, tuned := best(compare.Learned), best(compare.Baseline)
	if learned == nil || tuned == nil {
		return ""
	}
	text := fmt.Sprintf("%s has the lowest mean loss: %s below the best tuned rule, %s.",
		learned.Name, percentBelow(learned, tuned), tuned.Name)
	if learned.MeanLoss >= tuned.MeanLoss {
		text = fmt.Sprintf("The tuned %s has the lowest mean loss: %s below %s.", tuned.Name, percentBelow(tuned, learned), learned.Name)
	}
	if !paired && learned.MeanLossCI95[0] <= tuned.MeanLossCI95[1] && tuned.MeanLossCI95[0] <= learned.MeanLossCI95[1] {
		text += " Their intervals overlap: more --runs would tell."
	}
	return text
}

func percentBelow(low, high *compare.Result) string {
	percent := 100 * (1 - float64(low.MeanLoss/high.MeanLoss))
	if percent < 10 {
		return fmt.Sprintf("%.1f%%", percent)
	}
	return fmt.Sprintf("%.0f%%", percent)
}

// Plot draws the learning curves. horizon is the number of steps that
// the learned rules were trained for, 0 if that differs or none is known.
func Plot(c *compare.Comparison, horizon int) (*report.Plot, error) {
	var series []report.Series
	for _, r := range Ranked(c) {
		series = append(series, seriesOfResult(r))
	}
	title := fmt.Sprintf("%s (mean of %d instances)", c.Task, c.Runs)
	return report.Curves(title, series, report.CurveOptions{Horizon: float64(horizon)})
}

func seriesOfResult(r compare.Result) report.Series {
	return report.Series{
		Name: DisplayName(r), Mean: floats(r.Curve), Lo: floats(r.CurveCI95[0]), Hi: floats(r.CurveCI95[1]),
		Learned: r.Kind == compare.Learned,
	}
}

func floats(x []compare.Number) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

// GuardSuffix ends the name of a guarded variant of a learned rule, and KLGuardSuffix the name of one whose steps are bounded.
const (
	GuardSuffix   = "+guard"
	KLGuardSuffix = "+kl-guard"
)

// handovers says how often each guard handed over.
func handovers(rules []compare.Result, runs int) string {
	var said []string
	for _, r := range rules {
		if r.HandedOver != nil {
			said = append(said, fmt.Sprintf("%s handed over to its fallback in %d of %d runs.", r.Name, *r.HandedOver, runs))
		}
	}
	return strings.Join(said, "\n")
}

// CommonHorizon is the number of steps that all optimizers were trained for, or 0.
func CommonHorizon(optimizers []*metaopt.Optimizer) int {
	horizon := 0
	for i, o := range optimizers {
		if i > 0 && o.Provenance.Steps != horizon {
			return 0
		}
		horizon = o.Provenance.Steps
	}
	return horizon
}
