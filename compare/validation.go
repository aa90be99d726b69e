package compare

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"learnedopt/optimizer"
)

// The selections. A selection is the number by which one of several rules is chosen. It is computed from the mean
// loss m = mean f(θ_0) … f(θ_T) of every run, over instances and horizons.
const (
	// SelectMean is the mean of m. If losses differ in size, the instances with the largest losses dominate it.
	SelectMean = "mean"
	// SelectGeometric is the geometric mean of m. A loss that falls by a tenth counts the same at any size.
	// So one number can judge a mixture of tasks, or of short and long horizons.
	SelectGeometric = "geometric"
	// SelectGeometricBoth is the geometric mean of √(m l), where l is the mean of the run's last five losses.
	SelectGeometricBoth = "geometric-both"
)

// Selections returns all selections.
func Selections() []string { return []string{SelectMean, SelectGeometric, SelectGeometricBoth} }

// A HorizonScore is the score of the first Steps steps of each run.
type HorizonScore struct {
	Steps int `json:"steps"`
	Score
}

// A Validation scores a rule by its runs on fixed instances. Every field except OnOutcomes and Progress must be set.
type Validation struct {
	Family optimizer.Family
	// Instance returns the random source of instance i. It is called from several goroutines.
	Instance func(i int) *rand.Rand
	// Runs is the number of instances.
	Runs int
	// Horizons are the numbers of steps that are scored, ascending.
	Horizons []int
	// Selection is one of Selections.
	Selection string
	// OnOutcomes, if set, is called once with the outcomes of all runs.
	OnOutcomes func([]optimizer.Outcome)
	// Progress, if set, is called after each run.
	Progress func(done, total int)
}

// Validate returns an error if the horizons are not positive and ascending, or if the selection is unknown. It does
// not look at the other fields.
func (v Validation) Validate() error {
	for i, steps := range v.Horizons {
		if steps < 1 || i > 0 && steps <= v.Horizons[i-1] {
			return fmt.Errorf("compare: validation at %d steps; horizons must be positive and ascend", v.Horizons)
		}
	}
	if !slices.Contains(Selections(), v.Selection) {
		return fmt.Errorf("compare: no selection %q; it is one of %q", v.Selection, Selections())
	}
	return nil
}

// Score returns the score over all horizons, and the score at each horizon. It runs only the longest horizon: the
// first steps of that run are the shorter runs. It returns an error if the context ends, if a problem fails, if the
// validation or the rule is invalid, or if a geometric mean is asked for and a loss is negative.
func (v Validation) Score(ctx context.Context, rule optimizer.Rule) (Score, []HorizonScore, error) {
	if v.Family == nil || v.Instance == nil || v.Runs < 1 || len(v.Horizons) == 0 {
		return Score{}, nil, errors.New("compare: a validation needs a family of problems, their random sources, runs and horizons")
	}
	if err := errors.Join(v.Validate(), validRule(rule)); err != nil {
		return Score{}, nil, err
	}
	outcomes, err := optimizer.RunAll(ctx, optimizer.Job{
		Rules:      []optimizer.Rule{rule},
		Family:     v.Family,
		Instance:   v.Instance,
		Runs:       v.Runs,
		Steps:      v.Horizons[len(v.Horizons)-1],
		LossesOnly: true,
		Progress:   v.Progress,
	})
	if err != nil {
		return Score{}, nil, err
	}
	if v.OnOutcomes != nil {
		v.OnOutcomes(outcomes[0])
	}
	var parts []HorizonScore
	for _, steps := range v.Horizons {
		prefixes := make([]optimizer.Outcome, len(outcomes[0]))
		for i, out := range outcomes[0] {
			prefixes[i] = out.Prefix(steps)
		}
		score := NewScore(prefixes)
		if v.Selection != SelectMean {
			if score.Geometric, err = geometric(prefixes, v.Selection == SelectGeometricBoth); err != nil {
				return Score{}, nil, fmt.Errorf("compare: validation on %s: %w", v.Family.Name(), err)
			}
		}
		parts = append(parts, HorizonScore{steps, score})
	}
	return combine(parts), parts, nil
}

// combine returns the score over all horizons: the arithmetic means of the losses, and the geometric mean of the
// geometric means. A run that diverged at any horizon also diverged at the longest, whose count is the total.
func combine(parts []HorizonScore) Score {
	total := Score{Diverged: parts[len(parts)-1].Diverged}
	sumLog, n := 0.0, float64(len(parts))
	for _, p := range parts {
		total.MeanLoss += p.MeanLoss / Number(n)
		total.FinalLoss += p.FinalLoss / Number(n)
		sumLog += math.Log(float64(p.Geometric))
	}
	switch {
	case len(parts) == 1:
		total.Geometric = parts[0].Geometric
	case parts[0].Geometric > 0:
		total.Geometric = Number(math.Exp(sumLog / n))
	}
	return total
}

// leastLoss replaces a loss of 0 in a geometric mean. It is the smallest normal float64.
const leastLoss = 0x1p-1022

// geometric is the geometric mean over outcomes of the mean losses or, if both is set, of the mean losses and the
// final losses. It is +Inf if a run diverged.
func geometric(outcomes []optimizer.Outcome, both bool) (Number, error) {
	sum, n := 0.0, 0
	for i, out := range outcomes {
		values := []float64{meanLoss(out)}
		if both {
			values = append(values, finalLoss(out))
		}
		for _, v := range values {
			if v < 0 {
				return 0, fmt.Errorf("instance %d has a loss of %g, and a geometric mean is one of positive numbers; select by the mean", i, v)
			}
			sum += math.Log(max(v, leastLoss))
			n++
		}
	}
	return Number(math.Exp(sum / float64(n))), nil
}
