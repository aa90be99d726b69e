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

// ErrChanged is wrapped, beside ErrState, by the error of Run.UnmarshalBinary that names the settings that differ.
var ErrChanged = errors.New("the run was saved with other settings; start it with the same ones, or go on with the new ones by ResumeChanged")

var (
	errInconsistent = errors.New("a state that no run can be in")
	// errNoLoss is what a step without a loss says where the rule needs it.
	errNoLoss = errors.New("metaopt: the rule needs the loss of each step; call StepLoss, or SetLoss before each step")
)
