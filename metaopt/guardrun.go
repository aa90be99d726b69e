package metaopt

import (
	"fmt"

	"learnedopt/optimizer"
)

// WithGuard returns o under a guard: the runs that it starts need the loss of each
// step (StepLoss, SetLoss). The guard is not part of a file that o is saved to.
func (o *Optimizer) WithGuard(g Guard) (*Optimizer, error) {
	rule := Guarded{o.Network, g}
	if err := rule.Validate(); err != nil {
		return nil, err
	}
	if err := rule.Needs().Met(optimizer.Needs{Theta: true, Loss: true}); err != nil {
		return nil, fmt.Errorf("metaopt: the guard's fallback: %w", err)
	}
	guarded := *o
	guarded.guard = &g
	return &guarded, nil
}

// StepLoss is SetLoss and Step.
func (r *Run) StepLoss(theta, grad []float32, loss float64) error {
	r.SetLoss(loss)
	return r.Step(theta, grad)
}

// SetLoss tells the loss at the parameters of the next step, of whatever kind, which uses it
// up. A guarded run needs it (WithGuard): it may go back to the best point so far, and hands
// the run over to the fallback, in place of an update (Guard); what is not finite is then an
// error only at the first step, where there is nothing to go back to, and after the
// handover. Without a guard a loss that is not finite is refused as such a gradient is.
func (r *Run) SetLoss(loss float64) { r.loss, r.told = loss, true }

// HandedOver returns when and why the guard gave up on the learned rule; ok is false if
// it did not, or if there is none. Where other states are around the guard's, they
// must have a method Unwrap() optimizer.State, as those of package rules have.
func (r *Run) HandedOver() (h Handover, ok bool) {
	for s := r.state; s != nil; {
		switch is := s.(type) {
		case interface{ handedOver() *Handover }:
			if h := is.handedOver(); h != nil {
				return *h, true
			}
			return Handover{}, false
		case interface{ Unwrap() optimizer.State }:
			s = is.Unwrap()
		default:
			return Handover{}, false
		}
	}
	return Handover{}, false
}
