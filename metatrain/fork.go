package metatrain

import (
	"context"
	"slices"
)

// fork returns another trajectory of the episode's problem, which goes on from where the
// episode stands. Only one of them can have the problem at a time: see resume.
func (ep *Episode) fork() *Episode {
	n := len(ep.Theta)
	f := &Episode{Theta: make([]float32, n), State: ep.State.Clone(), update: make([]float32, n), grad: make([]float32, n)}
	f.copyFrom(ep)
	return f
}

// fits says whether an episode can be copied to this one.
func (ep *Episode) fits(from *Episode) bool { return ep.State.Fits(from.State) }

// copyFrom makes a fork of an episode that fits it one of from, at where that stands.
func (ep *Episode) copyFrom(from *Episode) {
	ep.Problem, ep.Step, ep.Seed, ep.Length = from.Problem, from.Step, from.Seed, from.Length
	ep.loss, ep.open = from.loss, from.open
	copy(ep.Theta, from.Theta)
	copy(ep.grad, from.grad)
	ep.State.CopyFrom(from.State)
}

// forward is Unroll without a record of the gradients.
func (ep *Episode) forward(ctx context.Context, k int) (Window, error) {
	if len(ep.one) < k+1 {
		ep.one = slices.Repeat([][]float32{ep.grad}, k+1)
	}
	return ep.Unroll(ctx, ep.one[:k+1], nil)
}
