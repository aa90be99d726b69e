package metatrain

import (
	"context"

	"learnedopt/compare"
	"learnedopt/optimizer"
)

// validateSelection returns an error if the horizons or the selection of validation are invalid.
func (cfg TrainConfig) validateSelection() error {
	return compare.Validation{Horizons: cfg.ValidSteps, Selection: cfg.Selection}.Validate()
}

// score runs the network on the validation instances, and returns the score and its event. The event omits the
// scores by horizon if validation has a single horizon and all episodes have this length.
func (t *Trainer) score(ctx context.Context) (compare.Score, Event, error) {
	horizons := t.validHorizons()
	v := compare.Validation{
		Family: t.cfg.Valid, Instance: compare.Streams(t.cfg.Seed, "valid"), Runs: t.cfg.ValidRuns,
		Horizons: horizons, Selection: t.cfg.Selection,
	}
	event := Event{Kind: EventValidation}
	rule := optimizer.Rule(t.net)
	if t.cfg.OnEvent != nil {
		w := watch(t.net, t.cfg.ValidRuns, horizons[len(horizons)-1])
		rule = w
		v.OnOutcomes = func(outcomes []optimizer.Outcome) {
			event.Diagnostics = &Diagnostics{t.diagnoseTraining(), w.diagnosis(t.metaSteps, outcomes)}
		}
	}
	score, parts, err := v.Score(ctx, rule)
	if len(t.cfg.Horizons) > 0 || len(horizons) > 1 || horizons[0] != t.cfg.Steps {
		event.Horizons = parts
	}
	event.Valid = &score
	return score, event, err
}
