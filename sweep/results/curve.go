package results

import (
	"fmt"
	"math"
	"slices"

	"learnedopt/compare"
	"learnedopt/optimizer"
)

// intervals is the largest number of parts into which a stored curve divides the horizon.
const intervals = 200

// NewRecord sums up the runs of one rule over a horizon T of the given number of steps; the runs may be longer. outcomes[i] is
// the run on instance i of a comparison with the given seed. The caller fills in the fields that do not follow from the losses
// (Key, Rule, Cell and so on).
func NewRecord(c compare.Contender, outcomes []optimizer.Outcome, steps int, seed uint64) Record {
	r := Record{Steps: steps, Runs: len(outcomes), Seed: seed}
	outcomes = slices.Clone(outcomes)
	for i, out := range outcomes {
		outcomes[i] = out.Prefix(steps)
		if d := outcomes[i].Diverged; d != nil {
			r.DivergedAt = append(r.DivergedAt, fmt.Sprintf("instance %d: %v", i, d))
		}
	}
	r.CurveSteps = curveSteps(steps)
	res := compare.NewResult(c, outcomes, r.CurveSteps, seed)
	r.MeanLosses, r.FinalLosses, r.Diverged = res.MeanLosses, res.FinalLosses, res.Diverged
	r.Curve, r.CurveCI95 = res.Curve, res.CurveCI95
	return r
}

// curveSteps returns at most intervals+1 steps from 0 to T, both included, evenly spaced up to rounding.
func curveSteps(steps int) []int {
	n := min(steps, intervals)
	at := make([]int, n+1)
	for i := range at {
		at[i] = int(math.Round(float64(i) * float64(steps) / float64(n)))
	}
	return at
}

// smoothing is the number of steps over which a curve is averaged before it is compared with a final
// loss: a final loss is an average of as many losses.
const smoothing = 5

// SetReach fills in Reach and ReachEvery from the record's runs, which have up to longest steps. Reach ends at the first step
// at which a run diverged.
func (r *Record) SetReach(outcomes []optimizer.Outcome, longest int) {
	every := (r.Steps + intervals - 1) / intervals
	r.Reach, r.ReachEvery = nil, every
	mean := make([]float64, 0, longest+1)
	for t := range longest + 1 {
		sum := 0.0
		for _, out := range outcomes {
			if t >= len(out.Losses) {
				sum = math.Inf(1)
				break
			}
			sum += out.Losses[t] / float64(len(outcomes))
		}
		if !compare.Number(sum).Finite() {
			break
		}
		mean = append(mean, sum)
	}
	lowest := math.Inf(1)
	for t := range mean {
		window := mean[max(0, t+1-smoothing) : t+1]
		sum := 0.0
		for _, x := range window {
			sum += x / float64(len(window))
		}
		lowest = min(lowest, sum)
		if t%every == 0 {
			r.Reach = append(r.Reach, compare.Number(lowest))
		}
	}
}

// speedUp compares the final loss of a learned rule with the curve of the tuned rule r. ok is false if the final loss is not
// finite or r has no Reach.
func (r *Record) speedUp(final compare.Number) (s SpeedUp, ok bool) {
	if !final.Finite() || len(r.Reach) == 0 {
		return s, false
	}
	i := slices.IndexFunc(r.Reach, func(x compare.Number) bool { return x <= final })
	if s.Censored = i < 0; s.Censored {
		i = len(r.Reach) - 1
	}
	s.Steps = float64(i * r.ReachEvery)
	s.Factor = s.Steps / float64(r.Steps)
	return s, true
}
