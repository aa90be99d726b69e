package htmlreport

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"learnedopt/compare"
)

// compare makes the rules and pairs of a cell from its records.
func (c *Cell) compare() {
	c.Rules, c.Pairs = nil, nil
	for _, r := range c.records {
		rule := Rule{
			Name: r.Rule.Name, Learned: r.Rule.Kind == compare.Learned, LearningRate: (*Num)(r.Rule.LearningRate),
			Tuned: clean(r.Rule.Tuned, maxName), Source: clean(r.Rule.Source, maxName), Digest: clean(r.Rule.Digest, maxName),
			MeanLoss: number(mean(r.MeanLosses)), FinalLoss: number(mean(r.FinalLosses)), Diverged: r.Diverged, Runs: len(r.MeanLosses),
			MeanLossCI: [2]Num{nan, nan}, Curve: r.curve,
		}
		c.Rules = append(c.Rules, rule)
		if !rule.Learned {
			continue
		}
		for _, b := range c.records {
			if b.Rule.Kind == compare.Baseline {
				c.Pairs = append(c.Pairs, pairOf(r, b))
			}
		}
	}
	slices.SortStableFunc(c.Rules, func(a, b Rule) int {
		return cmp.Or(cmp.Compare(a.Diverged, b.Diverged), cmp.Compare(a.MeanLoss, b.MeanLoss))
	})
}

// mean is +Inf of nothing and where a run diverged.
func mean(x []compare.Number) compare.Number {
	if len(x) == 0 {
		return compare.Number(math.Inf(1))
	}
	sum := compare.Number(0)
	for _, v := range x {
		sum += v
	}
	return sum / compare.Number(len(x))
}

// pairOf compares a learned rule's record with a hand-designed one's: as the record says, or else by the losses.
func pairOf(a, b record) Pair {
	p := Pair{Learned: a.Rule.Name, Baseline: b.Rule.Name, Ratio: nan, CI95: [2]Num{nan, nan}, Verdict: open}
	if s, ok := a.SpeedUp[b.Rule.Name]; ok {
		factor := Num(s.Factor)
		p.SpeedUp, p.Censored = &factor, s.Censored
	} else {
		p.speedUp(a, b)
	}
	if known, ok := a.Paired[b.Rule.Name]; ok {
		p.Ratio, p.CI95, p.Verdict = number(known.Ratio), [2]Num{number(known.CI95[0]), number(known.CI95[1])}, verdictOf(known.Verdict)
		return p
	}
	n := len(a.MeanLosses)
	if n != len(b.MeanLosses) || a.Seed != b.Seed || a.Steps != b.Steps {
		return p // not the same instances
	}
	c := compare.Comparison{Runs: n, Seed: a.Seed, Rules: []compare.Result{a.result(), b.result()}}
	c.Pair()
	found := c.Paired[0]
	p.Ratio, p.CI95, p.Verdict = number(found.Ratio), [2]Num{number(found.RatioCI95[0]), number(found.RatioCI95[1])}, verdictOf(found.Verdict)
	return p
}

// speedUp is what package sweep defines: the first step at which b has reached the final loss of a, over a's steps.
func (p *Pair) speedUp(a, b record) {
	final := mean(a.FinalLosses)
	if !final.Finite() || len(b.Reach) == 0 || b.ReachEvery < 1 || a.Steps < 1 {
		return
	}
	i := slices.IndexFunc(b.Reach, func(x compare.Number) bool { return x <= final })
	if p.Censored = i < 0; p.Censored {
		i = len(b.Reach) - 1
	}
	factor := Num(float64(i) * float64(b.ReachEvery) / float64(a.Steps))
	p.SpeedUp = &factor
}

func (r record) result() compare.Result {
	return compare.Result{
		Name: r.Rule.Name, Kind: r.Rule.Kind, MeanLoss: mean(r.MeanLosses), FinalLoss: mean(r.FinalLosses), Diverged: r.Diverged, MeanLosses: r.MeanLosses,
	}
}

// findings sums a sweep up: each learned rule against each hand-designed one, over all cells.
func (s *Sweep) findings() []Finding {
	type sum struct {
		learned, baseline string
		won, lost, open   int
		speedUps          []float64
		censored          bool
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
				x.speedUps, x.censored = append(x.speedUps, float64(*p.SpeedUp)), x.censored || p.Censored
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
		if len(x.speedUps) > 0 {
			slices.Sort(x.speedUps)
			bound := ""
			if x.censored {
				bound = "at least "
			}
			f.Text += fmt.Sprintf(" Median speed-up: %s%.3g times the steps.", bound, x.speedUps[(len(x.speedUps)-1)/2])
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

// worse says whether the learned rule does worse in p than in q: by the verdict where a
// ratio is not finite, else by the ratio.
func worse(p, q Pair) bool {
	if p.Ratio.finite() && q.Ratio.finite() {
		return p.Ratio > q.Ratio
	}
	rank := map[string]int{won: 0, open: 1, lost: 2}
	return rank[p.Verdict] > rank[q.Verdict]
}
