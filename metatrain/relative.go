package metatrain

import (
	"context"
	"errors"
	"fmt"

	"learnedopt/baselines"
	"learnedopt/optimizer"
)

// Relative is L = Σ f(θ_t)/(r_t + 1e-8). Here r_t is the loss that a reference rule reaches at the same step of the same
// instance, from the same starting point and on the same minibatches. So instances and steps with large losses count no
// more than others. A reference loss of -1e-8 or less is an error.
type Relative struct {
	// Rule is the reference. Default Adam with learning rate 0.01.
	Rule optimizer.Rule
}

var _ Objective = Relative{}

// handDesigned is the default teacher of Imitation and the default reference of Relative.
var handDesigned = baselines.Adam{LearningRate: 0.01}

// Validate returns an error if the reference rule is invalid or has a guard.
func (r Relative) Validate() error { return usable(r.Rule) }

// usable returns an error if a rule cannot be a teacher or a reference: it is invalid, or it moves the parameters itself,
// so that its updates are not known. A nil rule stands for the default.
func usable(rule optimizer.Rule) error {
	if rule == nil {
		return nil
	}
	if err := validate(rule); err != nil {
		return err
	}
	if rule.Needs().NonFinite {
		return errors.New("a rule with a guard moves the parameters itself and gives no updates to follow; take the rule inside it")
	}
	return nil
}

// offers returns an error if a rule needs something that the episode's problem does not offer.
func (ep *Episode) offers(rule optimizer.Rule) error {
	has := optimizer.Offers(ep.Problem)
	has.Total = ep.Length > 0
	return rule.Needs().Met(has)
}

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

// A reference is a hand-designed rule's run on an episode's problem. It is extended on demand.
type reference struct {
	theta, grad, update []float32
	state               optimizer.State
	losses              []float64
}

// Reference returns the losses f(θ_0) … f(θ_T) of the rule's own run on the episode's problem, with T at least steps.
// The problem ends at the same step as before. An episode has only one reference: later calls ignore rule and extend
// the run of the first call. A non-finite loss is a *optimizer.DivergedError. The slice belongs to the episode.
func (ep *Episode) Reference(ctx context.Context, rule optimizer.Rule, steps int) ([]float64, error) {
	r := ep.reference
	if r == nil {
		if err := errors.Join(usable(rule), ep.offers(rule)); err != nil {
			return nil, fmt.Errorf("metatrain: a reference: %w", err)
		}
		n := len(ep.Theta)
		r = &reference{
			theta: make([]float32, n), grad: make([]float32, n), update: make([]float32, n), state: rule.Start(optimizer.LayoutOf(ep.Problem)),
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
			p := optimizer.Point{Grad: r.grad, Theta: r.theta, Loss: r.losses[t-1], Step: t - 1, Total: ep.Length}
			p.Curvature, _ = ep.Problem.(optimizer.Curvature)
			if _, err := r.state.Update(r.update, p); err != nil {
				return nil, err
			}
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
