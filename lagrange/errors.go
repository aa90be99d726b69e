package lagrange

import "fmt"

// errStart is the panic text for a starting point of another length than the problem has.
const errStart = "lagrange: the starting point has not the problem's length"

// A NotConvergedError says that the outer loop ended without a solution. The Result that comes with it holds the last point.
type NotConvergedError struct {
	// Violation is the largest |c_i|, Gradient the largest |∂L/∂x_j| at the last point.
	Violation, Gradient float64
	// Penalty is the last ρ.
	Penalty float64
	// Outer is the number of outer iterations.
	Outer int
}

// Error implements error.
func (e *NotConvergedError) Error() string {
	remedy := "take more outer iterations"
	switch {
	case e.Violation < e.Gradient:
		remedy = "the rule does not minimize the Lagrangian: take more inner steps, or another rule or rate"
	case e.Penalty >= mostPenalty:
		remedy = "the constraints may contradict each other"
	}
	return fmt.Sprintf("lagrange: no solution after %d outer iterations: constraints off by %.2g, gradient %.2g, penalty %.2g; %s", e.Outer, e.Violation, e.Gradient, e.Penalty, remedy)
}
