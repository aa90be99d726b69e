package curvature

import (
	"errors"
	"fmt"
	"math"

	"learnedopt/internal/precondition"
	"learnedopt/optimizer"
)

// Panic texts for callers' mistakes.
const (
	errDimension = "curvature: a rule cannot start without coordinates"
	errTotal     = "curvature: kfac: the length of the run is unknown; set Point.Total, or leave out Cosine"
	errSizes     = "curvature: a matrix of another size"
)

// ErrState is wrapped by errors about saved states.
var ErrState = errors.New("curvature: saved state")

// A FactorError says that a layer's factor of K-FAC could not be inverted.
type FactorError struct {
	// Layer counts from 0 in the order of θ. Factor is "inputs" or "outputs".
	Layer  int
	Factor string
	// Damping is what was added to the factor's diagonal at the last try.
	Damping float64
}

// Error implements error.
func (e *FactorError) Error() string {
	return fmt.Sprintf("curvature: kfac: the factor of the %s of layer %d is not positive definite with %.3g on its diagonal; raise the damping",
		e.Factor, e.Layer, e.Damping)
}

// A LayersError says that the layers of which a problem gave the factors are not all of its parameters.
type LayersError struct {
	// Covered is the number of coordinates in the layers, Coordinates that of the parameters.
	Covered, Coordinates int
}

// Error implements error.
func (e *LayersError) Error() string {
	return fmt.Sprintf("curvature: kfac: the layers have %d of %d coordinates; all parameters must be those of dense layers", e.Covered, e.Coordinates)
}

// finite returns a *optimizer.DivergedError if a curvature product has a non-finite value.
func finite(step int, product []float32) error {
	if d := optimizer.Check(step, "curvature product", product); d != nil {
		return d
	}
	return nil
}

// positive returns an error unless x is positive and finite.
func positive(rule, what string, x float64, set string) error {
	if x > 0 && !math.IsInf(x, 0) {
		return nil
	}
	return fmt.Errorf("curvature: %s: %s of %v; set it to a positive number, as %s", rule, what, x, set)
}

// within returns an error unless low ≤ x < high.
func within(rule, what string, x, low, high float64) error {
	if x >= low && x < high {
		return nil
	}
	return fmt.Errorf("curvature: %s: %s of %v; want at least %v and below %v (0 means the default)", rule, what, x, low, high)
}

// metricOf returns an error unless a rule can have the metric.
func metricOf(rule string, m optimizer.Metric, all ...optimizer.Metric) error {
	for _, k := range all {
		if m.Kind() == k && (m == k || k == optimizer.SampledFisher) {
			return nil
		}
	}
	return fmt.Errorf("curvature: %s: metric %b; take optimizer.Fisher, optimizer.Sampled or another that the field names", rule, m)
}

// or returns value, or the fallback if value is zero.
func or[T float64 | int | optimizer.Metric](value, fallback T) T {
	if value == 0 {
		return fallback
	}
	return value
}

// lengths panics unless an update and its point have n coordinates.
func lengths(dst []float32, p optimizer.Point, n int) {
	precondition.Length("curvature", "dst", dst, n)
	precondition.Length("curvature", "Point.Grad", p.Grad, n)
	precondition.Length("curvature", "Point.Theta", p.Theta, n)
}
