package metaopt

import (
	"errors"
)

// Panics of callers' mistakes.
const (
	errGuard     = "metaopt: no rule to guard, or a guard that is not valid"
	errLength    = "metaopt: slice length is not the number of coordinates"
	errGroups    = "metaopt: as many groups of gradients as of parameters, of the same lengths, must add up to the number of coordinates"
	errPrecision = "metaopt: a guarded run keeps to the precision of its first step"
	errRule      = "metaopt: no rule to start a run with"
)

// ErrState is wrapped by every error of an UnmarshalBinary: the data belong to another run, or
// are damaged.
var ErrState = errors.New("metaopt: bad state")

var (
	errInconsistent = errors.New("a state that no run can be in")
	// errNoLoss is what the steps of a guarded run say.
	errNoLoss = errors.New("metaopt: a guarded run decides by the losses; call StepLoss, or SetLoss before each step")
	// errMoves is what a guarded run's Update says.
	errMoves = errors.New("metaopt: a guarded run moves the parameters itself and has no updates; call StepLoss")
	// errPoint is what Update says where the rule asks for the parameters.
	errPoint = errors.New("metaopt: the rule's update depends on the parameters; call UpdateAt, or Step")
)
