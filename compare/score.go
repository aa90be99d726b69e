package compare

import (
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat"

	"learnedopt/internal/stream"
	"learnedopt/optimizer"
)

// lastSteps is the number of last losses of a run whose mean is the final loss.
const lastSteps = 5

// A Score sums up runs of one rule on several instances. One run that diverged makes both losses +Inf.
type Score struct {
	// MeanLoss is the mean of f(θ_0) … f(θ_T), and FinalLoss is the mean of the last five losses. Both are
	// averaged over instances.
	MeanLoss  Number `json:"mean_loss"`
	FinalLoss Number `json:"final_loss"`
	// Geometric is the geometric mean over instances, always above 0, if the selection was SelectGeometric or
	// SelectGeometricBoth. Otherwise it is 0.
	Geometric Number `json:"geometric,omitzero"`
	// Diverged is the number of runs that met a non-finite value.
	Diverged int `json:"diverged"`
}

// NewScore sums up the outcomes of one rule.
func NewScore(outcomes []optimizer.Outcome) Score {
	var s Score
	for _, out := range outcomes {
		s.MeanLoss += Number(meanLoss(out) / float64(len(outcomes)))
		s.FinalLoss += Number(finalLoss(out) / float64(len(outcomes)))
		if out.Diverged != nil {
			s.Diverged++
		}
	}
	return s
}

// Loss is the number by which networks are selected: Geometric if it is set, else MeanLoss.
func (s Score) Loss() Number {
	if s.Geometric != 0 {
		return s.Geometric
	}
	return s.MeanLoss
}

// BetterThan reports whether s has fewer diverged runs than t or, if the numbers are equal, a lower Loss.
func (s Score) BetterThan(t Score) bool {
	if s.Diverged != t.Diverged {
		return s.Diverged < t.Diverged
	}
	return s.Loss() < t.Loss()
}

func meanLoss(out optimizer.Outcome) float64 { return mean(out, len(out.Losses)) }

func finalLoss(out optimizer.Outcome) float64 { return mean(out, min(lastSteps, len(out.Losses))) }

// mean is the mean of the last n losses. It is +Inf if the run diverged or the mean is not finite.
func mean(out optimizer.Outcome, n int) float64 {
	if out.Diverged != nil {
		return math.Inf(1)
	}
	if m := stat.Mean(out.Losses[len(out.Losses)-n:], nil); Number(m).Finite() {
		return m
	}
	return math.Inf(1)
}

// resamples is the number of bootstrap samples behind each interval.
const resamples = 2000

// bootstrap returns the 95 % interval of the mean of x over instances: the 2.5 and 97.5 % quantiles of the means
// of samples drawn from x with replacement (Efron and Tibshirani 1993, section 13.3). An infinite x can make an
// end of the interval infinite.
func bootstrap(x []float64, rng *rand.Rand) (lo, hi float64) {
	means := make([]float64, resamples)
	for i := range means {
		for range x {
			means[i] += x[rng.IntN(len(x))]
		}
		means[i] /= float64(len(x))
	}
	slices.Sort(means)
	return stat.Quantile(0.025, stat.Empirical, means, nil), stat.Quantile(0.975, stat.Empirical, means, nil)
}

// Streams returns the random source of each instance i: the stream (seed, purpose, i). Training, validation,
// selection and comparison each have their own purpose, so they never share instances.
func Streams(seed uint64, purpose string) func(i int) *rand.Rand {
	return func(i int) *rand.Rand { return stream.New(seed, purpose, uint64(i)) }
}
