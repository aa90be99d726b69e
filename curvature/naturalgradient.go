package curvature

import (
	"errors"
	"math"

	"learnedopt/internal/precondition"
	"learnedopt/internal/saved"
	"learnedopt/optimizer"
)

// NaturalGradient moves along the natural gradient, which conjugate gradients compute without a matrix (Amari 1998; Martens 2010,
// "Deep learning via Hessian-free optimization"):
//
//	u_t = −α d_t,   (F_t(θ_t) + γ_t I) d_t ≈ ∇f_t(θ_t)
//
// The damping follows Levenberg and Marquardt: with ρ the change of f_t divided by the change that the quadratic model of gradient and F + γI
// says,
//
//	γ ← 1.5 γ  if ρ < ¼,   γ/1.5  if ρ > ¾
//
// A step that raises f_t is halved, up to five times, and left out if that does not help. Each solve starts at 0.95 d_{t−1}. If the curvature along a direction is
// negative or too small for float32, the solve ends there. One step costs the gradient, one product of about two gradients' cost
// for each iteration, and two forward passes for ρ.
type NaturalGradient struct {
	// LearningRate is α. It must be set; 1 is a full step.
	LearningRate float64 `json:"learning_rate"`
	// Damping is γ_0; 0 means 1.
	Damping float64 `json:"damping,omitempty"`
	// Fixed keeps γ at Damping and every step as it is. The problem need not be an optimizer.Trier then.
	Fixed bool `json:"fixed,omitempty"`
	// Metric is the matrix F: optimizer.Fisher, optimizer.Sampled, EmpiricalFisher or Hessian. 0 means optimizer.Fisher.
	Metric optimizer.Metric `json:"metric,omitempty"`
	// Iterations is the largest number of iterations of a solve; 0 means 20.
	Iterations int `json:"iterations,omitempty"`
	// Tolerance is the relative progress of an iteration below which a solve ends; 0 means 0.0005.
	Tolerance float64 `json:"tolerance,omitempty"`
	// OwnBatch takes F from another minibatch than the gradient, so that both are independent: step t has F of step t + 2³⁰.
	OwnBatch bool `json:"own_batch,omitempty"`
	// OnStep, if set, is called after each update, from the run's goroutine.
	OnStep func(Step) `json:"-"`
}

// A Step reports on one update of NaturalGradient or TrustRegion.
type Step struct {
	// Iterations is the number of iterations of conjugate gradients, Backtracks how often the step was made smaller. Accepted is
	// false if no size was good, so that the update is 0.
	Iterations, Backtracks int
	Accepted               bool
	// Damping is γ_t. Trial is what the problem said about the new point; it is zero for a Fixed rule.
	Damping float64
	Trial   optimizer.Trial
}

var _ optimizer.Rule = NaturalGradient{}

const (
	ownBatch      = 1 << 30
	warmth        = 0.95
	halvings      = 5
	dampingFactor = 1.5
	leastDamping  = 1e-12
	mostDamping   = 1e12
)

// WithDefaults returns r with its zero Damping, Metric, Iterations and Tolerance set to their defaults.
func (r NaturalGradient) WithDefaults() NaturalGradient {
	r.Damping = or(r.Damping, 1)
	r.Metric = or(r.Metric, optimizer.Fisher)
	r.Iterations = or(r.Iterations, 20)
	r.Tolerance = or(r.Tolerance, 5e-4)
	return r
}

// Validate returns an error if a field is out of its range.
func (r NaturalGradient) Validate() error {
	const name = "natural-gradient"
	return errors.Join(
		positive(name, "learning rate", r.LearningRate, "1"),
		within(name, "damping", r.Damping, 0, math.Inf(1)),
		metricOf(name, r.WithDefaults().Metric, optimizer.Fisher, optimizer.SampledFisher, optimizer.EmpiricalFisher, optimizer.Hessian),
		within(name, "iterations", float64(r.Iterations), 0, 1<<20),
		within(name, "tolerance", r.Tolerance, 0, 1))
}

// Needs implements optimizer.Rule: the parameters, products of the metric and, unless the rule is Fixed, trials.
func (r NaturalGradient) Needs() optimizer.Needs {
	return optimizer.Needs{Theta: true, Metrics: r.WithDefaults().Metric.Kind(), Trial: !r.Fixed}
}

// Start implements optimizer.Rule. It panics if the rule is not valid.
func (r NaturalGradient) Start(layout optimizer.Layout) optimizer.State {
	n := layout.Len()
	if n <= 0 {
		panic(errDimension)
	}
	precondition.Valid(r)
	r = r.WithDefaults()
	return &naturalState{rule: r, solver: newSolver(n), to: make([]float32, n), damping: r.Damping}
}

