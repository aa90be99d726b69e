package optimizer_test

import (
	"math"
	"slices"
	"testing"

	"learnedopt/optimizer"
)

// halving halves θ, whatever the gradient; at step giveUp it diverges.
type halving struct {
	losses []float64
	giveUp int
}

func (h *halving) Start(int) optimizer.State { return h }
func (h *halving) Update(_, _ []float32)     { panic("Update of a LossState") }
func (h *halving) StepLoss(theta, grad []float32, loss float64) *optimizer.DivergedError {
	h.losses = append(h.losses, loss)
	if len(h.losses) == h.giveUp+1 {
		return optimizer.CheckLoss(h.giveUp, loss)
	}
	for i := range theta {
		theta[i] /= 2
	}
	return nil
}

// A LossState sees every loss but the last, non-finite ones too, and decides what is a divergence.
func TestRunWithALossState(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		fault, giveUp int
		losses        []float64
		seen          int
		theta         float32
		diverged      int // step, -1 for none
	}{
		{fault: -1, giveUp: -1, losses: []float64{2.5, 0.625, 0.15625, 0.0390625}, seen: 3, theta: 0.125, diverged: -1},
		{fault: 1, giveUp: -1, losses: []float64{2.5, nan, 0.15625, 0.0390625}, seen: 3, theta: 0.125, diverged: -1},
		{fault: 1, giveUp: 1, losses: []float64{2.5, nan}, seen: 2, theta: 0.5, diverged: 1},
		{fault: 3, giveUp: -1, losses: []float64{2.5, 0.625, 0.15625, nan}, seen: 3, theta: 0.125, diverged: 3},
	} {
		rule := &halving{giveUp: c.giveUp}
		out, err := optimizer.Run(t.Context(), rule, &bowl{n: 2, fault: c.fault, where: -1, value: nan}, 3)
		if err != nil {
			t.Fatal(err)
		}
		same := func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }
		if !slices.EqualFunc(out.Losses, c.losses, same) || !slices.EqualFunc(rule.losses, c.losses[:c.seen], same) {
			t.Errorf("fault at %d: losses %v, seen %v; want %v", c.fault, out.Losses, rule.losses, c.losses)
		}
		if out.Theta[0] != c.theta {
			t.Errorf("fault at %d: θ = %v, want %v", c.fault, out.Theta[0], c.theta)
		}
		if (out.Diverged == nil) != (c.diverged < 0) || out.Diverged != nil && out.Diverged.Step != c.diverged {
			t.Errorf("fault at %d: diverged %+v, want step %d", c.fault, out.Diverged, c.diverged)
		}
	}
}
