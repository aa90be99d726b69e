package optimizer

import (
	"fmt"
	"strings"
)

// A Point is what the caller of an update knows of step t. Theta, Loss and Curvature are set where
// the rule's Needs ask for them, and may be set elsewhere.
type Point struct {
	// Grad is ∇f_t(θ_t), of length n.
	Grad []float32
	// Theta is θ_t, of length n, rounded where the caller's parameters are float64.
	Theta []float32
	// Loss is f_t(θ_t).
	Loss float64
	// Curvature gives products with matrices of second order at θ_t, on the data of step Step.
	Curvature Curvature
	// Step is the step of the problem that Curvature is asked for.
	Step int
}

// Needs is what a rule reads of a Point beside the gradient, or what a caller can tell. The zero value is a
// rule that reads gradients alone.
type Needs struct {
	// Theta, Loss: the field of this name in Point.
	Theta, Loss bool
	// Metrics are the curvature products that are read.
	Metrics Metric
	// NonFinite says that the rule also decides on points at which the loss or the gradient is
	// non-finite. Without it a caller stops before such an update. It asks nothing of the caller.
	NonFinite bool
}

// Or returns what either of two rules reads. NonFinite, which a rule must be ready for, is not passed on:
// whoever combines rules decides that.
func (n Needs) Or(m Needs) Needs {
	return Needs{Theta: n.Theta || m.Theta, Loss: n.Loss || m.Loss, Metrics: n.Metrics | m.Metrics}
}

// Met returns a *NeedError unless a caller that knows has can give all that n asks for.
func (n Needs) Met(has Needs) error {
	missing := Needs{Theta: n.Theta && !has.Theta, Loss: n.Loss && !has.Loss, Metrics: n.Metrics &^ has.Metrics}
	if missing == (Needs{}) {
		return nil
	}
	return &NeedError{Missing: missing}
}

// A NeedError says before a run's first step that its rule reads what the caller or the problem does not know.
type NeedError struct {
	Missing Needs
}

// Error implements error.
func (e *NeedError) Error() string {
	var what []string
	if e.Missing.Theta {
		what = append(what, "the parameters")
	}
	if e.Missing.Loss {
		what = append(what, "the loss of each step")
	}
	if e.Missing.Metrics&Hessian != 0 {
		what = append(what, "Hessian-vector products")
	}
	if e.Missing.Metrics&Fisher != 0 {
		what = append(what, "Fisher-vector products")
	}
	return fmt.Sprintf("optimizer: the rule needs %s, which this run does not have; use a rule without this need, or a problem and a loop that have it",
		strings.Join(what, " and "))
}
