package metaopt

import (
	"errors"
)

// Panic texts for callers' mistakes.
const (
	errGuard     = "metaopt: no rule to guard, or a guard that is not valid"
	errGroups    = "metaopt: parameters of %s elements, gradients of %s; they must agree slice by slice and have %d elements together"
	errPrecision = "metaopt: a guarded run keeps to the precision of its first step"
	errRule      = "metaopt: no rule to start a run with"
)

// ErrState is wrapped by every error of an UnmarshalBinary method: the data belong to another run, or
// are damaged.
var ErrState = errors.New("metaopt: bad state")

// ErrChanged is wrapped, together with ErrState, if Run.UnmarshalBinary finds that settings differ from the saved
// ones. The error names these settings.
var ErrChanged = errors.New("the run was saved with other settings; start it with the same ones, or go on with the new ones by ResumeChanged")

var (
	errInconsistent = errors.New("inconsistent values, which no run can have")
	// errNoLoss is the error of a step without a loss if the rule needs the loss.
	errNoLoss = errors.New("metaopt: the rule needs the loss of each step; call StepLoss, or SetLoss before each step")
)
