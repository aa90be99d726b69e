package optimizer_test

import (
	"testing"

	"learnedopt/optimizer"
)

// decay is u = −θ/2: it does not look at gradients.
type decay struct{}

func (decay) Start(int) optimizer.State { return decayState{} }

type decayState struct{}

var _ optimizer.PointState = decayState{}

func (decayState) Update(_, _ []float32) { panic("no point") }

func (decayState) UpdateAt(dst, theta, _ []float32) {
	for i, x := range theta {
		dst[i] = -x / 2
	}
}

// Run tells a state that wants to know where the parameters are.
func TestRunTellsThePoint(t *testing.T) {
	out, err := optimizer.Run(t.Context(), decay{}, sound(2), 3)
	if err != nil || out.Diverged != nil {
		t.Fatal(err, out.Diverged)
	}
	if out.Theta[0] != 0.125 || out.Theta[1] != 0.25 {
		t.Errorf("θ_3 = %v, want (1, 2)/8", out.Theta)
	}
}
