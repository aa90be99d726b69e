package metatrain

import (
	"errors"
	"fmt"
	"math"
)

// learningRateFactor is the factor of the meta learning rate at the s-th meta-step, counted from 0. With c = s+1,
// WarmUp W, DecaySteps D and FinalFraction F it is
//
//	c/W                                        c ≤ W
//	F + (1−F) (1 + cos(π (c−W)/(D−W)))/2   W < c ≤ D
//	F                                          D < c
//
// This is optax.warmup_cosine_decay_schedule with initial value 0, peak 1 and end value F, at count c. The first
// meta-step already has a rate above 0, and the D-th meta-step has the final rate. For F = 1 the factor is exactly 1
// after the warm-up. Cosine decay is from Loshchilov and Hutter 2017, equation 5; warm-up from Goyal et al. 2017,
// section 2.2.
func (cfg TrainConfig) learningRateFactor(s int) float64 {
	c, w, d := s+1, cfg.WarmUp, cfg.DecaySteps
	switch {
	case c <= w:
		return float64(c) / float64(w)
	case cfg.FinalFraction == 1 || c >= d:
		return cfg.FinalFraction
	}
	cosine := (1 + math.Cos(math.Pi*float64(c-w)/float64(d-w))) / 2
	return cfg.FinalFraction + (1-cfg.FinalFraction)*cosine
}

// MetaLearningRateAt returns the meta learning rate of the s-th meta-step, counted from 0.
func (cfg TrainConfig) MetaLearningRateAt(s int) float64 {
	cfg = cfg.WithDefaults()
	return cfg.MetaLearningRate * cfg.learningRateFactor(s)
}

// scheduleDefaults fills in the schedule's defaults.
func (cfg *TrainConfig) scheduleDefaults() {
	if cfg.FinalFraction == 0 && cfg.DecaySteps == 0 {
		cfg.FinalFraction = 1
	}
	if cfg.DecaySteps == 0 && cfg.FinalFraction != 1 {
		cfg.DecaySteps = cfg.MetaSteps
	}
}

// validateSchedule returns an error if the schedule of the meta learning rate is invalid.
func (cfg TrainConfig) validateSchedule() error {
	decays := cfg.FinalFraction != 1
	switch {
	case cfg.WarmUp < 0 || cfg.DecaySteps < 0:
		return fmt.Errorf("metatrain: warm-up of %d and decay over %d meta-steps; they must not be negative", cfg.WarmUp, cfg.DecaySteps)
	case !(cfg.FinalFraction >= 0 && cfg.FinalFraction <= 1):
		return fmt.Errorf("metatrain: the meta learning rate decays to a fraction of %v; it must be at least 0 and at most 1", cfg.FinalFraction)
	case decays && cfg.DecaySteps == 0:
		return errors.New("metatrain: the meta learning rate decays until the last meta-step, but only time limits the training; set the number of meta-steps, or of those that the decay takes")
	case decays && cfg.WarmUp >= cfg.DecaySteps:
		return fmt.Errorf("metatrain: a warm-up of %d meta-steps leaves none of %d for the decay", cfg.WarmUp, cfg.DecaySteps)
	}
	return nil
}

// applySchedule multiplies Adam's update by the schedule's factor. Adam's update is linear in its learning rate, so this
// equals a change of the learning rate.
func (t *Trainer) applySchedule() {
	factor := t.cfg.learningRateFactor(t.metaSteps)
	if factor == 1 {
		return
	}
	for i, u := range t.update {
		t.update[i] = float32(factor * float64(u))
	}
}
