package optimizer

import (
	"fmt"
	"strings"
)

// A Point is what the caller of Update knows about step t. Grad is always set. Theta, Loss and Curvature are set
// if the rule's Needs ask for them, and may be set otherwise.
type Point struct {
	// Grad is ∇f_t(θ_t), of length n.
	Grad []float32
	// Theta is θ_t, of length n. A caller with float64 parameters rounds them.
	Theta []float32
	// Loss is f_t(θ_t).
	Loss float64
	// Curvature multiplies second-order matrices at θ_t by vectors, on the data of step Step.
	Curvature Curvature
	// Step is the step to pass to Curvature's products.
	Step int
}

// Needs lists the fields of a Point that a rule reads besides the gradient, or that a caller can set. The zero value
// belongs to a rule that reads gradients alone.
type Needs struct {
	// Theta and Loss stand for Point's fields of the same names.
	Theta, Loss bool
	// Metrics are the metrics whose curvature products the rule reads.
	Metrics Metric
	// NonFinite says that the rule also accepts points with a non-finite loss or gradient and decides what
	// to do there. For other rules the caller stops before such an update. It requires nothing of the caller.
	NonFinite bool
}

// Or returns the fields that at least one of two rules reads. NonFinite of the result is false: a rule made of
// several rules sets it if it can handle such points.
func (n Needs) Or(m Needs) Needs {
	return Needs{Theta: n.Theta || m.Theta, Loss: n.Loss || m.Loss, Metrics: n.Metrics | m.Metrics}
}

// Met returns a *NeedError unless has, the fields that a caller can set, covers n.
func (n Needs) Met(has Needs) error {
	missing := Needs{Theta: n.Theta && !has.Theta, Loss: n.Loss && !has.Loss, Metrics: n.Metrics &^ has.Metrics}
	if missing == (Needs{}) {
		return nil
	}
	return &NeedError{Missing: missing}
}

// A NeedError says, before a run's first step, that the rule reads something that the caller or the problem cannot
// provide.
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
