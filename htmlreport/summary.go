package htmlreport

import (
	"fmt"

	"learnedopt/compare"
	"learnedopt/sweep/results"
)

// The verdicts of a Finding. The command metaopt prints "undecided" for open.
const (
	won   = compare.Won
	lost  = compare.Lost
	open  = results.Open
	mixed = "mixed" // a sweep whose cells have different verdicts
)

// A Finding is a sentence of the summary. Verdict is won, lost, open or mixed; it is empty for a remark.
type Finding struct {
	Verdict string `json:"verdict,omitempty"`
	Text    string `json:"text"`
}

func verdictOf(v string) string {
	if v == won || v == lost {
		return v
	}
	return open
}

// pairedFinding returns the finding of a paired comparison.
func pairedFinding(p compare.Paired, c *compare.Comparison) Finding {
	f := Finding{Verdict: verdictOf(p.Verdict)}
	f.Text = fmt.Sprintf("%s against %s, %d steps on the same %d instances", clean(p.Name, maxName), clean(p.Against, maxName), c.Steps, c.Runs)
	own, other := c.Diverged(p)
	switch {
	case own+other > 0 && own == other:
		f.Text += fmt.Sprintf(": both diverged in %d of them.", own)
	case own+other > 0:
		f.Text += fmt.Sprintf(": it diverged in %d of them, %s in %d.", own, clean(p.Against, maxName), other)
	case p.RatioCI95[1].Finite():
		f.Text += fmt.Sprintf(": %s × its mean loss (95%% interval %s–%s).", digits(number(p.Ratio)), digits(number(p.RatioCI95[0])), digits(number(p.RatioCI95[1])))
	case p.DifferenceCI95[1].Finite(): // losses that are not positive have no ratio
		f.Text += fmt.Sprintf(": its mean loss %+.4g (95%% interval %+.4g to %+.4g).", float64(p.Difference), float64(p.DifferenceCI95[0]), float64(p.DifferenceCI95[1]))
	default: // the file holds no more
		f.Text += "."
	}
	if f.Verdict == open && own+other == 0 {
		f.Text += " More runs would tell."
	}
	return f
}

// timeFinding says how long the steps of a pair's rules take; ok is false if that is not known.
func timeFinding(p compare.Paired, rules []Rule) (f Finding, ok bool) {
	var own, other *compare.StepTime
	for i := range rules {
		switch r := &rules[i]; {
		case r.Learned && r.Name == clean(p.Name, maxName):
			own = r.stepTime()
		case !r.Learned && r.Name == clean(p.Against, maxName):
			other = r.stepTime()
		}
	}
	if own == nil || other == nil {
		return f, false
	}
	return Finding{Text: fmt.Sprintf("A step of %s takes %.3g × as long as one of %s, on one core; the update is %.0f%% of it.",
		clean(p.Name, maxName), own.Seconds()/other.Seconds(), clean(p.Against, maxName), 100*own.Share())}, true
}

// runFindings returns the findings of a run in a state: the results of its comparison and how its trainings went.
func runFindings(run *Run, r *result, state string) []Finding {
	var out []Finding
	if r != nil {
		out = append(out, r.findings...)
		if r.comparison != nil && len(r.findings) == 0 && len(r.comparison.Rules) > 0 {
			best := r.comparison.Rules[0]
			text := fmt.Sprintf("%s has a mean loss of %s.", best.Name, digits(best.MeanLoss))
			if n := len(r.comparison.Rules); n > 1 {
				text = fmt.Sprintf("%s has the lowest mean loss, %s, of %d rules.", best.Name, digits(best.MeanLoss), n)
			}
			if !best.MeanLoss.finite() {
				text = "Every rule diverged on some instance."
			}
			out = append(out, Finding{Text: text})
		}
	}
	for _, t := range run.Trainings {
		text := fmt.Sprintf("Seed %s: ", t.Seed)
		if t.Seed == "" {
			text = "A training whose start is not in the log: "
		}
		if t.Reason == "" {
			switch state {
			case stateRunning:
				text += "running"
			case stateFinished:
				text += "no end in the log"
			default:
				text += "stopped without an end in the log, so it was killed or its machine went down; metaopt meta-train --resume goes on with it"
			}
			text += fmt.Sprintf("; at meta-step %d", t.MetaStep)
		} else {
			text += fmt.Sprintf("%d meta-steps, ended by %s", t.MetaStep, t.Reason)
		}
		if t.Valid.finite() {
			text += fmt.Sprintf("; best validation loss %s at meta-step %d", digits(t.Valid), t.Best)
			if t.Start.finite() {
				text += fmt.Sprintf(", %s before the first", digits(t.Start))
			}
		}
		if t.NonFinite > 0 {
			text += fmt.Sprintf("; non-finite windows: %d", t.NonFinite)
		}
		out = append(out, Finding{Text: text + "."})
	}
	return out
}
