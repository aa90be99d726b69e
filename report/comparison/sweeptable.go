package comparison

import (
	"fmt"
	"io"
	"strings"

	"learnedopt/compare"
	"learnedopt/report"
	"learnedopt/sweep/results"
)

// WriteSweep prints a row for each cell and learned rule, and in a sentence what came of it.
func WriteSweep(w io.Writer, res *results.Results) error {
	fmt.Fprintf(w, "%d cells, averages over %d fresh instances each\n\n", len(res.Cells), res.Runs)
	several := len(res.Summaries) != 1
	var header []string
	for _, a := range res.Axes {
		header = append(header, a.Key)
	}
	if len(res.Axes) == 0 {
		header = append(header, "task")
	}
	if several {
		header = append(header, "rule")
	}
	header = append(header, "mean loss", "best tuned", "its mean loss", "ratio", "95% interval", "verdict", "speed-up")
	withTimes := timedSweep(res)
	if withTimes {
		header = append(append(header, "in time"), timeHeader...)
	}
	var rows [][]string
	for _, c := range res.Cells {
		var where []string
		for _, a := range res.Axes {
			where = append(where, c.Values[a.Key])
		}
		if len(res.Axes) == 0 {
			where = append(where, c.Task)
		}
		for _, d := range c.Duels {
			row := append([]string{}, where...)
			if several {
				row = append(row, tunedName(res, d.Rule))
			}
			row = append(row, duelCells(res, d)...)
			if withTimes {
				row = append(append(row, speedText(d.SpeedUpInTime)), timeCells(d.StepTime)...)
			}
			rows = append(rows, row)
		}
		if len(c.Duels) == 0 { // only hand-designed rules
			for _, r := range c.Records {
				row := append(append([]string{}, where...), tunedName(res, r.Rule.Name), Loss(r.Result().MeanLoss))
				row = append(row, "–", "–", "–", "–", "–", "–")
				if withTimes {
					row = append(append(row, "–"), timeCells(r.StepTime)...)
				}
				rows = append(rows, row)
			}
		}
	}
	if err := report.Table(w, header, rows); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nRatio: of the mean losses, 95%% interval of the pairs; won and lost: it excludes 1, or one of the two diverged less often.\n"+
		"Speed-up: how many times as many steps tuned %s needs to reach the learned rule's final loss.\n", results.ReachRule)
	if withTimes {
		fmt.Fprintf(w, "In time: the same in wall time. %s\n", timeNote)
	}
	if res.Tune != results.TuneBoth {
		fmt.Fprintf(w, "Learning rates were tuned %s.\n", tunedWhere(res.Tune))
	}
	for _, s := range res.Summaries {
		if s.Cells > 0 {
			fmt.Fprintln(w, summaryText(res, s))
		}
	}
	for _, text := range divergences(res) {
		fmt.Fprintln(w, text)
	}
	return nil
}

func tunedWhere(tune string) string {
	if tune == results.TuneBase {
		return "on the base task"
	}
	return "in each cell"
}

// tunedName returns a rule's name. It leaves out where the rule was tuned, unless rules were tuned in different places.
func tunedName(res *results.Results, name string) string {
	if res.Tune == results.TuneBoth {
		return name
	}
	short, _, _ := strings.Cut(name, " (tuned ")
	return short
}

func duelCells(res *results.Results, d results.Duel) []string {
	orDiverged := func(mean compare.Number, diverged int) string {
		if diverged > 0 {
			return fmt.Sprintf("%d/%d diverged", diverged, res.Runs)
		}
		return Loss(mean)
	}
	own := orDiverged(d.MeanLoss, d.Diverged)
	if d.Best == "" {
		return []string{own, "–", "–", "–", "–", "–", "–"}
	}
	interval := "–"
	if d.Ratio.CI95[1].Finite() {
		interval = intervalText(d.Ratio)
	}
	return []string{own, tunedName(res, d.Best), orDiverged(d.BestMeanLoss, d.BestDiverged), ratioText(d.Ratio.Ratio), interval, d.Ratio.Verdict, speedText(d.SpeedUp)}
}

// ratioText prints a ratio, so that it can be compared with 1.
func ratioText(x compare.Number) string {
	switch {
	case !x.Finite():
		return "–"
	case x >= 0.095 && x < 9.995:
		return fmt.Sprintf("%.2f", float64(x))
	case x >= 9.995 && x < 99.95:
		return fmt.Sprintf("%.1f", float64(x))
	case x >= 99.95 && x < 99999.5:
		return fmt.Sprintf("%.0f", float64(x))
	}
	return fmt.Sprintf("%.2g", float64(x))
}

func intervalText(r results.Ratio) string { return ratioText(r.CI95[0]) + "–" + ratioText(r.CI95[1]) }

func speedText(s *results.SpeedUp) string {
	if s == nil {
		return "–"
	}
	return s.String()
}

// summaryText returns the sentence that sums up a learned rule's results.
func summaryText(res *results.Results, s results.Summary) string {
	text := fmt.Sprintf("%s: won %d of %d cells, lost %d, open %d.", s.Rule, s.Won, s.Cells, s.Lost, s.Open)
	if s.Worst >= 0 && s.Cells > 1 {
		c := res.Cells[s.Worst]
		for _, d := range c.Duels {
			if d.Rule != s.Rule {
				continue
			}
			text += fmt.Sprintf(" Worst cell: %s, ", res.Name(c.Cell))
			switch {
			case d.Diverged > 0:
				text += fmt.Sprintf("where it diverged in %d of %d.", d.Diverged, res.Runs)
			case d.BestDiverged > 0:
				text += fmt.Sprintf("where %s diverged in %d of %d.", d.Best, d.BestDiverged, res.Runs)
			default:
				text += fmt.Sprintf("with %s × the mean loss of %s.", ratioText(d.Ratio.Ratio), d.Best)
			}
		}
	}
	median, ok := results.MedianOf(s.SpeedUps)
	if !ok {
		return text
	}
	n := len(s.SpeedUps)
	spoken := func(x results.SpeedUp) string { return strings.Replace(x.String(), ">", "more than", 1) }
	text += fmt.Sprintf(" Tuned %s needs %s as many steps to reach its final loss", results.ReachRule, median)
	if n > 1 {
		text += fmt.Sprintf(": the median of %d cells", n)
		if s.SpeedUps[0] != s.SpeedUps[n-1] {
			text += fmt.Sprintf(", from %s to %s", spoken(s.SpeedUps[0]), spoken(s.SpeedUps[n-1]))
		}
	}
	text += "."
	if median, ok := results.MedianOf(s.InTime); ok {
		text += fmt.Sprintf(" In wall time that is %s the time", median)
		if n := len(s.InTime); n > 1 && s.InTime[0] != s.InTime[n-1] {
			text += fmt.Sprintf(", from %s to %s", spoken(s.InTime[0]), spoken(s.InTime[n-1]))
		}
		text += "."
	}
	return text
}

// divergences says for each rule that diverged in how many cells it did.
func divergences(res *results.Results) (texts []string) {
	for _, rule := range res.Rules {
		cells := 0
		first := ""
		for _, c := range res.Cells {
			for _, r := range c.Records {
				if r.Rule.Name == rule.Name && r.Diverged > 0 {
					if cells++; first == "" {
						first = res.Name(c.Cell)
					}
				}
			}
		}
		if cells > 0 {
			texts = append(texts, fmt.Sprintf("%s diverged in %d of %d cells, first in %s; %s says where.", rule.Name, cells, len(res.Cells), first, results.CellsFile))
		}
	}
	return texts
}
