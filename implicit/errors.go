package implicit

import "fmt"

// Panic texts for callers' mistakes.
const (
	errLength  = "implicit: slice length is not the number of unknowns"
	errMatrix  = "implicit: a matrix has not n² numbers"
	errNothing = "implicit: a Jacobian without numbers and without products"
)

// A NotConvergedError says that a method stopped without a solution. z holds its best point.
type NotConvergedError struct {
	// Method is "Newton", "Anderson" or "GMRES".
	Method string
	// Iterations is their number.
	Iterations int
	// Residual is the largest |F_i| at the best point; of GMRES, the norm of the residual relative to the right-hand side.
	Residual float64
	// Remedy says what to do.
	Remedy string
}

// Error implements error.
func (e *NotConvergedError) Error() string {
	return fmt.Sprintf("implicit: %s: no solution after %d iterations, residual %.2g; %s", e.Method, e.Iterations, e.Residual, e.Remedy)
}

// A SingularError says that a Jacobian cannot be inverted, so that the solution is not isolated and has no derivative.
type SingularError struct {
	// Condition is an estimate of the condition number in the 1-norm.
	Condition float64
}

// Error implements error.
func (e *SingularError) Error() string {
	return fmt.Sprintf("implicit: the Jacobian is singular to working precision (condition number %.1e): the solution is not isolated; regularize the equation", e.Condition)
}
