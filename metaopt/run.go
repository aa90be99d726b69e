package metaopt

import (
	"errors"
	"fmt"

	"learnedopt/internal/saved"
	"learnedopt/optimizer"
)

// A Run is one optimization run over n coordinates with any rule, in a loop of one's own.
// It belongs to one goroutine; runs of one rule may go on side by side.
//
// Beside the rule's state it holds one float32 a coordinate. A rule that reads the
// parameters costs another one in steps on groups or in
// float64, and a guard, until it acts, a copy of the parameters. After the first step, and apart from the step of a
// handover, nothing is allocated, and no goroutine outlives a step.
type Run struct {
	rule   optimizer.Rule
	needs  optimizer.Needs
	state  optimizer.State
	layout optimizer.Layout
	steps  int

	update []float32
	theta  []float32 // the parameters as the state sees them, where they come in parts or in float64
	kept32 []float32 // θ*, in the precision of the parameters
	kept64 []float64

	loss      float64
	told      bool
	curvature optimizer.Curvature

	horizon   int
	onHorizon func(steps int)
}

// StartRule returns a fresh run of any rule on parameters of a layout: a learned rule, one under a guard
// or in the wrappers of package rules, a hand-designed one. has says what the caller will tell at each step
// beside the gradient: Theta if it calls the methods whose names begin with Step, or tells the parameters in Update; Loss if it
// calls StepLoss or SetLoss, or tells the loss in Update; Metrics if it calls SetCurvature.
//
// It is an error if the rule is not valid, and an *optimizer.NeedError if it needs what the caller will not tell. It
// panics if rule is nil or the layout has no coordinate.
func StartRule(rule optimizer.Rule, layout optimizer.Layout, has optimizer.Needs) (*Run, error) {
	if rule == nil {
		panic(errRule)
	}
	if v, ok := rule.(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			return nil, err
		}
	}
	needs := rule.Needs()
	if err := needs.Met(has); err != nil {
		return nil, fmt.Errorf("metaopt: %w", err)
	}
	return &Run{rule: rule, needs: needs, layout: layout, state: rule.Start(layout), update: make([]float32, layout.Len())}, nil
}

// Len returns the number of coordinates n.
func (r *Run) Len() int { return r.layout.Len() }

// Steps returns the number of steps taken, those before a save included.
func (r *Run) Steps() int { return r.steps }

// OnHorizon has f called once, from the run's goroutine, after the first step beyond the given
// number of them, which is Optimizer.Horizon as a rule. It replaces what was set before; a
// horizon of 0 or less is unknown and never passed. It is not part of a saved run.
func (r *Run) OnHorizon(horizon int, f func(steps int)) { r.horizon, r.onHorizon = horizon, f }

func (r *Run) count() {
	r.steps++
	if r.onHorizon != nil && r.horizon > 0 && r.steps == r.horizon+1 {
		r.onHorizon(r.steps)
	}
}

// SetCurvature tells where products with second-order matrices come from, for a rule that reads them, from the next
// step on. Its products are asked for at the run's number of steps.
func (r *Run) SetCurvature(c optimizer.Curvature) { r.curvature = c }

// Update writes the update at a point into dst, for a caller that moves the parameters itself: it adds dst to
// them, or does what the Move says (optimizer.Apply). dst may be p.Grad, not p.Theta; wrong lengths
// panic, and so does a point without the parameters for a rule that needs them. A rule that needs the loss reads p.Loss.
//
// After a non-finite loss or gradient the run is as it was. A non-finite update changes the state alone, and
// the step counts. The error is an *optimizer.DivergedError then, or a curvature product's.
func (r *Run) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	n := r.layout.Len()
	if len(dst) != n || len(p.Grad) != n || p.Theta != nil && len(p.Theta) != n || p.Theta == nil && r.needs.Theta {
		panic(errLength)
	}
	r.told = false
	return r.checked(dst, p)
}

// checked is optimizer.CheckedUpdate, and counts the step if the state has seen the point.
func (r *Run) checked(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	move, err := optimizer.CheckedUpdate(r.state, r.needs, r.steps, dst, p)
	if err == nil || !r.needs.NonFinite && isUpdate(err) {
		r.count()
	}
	return move, err
}

func isUpdate(err error) bool {
	var d *optimizer.DivergedError
	return errors.As(err, &d) && d.What == "update"
}

const (
	runName    = "run"
	runVersion = 3
)

// MarshalBinary implements encoding.BinaryMarshaler: the steps so far and the rule's state, with the
// point that a guard may go back to, and what defines the run: the settings of the rule and the layout; not the
// parameters, or what OnHorizon set. A run that goes on from it in UnmarshalBinary goes on as if it had not been
// interrupted, bit for bit. It is an error if the rule's state cannot be saved; all states of this module can.
//
// The settings of a rule are its exported fields, all the way down, without functions. A type whose settings are
// not exported has a method Definition() any that returns them: the exported fields of that count.
func (r *Run) MarshalBinary() ([]byte, error) {
	w := saved.NewWriter(runName, runVersion)
	w.Int(r.layout.Len())
	rule, layout := r.definition()
	w.Text(rule)
	w.Text(layout)
	w.Int(r.steps)
	w.Floats32(r.kept32)
	w.Floats64(r.kept64)
	w.State(r.state)
	data, err := w.Bytes()
	if err != nil {
		return nil, fmt.Errorf("metaopt: this run: %w", err)
	}
	return data, nil
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler. The run must be one that Start or StartRule returned
// for the same rule, settings and layout; for a learned rule this is checked down to the network's
// parameters. Other settings are an error that names them and wraps ErrChanged: ResumeChanged takes them.
// On any error, which wraps ErrState, the run is unchanged.
func (r *Run) UnmarshalBinary(data []byte) error {
	return r.resume(saved.NewReader(data, runName, runVersion))
}

// ResumeChanged is UnmarshalBinary for a run whose settings or layout are not those that were saved. The run goes on with its own: a
// learning rate, say, or a schedule, at the step that was saved. The saved state must fit it: the same kinds of rules
// around one another, as many coordinates (in each group too), networks with a state of the same size. Steps of a
// rules.WarmStart cannot be raised after the change to its second rule. A guard's Window may change.
func (r *Run) ResumeChanged(data []byte) error {
	return r.resume(saved.NewReader(data, runName, runVersion).Changed())
}

// definition returns what defines the run.
func (r *Run) definition() (rule, layout string) {
	return saved.Define("rule", r.rule), saved.Define("layout", r.layout)
}

func (r *Run) resume(in *saved.Reader) error {
	if r.rule == nil {
		return fmt.Errorf("%w: a run without a rule; start it first", ErrState)
	}
	in.Same("coordinates", r.layout.Len())
	wasRule, wasLayout := in.Text(), in.Text()
	if rule, layout := r.definition(); in.Err() == nil && !in.MayDiffer() && (wasRule != rule || wasLayout != layout) {
		in.Fail(fmt.Errorf("%w: %s", ErrChanged, saved.Difference(wasRule+wasLayout, rule+layout)))
	}
	steps := in.Int()
	kept32, kept64 := in.Floats32(r.layout.Len()), in.Floats64(r.layout.Len())
	var state optimizer.State
	if in.Err() == nil {
		state = r.rule.Start(r.layout)
		in.State(state)
	}
	if err := in.Close(); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	r.state, r.steps, r.kept32, r.kept64, r.told = state, steps, kept32, kept64, false
	return nil
}
