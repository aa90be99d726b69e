package main

import "learnedopt/versus"

// comparing shows how far a comparison is.
type comparing struct {
	*app
	meter *meter
}

var _ versus.Listener = (*comparing)(nil)

// Hear shows what happens.
func (c *comparing) OnEvent(event versus.Event) {
	switch e := event.(type) {
	case versus.Started:
		text := "comparing"
		if e.Phase == versus.Tuning {
			text = "tuning learning rates"
		}
		c.meter = c.app.meter(int64(e.Runs), text).of("runs")
	case versus.Progress:
		if c.meter.set(int64(e.Done)); e.Phase == versus.Evaluating && e.Done == e.Total {
			c.meter.describe("confidence intervals of every step") // a second for a few thousand of them
		}
	case versus.Ended:
		c.meter.close()
	case versus.LeftOut:
		c.note("%s is left out: it diverged at every learning rate from %g to %g", e.Rule, e.Least, e.Most)
	case versus.AtEdge:
		c.note("%s does best at %.3g, the end of the grid: a better learning rate may lie beyond", e.Rule, e.LearningRate)
	}
}
