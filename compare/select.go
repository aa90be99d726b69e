package compare

import (
	"context"
	"errors"

	"learnedopt/optimizer"
)

// SelectConfig says how Select chooses. Family, Runs and Horizons must be set.
type SelectConfig struct {
	// Family draws the instances. Instance i is drawn from the stream (Seed, "select", i), which nothing else
	// uses. Runs is the number of instances.
	Family optimizer.Family
	Runs   int
	// Horizons are the numbers of steps that are scored, ascending.
	Horizons []int
	// Selection says which score is compared: one of Selections. Default SelectMean.
	Selection string
	Seed      uint64
	// Progress, if set, is called after each run.
	Progress func(done, total int)
}

// A RuleScore holds a rule's score over all horizons, and its score at each horizon.
type RuleScore struct {
	Score
	Horizons []HorizonScore `json:"horizons"`
}

// Select scores rules on the same instances and returns the index of the best rule; among equal rules, of the
// first. The rules may be networks trained from several seeds. The best of many scores is optimistic: on fresh
// instances the same rule would score worse on average. So report what Evaluate measures, not this score.
func Select(ctx context.Context, cfg SelectConfig, rules []optimizer.Rule) (best int, scores []RuleScore, err error) {
	if cfg.Selection == "" {
		cfg.Selection = SelectMean
	}
	v := Validation{
		Family: cfg.Family, Instance: Streams(cfg.Seed, "select"), Runs: cfg.Runs,
		Horizons: cfg.Horizons, Selection: cfg.Selection,
	}
	switch err := v.Validate(); {
	case err != nil:
		return 0, nil, err
	case cfg.Family == nil || cfg.Runs < 1 || len(cfg.Horizons) == 0 || len(rules) == 0:
		return 0, nil, errors.New("compare: a selection needs a family of problems, runs, horizons and rules")
	}
	for i, rule := range rules {
		if cfg.Progress != nil {
			v.Progress = func(done, total int) { cfg.Progress(i*total+done, len(rules)*total) }
		}
		score, horizons, err := v.Score(ctx, rule)
		if err != nil {
			return 0, nil, err
		}
		scores = append(scores, RuleScore{score, horizons})
		if score.BetterThan(scores[best].Score) {
			best = i
		}
	}
	return best, scores, nil
}
