package metatrain

import (
	"context"
	"errors"
	"fmt"
	"math"

	"learnedopt/baselines"
	"learnedopt/compare"
	"learnedopt/internal/stream"
	"learnedopt/optimizer"
)

// minValidations is the least number of validations in a stage (Chen et al. 2020, the authors' code).
const minValidations = 3

// A StageChange describes the end of a stage of the curriculum.
type StageChange struct {
	// From is the horizon of the stage that ends, and To the horizon of the next stage. To is 0 if the
	// curriculum ends.
	From int `json:"from_steps"`
	To   int `json:"to_steps"`
	// Best is the meta-step of the φ that is restored. Improved says whether the ending stage found this φ.
	Best     int  `json:"best_meta_step"`
	Improved bool `json:"improved"`
}

// stages is the state of a curriculum.
type stages struct {
	now         int           // the present stage, an index into Horizons
	first       uint64        // the first episode of this stage, or since the last rollback
	bestStage   int           // the stage that found the best φ
	reference   compare.Score // a validation must score better than this to be this stage's best
	validations int           // number of validations in this stage
	improved    bool          // whether this stage found a new best φ
}

// horizon is the number of steps of an episode in stage s.
func (cfg TrainConfig) horizon(s int) int {
	if len(cfg.Horizons) == 0 {
		return cfg.Steps
	}
	return cfg.Horizons[s]
}

// lengthDefaults fills in the defaults of the settings for the length of episodes.
func (cfg *TrainConfig) lengthDefaults() {
	if n := len(cfg.Horizons); n > 0 {
		cfg.Steps = cfg.Horizons[n-1]
	}
	if cfg.StagePatience == 0 {
		cfg.StagePatience = 1
	}
}

// validateLengths returns an error if the settings of the curriculum are invalid.
func (cfg TrainConfig) validateLengths() error {
	for s, steps := range cfg.Horizons {
		if steps < 1 || s > 0 && steps <= cfg.Horizons[s-1] {
			return fmt.Errorf("metatrain: a curriculum over %d steps; horizons must be positive and ascend", cfg.Horizons)
		}
		if steps%cfg.Unroll != 0 {
			return fmt.Errorf("metatrain: a horizon of %d steps is not a whole number of windows of %d; choose horizons divisible by unroll", steps, cfg.Unroll)
		}
	}
	switch {
	case cfg.StagePatience < 0:
		return errors.New("metatrain: the patience of a stage must not be negative")
	case len(cfg.Horizons) > 0 && cfg.Patience > 0:
		return errors.New("metatrain: patience would end the training in the curriculum's first stage that needs it; set the patience of a stage")
	}
	return nil
}

// length returns the number of steps of episode e: the horizon T or, with RandomSteps, n windows of K steps. Here
// n = ⌊(T/K+1)^u⌋, with u uniform in [0, 1) from the stream (Seed, "length", e). So n is log-uniform:
//
//	P(n) = ln((n+1)/n) / ln(T/K+1),   n = 1 … T/K .
func (t *Trainer) length(e uint64) int {
	steps := t.cfg.horizon(t.stages.now)
	if !t.cfg.RandomSteps {
		return steps
	}
	windows := steps / t.cfg.Unroll
	u := stream.New(t.cfg.Seed, "length", e).Float64()
	return t.cfg.Unroll * min(windows, int(math.Pow(float64(windows+1), u)))
}

// validHorizons returns the horizons of the next validation: ValidSteps if set, else the horizon of the next stage.
// The last stage uses its own horizon.
func (t *Trainer) validHorizons() []int {
	if len(t.cfg.ValidSteps) > 0 {
		return t.cfg.ValidSteps
	}
	return []int{t.cfg.horizon(min(t.stages.now+1, len(t.cfg.Horizons)-1))}
}

// keep stores the present network as the best so far.
func (t *Trainer) keep(score compare.Score) {
	t.stages.improved = t.best != nil // the first validation only scores the initial network
	t.best, t.bestScore, t.bestAt, t.stale = t.net, score, t.metaSteps, 0
	t.stages.reference, t.stages.bestStage = score, t.stages.now
}

// advance ends the present stage of a curriculum if it has had enough validations and stopped improving. It then
// restores the best φ and begins the next stage. It returns true if the training ends, because the stage was the
// last or never improved.
func (t *Trainer) advance(ctx context.Context) (done bool, err error) {
	st := &t.stages
	if len(t.cfg.Horizons) == 0 || st.validations < minValidations || t.stale < t.cfg.StagePatience {
		return false, nil
	}
	change := StageChange{From: t.cfg.horizon(st.now), Best: t.bestAt, Improved: st.improved}
	if st.now+1 == len(t.cfg.Horizons) || !st.improved {
		t.emit(Event{Kind: EventStage, Stage: &change})
		return true, nil
	}
	if err := t.restore(); err != nil {
		return false, err
	}
	st.now++
	st.improved, st.validations = false, 0
	change.To = t.cfg.horizon(st.now)
	t.emit(Event{Kind: EventStage, Stage: &change})
	// The new stage must score better than the restored φ at the new horizon.
	score, event, err := t.score(ctx)
	if err != nil {
		return false, err
	}
	t.validated, t.lastScore, t.stale = t.metaSteps, score, 0
	st.reference = score
	if err := t.makeSafe(score); err != nil {
		return false, err
	}
	t.emit(event)
	return false, nil
}

// restore goes back to the best φ. Adam starts with new moments: the old ones average meta-gradients of shorter
// episodes, the last of them at values of φ that are now discarded. For the same reason all running episodes end.
func (t *Trainer) restore() error {
	t.net = t.best
	t.phi = t.net.Params()
	t.meta = baselines.Adam{LearningRate: t.cfg.MetaLearningRate}.Start(optimizer.Flat(len(t.phi)))
	t.skipped = 0
	t.stages.first = uint64(t.episodes)
	return t.Close()
}
