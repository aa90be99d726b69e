package command

import (
	"fmt"

	"learnedopt/metaopt"
	"learnedopt/report"
)

// The range of gradients in the plot of updates, on both sides of 0. Below linearGradient the axis is linear.
const (
	leastGradient  = 1e-5
	linearGradient = 1e-4
	mostGradient   = 10
)

// updateSteps are the steps at which the update is drawn. The network has read the same gradient at every step so far.
var updateSteps = []int{1, 10, 50}

// plotUpdates draws the network's updates for a constant gradient.
func plotUpdates(o *metaopt.Optimizer, path string) error {
	gradients := report.Gradients(leastGradient, mostGradient, 200)
	grad, update := make([]float32, len(gradients)), make([]float32, len(gradients))
	for i, g := range gradients {
		grad[i] = float32(g)
	}
	state := o.Network.NewState(len(grad))
	var responses []report.Response
	for _, steps := range updateSteps {
		for state.Steps() < steps {
			state.Advance(update, grad)
		}
		r := report.Response{Name: fmt.Sprintf("step %d", steps), Gradient: gradients, Learned: true}
		for _, u := range update {
			r.Update = append(r.Update, float64(u))
		}
		responses = append(responses, r)
	}
	title := fmt.Sprintf("%s: the update after so many steps of the same gradient", o.Name())
	plot, err := report.UpdatePlot(title, responses, report.UpdateOptions{SymLog: linearGradient})
	if err != nil {
		return err
	}
	return plot.Save(path)
}
