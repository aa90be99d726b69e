package metaopt

import (
	"fmt"

	"learnedopt/internal/saved"
	"learnedopt/optimizer"
)

// A Run is one optimization run over n coordinates with any rule, in a loop of one's own.
// It belongs to one goroutine; runs of one rule may go on side by side.
//
// Beside the rule's state it holds one float32 a coordinate. A rule that asks for the
// parameters (optimizer.PointState, or a guard) costs another one in steps on groups or in
// float64, and a guard, until it acts, a copy of the parameters. After the first step, that
// of a handover apart, nothing is allocated, and no goroutine outlives a step.
type Run struct {
	rule   optimizer.Rule
	state  optimizer.State
	point  bool                  // the state is a PointState
	byLoss optimizer.LossState   // the state, if it is one
	mover  optimizer.LossUpdater // the same, if it leaves the moving to the run
	n      int
	steps  int

	update []float32
	theta  []float32 // the parameters as the state sees them, where they come in parts or in float64
	kept32 []float32 // θ*, in the precision of the parameters
	kept64 []float64

	loss float64
	told bool

	horizon   int
	onHorizon func(steps int)
}

// StartRule returns a fresh run of any rule over n coordinates: a learned one, one under a guard
// or in the wrappers of package rules, a hand-designed one. It panics if rule is nil or n is not
// positive, and where the rule does.
func StartRule(rule optimizer.Rule, n int) *Run {
	if rule == nil {
		panic(errRule)
	}
	r := &Run{rule: rule, n: n}
	r.become(rule.Start(n))
	r.update = make([]float32, n)
	return r
}

func (r *Run) become(state optimizer.State) {
	r.state = state
	_, r.point = state.(optimizer.PointState)
	r.byLoss, _ = state.(optimizer.LossState)
	r.mover, _ = state.(optimizer.LossUpdater)
}

// Len returns the number of coordinates n.
func (r *Run) Len() int { return r.n }

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

// Update writes the update that follows from grad into dst, for a caller who adds it: a step that
// does not move the parameters. dst may be grad; wrong lengths panic. It is an error for a rule that asks
// for the parameters (UpdateAt) and for a guarded one.
//
// A gradient that is not finite changes nothing, an update that is not finite the state alone; the
// error is a *optimizer.DivergedError.
func (r *Run) Update(dst, grad []float32) error {
	if r.point && r.byLoss == nil {
		return errPoint
	}
	return r.updateAt(dst, nil, grad)
}

// UpdateAt is Update at the parameters theta, for every rule but a guarded one. dst may be grad, not theta.
func (r *Run) UpdateAt(dst, theta, grad []float32) error {
	if len(theta) != r.n {
		panic(errLength)
	}
	return r.updateAt(dst, theta, grad)
}

func (r *Run) updateAt(dst, theta, grad []float32) error {
	if len(dst) != r.n || len(grad) != r.n {
		panic(errLength)
	}
	if r.byLoss != nil {
		return errMoves
	}
	if d := r.refuseLoss(); d != nil {
		return d
	}
	if d := optimizer.Check(r.steps, "gradient", grad); d != nil {
		return d
	}
	optimizer.Update(r.state, dst, theta, grad)
	d := optimizer.Check(r.steps, "update", dst)
	r.count()
	if d != nil {
		return d
	}
	return nil
}

// refuseLoss uses the loss up and returns a divergence if there is one and it is not finite.
func (r *Run) refuseLoss() *optimizer.DivergedError {
	told := r.told
	r.told = false
	if !told {
		return nil
	}
	return optimizer.CheckLoss(r.steps, r.loss)
}

const (
	runName    = "run"
	runVersion = 1
)

// MarshalBinary implements encoding.BinaryMarshaler: the steps so far and the rule's state, with the
// point that a guard may go back to; not the parameters, the rule, or what OnHorizon set. A run that
// goes on from it in UnmarshalBinary goes on as if it had not been interrupted, bit for bit. It is
// an error if the rule's state cannot be saved; all those of this module can.
func (r *Run) MarshalBinary() ([]byte, error) {
	w := saved.NewWriter(runName, runVersion)
	w.Int(r.n)
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
// for the same rule and as many coordinates; for a learned rule this is checked down to the
// network's parameters, for others by kind. On an error, which wraps ErrState, the run is unchanged.
func (r *Run) UnmarshalBinary(data []byte) error {
	if r.rule == nil {
		return fmt.Errorf("%w: a run without a rule; start it first", ErrState)
	}
	in := saved.NewReader(data, runName, runVersion)
	in.Same("coordinates", r.n)
	steps := in.Int()
	kept32, kept64 := in.Floats32(r.n), in.Floats64(r.n)
	var state optimizer.State
	if in.Err() == nil {
		state = r.rule.Start(r.n)
		in.State(state)
	}
	if err := in.Close(); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	r.become(state)
	r.steps, r.kept32, r.kept64, r.told = steps, kept32, kept64, false
	return nil
}
