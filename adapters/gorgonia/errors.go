package gorgoniaopt

import (
	"errors"
	"fmt"

	"learnedopt/optimizer"
)

// Panics of callers' mistakes.
const errRule = "gorgoniaopt: the rule is nil"

// errNotSaved is what is wrong with a rule's state, of which it names the type.
const errNotSaved = "a state of type %T cannot be saved; use a rule whose states are encoding.BinaryMarshalers"

var (
	// ErrModel is wrapped by every error about nodes that cannot be stepped: other ones
	// than the solver is bound to, without a gradient, of another shape or number type.
	ErrModel = errors.New("gorgoniaopt: model")
	// ErrState is wrapped by every error of UnmarshalBinary, and of a Bind or Step that
	// finds that the data are of another rule.
	ErrState = errors.New("gorgoniaopt: bad state")

	// ErrChanged is wrapped, beside ErrState, by the error that names the settings that differ from the saved ones.
	ErrChanged = errors.New("the run was saved with other settings; start it with the same ones, or go on with the new ones by ResumeChanged")

	errNoLoss  = errors.New("gorgoniaopt: the rule decides by the losses; call StepLoss")
	errUnbound = errors.New("gorgoniaopt: nothing to save before the first step; Bind the solver to its nodes first")
	errEmpty   = fmt.Errorf("%w: no nodes", ErrModel)
)

// A DivergedError says at which node a step left the finite numbers. The weights and the
// gradients are as they were before the step.
type DivergedError struct {
	// Node is the node's name, or its number among the nodes where it has none.
	Node string
	// At is the coordinate, an index for each dimension of the node's shape; empty for
	// scalars.
	At []int
	// Diverged says what was not finite, and at which step. Its Coordinate counts through
	// all nodes in the order of the first step, row-major; its Value is as the node has it.
	Diverged *optimizer.DivergedError
}

// Error implements error.
func (e *DivergedError) Error() string {
	d, at := e.Diverged, ""
	if len(e.At) > 0 {
		at = fmt.Sprintf(" at %v", e.At)
	}
	remedy := "take smaller steps or start nearer"
	if d.What == "gradient" {
		remedy = "nothing was changed: to skip this batch, call ZeroGrads and go on"
	}
	return fmt.Sprintf("gorgoniaopt: diverged at step %d: %s of %s is %v%s in float32; %s", d.Step, d.What, e.Node, d.Value, at, remedy)
}

// Unwrap returns e.Diverged.
func (e *DivergedError) Unwrap() error { return e.Diverged }
