package metatrain

import (
	"context"
	"encoding"
)

// An Estimator estimates the gradient of the meta-loss with respect to φ. It is a plain value, immutable and safe for
// concurrent use: its memory of an episode is in Episode.Memory, and its scratch memory is Episode.Workspace.
type Estimator interface {
	// Estimate takes the next k inner steps of the episode and adds the estimate for this window to dphi. If the
	// window diverged, dphi stays unchanged. The result depends only on the present state of the episode and on k.
	Estimate(ctx context.Context, dphi []float64, ep *Episode, k int) (Window, error)
	// Start returns a new memory of the episode, as if the estimator began at the episode's present step. It
	// returns nil if a window needs nothing from earlier windows. Estimate stores it in Episode.Memory if there is
	// none yet.
	Start(ep *Episode) Memory
}

// A Memory is what an Estimator remembers of one episode from window to window. To restore a memory, the caller
// restores the rest of the episode, gets a new memory from Estimator.Start, and calls its UnmarshalBinary with the
// bytes that MarshalBinary returned. The estimator then continues where it was.
type Memory interface {
	encoding.BinaryMarshaler
	encoding.BinaryUnmarshaler
}

// A Workspace is scratch memory for estimators. It only saves allocations: no result depends on its contents. It
// belongs to one goroutine. Episodes that are unrolled one after another can share it. The zero value is ready for
// use.
type Workspace struct {
	backprop  backprop
	evolution evolution
	imitation imitation
	pes       *pesMemory // the memory of a closed episode, for reuse
}

// workspace returns the episode's workspace, a new one if it has none.
func (ep *Episode) workspace() *Workspace {
	if ep.Workspace == nil {
		ep.Workspace = &Workspace{}
	}
	return ep.Workspace
}

// validate calls x's Validate method, if x has one.
func validate(x any) error {
	if v, ok := x.(interface{ Validate() error }); ok {
		return v.Validate()
	}
	return nil
}
