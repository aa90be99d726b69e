package qp

import "math"

// A Solver solves problems and differentiates their solutions. It belongs to one goroutine.
type Solver interface {
	// Solve writes the solution of a problem into dst, whose slices it uses again. An error says that there is none:
	// *InputError, *NotConvexError, *InfeasibleError, *UnboundedError, *NotConvergedError. With the last, dst holds the best point.
	Solve(dst *Solution, p *Problem) error
	// Gradient writes the derivatives of a loss with respect to the numbers of the problem that was solved last.
	// up holds the derivatives of the loss with respect to its solution.
	Gradient(dst *Gradient, up Upstream) error
}

// Options of a solver; the zero value holds the defaults.
type Options struct {
	// Tolerance is what all Residuals should fall below; 0 means 1e-12. A solver goes on until then, or until it stops to win.
	Tolerance float64
	// Acceptable is the largest residual of a solution; 0 means 1e-8. With a larger one the answer is *NotConvergedError.
	Acceptable float64
	// MaxIterations is the largest number of iterations; 0 means 100 for an InteriorPoint and 4,000 for an ADMM.
	MaxIterations int
	// Weak says what Gradient does where constraints are weakly active.
	Weak Weak
	// Smoothing is μ, in units of the objective. If not 0, an InteriorPoint returns the minimum of
	//
	//	½ zᵀQz + qᵀz − μ Σ_i log(h − Gz)_i  subject to  Az = b
	//
	// with λ_i = μ/s_i, which is at most m·μ above the optimal value and has derivatives everywhere.
	Smoothing float64
}

// Weak says what derivative a solution has where constraints are weakly active: they hold with equality, but
// without a multiplier.
type Weak int

const (
	// Refuse makes Gradient return a *WeaklyActiveError.
	Refuse Weak = iota
	// AsInactive returns the one-sided derivative for weakly active rows whose h_i grows: the derivative of the same
	// problem with these h_i a little larger, which has the same solution and strict complementarity.
	AsInactive
)

func (o Options) withDefaults(iterations int) (Options, error) {
	bad := func(v float64) bool { return !(v >= 0) || math.IsInf(v, 0) }
	switch {
	case bad(o.Tolerance):
		return o, &InputError{"Tolerance", -1, "want a finite number, 0 (the default) or larger"}
	case bad(o.Acceptable):
		return o, &InputError{"Acceptable", -1, "want a finite number, 0 (the default) or larger"}
	case bad(o.Smoothing):
		return o, &InputError{"Smoothing", -1, "want a finite number, 0 (none) or larger"}
	case o.MaxIterations < 0:
		return o, &InputError{"MaxIterations", -1, "want 0 (the default) or more"}
	case o.Weak < Refuse || o.Weak > AsInactive:
		return o, &InputError{"Weak", -1, "want Refuse or AsInactive"}
	}
	if o.Tolerance == 0 {
		o.Tolerance = 1e-12
	}
	if o.Acceptable == 0 {
		o.Acceptable = 1e-8
	}
	if o.MaxIterations == 0 {
		o.MaxIterations = iterations
	}
	return o, nil
}
