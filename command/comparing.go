package command

import "learnedopt/versus"

// comparing shows the progress of a comparison.
type comparing struct {
	*app
	meter *meter
}

var _ versus.Listener = (*comparing)(nil)

// OnEvent implements versus.Listener: it shows the event on the terminal.
func (c *comparing) OnEvent(event versus.Event) {
	switch e := event.(type) {
	case versus.Started:
		text, of := "comparing", "runs"
		switch e.Phase {
		case versus.Tuning:
			text = "tuning learning rates"
		case versus.Timing:
			text, of = "measuring the time of a step", "rules"
		}
		c.meter = c.app.meter(int64(e.Runs), text, 0).of(of)
	case versus.Progress:
		if c.meter.set(int64(e.Done)); e.Phase == versus.Evaluating && e.Done == e.Total {
			c.meter.describe("confidence intervals of every step") // takes a second for a few thousand steps
		}
	case versus.Ended:
		c.meter.close()
	case versus.LeftOut:
		c.note("%s is left out: it diverged at every %s from %g to %g", e.Rule, tunable(e.Multiplier), e.Least, e.Most)
	case versus.AtEdge:
		c.note("%s does best at %.3g, the end of the grid: a better %s may lie beyond", e.Rule, e.LearningRate, tunable(e.Multiplier))
	}
}

// tunable is the name of what is tuned.
func tunable(multiplier bool) string {
	if multiplier {
		return "multiplier"
	}
	return "learning rate"
}