type naturalState struct {
	rule    NaturalGradient
	solver  *solver // its x is the last direction
	to      []float32
	damping float64
}

var _ optimizer.State = (*naturalState)(nil)

// Update implements optimizer.State. An error is one of a product or a trial, or a *optimizer.DivergedError of a non-finite product.
func (s *naturalState) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	n := len(s.to)
	lengths(dst, p, n)
	r := &s.rule
	step := p.Step
	if r.OwnBatch {
		step += ownBatch
	}
	for i := range s.solver.x {
		s.solver.x[i] *= warmth
	}
	sol, err := s.solver.solve(metricTimes(p, r.Metric, step), p.Grad, s.damping, r.Iterations, r.Tolerance)
	if err != nil {
		return 0, err
	}
	report := Step{Iterations: sol.iterations, Damping: s.damping, Accepted: true}
	alpha := r.LearningRate
	if !r.Fixed {
		if alpha, err = s.judge(p, sol, &report); err != nil {
			return 0, err
		}
	}
	for i, d := range s.solver.x {
		dst[i] = float32(-alpha * float64(d))
	}
	if r.OnStep != nil {
		r.OnStep(report)
	}
	return 0, nil
}

// metricTimes returns the product of a metric at a point.
func metricTimes(p optimizer.Point, metric optimizer.Metric, step int) product {
	return func(dst, v []float32) error {
		if err := p.Curvature.CurvatureProduct(dst, p.Theta, v, metric, step); err != nil {
			return err
		}
		return finite(p.Step, dst)
	}
}

// judge returns the size of the step along the solver's direction, 0 for none, and sets the next damping.
func (s *naturalState) judge(p optimizer.Point, sol solution, report *Step) (float64, error) {
	alpha := s.rule.LearningRate
	for try := 0; ; try++ {
		trial, err := tryAlong(p, s.to, s.solver.x, alpha)
		if err != nil {
			return 0, err
		}
		if try == 0 {
			model := alpha * (alpha*sol.square/2 - sol.dot)
			s.adapt(trial.Change, model)
		}
		report.Backtracks = try
		if trial.Change <= 0 {
			report.Trial = trial
			return alpha, nil
		}
		if try == halvings {
			report.Accepted = false
			return 0, nil
		}
		alpha /= 2
	}
}

// adapt changes the damping. A change of the loss that is NaN is worse than the model says.
func (s *naturalState) adapt(change, model float64) {
	switch ratio := change / model; {
	case model == 0 && change == 0: // at a point without gradient there is nothing to learn
	case ratio > 0.75 && model < 0:
		s.damping = max(s.damping/dampingFactor, leastDamping)
	case !(ratio >= 0.25) || !(model < 0):
		s.damping = min(s.damping*dampingFactor, mostDamping)
	}
}

// tryAlong tries θ − αd.
func tryAlong(p optimizer.Point, to, d []float32, alpha float64) (optimizer.Trial, error) {
	for i, x := range d {
		to[i] = p.Theta[i] + float32(-alpha*float64(x))
	}
	return p.Curvature.(optimizer.Trier).Try(p.Theta, to, p.Step)
}

const (
	naturalName  = "natural"
	stateVersion = 1
)

// MarshalBinary implements encoding.BinaryMarshaler.
func (s *naturalState) MarshalBinary() ([]byte, error) {
	w := saved.NewWriter(naturalName, stateVersion)
	w.Int(len(s.to))
	w.Float(s.damping)
	w.Floats32(s.solver.x)
	return w.Bytes()
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler. Errors wrap ErrState and leave the state unchanged.
func (s *naturalState) UnmarshalBinary(data []byte) error {
	r := saved.NewReader(data, naturalName, stateVersion)
	r.Same("coordinates", len(s.to))
	damping, x := r.Float(), r.Floats32(len(s.to))
	return restore(r, func() bool {
		if !(damping > 0) || optimizer.NonFinite(x) >= 0 || len(x) != len(s.to) {
			return false
		}
		s.damping = damping
		copy(s.solver.x, x)
		return true
	})
}

var errInconsistent = errors.New("its numbers do not fit together")

// restore ends the reading of a state: keep takes over the numbers if they fit together.
func restore(r *saved.Reader, keep func() bool) error {
	err := r.Close()
	if err == nil && !keep() {
		err = errInconsistent
	}
	if err != nil {
		return errors.Join(ErrState, err)
	}
	return nil
}
