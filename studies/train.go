package studies

import (
	"context"
	"fmt"

	"learnedopt/baselines"
	"learnedopt/optimizer"
	"learnedopt/rules"
)

// adam is Adam with the rate falling to 0 along a cosine.
func adam(rate float64, steps int) Rule {
	return Rule{"adam", rules.Scaled{Rule: baselines.Adam{LearningRate: rate}, By: rules.Cosine{Steps: steps}}}
}

// train moves theta by a rule for a number of steps. lossGrad returns the loss of a step and writes its gradient; each is called before
// step 0, after every step, with the number of steps done.
func train(ctx context.Context, rule optimizer.Rule, layout optimizer.Layout, theta []float32, steps int,
	lossGrad func(step int, grad []float32) (float64, error), each func(step int) error) error {
	if err := rule.Needs().Met(optimizer.Needs{Theta: true, Loss: true, Total: true}); err != nil {
		return err
	}
	state := rule.Start(layout)
	grad, update := make([]float32, len(theta)), make([]float32, len(theta))
	for step := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := each(step); err != nil {
			return err
		}
		loss, err := lossGrad(step, grad)
		if err != nil {
			return fmt.Errorf("step %d: %w", step, err)
		}
		move, err := state.Update(update, optimizer.Point{Grad: grad, Theta: theta, Loss: loss, Total: steps})
		if err != nil {
			return err
		}
		if move&optimizer.Return != 0 {
			return fmt.Errorf("studies: a rule that returns to earlier points cannot train a layer here: choose another")
		}
		for i, u := range update {
			theta[i] += u
		}
	}
	return each(steps)
}
