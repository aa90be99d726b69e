package metatrain

import (
	"context"
	"fmt"

	"learnedopt/baselines"
	"learnedopt/optimizer"
)

// Relative is L = Σ f(θ_t)/(r_t + 1e-8), where r_t is what a reference rule reaches at the
// same step of the same instance, from the same starting point on the same minibatches. So
// instances and steps of large losses count no more than others.
type Relative struct {
	// Rule is the reference. Default Adam with learning rate 0.01.
	Rule optimizer.Rule
}

var _ Objective = Relative{}

// handDesigned is the hand-designed rule that a network is held to unless another one is set.
var handDesigned = baselines.Adam{LearningRate: 0.01}

// Validate says what is wrong with the reference.
func (r Relative) Validate() error { return validate(r.Rule) }

// Weigh implements Objective.
func (r Relative) Weigh(ctx context.Context, weights []float64, ep *Episode, first int, losses []float64) (float64, error) {
	rule := r.Rule
	if rule == nil {
		rule = handDesigned
	}
	reference, err := ep.Reference(ctx, rule, first+len(losses))
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for t, f := range losses {
		base := reference[first+t+1] + logFloor
		if !(base > 0) {
			return 0, fmt.Errorf("metatrain: reference loss %v at step %d is nothing to divide by; meta-train problems of negative losses with another objective", base, first+t+1)
		}
		weights[t] = 1 / base
		sum += weights[t] * f
	}
	return sum, nil
}

// A reference is a hand-designed rule's run on an episode's problem, as far as it was
// asked for.
type reference struct {
	theta, grad, update []float32
	state               optimizer.State
	losses              []float64
}

// Reference returns the losses f(θ_0) … f(θ_T) of a rule's own run on the episode's
// problem, with T at least steps, and leaves the problem where it stood. An episode has one
// reference: the rule of the first call. A run that is not finite up to
// T is a *optimizer.DivergedError. The slice is the episode's.
func (ep *Episode) Reference(ctx context.Context, rule optimizer.Rule, steps int) ([]float64, error) {
	r := ep.reference
	if r == nil {
		if err := validate(rule); err != nil {
			return nil, err
		}
		n := len(ep.Theta)
		r = &reference{
			theta: make([]float32, n), grad: make([]float32, n), update: make([]float32, n), state: rule.Start(n),
		}
		ep.Problem.Init(r.theta)
		ep.reference = r
	}
	if len(r.losses) > steps {
		return r.losses, nil
	}
	defer ep.resume()
	ep.seek(len(r.losses))
	for len(r.losses) <= steps {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		t := len(r.losses)
		if t > 0 {
			optimizer.Update(r.state, r.update, r.theta, r.grad)
			for i, u := range r.update {
				r.theta[i] += u
			}
		}
		loss, err := ep.Problem.LossGrad(r.theta, r.grad)
		if err != nil {
			return nil, err
		}
		if optimizer.CheckLoss(t, loss) != nil {
			return nil, &optimizer.DivergedError{Step: t, What: "reference loss", Coordinate: -1, Value: loss}
		}
		r.losses = append(r.losses, loss)
	}
	return r.losses, nil
}
