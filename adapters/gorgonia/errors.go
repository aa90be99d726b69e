package gorgoniaopt

import (
	"errors"
	"fmt"

	"gorgonia.org/gorgonia"

	"learnedopt/optimizer"
)

// Panic texts for a caller's mistakes.
const (
	errRule   = "gorgoniaopt: the rule is nil"
	errMetric = "gorgoniaopt: a metric that a graph does not offer; take optimizer.Fisher, optimizer.Sampled or EmpiricalFisher"
)

// errNotSaved is the error text for a rule's state that cannot be saved; %T is its type.
const errNotSaved = "a state of type %T cannot be saved; use a rule whose states are encoding.BinaryMarshalers"

var (
	// ErrModel is wrapped by every error about the nodes: nodes that the solver is not
	// bound to, nodes without a gradient, a wrong shape or number type.
	ErrModel = errors.New("gorgoniaopt: model")
	// ErrState is wrapped by every error of UnmarshalBinary, and by the error of a Bind or
	// Step that finds that the data belong to another rule.
	ErrState = errors.New("gorgoniaopt: bad state")

	// ErrChanged is wrapped, together with ErrState, if settings differ from the saved ones. The error names them.
	ErrChanged = errors.New("the run was saved with other settings; start it with the same ones, or go on with the new ones by ResumeChanged")

	errNoLoss  = errors.New("gorgoniaopt: the rule decides by the losses; call StepLoss")
	errUnbound = errors.New("gorgoniaopt: nothing to save before the first step; Bind the solver to its nodes first")
	errEmpty   = fmt.Errorf("%w: no nodes", ErrModel)
)

// A DivergedError says at which node a step met a non-finite value. The weights and the
// gradients are as they were before the step.
type DivergedError struct {
	// Node is the node's name, or "node" and its number if it has no name.
	Node string
	// At is the coordinate: one index for each dimension of the node's shape, none for
	// scalars.
	At []int
	// Diverged says which value was non-finite, and at which step. Its Coordinate counts through
	// all nodes in the order of the first step, row-major. Its Value is the node's, before rounding.
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

// An OpError says which operation of a graph keeps a Curvature from being computed. It wraps ErrModel.
type OpError struct {
	Op  gorgonia.Op
	Why string
	// Err is Gorgonia's error, nil if there is none.
	Err error
}

// Error implements error.
func (e *OpError) Error() string {
	text := fmt.Sprintf("%v: no curvature of a graph with %v: %s", ErrModel, e.Op, e.Why)
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text + "; use a rule that reads gradients alone, or another operation"
}

// Unwrap returns ErrModel and e.Err.
func (e *OpError) Unwrap() []error {
	if e.Err == nil {
		return []error{ErrModel}
	}
	return []error{ErrModel, e.Err}
}

// A DerivativeError says that Gorgonia's derivatives of a graph are wrong: ⟨u, Jv⟩ and ⟨Jᵀu, v⟩ should be the same number. The gradients
// themselves may be wrong: those of AveragePool2D in Gorgonia v0.9.18 are. It wraps ErrModel.
type DerivativeError struct{ Forward, Backward float64 }

// Error implements error.
func (e *DerivativeError) Error() string {
	return fmt.Sprintf("%v: no curvature of this graph: Gorgonia's derivatives contradict each other (uᵀ(Jv) = %.6g, (Jᵀu)ᵀv = %.6g); "+
		"find the operation whose derivative is wrong, by leaving out others", ErrModel, e.Forward, e.Backward)
}

// Unwrap returns ErrModel.
func (e *DerivativeError) Unwrap() error { return ErrModel }
