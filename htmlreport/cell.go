package htmlreport

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"learnedopt/compare"
	"learnedopt/sweep/results"
)

// compare makes the rules and pairs of a cell from its records.
func (l *sweepLog) compare(cell int) {
	c := &l.sweep.Cells[cell]
	learned := 0
	for _, r := range c.records {
		if r.Rule.Kind == compare.Learned {
			learned++
		}
	}
	l.work -= c.work
	c.work = 0
	for _, r := range c.records {
		if r.Rule.Kind == compare.Baseline {
			c.work += learned * r.Runs
		}
	}
	records, duels := c.records, []results.Duel(nil)
	if l.work+c.work > maxWork {
		c.work, l.unpaired = 0, true
		l.sweep.manifest = nil // the pictures would need the pairs too
	} else {
		l.work += c.work
		compared := results.Compare(results.Cell{}, slices.Clone(records))
		records, duels = compared.Records, compared.Duels
	}
	c.Rules, c.Pairs, c.Best = nil, nil, nil
	for _, r := range records {
		c.Rules = append(c.Rules, ruleOf(r))
		for _, b := range records {
			if p, ok := r.Paired[b.Rule.Name]; ok && b.Rule.Kind == compare.Baseline {
				c.Pairs = append(c.Pairs, pairOf(r, b, p))
			}
		}
	}
	for _, d := range duels {
		if d.Best != "" {
			c.Best = append(c.Best, Pair{
				Learned: clean(d.Rule, maxName), Baseline: clean(d.Best, maxName),
				Ratio: number(d.Ratio.Ratio), CI95: [2]Num{number(d.Ratio.CI95[0]), number(d.Ratio.CI95[1])}, Verdict: d.Ratio.Verdict,
			})
		}
	}
	slices.SortStableFunc(c.Rules, func(a, b Rule) int {
		return cmp.Or(cmp.Compare(a.Diverged, b.Diverged), cmp.Compare(a.MeanLoss, b.MeanLoss))
	})
}

func ruleOf(r results.Record) Rule {
	found := r.Result()
	rule := Rule{
		Name: clean(r.Rule.Name, maxName), Learned: r.Rule.Kind == compare.Learned, LearningRate: (*Num)(r.Rule.LearningRate), Multiplier: (*Num)(r.Rule.Multiplier),
		Tuned: clean(r.Rule.Tuned, maxName), Source: clean(r.Rule.Source, maxName), Digest: clean(r.Rule.Digest, maxName),
		MeanLoss: number(found.MeanLoss), FinalLoss: number(found.FinalLoss), Diverged: r.Diverged, Runs: r.Runs,
		MeanLossCI: [2]Num{nan, nan}, Curve: thin(r.CurveSteps, r.Curve, r.CurveCI95, cellPoints),
	}
	rule.setTime(r.StepTime)
	return rule
}

// pairOf returns the comparison of a learned rule with a hand-designed one, from their records.
func pairOf(r, baseline results.Record, found results.Ratio) Pair {
	p := Pair{
		Learned: clean(r.Rule.Name, maxName), Baseline: clean(baseline.Rule.Name, maxName),
		Ratio: number(found.Ratio), CI95: [2]Num{number(found.CI95[0]), number(found.CI95[1])}, Verdict: found.Verdict,
	}
	if s, ok := r.SpeedUp[baseline.Rule.Name]; ok {
		factor := Num(s.Factor)
		p.SpeedUp, p.Censored = &factor, s.Censored
		own, other := ruleTime(r), ruleTime(baseline)
		if own != nil && other != nil {
			inTime := Num(s.Factor * other.Seconds() / own.Seconds())
			p.InTime = &inTime
		}
	}
	return p
}

// ruleTime is the time of a step of a record's rule, nil if it is not known.
func ruleTime(r results.Record) *compare.StepTime {
	var rule Rule
	rule.setTime(r.StepTime)
	return rule.stepTime()
}

// findings sums up a sweep: each learned rule against each hand-designed one, over all cells.
func (s *Sweep) findings() []Finding {
	type sum struct {
		learned, baseline string
		won, lost, open   int
		speedUps, inTime  []results.SpeedUp
		worst             *Pair
		where             string
	}
	var sums []*sum
	for i := range s.Cells {
		c := &s.Cells[i]
		for j := range c.Pairs {
			p := &c.Pairs[j]
			k := slices.IndexFunc(sums, func(x *sum) bool { return x.learned == p.Learned && x.baseline == p.Baseline })
			if k < 0 {
				k = len(sums)
				sums = append(sums, &sum{learned: p.Learned, baseline: p.Baseline})
			}
			x := sums[k]
			switch p.Verdict {
			case won:
				x.won++
			case lost:
				x.lost++
			default:
				x.open++
			}
			if p.SpeedUp != nil && p.SpeedUp.finite() {
				x.speedUps = append(x.speedUps, results.SpeedUp{Factor: float64(*p.SpeedUp), Censored: p.Censored})
				if p.InTime != nil && p.InTime.finite() {
					x.inTime = append(x.inTime, results.SpeedUp{Factor: float64(*p.InTime), Censored: p.Censored})
				}
			}
			if x.worst == nil || worse(*p, *x.worst) {
				x.worst, x.where = p, c.Name
			}
		}
	}
	var out []Finding
	for _, x := range sums {
		n := x.won + x.lost + x.open
		f := Finding{Verdict: mixed, Text: fmt.Sprintf("%s against %s in %d cells: won %d, lost %d, open %d.", x.learned, x.baseline, n, x.won, x.lost, x.open)}
		switch n {
		case x.won:
			f.Verdict = won
		case x.lost:
			f.Verdict = lost
		case x.open:
			f.Verdict = open
		}
		if median, ok := results.MedianOf(x.speedUps); ok {
			f.Text += fmt.Sprintf(" Median speed-up: %s the steps", median)
			if inTime, ok := results.MedianOf(x.inTime); ok {
				f.Text += fmt.Sprintf(", %s the wall time", inTime)
			}
			f.Text += "."
		}
		if x.worst.Ratio.finite() {
			f.Text += fmt.Sprintf(" Worst cell: %s, %s × its mean loss (%s).", x.where, digits(x.worst.Ratio), x.worst.Verdict)
		} else {
			f.Text += fmt.Sprintf(" Worst cell: %s, by the runs that diverged (%s).", x.where, x.worst.Verdict)
		}
		out = append(out, f)
	}
	if s.Planned > 0 && len(s.Cells) < s.Planned {
		out = append(out, Finding{Text: fmt.Sprintf("%d of %d cells have results.", len(s.Cells), s.Planned)})
	}
	return out
}

// worse reports whether the learned rule does worse in p than in q, by their ratios. If a pair has no ratio because
// runs diverged, it counts as better than every ratio if the learned rule won, else as worse than every ratio.
func worse(p, q Pair) bool {
	badness := func(p Pair) float64 {
		switch {
		case p.Ratio.finite():
			return float64(p.Ratio)
		case p.Verdict == won:
			return 0
		}
		return math.Inf(1)
	}
	a, b := badness(p), badness(q)
	return a > b || a == b && p.Verdict == lost && q.Verdict != lost
}
