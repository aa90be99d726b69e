package compare

import (
	"context"
	"errors"

	"learnedopt/optimizer"
)

// SelectConfig says how Select chooses. Of its fields only Selection and Seed have a
// default.
type SelectConfig struct {
	// Family draws the instances: i gets the stream (Seed, "select", i), which nothing
	// else uses.
	Family optimizer.Family
	Runs   int
	// Horizons are those that count, ascending.
	Horizons []int
	// Selection is the score that is compared. Default SelectMean.
	Selection string
	Seed      uint64
	// Progress, if set, is called after each run.
	Progress func(done, total int)
}

// A RuleScore is a rule's score over all horizons, and that of each.
type RuleScore struct {
	Score
	Horizons []HorizonScore `json:"horizons"`
}

// Select scores rules, such as networks that were trained from several seeds, on the same
// instances, and returns the index of the best, the first of equal ones. The best of
// many scores is lower than what that rule would get elsewhere: report what Evaluate
// measures.
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
