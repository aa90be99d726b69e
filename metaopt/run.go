package metaopt

import (
	"fmt"

	"learnedopt/internal/precondition"
	"learnedopt/internal/saved"
	"learnedopt/lstm"
	"learnedopt/optimizer"
)

// A Run is one optimization run over n coordinates with any rule, in your own training loop.
// It belongs to one goroutine; several runs may use one rule at the same time.
//
// A Run holds the rule's state and one float32 per coordinate. If the rule reads the parameters, steps on
// groups or in float64 need another float32 per coordinate. A guard holds a copy of the parameters until the
// handover. Steps after the first do not allocate, except at a handover, and no goroutine outlives a step.
type Run struct {
	rule   optimizer.Rule
	needs  optimizer.Needs
	state  optimizer.State
	layout optimizer.Layout
	steps  int

	update []float32
	theta  []float32 // the parameters in one float32 slice, for a caller with groups or float64
	kept32 []float32 // θ* of float32 parameters
	kept64 []float64 // θ* of float64 parameters

	loss      float64
	lossSet   bool
	curvature optimizer.Curvature
	total     int

	horizon   int
	onHorizon func(steps int)
}

// StartRule returns a fresh run of any rule on parameters of a layout. The rule may be learned or hand-designed, under
// a guard or in the wrappers of package rules. has says what the caller will provide at each step besides the gradient:
//
//   - Theta if it calls methods whose names begin with Step, or sets Theta in Update's point;
//   - Loss if it calls StepLoss or SetLoss, or sets Loss in Update's point;
//   - Total if it calls SetTotal, or sets Total in Update's point;
//   - Metrics if it calls SetCurvature.
//
// It returns an error if the rule is not valid, and an *optimizer.NeedError if the rule needs more than the caller will
// provide. It panics if rule is nil or the layout has no coordinate.
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

// Steps returns the number of steps taken. A resumed run counts the steps before the save too.
func (r *Run) Steps() int { return r.steps }

// OnHorizon makes the run call f once, from its own goroutine, after the first step beyond the horizon:
// when Steps is horizon+1. The horizon is usually Optimizer.Horizon; 0 or less means unknown, and f is
// then never called. A second call replaces the first. A saved run does not contain it.
func (r *Run) OnHorizon(horizon int, f func(steps int)) { r.horizon, r.onHorizon = horizon, f }

func (r *Run) count() {
	r.steps++
	if r.onHorizon != nil && r.horizon > 0 && r.steps == r.horizon+1 {
		r.onHorizon(r.steps)
	}
}

// SetCurvature sets the source of curvature products, from the next step on, for a rule that reads them. The step of
// a product is Steps.
func (r *Run) SetCurvature(c optimizer.Curvature) { r.curvature = c }

// SetTotal tells the rule, from the next step on, that the run will have total steps, counted from its first; 0 means
// that nobody knows. A schedule needs it, and a learned optimizer that reads it lowers its updates toward the end. A saved
// run does not contain it.
func (r *Run) SetTotal(total int) { r.total = total }

// Update writes the update at a point into dst, for a caller that moves the parameters itself. The caller then does
// what the Move says, as optimizer.Apply does: usually it adds dst to the parameters. dst may be p.Grad, but not
// p.Theta. Wrong lengths panic, and so does a nil p.Theta if the rule needs the parameters. A rule that needs the
// loss reads p.Loss, not SetLoss's.
//
// A non-finite value gives an *optimizer.DivergedError; the only other error is a curvature product's. After a
// non-finite loss or gradient the run is unchanged. After a non-finite update the rule's state has changed, and the
// step counts.
func (r *Run) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	n := r.layout.Len()
	precondition.Length("metaopt", "dst", dst, n)
	precondition.Length("metaopt", "Point.Grad", p.Grad, n)
	if p.Theta != nil || r.needs.Theta {
		precondition.Length("metaopt", "Point.Theta", p.Theta, n)
	}
	r.lossSet = false
	if p.Total == 0 {
		p.Total = r.total
	}
	return r.checked(dst, p)
}

