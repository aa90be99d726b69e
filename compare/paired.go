package compare

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"

	"learnedopt/internal/stream"
)

// The verdicts of a Paired.
const (
	Won       = "won"
	Lost      = "lost"
	Undecided = "undecided"
)

// LeastPairs is the least number of instances for a verdict. Two rules that are equally good differ in the same direction on
// all of n instances with probability 2^(1−n), which is below 5 % from 6 on; the bootstrap of fewer pairs knows no better.
const LeastPairs = 6

// A Paired compares a learned rule with the best hand-designed rule, instance by instance. Both ran on the same
// instances. So the differences in difficulty between instances cancel out of a paired difference. They would
// not cancel out of two separate intervals.
type Paired struct {
	// Name is the learned rule. Against is the best hand-designed rule: the one with the fewest divergences,
	// then with the lowest mean loss on these instances.
	Name    string `json:"name"`
	Against string `json:"against"`
	// With the mean losses a_i of Name and b_i of Against on instance i,
	//
	//	Ratio = Σ a_i / Σ b_i,   Difference = (1/n) Σ (a_i − b_i),
	//
	// The 95 % bootstrap intervals draw instances with replacement and keep each pair together.
	// A run that diverged has no mean loss. If either rule has such a run, all four are unknown: they are
	// +Inf, which is null in JSON. A ratio is also +Inf if Σ b_i is not positive.
	Ratio          Number    `json:"ratio"`
	RatioCI95      [2]Number `json:"ratio_ci95"`
	Difference     Number    `json:"difference"`
	DifferenceCI95 [2]Number `json:"difference_ci95"`
	// Verdict is Won or Lost if one of the two rules diverged on fewer instances, or if neither diverged and
	// the interval of the difference, over LeastPairs instances or more, excludes zero. Otherwise it is Undecided.
	// Comparison.Diverged returns the numbers of divergences.
	Verdict string `json:"verdict"`
}

// Pair fills in c.Paired from c.Rules: one Paired for each learned rule, or none if there is no hand-designed
// rule. c.Rules may hold rules from several comparisons with the same task, steps, runs and seed, because
// Evaluate gives a rule the same result whatever it is compared with. Pair panics if a rule does not have
// c.Runs mean losses.
func (c *Comparison) Pair() {
	c.Paired = nil
	for i := range c.Rules {
		if len(c.Rules[i].MeanLosses) != c.Runs {
			panic(errPairs)
		}
	}
	best := Best(c.Rules)
	if best < 0 {
		return
	}
	for _, r := range c.Rules {
		if r.Kind == Learned {
			c.Paired = append(c.Paired, PairOf(r, c.Rules[best], c.Seed))
		}
	}
}

// Best returns the index of the hand-designed rule with the fewest divergences, then with the lowest mean loss.
// Among equal rules it returns the first. It returns -1 if there is no hand-designed rule.
func Best(rules []Result) int {
	best := -1
	for i := range rules {
		if rules[i].Kind == Baseline && (best < 0 || rules[i].score().BetterThan(rules[best].score())) {
			best = i
		}
	}
	return best
}

func (r *Result) score() Score {
	return Score{MeanLoss: r.MeanLoss, FinalLoss: r.FinalLoss, Diverged: r.Diverged}
}

// Diverged returns the number of instances on which each rule of the pair, Name and Against, diverged and so has no
// mean loss. If either number is above zero, these two numbers alone decide the verdict.
func (c *Comparison) Diverged(p Paired) (name, against int) {
	for i := range c.Rules {
		switch r := &c.Rules[i]; {
		case r.Kind == Learned && r.Name == p.Name:
			name = r.withoutLoss()
		case r.Kind == Baseline && r.Name == p.Against:
			against = r.withoutLoss()
		}
	}
	return name, against
}

// withoutLoss counts the instances on which the rule has no mean loss.
func (r *Result) withoutLoss() int {
	n := 0
	for _, x := range r.MeanLosses {
		if !x.Finite() {
			n++
		}
	}
	return n
}

// PairOf compares the learned rule a with the hand-designed rule b. Both must have run on the same instances, in a
// comparison with this seed. It panics if a and b have different numbers of mean losses.
func PairOf(a, b Result, seed uint64) Paired {
	if len(a.MeanLosses) != len(b.MeanLosses) {
		panic(errPairs)
	}
	p := Paired{Name: a.Name, Against: b.Name, Verdict: Undecided}
	if own, other := a.withoutLoss(), b.withoutLoss(); own+other > 0 {
		switch {
		case own < other:
			p.Verdict = Won
		case own > other:
			p.Verdict = Lost
		}
		return p.unknown()
	}
	n := len(a.MeanLosses)
	rng := stream.New(seed, "bootstrap", 0) // the same resamples as for the other intervals
	ratios, differences := make([]float64, resamples), make([]float64, resamples)
	for k := range resamples {
		var sumA, sumB float64
		for range n {
			i := rng.IntN(n)
			sumA += float64(a.MeanLosses[i])
			sumB += float64(b.MeanLosses[i])
		}
		ratios[k], differences[k] = ratio(sumA, sumB), (sumA-sumB)/float64(n)
	}
	p.Ratio, p.RatioCI95 = Number(ratio(float64(a.MeanLoss), float64(b.MeanLoss))), interval(ratios)
	p.Difference, p.DifferenceCI95 = a.MeanLoss-b.MeanLoss, interval(differences)
	switch d := p.DifferenceCI95; {
	case !d[0].Finite() || !d[1].Finite(): // sums beyond float64
		return p.unknown()
	case n < LeastPairs:
	case d[1] < 0:
		p.Verdict = Won
	case d[0] > 0:
		p.Verdict = Lost
	}
	return p
}

// unknown returns p with all four numbers set to +Inf.
func (p Paired) unknown() Paired {
	inf := Number(math.Inf(1))
	p.Ratio, p.RatioCI95, p.Difference, p.DifferenceCI95 = inf, [2]Number{inf, inf}, inf, [2]Number{inf, inf}
	return p
}

func ratio(a, b float64) float64 {
	if !(b > 0) {
		return math.Inf(1)
	}
	return a / b
}

// interval returns the 2.5 and 97.5 % quantiles of x, which it sorts.
func interval(x []float64) [2]Number {
	slices.Sort(x)
	return [2]Number{Number(stat.Quantile(0.025, stat.Empirical, x, nil)), Number(stat.Quantile(0.975, stat.Empirical, x, nil))}
}
