package baselines

import (
	"errors"
	"fmt"
	"math"

	"learnedopt/optimizer"
)

// defaultWarmUp is the share of a run in which the learning rate rises, unless a rule's WarmUp says otherwise. It is
// the share of AlgoPerf's self-tuned NAdamW and of its self-tuned Schedule-Free AdamW.
const defaultWarmUp = 0.02

// warmUp returns the factor of the learning rate at step t, counted from 0, of a run of total steps: it rises
// linearly during the first W = round(share · total) steps, and then stays at 1:
//
//	(t+1)/W  for t < W,   1  for t ≥ W
func warmUp(t, total int, share float64) float64 {
	if w := warmUpSteps(total, share); t < w {
		return float64(t+1) / float64(w)
	}
	return 1
}

// warmUpCosine is warmUp, followed by half a period of a cosine, which ends at 0 after the run's last step:
//
//	(1 + cos(π(t−W)/(total−W)))/2  for W ≤ t < total,   0  for t ≥ total
func warmUpCosine(t, total int, share float64) float64 {
	w := warmUpSteps(total, share)
	switch {
	case t >= total:
		return 0
	case t < w:
		return float64(t+1) / float64(w)
	}
	return (1 + math.Cos(math.Pi*float64(t-w)/float64(total-w))) / 2
}

func warmUpSteps(total int, share float64) int { return int(math.Round(share * float64(total))) }

// length returns the number of steps that a schedule is laid over: the rule's own, or the run's. It panics if the
// caller does not know the latter, although the rule's Needs ask for it.
func length(steps int, p optimizer.Point) int {
	if steps == 0 {
		steps = p.Total
	}
	if steps <= 0 {
		panic(errTotal)
	}
	return steps
}

// validSchedule returns an error if the fields of a schedule are out of their ranges.
func validSchedule(rule string, share float64, steps int) error {
	err := inRange(rule, "warm-up", share, 0, 1, forDefault)
	if steps < 0 {
		err = errors.Join(err, fmt.Errorf("baselines: %s: %d steps; want at least 1, or 0 for the length of the run", rule, steps))
	}
	return err
}
