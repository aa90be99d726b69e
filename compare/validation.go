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

// The selections: the number by which one of several rules is chosen. Each is computed
// from every run's mean loss m = mean f(θ_0) … f(θ_T), over instances and horizons.
const (
	// SelectMean is the mean of m. Where losses differ in size, the instances
	// with the largest rule it.
	SelectMean = "mean"
	// SelectGeometric is the geometric mean of m: a loss that falls by a tenth
	// counts the same wherever it does. So a mixture of tasks, or of short and long
	// horizons, can be judged by one number.
	SelectGeometric = "geometric"
	// SelectGeometricBoth is the geometric mean of √(m l), where l is the mean of
	// the run's last five losses.
	SelectGeometricBoth = "geometric-both"
)

// Selections returns all selections.
func Selections() []string { return []string{SelectMean, SelectGeometric, SelectGeometricBoth} }

// A HorizonScore is the score of the first Steps steps of some runs.
type HorizonScore struct {
	Steps int `json:"steps"`
	Score
}

// A Validation scores a rule by its runs on fixed instances. Every field but Seen and Progress
// must be set.
type Validation struct {
	Family optimizer.Family
	// Instance returns the random source of instance i; it is called from several goroutines.
	Instance func(i int) *rand.Rand
	// Runs is the number of instances.
	Runs int
	// Horizons are the numbers of steps that are scored, ascending.
	Horizons []int
	// Selection is one of Selections.
	Selection string
	// Seen, if set, gets the outcomes of all runs.
	Seen func([]optimizer.Outcome)
	// Progress, if set, is called after each run.
	Progress func(done, total int)
}

// Validate returns an error if the horizons do not ascend from 1 or the selection is unknown. It does not
// look at the other fields.
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

// Score returns the score over all horizons and the score of each. It runs the longest horizon
// only: the shorter runs are its beginnings. The error is the context's or the problem's, or says what is wrong
// with the validation or the rule, or that a loss is negative where a geometric mean is asked for.
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
	if v.Seen != nil {
		v.Seen(outcomes[0])
	}
	var parts []HorizonScore
	for _, steps := range v.Horizons {
		begun := make([]optimizer.Outcome, len(outcomes[0]))
		for i, out := range outcomes[0] {
			begun[i] = out.Prefix(steps)
		}
		score := NewScore(begun)
		if v.Selection != SelectMean {
			if score.Geometric, err = geometric(begun, v.Selection == SelectGeometricBoth); err != nil {
				return Score{}, nil, fmt.Errorf("compare: validation on %s: %w", v.Family.Name(), err)
			}
		}
		parts = append(parts, HorizonScore{steps, score})
	}
	return combine(parts), parts, nil
}

// combine is the score over horizons: means of the losses, the geometric mean of
// geometric means. The longest horizon's number of diverged runs is that of all.
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

// smallest stands for a loss of 0 in a geometric mean.
const smallest = 0x1p-1022

// geometric is the geometric mean over outcomes of mean losses, or, if both is set, of
// those and final losses. It is +Inf if a run diverged.
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
			sum += math.Log(max(v, smallest))
			n++
		}
	}
	return Number(math.Exp(sum / float64(n))), nil
}
