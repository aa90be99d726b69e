package curvature

import (
	"errors"
	"math"

	"learnedopt/internal/precondition"
	"learnedopt/internal/saved"
	"learnedopt/optimizer"
)

// TrustRegion takes the step that lowers the linear model of f_t most among those whose Kullback-Leibler divergence is δ to second order, and makes it
// smaller until the divergence itself is at most δ and f_t does not rise: the step of TRPO (Schulman et al. 2015, arXiv:1502.05477, appendix C),
// with f_t in the place of the surrogate.
//
//	(F + γI) d ≈ g by conjugate gradients from 0,   β = √(2δ / dᵀ(F + γI)d)
//	u = −s^j β d,   the first j < J with KL(θ ‖ θ + u) ≤ δ and f_t(θ + u) ≤ f_t(θ);   u = 0 if there is none
//
// The constraint sets the size of the step: it does not depend on the size of the gradient.
// If the curvature along a direction is negative or too small for float32, the solve ends there; a β that
// would be infinite is set by the damping alone.
type TrustRegion struct {
	// Radius is δ, in nats. It must be set; 0.01 is usual.
	Radius float64 `json:"radius"`
	// Damping is γ; 0 means 0.1, as in OpenAI's Spinning Up.
	Damping float64 `json:"damping,omitempty"`
	// Metric is the matrix F: optimizer.Fisher, optimizer.Sampled or EmpiricalFisher. 0 means optimizer.Fisher.
	Metric optimizer.Metric `json:"metric,omitempty"`
	// Iterations is the largest number of iterations of a solve; 0 means 10.
	Iterations int `json:"iterations,omitempty"`
	// Shrink is s in (0, 1); 0 means 0.8.
	Shrink float64 `json:"shrink,omitempty"`
	// Tries is J; 0 means 10.
	Tries int `json:"tries,omitempty"`
	// OnStep, if set, is called after each update, from the run's goroutine.
	OnStep func(Step) `json:"-"`
}

var _ optimizer.Rule = TrustRegion{}

// WithDefaults returns r with the zero fields other than Radius set to their defaults.
func (r TrustRegion) WithDefaults() TrustRegion {
	r.Damping = or(r.Damping, 0.1)
	r.Metric = or(r.Metric, optimizer.Fisher)
	r.Iterations = or(r.Iterations, 10)
	r.Shrink = or(r.Shrink, 0.8)
	r.Tries = or(r.Tries, 10)
	return r
}

// Validate returns an error if a field is out of its range.
func (r TrustRegion) Validate() error {
	const name = "trust-region"
	return errors.Join(
		positive(name, "radius", r.Radius, "0.01"),
		within(name, "damping", r.Damping, 0, math.Inf(1)),
		metricOf(name, r.WithDefaults().Metric, optimizer.Fisher, optimizer.SampledFisher, optimizer.EmpiricalFisher),
		within(name, "iterations", float64(r.Iterations), 0, 1<<20),
		within(name, "shrinking", r.Shrink, 0, 1),
		within(name, "tries", float64(r.Tries), 0, 1<<20))
}

// Needs implements optimizer.Rule: the parameters, products of the metric, and trials.
func (r TrustRegion) Needs() optimizer.Needs {
	return optimizer.Needs{Theta: true, Metrics: r.WithDefaults().Metric.Kind(), Trial: true}
}

// Start implements optimizer.Rule. It panics if the rule is not valid.
func (r TrustRegion) Start(layout optimizer.Layout) optimizer.State {
	n := layout.Len()
	if n <= 0 {
		panic(errDimension)
	}
	precondition.Valid(r)
	return &trustState{rule: r.WithDefaults(), solver: newSolver(n), to: make([]float32, n)}
}

type trustState struct {
	rule   TrustRegion
	solver *solver
	to     []float32
}

var _ optimizer.State = (*trustState)(nil)

// Update implements optimizer.State. An error is one of a product or a trial, or a *optimizer.DivergedError of a non-finite product.
func (s *trustState) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	n := len(s.to)
	lengths(dst, p, n)
	r := &s.rule
	clear(s.solver.x)
	sol, err := s.solver.solve(metricTimes(p, r.Metric, p.Step), p.Grad, r.Damping, r.Iterations, 0)
	if err != nil {
		return 0, err
	}
	report := Step{Iterations: sol.iterations, Damping: r.Damping}
	square := max(sol.square, r.Damping*dot(s.solver.x, s.solver.x))
	beta := math.Sqrt(2 * r.Radius / square)
	for square > 0 && report.Backtracks < r.Tries {
		trial, err := tryAlong(p, s.to, s.solver.x, beta)
		if err != nil {
			return 0, err
		}
		if trial.KL <= r.Radius && trial.Change <= 0 {
			report.Accepted, report.Trial = true, trial
			break
		}
		beta *= r.Shrink
		report.Backtracks++
	}
	if !report.Accepted {
		beta = 0
	}
	for i, d := range s.solver.x {
		dst[i] = float32(-beta * float64(d))
	}
	if r.OnStep != nil {
		r.OnStep(report)
	}
	return 0, nil
}

const trustName = "trust"

// MarshalBinary implements encoding.BinaryMarshaler. A state has no memory.
func (s *trustState) MarshalBinary() ([]byte, error) {
	w := saved.NewWriter(trustName, stateVersion)
	w.Int(len(s.to))
	return w.Bytes()
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler. Errors wrap ErrState.
func (s *trustState) UnmarshalBinary(data []byte) error {
	r := saved.NewReader(data, trustName, stateVersion)
	r.Same("coordinates", len(s.to))
	return restore(r, func() bool { return true })
}
