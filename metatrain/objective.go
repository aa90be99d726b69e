package metatrain

import (
	"context"
	"errors"
	"fmt"
	"math"

	"learnedopt/optimizer"
)

// An Objective is the meta-loss of a window of K steps, a function of its losses
// f(θ_1) … f(θ_K). It is immutable and safe for concurrent use.
type Objective interface {
	// Weigh returns L and writes ∂L/∂f(θ_t), t = 1 … K, into weights. The window began at step first of the
	// episode, and losses are its f(θ_1) … f(θ_K). After a *optimizer.DivergedError only the episode ends. Any
	// other error ends the training.
	Weigh(ctx context.Context, weights []float64, ep *Episode, first int, losses []float64) (float64, error)
}

// Sum is L = Σ f(θ_t), as in Andrychowicz et al. 2016, equation 3.
type Sum struct{}

// Last is L = f(θ_K), the loss at the window's end alone (the code of Lv et al. 2017).
type Last struct{}

// Log is L = Σ ln(f(θ_t) + 1e-8). It measures by which factor a loss falls, whatever its size (Wichrowska et al. 2017,
// arXiv:1703.04813). A loss of -1e-8 or less is an error.
type Log struct{}

// Ramp is L = Σ w_t f(θ_t). The weights grow in proportion to the step t, counted from the episode's start, and their
// mean over the episode's T steps is 1:
//
//	w_t = 2t/(T+1)
//
// It is an error if T, the episode's Length, is not known.
type Ramp struct{}

var (
	_ Objective = Sum{}
	_ Objective = Last{}
	_ Objective = Log{}
	_ Objective = Ramp{}
)

// logFloor keeps the logarithm of a loss of 0 finite.
const logFloor = 1e-8

// Weigh implements Objective.
func (Sum) Weigh(_ context.Context, weights []float64, _ *Episode, _ int, losses []float64) (float64, error) {
	sum := 0.0
	for t, f := range losses {
		weights[t] = 1
		sum += f
	}
	return sum, nil
}

// Weigh implements Objective.
func (Last) Weigh(_ context.Context, weights []float64, _ *Episode, _ int, losses []float64) (float64, error) {
	clear(weights)
	last := len(losses) - 1
	weights[last] = 1
	return losses[last], nil
}

// Weigh implements Objective.
func (Log) Weigh(_ context.Context, weights []float64, _ *Episode, first int, losses []float64) (float64, error) {
	sum := 0.0
	for t, f := range losses {
		if !(f+logFloor > 0) {
			return 0, fmt.Errorf("metatrain: loss %v at step %d has no logarithm; meta-train problems of negative losses with another objective", f, first+t+1)
		}
		weights[t] = 1 / (f + logFloor)
		sum += math.Log(f + logFloor)
	}
	return sum, nil
}

// Weigh implements Objective.
func (Ramp) Weigh(_ context.Context, weights []float64, ep *Episode, first int, losses []float64) (float64, error) {
	if ep.Length < 1 {
		return 0, errors.New("metatrain: weights that grow over an episode need its length; set Episode.Length")
	}
	sum := 0.0
	for t, f := range losses {
		weights[t] = 2 * float64(first+t+1) / float64(ep.Length+1)
		sum += weights[t] * f
	}
	return sum, nil
}

// weigh calls the objective, by default Sum, on a window without divergence. If the objective diverges, weigh stores the
// divergence in the window and returns no error.
func weigh(ctx context.Context, o Objective, weights []float64, ep *Episode, first int, w *Window) (float64, error) {
	if o == nil {
		o = Sum{}
	}
	value, err := o.Weigh(ctx, weights, ep, first, w.Losses[1:])
	var diverged *optimizer.DivergedError
	switch {
	case errors.As(err, &diverged):
		w.Diverged = diverged
		return 0, nil
	case err != nil:
		return 0, err
	case math.IsNaN(value) || math.IsInf(value, 0):
		w.Diverged = &optimizer.DivergedError{Step: first + len(w.Losses) - 1, What: "meta-loss", Coordinate: -1, Value: value}
	}
	return value, nil
}
