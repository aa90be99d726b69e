package metaopt

import (
	"errors"
	"fmt"
	"math"

	"learnedopt/baselines"
	"learnedopt/optimizer"
)

// A KLGuard bounds the change of a model's predictions in every step of a rule. With r_θ the predictive distribution on the
// minibatch of step t, an update u of the rule is accepted as it is if
//
//	KL(r_θ ‖ r_{θ+u}) ≤ δ
//
// Otherwise the guard acts: it takes s 0.8^j u with
//
//	s = min(1, √(2δ / uᵀFu)),   F the Fisher matrix of the minibatch,
//
// and the first j < 10 for which the divergence, computed anew, is at most δ. So the guard bounds what the network says and not
// its parameters, whose size means nothing by itself: it is the trust region of TRPO (Schulman et al. 2015, arXiv:1502.05477) around the step of any rule.
//
// It hands the run over to another rule, for good, at the first step at which one of these holds:
//
//   - the guard acts, and no j gives such a divergence ("divergence");
//   - the guard acts, and f_t(θ + s 0.8^j u) > f_t(θ), at this step and at the P − 1 steps before it at which it acted ("rise");
//   - the update is non-finite ("update").
//
// The step of the handover leaves θ as it is. From the next step on the fallback works, from a fresh state, and the guard bounds its steps
// too; a step of it that cannot be bounded is left out. Where the guard never acts, a run equals the unguarded one, bit for bit.
//
// A step at which the guard does not act costs two forward passes: at θ and at θ + u. One at which it acts costs in addition one curvature
// product, of about two gradients' cost, and a forward pass for each j.
type KLGuard struct {
	// Radius is δ, in nats. It must be set; 0.01 is usual in reinforcement learning.
	Radius float64
	// Fallback is the rule that takes over; nil means Adam with learning rate 0.003.
	Fallback optimizer.Rule
	// Patience is P; 0 means 10.
	Patience int
	// OnHandover, if set, is called at the handover, from the run's goroutine. Its Loss is f_t, and Best is 0.
	OnHandover func(Handover)
	// OnStep, if set, is called after every update, from the run's goroutine.
	OnStep func(KLStep)
}

// A KLStep reports what a KLGuard did to an update.
type KLStep struct {
	// Scale is the factor on the update: 1 if the guard did not act, 0 if the update was left out.
	Scale float64
	// Trial is what the problem said about the point to which the step goes.
	Trial optimizer.Trial
}

const (
	klShrink = 0.8
	klTries  = 10
)

// WithDefaults returns g with a nil Fallback and a zero Patience set to their defaults.
func (g KLGuard) WithDefaults() KLGuard {
	if g.Fallback == nil {
		g.Fallback = baselines.Adam{LearningRate: 0.003}
	}
	if g.Patience == 0 {
		g.Patience = 10
	}
	return g
}

// Validate returns an error if a field is out of its range.
func (g KLGuard) Validate() error {
	var errs []error
	if !(g.Radius > 0) || math.IsInf(g.Radius, 0) {
		errs = append(errs, fmt.Errorf("metaopt: a KL guard's radius of %v; set it to a positive number of nats, as 0.01", g.Radius))
	}
	if g.Patience < 0 {
		errs = append(errs, fmt.Errorf("metaopt: a KL guard's patience of %d; it must not be negative", g.Patience))
	}
	if v, ok := g.Fallback.(interface{ Validate() error }); ok {
		errs = append(errs, v.Validate())
	}
	return errors.Join(errs...)
}

// Bounded is a rule whose steps a KLGuard bounds. It can be in a Guarded, which watches the losses too; a Guarded cannot be in it.
//
// Its states can be saved and resumed if the states of the rule and of the fallback can.
type Bounded struct {
	Rule  optimizer.Rule
	Guard KLGuard
}

var _ optimizer.Rule = Bounded{}

// Validate returns an error if there is no rule, if the rule or the guard is not valid, or if the rule or the fallback has its own
// guard: a guard that goes back to earlier points decides after this one.
func (b Bounded) Validate() error {
	if b.Rule == nil {
		return errors.New("metaopt: a KL guard without a rule to guard")
	}
	if v, ok := b.Rule.(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			return err
		}
	}
	if err := b.Guard.Validate(); err != nil {
		return err
	}
	if b.Rule.Needs().NonFinite || b.Guard.WithDefaults().Fallback.Needs().NonFinite {
		return errors.New("metaopt: a KL guard over a rule, or with a fallback, that has a guard; put the other guard around this one")
	}
	return nil
}

// Needs implements optimizer.Rule: the parameters, Fisher products and trials, and the needs of the rule and of the fallback.
func (b Bounded) Needs() optimizer.Needs {
	needs := b.Rule.Needs().Or(b.Guard.WithDefaults().Fallback.Needs())
	needs.Theta, needs.Trial = true, true
	needs.Metrics |= optimizer.Fisher
	return needs
}

// Start implements optimizer.Rule. It panics if b is not valid.
func (b Bounded) Start(layout optimizer.Layout) optimizer.State {
	if b.Validate() != nil {
		panic(errGuard)
	}
	n := layout.Len()
	return &klState{rule: b.Rule, cfg: b.Guard.WithDefaults(), layout: layout, active: b.Rule.Start(layout), to: make([]float32, n), product: make([]float32, n)}
}
