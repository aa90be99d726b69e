package qp

import "fmt"

// Panic texts for callers' mistakes.
const (
	errBatch    = "qp: solutions, problems and errors of a batch differ in number"
	errUpstream = "qp: upstream gradient has not the length of what it belongs to"
	errUnsolved = "qp: gradient of a problem that has not been solved"
	errWarm     = "qp: warm start of another size"
	errPoint    = "qp: a point of an iteration of another size"
	errStepping = "qp: step of an iteration that has no factored problem: call Load, again after a Gradient"
)

// An InputError says that a problem or an option cannot be meant.
type InputError struct {
	// Field is "Q", "Linear", "A", "B", "G", "H" or the name of an option.
	Field string
	// Index is the place in the field's slice, -1 where the whole field is wrong.
	Index int
	// Reason says what is wrong and what to do.
	Reason string
}

// Error implements error.
func (e *InputError) Error() string {
	if e.Index >= 0 {
		return fmt.Sprintf("qp: %s[%d]: %s", e.Field, e.Index, e.Reason)
	}
	return fmt.Sprintf("qp: %s: %s", e.Field, e.Reason)
}

// An InfeasibleError proves that no z satisfies the constraints (Farkas): up to Residual,
//
//	Aᵀν + Gᵀλ = 0,   λ ≥ 0,   bᵀν + hᵀλ = −1.
type InfeasibleError struct {
	// Nu (p) and Lambda (m) are ν and λ.
	Nu, Lambda []float64
	// Residual is max_j |(Aᵀν + Gᵀλ)_j|. No z with ‖z‖₁ < 1/Residual satisfies the constraints.
	Residual float64
}

// Error implements error.
func (e *InfeasibleError) Error() string {
	return fmt.Sprintf("qp: infeasible: no z with sum of |z_j| below %.2g satisfies the constraints; loosen a constraint whose multiplier in the certificate is not 0", 1/e.Residual)
}

// An UnboundedError proves that the objective falls without bound along a ray, if any point is feasible: up to Residual,
//
//	Qd = 0,   Ad = 0,   Gd ≤ 0,   qᵀd = −1.
type UnboundedError struct {
	// Ray is d (n).
	Ray []float64
	// Residual is the largest |Qd|, |Ad| and positive part of Gd.
	Residual float64
}

// Error implements error.
func (e *UnboundedError) Error() string {
	return fmt.Sprintf("qp: unbounded: the objective falls forever along a ray (which leaves the constraints by %.2g a unit of decrease); bound the variables or make Q positive definite", e.Residual)
}

// A NotConvergedError says that neither a solution nor a certificate was found. The Solution holds the best point.
type NotConvergedError struct {
	// Iterations is their number, Residuals those of the best point.
	Iterations int
	Residuals  Residuals
	// Reason says why the solver stopped.
	Reason string
}

// Error implements error.
func (e *NotConvergedError) Error() string {
	return fmt.Sprintf("qp: not converged after %d iterations (%s): residuals primal %.2g, dual %.2g, gap %.2g; scale the problem, or allow more iterations or a larger Acceptable",
		e.Iterations, e.Reason, e.Residuals.Primal, e.Residuals.Dual, e.Residuals.Gap)
}

// A NotConvexError says that Q has a negative eigenvalue, so that points of zero gradient need not be minima.
type NotConvexError struct{}

// Error implements error.
func (*NotConvexError) Error() string {
	return "qp: Q is not positive semidefinite; make it L·Lᵀ, or add a multiple of the identity"
}

// A WeaklyActiveError says that the solution has no derivative: some constraints hold with equality and have a zero multiplier.
type WeaklyActiveError struct {
	// Rows are the rows of G, in ascending order.
	Rows []int
}

// Error implements error.
func (e *WeaklyActiveError) Error() string {
	return fmt.Sprintf("qp: %d constraints are weakly active (the first is row %d of G): the solution has one-sided derivatives only; choose AsInactive, or solve with a Smoothing", len(e.Rows), e.Rows[0])
}
