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

// A Paired compares a learned rule with the best hand-designed one instance by
// instance. Both ran on the same instances, so that what makes one instance
// harder than another cancels out of the difference, but not out of two intervals
// that are laid side by side.
type Paired struct {
	// Name is the learned rule, Against the hand-designed one of the fewest divergences
	// and then the least mean loss on these instances.
	Name    string `json:"name"`
	Against string `json:"against"`
	// With the mean losses a_i of Name and b_i of Against on instance i,
	//
	//	Ratio = Σ a_i / Σ b_i,   Difference = (1/n) Σ (a_i − b_i),
	//
	// and their 95 % bootstrap intervals, of instances drawn with replacement as pairs.
	// A run that diverged has no mean loss. Where a rule has such a run, none of the four is
	// known: they are +Inf, null in JSON. So is a ratio unless Σ b_i is positive.
	Ratio          Number    `json:"ratio"`
	RatioCI95      [2]Number `json:"ratio_ci95"`
	Difference     Number    `json:"difference"`
	DifferenceCI95 [2]Number `json:"difference_ci95"`
	// Verdict is Won or Lost if one of the two diverged on fewer instances, or if neither diverged and
	// the difference's interval excludes zero; else Undecided. Comparison.Diverged has the numbers.
	Verdict string `json:"verdict"`
}

// Pair fills in c.Paired from c.Rules: one Paired for each learned rule, none if there is
// no hand-designed one. Rules of comparisons on the same task, steps,
// runs and seed may have been put together in c.Rules: Evaluate gives a rule the same result
// whatever it is compared with. It panics if a rule has not a mean loss for each of
// c.Runs instances.
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

// Best returns the index of the hand-designed rule of the fewest divergences and then the least mean loss, the first one of
// equals; -1 if there is none.
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

// Diverged returns on how many instances the rules Name and Against of a pair have no mean loss: they diverged there. Where
// it is any, the verdict goes by these numbers alone.
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

// PairOf compares the learned rule a with the hand-designed rule b, which ran on the same instances of a comparison
// of this seed. It panics if one has mean losses on more instances than the other.
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
	rng := stream.New(seed, "bootstrap", 0) // the resamples of the other intervals
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
	case d[1] < 0:
		p.Verdict = Won
	case d[0] > 0:
		p.Verdict = Lost
	}
	return p
}

// unknown returns p without its numbers.
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
