package metatrain

import (
	"fmt"
	"slices"

	"learnedopt/compare"
	"learnedopt/optimizer"
)

// The values of TrainConfig.OnNonFinite.
const (
	// SkipNonFinite leaves the window out of the meta-step and ends its episode.
	SkipNonFinite = "skip"
	// StopNonFinite ends the training with a *MetaDivergedError.
	StopNonFinite = "stop"
	// RollbackNonFinite takes no meta-step and ends all running episodes. It restores φ and Adam's moments from the
	// last validation in which no run diverged, and continues with new episodes. The number of meta-steps, on which
	// the limits and the schedule depend, is not set back.
	RollbackNonFinite = "rollback"
)

// NonFinitePolicies returns the values of TrainConfig.OnNonFinite.
func NonFinitePolicies() []string {
	return []string{SkipNonFinite, StopNonFinite, RollbackNonFinite}
}

func (cfg TrainConfig) validatePolicy() error {
	if !slices.Contains(NonFinitePolicies(), cfg.OnNonFinite) {
		return fmt.Errorf("metatrain: no policy %q for non-finite values; it is one of %q", cfg.OnNonFinite, NonFinitePolicies())
	}
	return nil
}

// giveUp reports a window with a non-finite value and ends its episode.
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

// skip counts a meta-step without a finite window. It counts one, whatever the number of windows: a large meta-batch
// must not reach the limit sooner.
func (t *Trainer) skip(last *optimizer.DivergedError) error {
	t.skipped++
	if t.skipped >= t.cfg.SkipLimit {
		return &MetaDivergedError{MetaStep: t.metaSteps, Skipped: t.skipped, Last: last}
	}
	return nil
}

// A safePoint holds what a rollback restores: φ and Adam's state. Its arrays are never modified.
type safePoint struct {
	phi  []float32
	meta []byte
}

// makeSafe stores the present φ and Adam's state as the safe point after a validation without divergences, under
// RollbackNonFinite. The first validation counts in any case, so that there is a safe point.
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

// rollBack goes back to the safe point and starts new episodes. The same episodes would diverge again.
func (t *Trainer) rollBack(last *optimizer.DivergedError) error {
	t.rollbacks++
	if t.rollbacks >= t.cfg.SkipLimit {
		return &MetaDivergedError{MetaStep: t.metaSteps, Returns: t.rollbacks, Last: last}
	}
	if t.safe.meta != nil { // nil before the first validation
		copy(t.phi, t.safe.phi)
		t.net = t.net.With(t.phi)
		if err := unmarshalState(t.meta, t.safe.meta); err != nil {
			return err
		}
	}
	t.stages.first = uint64(t.episodes)
	return t.Close()
}
