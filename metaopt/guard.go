package metaopt

import (
	"errors"
	"fmt"
	"math"

	"learnedopt/baselines"
	"learnedopt/optimizer"
)

// A Guard watches the losses of a run with a learned rule, which outside what it was
// trained for may do anything, and hands the run over to another rule if the
// learned one keeps failing. With f_t the loss of step t and
//
//	s_t = mean(f_{t−W+1}, …, f_t)                       smoothed; from f_0 on while t < W
//	b_t = the least s_k so far of a step with f_k ≤ s_k, and θ* the θ_k of that step
//
// it hands over at the first step at which one of these holds:
//
//   - s_t > b_t + τ |f_0|, now and at the P − 1 steps before;
//   - the last new best is S steps past (only where Stall is set);
//   - loss, gradient, update or the parameters that it leads to are not finite.
//
// W and S are Window and Stall, P and τ the Patience and Tolerance of Rise. The step of the handover
// has no update: it puts θ* back, bit for bit, and from the next step on the fallback
// works from a fresh state. There is no way back. Until then the run is the unguarded
// one, bit for bit; afterwards a non-finite number is a divergence, as ever.
//
// So while the learned rule is in charge, the smoothed loss is never for P steps in
// a row above the best by more than τ |f_0|; docs/guard.md says what that does not promise.
// A Guard costs one number a coordinate, in the precision of the parameters, until the handover, and no gradients.
//
// After Prémont-Schwarz et al. 2022 (LGL2O), who let two rules compete on losses of
// both, and Heaton et al. 2023 (Safe-L2O), who compare a residual with a running mean of it.
type Guard struct {
	// Fallback is the rule that takes over; nil means Adam with learning rate 0.001, torch.optim's default.
	Fallback optimizer.Rule
	// Window is W, in steps: the more noise in the losses, the longer; 0 means 10.
	Window int
	// Rise says how far and how long the losses may rise; the zero value means {Tolerance: 0.1, Patience: 10}.
	Rise Rise
	// Stall is S, in steps; 0 means that no standstill is too long.
	Stall int
	// OnHandover, if set, is called at the handover, from the run's goroutine.
	OnHandover func(Handover)
}

// A Rise is by how much, and for how many steps in a row, the smoothed loss may lie above its best. Both fields are set,
// or neither.
type Rise struct {
	// Tolerance is τ, as a part of the first loss; 0 tolerates no rise at all.
	Tolerance float64
	// Patience is P, in steps, at least 1.
	Patience int
}

// A Handover is the moment at which a Guard gave up on a learned rule.
type Handover struct {
	// Step is t: the fallback's first update follows from the gradient of step t+1.
	Step int
	// Cause is "rise", "stall", or what was not finite: "loss", "gradient",
	// "update" or "parameter".
	Cause string
	// Loss is s_t, or f_t where something was not finite; Best is b_t.
	Loss, Best float64
}

// WithDefaults returns g with every zero field but Stall set to its default.
func (g Guard) WithDefaults() Guard {
	if g.Fallback == nil {
		g.Fallback = baselines.Adam{LearningRate: 0.001}
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

// Guarded is a rule under a guard. It needs the loss of each step, and decides on non-finite points.
//
// Its states are saved and resumed if the states of both rules are.
type Guarded struct {
	Rule  optimizer.Rule
	Guard Guard
}

var _ optimizer.Rule = Guarded{}

// Validate returns an error if there is no rule, the rule or the guard is not valid, or the rule or the fallback has
// a guard of its own: one run has one guard.
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

// Needs implements optimizer.Rule: the parameters, the loss, and what rule and fallback need.
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
