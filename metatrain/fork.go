package metatrain

import (
	"context"
	"slices"
)

// fork returns another trajectory on the episode's problem, which starts at the episode's present state. Both share the
// problem: before one of them continues, resume must move the problem to its step.
func (ep *Episode) fork() *Episode {
	n := len(ep.Theta)
	f := &Episode{Theta: make([]float32, n), State: ep.State.Clone(), update: make([]float32, n), grad: make([]float32, n)}
	f.copyFrom(ep)
	return f
}

// fits says whether copyFrom can copy the episode from.
func (ep *Episode) fits(from *Episode) bool { return ep.State.Fits(from.State) }

// copyFrom makes ep, which must fit, a fork of from at its present state.
func (ep *Episode) copyFrom(from *Episode) {
	ep.Problem, ep.Step, ep.Seed = from.Problem, from.Step, from.Seed
	ep.Length, ep.HideLength = from.Length, from.HideLength
	ep.loss, ep.open = from.loss, from.open
	copy(ep.Theta, from.Theta)
	copy(ep.grad, from.grad)
	ep.State.CopyFrom(from.State)
}

// forward is Unroll without a record of the gradients.
func (ep *Episode) forward(ctx context.Context, k int) (Window, error) {
	if len(ep.sameGrad) < k+1 {
		ep.sameGrad = slices.Repeat([][]float32{ep.grad}, k+1)
	}
	return ep.Unroll(ctx, ep.sameGrad[:k+1], nil)
}
