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
// W, P, τ and S are Window, Patience, Tolerance and Stall. The step of the handover
// has no update: it puts θ* back, bit for bit, and from the next step on the fallback
// works from a fresh state. There is no way back. Until then the run is the unguarded
// one, bit for bit; afterwards a non-finite number is a divergence, as ever.
//
// So while the learned rule is in charge, the smoothed loss is never for P steps in
// a row above the best by more than τ |f_0|; docs/guard.md says what that does not promise.
// A Guard costs one float a coordinate, until the handover, and no gradients.
//
// After Prémont-Schwarz et al. 2022 (LGL2O), who let two rules compete on losses of
// both, and Heaton et al. 2023 (Safe-L2O), who compare a residual with a running mean of it.
type Guard struct {
	// Fallback is the rule that takes over; nil means Adam with learning rate 0.001.
	Fallback optimizer.Rule
	// Window is W, in steps: the more noise in the losses, the longer; 0 means 10.
	Window int
	// Patience is P, in steps; 0 means 10.
	Patience int
	// Tolerance is τ, as a part of the first loss; 0 means 0.1.
	Tolerance float64
	// Stall is S, in steps; 0 means that no standstill is too long.
	Stall int
	// OnHandover, if set, is called at the handover, from the run's goroutine.
	OnHandover func(Handover)
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

// WithDefaults returns g with every zero field set to its default.
func (g Guard) WithDefaults() Guard {
	if g.Fallback == nil {
		g.Fallback = baselines.Adam{}
	}
	if g.Window == 0 {
		g.Window = 10
	}
	if g.Patience == 0 {
		g.Patience = 10
	}
	if g.Tolerance == 0 {
		g.Tolerance = 0.1
	}
	return g
}

// Validate returns an error if a field is out of its range.
func (g Guard) Validate() error {
	var errs []error
	for _, f := range []struct {
		name  string
		value int
	}{{"window", g.Window}, {"patience", g.Patience}, {"stall", g.Stall}} {
		if f.value < 0 {
			errs = append(errs, fmt.Errorf("metaopt: a guard's %s of %d; it must not be negative", f.name, f.value))
		}
	}
	if !(g.Tolerance >= 0) || math.IsInf(g.Tolerance, 0) {
		errs = append(errs, fmt.Errorf("metaopt: a guard's tolerance of %v; it must be finite and not negative", g.Tolerance))
	}
	if v, ok := g.Fallback.(interface{ Validate() error }); ok {
		errs = append(errs, v.Validate())
	}
	return errors.Join(errs...)
}

// Guarded is a rule under a guard, as Evaluate and optimizer.Run take it.
//
// Its states are optimizer.LossUpdaters, and are saved and resumed if the states of both rules
// are. A caller that knows no losses and calls Update, or UpdateAt, gets the rule's own
// updates: nothing is guarded. So where one guard is under another, or is a fallback, only the
// outer one guards.
type Guarded struct {
	Rule  optimizer.Rule
	Guard Guard
}

var _ optimizer.Rule = Guarded{}

// Validate returns an error if there is no rule, or the rule or the guard is not valid.
func (g Guarded) Validate() error {
	if g.Rule == nil {
		return errors.New("metaopt: a guard without a rule to guard")
	}
	err := g.Guard.Validate()
	if v, ok := g.Rule.(interface{ Validate() error }); ok {
		err = errors.Join(v.Validate(), err)
	}
	return err
}

// Start implements optimizer.Rule. It panics if g is not valid.
func (g Guarded) Start(n int) optimizer.State { return g.start(n) }

func (g Guarded) start(n int) *guardState {
	if g.Validate() != nil {
		panic(errGuard)
	}
	cfg := g.Guard.WithDefaults()
	return &guardState{rule: g.Rule, cfg: cfg, n: n, active: g.Rule.Start(n), losses: make([]float64, cfg.Window)}
}
