package optimizer

// Prefix returns the outcome of the same run stopped after the given number of steps. No second run is
// needed: the data of a step, and the rule's update, do not depend on how many steps follow. If the run
// diverged before that, the result is o itself.
//
// A run ends with the loss of its last step, f_T(θ_T). Of that step only a non-finite loss is therefore a
// divergence. Theta is nil if o has more steps: an Outcome knows only its last point.
// Losses are shared with o. It panics if steps is negative.
func (o Outcome) Prefix(steps int) Outcome {
	if steps < 0 {
		panic(errSteps)
	}
	if len(o.Losses) <= steps {
		return o
	}
	p := Outcome{Losses: o.Losses[: steps+1 : steps+1], Diverged: CheckLoss(steps, o.Losses[steps])}
	if len(o.Losses) == steps+1 {
		p.Theta = o.Theta
	}
	return p
}
