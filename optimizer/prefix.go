package optimizer

// Prefix returns the outcome of the same run with fewer steps: the data of a step, and what a
// rule answers to it, do not depend on how many steps follow. A run that ended before, by a
// divergence, is its own prefix.
//
// A run ends with the loss of its last step, f_T(θ_T). So whatever was non-finite at that step, only
// the loss counts. Theta, which an Outcome has of the last point alone, is nil where the run went on.
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