// checked calls optimizer.CheckedUpdate, and counts the step if the state has seen the point.
func (r *Run) checked(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	move, err := optimizer.CheckedUpdate(r.state, r.needs, r.steps, dst, p)
	if err == nil || !r.needs.NonFinite && isUpdate(err) {
		r.count()
	}
	return move, err
}

func isUpdate(err error) bool {
	d := divergence(err)
	return d != nil && d.What == "update"
}

const (
	runName    = "run"
	runVersion = 3
)

// MarshalBinary implements encoding.BinaryMarshaler. The data hold the number of steps, the rule's state, the
// point that a guard may go back to, the settings of the rule, and the layout. They do not hold the parameters or
// OnHorizon's function. A run that UnmarshalBinary restores continues as if it had not been interrupted, bit for
// bit. It is an error if the rule's state cannot be saved; all states of this module can.
//
// The settings of a rule are its exported fields, and the exported fields of the values that they hold, at any
// depth; functions do not count. A type with unexported settings has a method Definition() any: the settings are then
// the exported fields of the value that it returns.
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

// UnmarshalBinary implements encoding.BinaryUnmarshaler. The run must come from Start or StartRule, with
// the same rule, settings and layout. For a learned rule this includes the network's parameters. If settings
// differ, the error names them and wraps ErrChanged; ResumeChanged accepts such a run.
// Every error wraps ErrState and leaves the run unchanged.
func (r *Run) UnmarshalBinary(data []byte) error {
	return r.resume(saved.NewReader(data, runName, runVersion))
}

// ResumeChanged is UnmarshalBinary for a run whose settings or layout differ from the saved ones. The run continues at
// the saved step with its own settings, such as a new learning rate or schedule. The saved state must fit it: the same
// kinds of rules, nested in the same way, the same number of coordinates (in each group too), and networks with states
// of the same size. The Steps of a rules.WarmStart cannot be raised once its second rule works. A guard's Window may
// change.
func (r *Run) ResumeChanged(data []byte) error {
	return r.resume(saved.NewReader(data, runName, runVersion).Changed())
}

// definition returns the rule's settings and the layout, as text.
func (r *Run) definition() (rule, layout string) {
	return saved.Define("rule", r.rule), saved.Define("layout", r.layout)
}

// Values returns the number of steps and the floats of a learned rule's state (lstm.State.Values), for programs that keep states in
// a form of their own. MarshalBinary is for all others. For any other rule, and under a guard, it returns no floats.
func (r *Run) Values() (steps int, values []float32) {
	if s, ok := r.state.(*lstm.State); ok {
		return r.steps, s.Values()
	}
	return r.steps, nil
}

// SetValues sets what Values returns. Errors wrap ErrState and leave the run unchanged. They say that the rule is not a learned one
// without a guard, that the number of values is wrong, that steps is negative, or that a value is non-finite.
func (r *Run) SetValues(steps int, values []float32) error {
	s, ok := r.state.(*lstm.State)
	if !ok {
		return fmt.Errorf("%w: the values of a rule that is not a learned one alone; use UnmarshalBinary", ErrState)
	}
	if steps < 0 {
		return fmt.Errorf("%w: values after %d steps; want 0 or more", ErrState, steps)
	}
	if len(values) != s.Size() {
		return fmt.Errorf("%w: %d values, want %d", ErrState, len(values), s.Size())
	}
	if i := optimizer.NonFinite(values); i >= 0 {
		return fmt.Errorf("%w: value %d is %v", ErrState, i, values[i])
	}
	s.SetValues(steps, values)
	r.steps = steps
	return nil
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
	r.state, r.steps, r.kept32, r.kept64, r.lossSet = state, steps, kept32, kept64, false
	return nil
}
