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

// minValidations is how many a stage has at least (Chen et al. 2020, the authors' code).
const minValidations = 3

// A StageChange is a step of the curriculum on the horizon.
type StageChange struct {
	// From and To are the horizons of the stages; To is 0 if the curriculum ends.
	From int `json:"from_steps"`
	To   int `json:"to_steps"`
	// Best is the meta-step of the φ that is restored. Improved says whether the
	// stage that ends found it.
	Best     int  `json:"best_meta_step"`
	Improved bool `json:"improved"`
}

// stages is where a curriculum stands.
type stages struct {
	now         int           // index into Horizons
	first       uint64        // the first episode of this stage
	kept        int           // the stage that found the best φ
	reference   compare.Score // of this stage: what a validation has to be below
	validations int           // in this stage
	improved    bool          // in this stage
}

// horizon is the number of steps of an episode in stage s.
func (cfg TrainConfig) horizon(s int) int {
	if len(cfg.Horizons) == 0 {
		return cfg.Steps
	}
	return cfg.Horizons[s]
}

// lengthDefaults fills in the defaults of what has to do with an episode's length.
func (cfg *TrainConfig) lengthDefaults() {
	if n := len(cfg.Horizons); n > 0 {
		cfg.Steps = cfg.Horizons[n-1]
	}
	if cfg.StagePatience == 0 {
		cfg.StagePatience = 1
	}
}

// validateLengths says what is wrong with the curriculum.
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

// length returns the number of steps of episode e: the horizon T or, at random,
// that of n windows of K, n = ⌊(T/K+1)^u⌋ with u uniform in [0, 1) from the stream
// (Seed, "length", e), which has log-uniform probabilities
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

// validHorizons are those that validation evaluates now: ValidSteps, or the next
// stage's horizon, the last stage's own.
func (t *Trainer) validHorizons() []int {
	if len(t.cfg.ValidSteps) > 0 {
		return t.cfg.ValidSteps
	}
	return []int{t.cfg.horizon(min(t.stages.now+1, len(t.cfg.Horizons)-1))}
}

// keep makes the network the best so far.
func (t *Trainer) keep(score compare.Score) {
	t.stages.improved = t.best != nil // the first one is the start
	t.best, t.bestScore, t.bestAt, t.stale = t.net, score, t.metaSteps, 0
	t.stages.reference, t.stages.kept = score, t.stages.now
}

// advance ends the stage of a curriculum that has been validated often enough and stopped
// improving: the best φ is restored and the next stage begins. It says whether
// the training ends, since the stage was the last one or never improved.
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
	// What the stage has to be better than, at its own horizon.
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

// restore goes on from the best φ. Adam starts anew: its moments are means of
// meta-gradients of shorter episodes, the last of them at points that are given up.
// For the same reason no episode goes on.
func (t *Trainer) restore() error {
	t.net = t.best
	t.phi = t.net.Params()
	t.meta = baselines.Adam{LearningRate: t.cfg.MetaLearningRate}.Start(optimizer.Flat(len(t.phi)))
	t.skipped = 0
	t.stages.first = uint64(t.episodes)
	return t.Close()
}
