package metaopt

import (
	"errors"
	"fmt"
	"math"

	"learnedopt/baselines"
	"learnedopt/optimizer"
)

// A Guard watches the losses of a run with a learned rule, and hands the run over to another rule if the learned
// rule keeps failing. A learned rule needs this because it may do anything on problems unlike the ones it was
// trained on. With f_t the loss of step t, let
//
//	s_t = mean(f_{t−W+1}, …, f_t)        the smoothed loss; the mean of f_0, …, f_t while t < W
//	b_t = min { s_k : k ≤ t, f_k ≤ s_k } the best smoothed loss so far, and θ* the θ_k where it was reached
//
// The guard hands over at the first step at which one of these holds:
//
//   - s_t > b_t + τ |f_0|, at this step and at the P − 1 steps before it;
//   - the last new best is S steps ago (only if Stall is set);
//   - the loss, the gradient, the update or the parameters after it are non-finite.
//
// W and S are Window and Stall; P and τ are the Patience and Tolerance of Rise. The step of the handover
// has no update: it restores θ*, bit for bit. From the next step on the fallback
// works, from a fresh state. The learned rule never comes back. Until the handover the run equals the
// unguarded run, bit for bit. After it a non-finite number is a divergence, as without a guard.
//
// So while the learned rule works, the smoothed loss never stays above the best by more than τ |f_0|
// for P steps in a row. docs/guard.md says what that does not promise.
// Until the handover a Guard costs one number per coordinate, in the precision of the parameters. It costs no
// gradients.
//
// After Prémont-Schwarz et al. 2022 (LGL2O), who let two rules compete on the losses of
// both, and Heaton et al. 2023 (Safe-L2O), who compare a residual with its running mean.
type Guard struct {
	// Fallback is the rule that takes over; nil means Adam with learning rate 0.003 (docs/guard.md says why).
	Fallback optimizer.Rule
	// Window is W, in steps. Noisier losses need a longer window. 0 means 10.
	Window int
	// Rise says how far and how long the losses may rise; the zero value means {Tolerance: 0.1, Patience: 10}.
	Rise Rise
	// Stall is S, in steps; 0 means no limit.
	Stall int
	// OnHandover, if set, is called at the handover, from the run's goroutine.
	OnHandover func(Handover)
}

// A Rise says how far the smoothed loss may lie above its best, and for how many steps in a row. Set both fields or
// neither.
type Rise struct {
	// Tolerance is τ, as a fraction of the first loss's size |f_0|. With a Patience, 0 tolerates no rise at all.
	Tolerance float64
	// Patience is P, in steps, at least 1.
	Patience int
}

// A Handover records when and why a Guard gave up on a learned rule.
type Handover struct {
	// Step is t: the fallback's first update uses the gradient of step t+1.
	Step int
	// Cause is "rise" or "stall", or it names the non-finite value: "loss", "gradient",
	// "update" or "parameter".
	Cause string
	// Loss is s_t, or f_t if the cause is a non-finite value. Best is b_t.
	Loss, Best float64
}

// WithDefaults returns g with every zero field but Stall set to its default.
func (g Guard) WithDefaults() Guard {
	if g.Fallback == nil {
		g.Fallback = baselines.Adam{LearningRate: 0.003}
	}
	if g.Window == 0 {
		g.Window = 10
	}
	if g.Rise == (Rise{}) {
		g.Rise = Rise{Tolerance: 0.1, Patience: 10}
	}
	return g
}

// Validate returns an error if a field is out of its range.
func (g Guard) Validate() error {
	var errs []error
	for _, f := range []struct {
		name  string
		value int
	}{{"window", g.Window}, {"patience", g.Rise.Patience}, {"stall", g.Stall}} {
		if f.value < 0 {
			errs = append(errs, fmt.Errorf("metaopt: a guard's %s of %d; it must not be negative", f.name, f.value))
		}
	}
	if tau := g.Rise.Tolerance; !(tau >= 0) || math.IsInf(tau, 0) {
		errs = append(errs, fmt.Errorf("metaopt: a guard's tolerance of %v; it must be finite and not negative", tau))
	}
	if g.Rise.Patience == 0 && g.Rise.Tolerance != 0 {
		errs = append(errs, errors.New("metaopt: a guard's tolerance without a patience; set both, or neither for {Tolerance: 0.1, Patience: 10}"))
	}
	if v, ok := g.Fallback.(interface{ Validate() error }); ok {
		errs = append(errs, v.Validate())
	}
	return errors.Join(errs...)
}

// Guarded is a rule under a guard. It needs the loss of each step, and it handles non-finite points itself.
//
// Its states can be saved and resumed if the states of the rule and of the fallback can.
type Guarded struct {
	Rule  optimizer.Rule
	Guard Guard
}

var _ optimizer.Rule = Guarded{}

// Validate returns an error if there is no rule, if the rule or the guard is not valid, or if the rule or the fallback
// has its own guard: a run has one guard.
func (g Guarded) Validate() error {
	if g.Rule == nil {
		return errors.New("metaopt: a guard without a rule to guard")
	}
	if v, ok := g.Rule.(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			return err
		}
	}
	if err := g.Guard.Validate(); err != nil {
		return err
	}
	if g.Rule.Needs().NonFinite || g.Guard.WithDefaults().Fallback.Needs().NonFinite {
		return errors.New("metaopt: a guard over a rule, or with a fallback, that has a guard; one run has one guard")
	}
	return nil
}

// Needs implements optimizer.Rule: the parameters, the loss, and the needs of the rule and of the fallback.
func (g Guarded) Needs() optimizer.Needs {
	needs := g.Rule.Needs().Or(g.Guard.WithDefaults().Fallback.Needs())
	needs.Theta, needs.Loss, needs.NonFinite = true, true, true
	return needs
}

// Start implements optimizer.Rule. It panics if g is not valid.
func (g Guarded) Start(layout optimizer.Layout) optimizer.State {
	if g.Validate() != nil {
		panic(errGuard)
	}
	cfg := g.Guard.WithDefaults()
	return &guardState{rule: g.Rule, cfg: cfg, layout: layout, active: g.Rule.Start(layout), losses: make([]float64, cfg.Window)}
}
