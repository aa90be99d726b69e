package optimizer_test

import (
	"errors"
	"math"
	"slices"
	"testing"

	"learnedopt/optimizer"
)

// halving halves θ, whatever the gradient, and reads every loss. At step giveUp it diverges, at step
// giveBack it goes back to the θ that it kept at step 1.
type halving struct {
	losses           []float64
	giveUp, giveBack int
}

func (h *halving) Needs() optimizer.Needs {
	return optimizer.Needs{Theta: true, Loss: true, NonFinite: true}
}

func (h *halving) Start(optimizer.Layout) optimizer.State { return h }

func (h *halving) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	t := len(h.losses)
	h.losses = append(h.losses, p.Loss)
	for i, x := range p.Theta {
		dst[i] = -x / 2
	}
	switch t {
	case h.giveUp:
		return 0, optimizer.CheckLoss(t, p.Loss)
	case h.giveBack:
		dst[0] = float32(math.NaN()) // nobody reads it
		return optimizer.Return, nil
	case 1:
		return optimizer.Keep, nil
	}
	return 0, nil
}

// A rule with Needs.NonFinite sees every loss but the last one, non-finite losses too. It decides what counts as a
// divergence and where θ goes.
func TestRunOfARuleThatMoves(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		fault, giveUp, giveBack int
		losses                  []float64
		seen                    int
		theta                   float32
		diverged                int // step, -1 for none
	}{
		{fault: -1, giveUp: -1, giveBack: -1, losses: []float64{2.5, 0.625, 0.15625, 0.0390625}, seen: 3, theta: 0.125, diverged: -1},
		{fault: 1, giveUp: -1, giveBack: -1, losses: []float64{2.5, nan, 0.15625, 0.0390625}, seen: 3, theta: 0.125, diverged: -1},
		{fault: 1, giveUp: 1, giveBack: -1, losses: []float64{2.5, nan}, seen: 2, theta: 0.5, diverged: 1},
		{fault: 3, giveUp: -1, giveBack: -1, losses: []float64{2.5, 0.625, 0.15625, nan}, seen: 3, theta: 0.125, diverged: 3},
		{fault: -1, giveUp: -1, giveBack: 2, losses: []float64{2.5, 0.625, 0.15625, 0.625}, seen: 3, theta: 0.5, diverged: -1},
	} {
		rule := &halving{giveUp: c.giveUp, giveBack: c.giveBack}
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

// Parameters in several slices of float64 are kept and put back bit for bit.
func TestApply(t *testing.T) {
	theta := [][]float64{{0.1}, {}, {0.2, 0.3}}
	kept := make([]float64, 3)
	optimizer.Apply(optimizer.Keep, theta, []float32{1, 2, 3}, kept)
	if want := [][]float64{{0.1 + 1}, {}, {0.2 + 2, 0.3 + 3}}; theta[0][0] != want[0][0] || !slices.Equal(theta[2], want[2]) {
		t.Errorf("θ + u = %v, want %v", theta, want)
	}
	if !slices.Equal(kept, []float64{0.1, 0.2, 0.3}) {
		t.Errorf("kept %v", kept)
	}
	optimizer.Apply(optimizer.Return, theta, []float32{1, 1, 1}, kept)
	if theta[0][0] != 0.1 || theta[2][0] != 0.2 || theta[2][1] != 0.3 {
		t.Errorf("put back %v", theta)
	}
	optimizer.Apply(0, theta, []float32{1, 1, 1}, nil)
	if theta[2][1] != 1.3 {
		t.Errorf("without a copy θ = %v", theta)
	}
}

// failing has a curvature product that fails.
type failing struct{ descent }

func (failing) Start(optimizer.Layout) optimizer.State { return failing{} }
func (failing) Update([]float32, optimizer.Point) (optimizer.Move, error) {
	return 0, errBroken
}

var errBroken = errors.New("no product today")

// An error of the state ends a run just as an error of the problem does. It is not a divergence.
func TestRunOfAStateThatFails(t *testing.T) {
	out, err := optimizer.Run(t.Context(), failing{}, sound(2), 5)
	if !errors.Is(err, errBroken) || out.Diverged != nil || len(out.Losses) != 1 {
		t.Errorf("error %v, diverged %v after %d losses", err, out.Diverged, len(out.Losses))
	}
}
