package optimizer

import (
	"fmt"
	"strings"
)

// A Point is what the caller of Update knows about step t. Grad is always set. Theta, Loss, Curvature and Total are
// set if the rule's Needs ask for them, and may be set otherwise.
type Point struct {
	// Grad is ∇f_t(θ_t), of length n.
	Grad []float32
	// Theta is θ_t, of length n. A caller with float64 parameters rounds them.
	Theta []float32
	// Loss is f_t(θ_t).
	Loss float64
	// Curvature multiplies second-order matrices at θ_t by vectors, on the data of step Step. It is also a Trier or a
	// Factorer where the rule's Needs say so.
	Curvature Curvature
	// Step is the step to pass to Curvature's products.
	Step int
	// Total is the number of steps that the run will have, 0 if the caller does not know it. A rule that lowers its
	// steps toward the run's end reads it.
	Total int
}

// Needs lists the fields of a Point that a rule reads besides the gradient, or that a caller can set. The zero value
// belongs to a rule that reads gradients alone.
type Needs struct {
	// Theta and Loss stand for Point's fields of the same names.
	Theta, Loss bool
	// Total says that the rule cannot work without Point's Total. A rule that can use it but works without it does
	// not set this.
	Total bool
	// Metrics are the metrics whose curvature products the rule reads, without numbers of labels (Metric.Kind).
	Metrics Metric
	// Trial and Factors say that Point's Curvature must also be a Trier, and a Factorer.
	Trial, Factors bool
	// NonFinite says that the rule also accepts points with a non-finite loss or gradient and decides what
	// to do there. For other rules the caller stops before such an update. It requires nothing of the caller.
	NonFinite bool
}

// Or returns the fields that at least one of two rules reads. NonFinite of the result is false: a rule made of
// several rules sets it if it can handle such points.
func (n Needs) Or(m Needs) Needs {
	return Needs{Theta: n.Theta || m.Theta, Loss: n.Loss || m.Loss, Total: n.Total || m.Total, Metrics: n.Metrics | m.Metrics,
		Trial: n.Trial || m.Trial, Factors: n.Factors || m.Factors}
}

// OfProblem says whether the rule needs something that not every problem offers.
func (n Needs) OfProblem() bool { return n.Metrics != 0 || n.Trial || n.Factors }

// Met returns a *NeedError unless has, the fields that a caller can set, covers n.
func (n Needs) Met(has Needs) error {
	missing := Needs{Theta: n.Theta && !has.Theta, Loss: n.Loss && !has.Loss, Total: n.Total && !has.Total, Metrics: n.Metrics.Kind() &^ has.Metrics,
		Trial: n.Trial && !has.Trial, Factors: n.Factors && !has.Factors}
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
	if e.Missing.Total {
		what = append(what, "the number of steps of the run")
	}
	for _, m := range []struct {
		metric Metric
		name   string
	}{{Hessian, "Hessian"}, {Fisher, "Fisher"}, {SampledFisher, "sampled Fisher"}, {EmpiricalFisher, "empirical Fisher"}} {
		if e.Missing.Metrics&m.metric != 0 {
			what = append(what, m.name+"-vector products")
		}
	}
	if e.Missing.Trial {
		what = append(what, "the Kullback-Leibler divergence between two points (a Trier)")
	}
	if e.Missing.Factors {
		what = append(what, "the factors of dense layers (a Factorer)")
	}
	return fmt.Sprintf("optimizer: the rule needs %s, which this run does not have; use a rule without this need, or a problem and a loop that have it",
		strings.Join(what, " and "))
}
