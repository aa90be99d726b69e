package metaopt

import (
	"fmt"

	"learnedopt/optimizer"
)

// WithGuard returns o under a guard. The runs that it starts need the loss of each
// step (StepLoss, SetLoss). Save does not save the guard. It is an error if the guard is not valid, or if its
// fallback needs more than the parameters, the gradient and the loss.
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

// StepLoss calls SetLoss and then Step.
func (r *Run) StepLoss(theta, grad []float32, loss float64) error {
	r.SetLoss(loss)
	return r.Step(theta, grad)
}

// SetLoss sets the loss at the parameters of the next step, for one step only. Every method whose
// name begins with Step uses it. A guarded run needs it (WithGuard): instead of an update, the guard
// may go back to the best point so far and hand the run over to the fallback (Guard). Under a guard
// a non-finite value is an error only at the first step, where there is no point to go back to, and
// after the handover. Without a guard a step refuses a non-finite loss like a non-finite gradient.
func (r *Run) SetLoss(loss float64) { r.loss, r.lossSet = loss, true }

// HandedOver returns when and why the guard gave up on the learned rule. ok is false if
// it did not, or if the run has no guard. If the guard's state is inside other states, they
// must have a method Unwrap() optimizer.State, as the states of package rules have.
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
