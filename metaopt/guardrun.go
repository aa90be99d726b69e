package metaopt

import (
	"errors"

	"learnedopt/optimizer"
)

// WithGuard returns o under a guard: the runs that it starts need StepLoss in place of
// Step. The guard is not part of a file that o is saved to.
func (o *Optimizer) WithGuard(g Guard) (*Optimizer, error) {
	if err := g.Validate(); err != nil {
		return nil, err
	}
	guarded := *o
	guarded.guard = &g
	return &guarded, nil
}

// errNoLoss is what Step says in a guarded run.
var errNoLoss = errors.New("metaopt: a guarded run decides by the losses; call StepLoss")

// StepLoss is Step with the loss at theta, for a run that may be guarded (WithGuard).
// Without a guard it is Step, and a loss that is not finite is refused as such a
// gradient is. With one it may go back to the best point so far, and hands the run
// over to the fallback, in place of an update (Guard); what is not finite is then
// an error only at the first step, where there is nothing to go back to, and after the
// handover.
func (r *Run) StepLoss(theta, grad []float32, loss float64) error {
	var diverged *optimizer.DivergedError
	if r.guarded == nil {
		if diverged = optimizer.CheckLoss(r.steps, loss); diverged == nil {
			return r.Step(theta, grad)
		}
	} else {
		diverged = r.guarded.StepLoss(theta, grad, loss)
	}
	if diverged != nil {
		return diverged
	}
	return nil
}

// HandedOver returns when and why the guard gave up on the learned rule; ok is false if
// it did not, or if there is none.
func (r *Run) HandedOver() (h Handover, ok bool) {
	if r.guarded == nil || r.guarded.handover == nil {
		return Handover{}, false
	}
	return *r.guarded.handover, true
}
