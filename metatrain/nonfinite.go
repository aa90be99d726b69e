package metatrain

import (
	"fmt"
	"slices"

	"learnedopt/compare"
	"learnedopt/optimizer"
)

// The values of TrainConfig.OnNonFinite.
const (
	// SkipNonFinite gives up the window's episode and leaves the window out.
	SkipNonFinite = "skip"
	// StopNonFinite ends the training with a *MetaDivergedError.
	StopNonFinite = "stop"
	// RollbackNonFinite takes no meta-step, gives up all episodes under way, and goes on from φ and Adam's
	// moments of the last validation in which no run diverged, with new episodes. The number of
	// meta-steps, which limits and the schedule follow, is not set back.
	RollbackNonFinite = "rollback"
)

// NonFinitePolicies are the values of TrainConfig.OnNonFinite.
func NonFinitePolicies() []string {
	return []string{SkipNonFinite, StopNonFinite, RollbackNonFinite}
}

func (cfg TrainConfig) validatePolicy() error {
	if !slices.Contains(NonFinitePolicies(), cfg.OnNonFinite) {
		return fmt.Errorf("metatrain: no policy %q for what is not finite; it is one of %q", cfg.OnNonFinite, NonFinitePolicies())
	}
	return nil
}

// giveUp reports a window that is not finite and gives up its episode.
func (t *Trainer) giveUp(s *slot) error {
	t.emit(Event{
		Kind: EventDiverged, Episode: s.index, Diverged: s.window.Diverged, Policy: t.cfg.OnNonFinite,
		Instance: &InstanceStream{t.cfg.Seed, episodePurpose, s.index},
	})
	if err := s.end(); err != nil {
		return err
	}
	if t.cfg.OnNonFinite == StopNonFinite {
		return &MetaDivergedError{MetaStep: t.metaSteps, Skipped: 1, Last: s.window.Diverged}
	}
	return nil
}

// skip counts a meta-step of which no window was finite. However many windows a meta-step has, it counts
// once: a large meta-batch must not reach the limit sooner.
func (t *Trainer) skip(last *optimizer.DivergedError) error {
	t.skipped++
	if t.skipped >= t.cfg.SkipLimit {
		return &MetaDivergedError{MetaStep: t.metaSteps, Skipped: t.skipped, Last: last}
	}
	return nil
}

// A safePoint is what a rollback goes back to: φ and Adam's state. They are never changed.
type safePoint struct {
	phi  []float32
	meta []byte
}

// makeSafe makes the present φ the safe point, if one is needed, after a validation.
func (t *Trainer) makeSafe(score compare.Score) error {
	if t.cfg.OnNonFinite != RollbackNonFinite || score.Diverged > 0 && t.safe.meta != nil {
		return nil
	}
	meta, err := marshalState(t.meta)
	if err != nil {
		return err
	}
	t.safe, t.rollbacks = safePoint{slices.Clone(t.phi), meta}, 0
	return nil
}

// rollBack goes back to the safe point. Without new episodes the same would happen again.
func (t *Trainer) rollBack(last *optimizer.DivergedError) error {
	t.rollbacks++
	if t.rollbacks >= t.cfg.SkipLimit {
		return &MetaDivergedError{MetaStep: t.metaSteps, Returns: t.rollbacks, Last: last}
	}
	if t.safe.meta != nil { // without a validation there is none
		copy(t.phi, t.safe.phi)
		t.net = t.net.With(t.phi)
		if err := unmarshalState(t.meta, t.safe.meta); err != nil {
			return err
		}
	}
	t.stages.first = uint64(t.episodes)
	return t.Close()
}
