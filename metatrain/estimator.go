package metatrain

import (
	"context"
	"encoding"
)

// An Estimator estimates the gradient of the meta-loss with respect to φ. It is a plain value,
// immutable and safe for concurrent use: what it remembers of an episode is in
// Episode.Memory, and what it computes in is Episode.Workspace.
type Estimator interface {
	// Estimate takes the next k inner steps of the episode and adds the
	// estimate for that window to dphi. If the window diverged, dphi is left
	// as it was. The result depends on the episode, as it stands, and on k alone.
	Estimate(ctx context.Context, dphi []float64, ep *Episode, k int) (Window, error)
	// Start returns what the estimator remembers of an episode from window to window, as
	// it is where the episode stands now; nil if a window takes nothing from
	// those before. Estimate puts it into Episode.Memory if it is not there yet.
	Start(ep *Episode) Memory
}

// A Memory is what an Estimator remembers of one episode. UnmarshalBinary is called
// on what Estimator.Start returned for the same episode, after the rest of the episode was restored: what
// MarshalBinary wrote then makes the estimator go on where it stood.
type Memory interface {
	encoding.BinaryMarshaler
	encoding.BinaryUnmarshaler
}

// A Workspace is the memory that estimators compute in. No result depends on what it holds: it
// only saves allocations. It belongs to one goroutine; episodes that are
// unrolled one after another can share it. The zero value is ready for use.
type Workspace struct {
	backprop  backprop
	evolution evolution
	imitation imitation
	pes       *pesMemory // of an episode that was closed, to be used again
}

// workspace returns the episode's workspace, a new one if it has none.
func (ep *Episode) workspace() *Workspace {
	if ep.Workspace == nil {
		ep.Workspace = &Workspace{}
	}
	return ep.Workspace
}

// validate says what is wrong with x, if x can say so.
func validate(x any) error {
	if v, ok := x.(interface{ Validate() error }); ok {
		return v.Validate()
	}
	return nil
}
