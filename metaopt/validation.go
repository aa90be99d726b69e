package metaopt

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"learnedopt/optimizer"
)

// The values of TrainConfig.Selection: what is compared of two networks. It is computed
// of every run's mean loss m = mean f(θ_0) … f(θ_T) over instances and horizons.
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

// Selections are the values of TrainConfig.Selection.
func Selections() []string { return []string{SelectMean, SelectGeometric, SelectGeometricBoth} }

// A HorizonScore is the score of the first Steps steps of some runs.
type HorizonScore struct {
	Steps int `json:"steps"`
	Score
}

// A validation runs a rule on instances to get its score.
type validation struct {
	family    optimizer.Family
	instance  func(i int) *rand.Rand
	runs      int
	horizons  []int // ascending
	selection string
	// seen, if set, gets the outcomes of the runs.
	seen     func([]optimizer.Outcome)
	progress func(done, total int)
}

// run returns the score over all horizons and that of each. One run of the longest
// gives the shorter ones, its beginnings. The error is the context's, the problem's,
// or that of a negative loss in a geometric mean.
func (v validation) run(ctx context.Context, rule optimizer.Rule) (Score, []HorizonScore, error) {
	outcomes, err := optimizer.RunAll(ctx, optimizer.Job{
		Rules:      []optimizer.Rule{rule},
		Family:     v.family,
		Instance:   v.instance,
		Runs:       v.runs,
		Steps:      v.horizons[len(v.horizons)-1],
		LossesOnly: true,
		Progress:   v.progress,
	})
	if err != nil {
		return Score{}, nil, err
	}
	if v.seen != nil {
		v.seen(outcomes[0])
	}
	var parts []HorizonScore
	for _, steps := range v.horizons {
		begun := make([]optimizer.Outcome, len(outcomes[0]))
		for i, out := range outcomes[0] {
			begun[i] = prefix(out, steps)
		}
		score := NewScore(begun)
		if v.selection != SelectMean {
			if score.Geometric, err = geometric(begun, v.selection == SelectGeometricBoth); err != nil {
				return Score{}, nil, fmt.Errorf("metaopt: validation on %s: %w", v.family.Name(), err)
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

// prefix is what the first steps of a run did.
func prefix(out optimizer.Outcome, steps int) optimizer.Outcome {
	if len(out.Losses) < steps+1 {
		return out // it diverged before
	}
	begun := optimizer.Outcome{Losses: out.Losses[:steps+1]}
	if d := out.Diverged; d != nil && d.Step == steps && d.What == "loss" {
		begun.Diverged = d
	}
	return begun
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

// validateSelection says what is wrong with the way validation is done.
func (cfg TrainConfig) validateSelection() error {
	for i, steps := range cfg.ValidSteps {
		if steps < 1 || i > 0 && steps <= cfg.ValidSteps[i-1] {
			return fmt.Errorf("metaopt: validation at %d steps; horizons must be positive and ascend", cfg.ValidSteps)
		}
	}
	if !slices.Contains(Selections(), cfg.Selection) {
		return fmt.Errorf("metaopt: no selection %q; it is one of %q", cfg.Selection, Selections())
	}
	return nil
}

// score runs the network on the validation instances and returns the event of it. Scores of horizons are
// left out if there is only the one that all episodes have.
func (t *Trainer) score(ctx context.Context) (Score, Event, error) {
	horizons := t.validHorizons()
	v := validation{
		family: t.cfg.Valid, instance: streams(t.cfg.Seed, "valid"), runs: t.cfg.ValidRuns,
		horizons: horizons, selection: t.cfg.Selection,
	}
	event := Event{Kind: EventValidation}
	rule := optimizer.Rule(t.net)
	if t.cfg.OnEvent != nil {
		w := watch(t.net, t.cfg.ValidRuns, horizons[len(horizons)-1])
		rule = w
		v.seen = func(outcomes []optimizer.Outcome) {
			event.Diagnostics = &Diagnostics{t.diagnoseTraining(), w.diagnosis(t.metaSteps, outcomes)}
		}
	}
	score, parts, err := v.run(ctx, rule)
	if len(t.cfg.Horizons) > 0 || len(horizons) > 1 || horizons[0] != t.cfg.Steps {
		event.Horizons = parts
	}
	event.Valid = &score
	return score, event, err
}
