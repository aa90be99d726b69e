package rules

import (
	"fmt"

	"learnedopt/internal/saved"
	"learnedopt/optimizer"
)

// A change is what a wrapper makes of gradients and updates of the rule below it. It is
// immutable and shared by all runs.
type change struct {
	name string // of up to 8 bytes, for the binary form
	// gradient writes the gradient that the rule below sees; dst may be grad. nil: the same.
	gradient func(dst, grad []float32)
	// update changes the update of step t, counted from 0. nil: none. theta is nil unless point.
	update func(t int, dst, theta []float32)
	point  bool // update asks for theta
}

// wrap starts the rule below and puts the change around its state.
func wrap(rule optimizer.Rule, c *change, n int) optimizer.State {
	s := state{change: c, rule: rule, n: n, inner: rule.Start(n)}
	switch s.inner.(type) {
	case optimizer.LossUpdater:
		return &lossState{pointState{s}}
	case optimizer.LossState:
		panic(errLossState)
	case optimizer.PointState:
		return &pointState{s}
	}
	if c.point {
		return &pointState{s}
	}
	return &s
}

// state is the state of a wrapper.
type state struct {
	change *change
	rule   optimizer.Rule
	n      int
	steps  int
	inner  optimizer.State
	mover  optimizer.Mover // of lossState
}

// pointState is the same where wrapper or rule ask for the parameters.
type pointState struct{ state }

// lossState is the same over a guard.
type lossState struct{ pointState }

var (
	_ optimizer.State       = (*state)(nil)
	_ optimizer.PointState  = (*pointState)(nil)
	_ optimizer.PointState  = (*lossState)(nil)
	_ optimizer.LossUpdater = (*lossState)(nil)
)

// Unwrap returns the state of the rule below.
func (s *state) Unwrap() optimizer.State { return s.inner }

// Update implements optimizer.State.
func (s *state) Update(dst, grad []float32) {
	lengths(s.n, dst, grad, grad)
	s.inner.Update(dst, s.before(dst, grad))
	s.after(dst, nil)
}

func lengths(n int, dst, theta, grad []float32) {
	if len(dst) != n || len(theta) != n || len(grad) != n {
		panic(errLength)
	}
}

// before returns the gradient that the rule below sees, in dst if it is another one.
func (s *state) before(dst, grad []float32) []float32 {
	if s.change.gradient == nil {
		return grad
	}
	s.change.gradient(dst, grad)
	return dst
}

func (s *state) after(dst, theta []float32) {
	t := s.steps
	s.steps++
	if s.change.update != nil {
		s.change.update(t, dst, theta)
	}
}

// Update implements optimizer.State.
func (s *pointState) Update(dst, grad []float32) {
	// A guard is a PointState too and may do without.
	if _, guard := s.inner.(optimizer.LossUpdater); s.change.point || !guard {
		panic(errPoint)
	}
	s.state.Update(dst, grad)
}

// UpdateAt implements optimizer.PointState.
func (s *pointState) UpdateAt(dst, theta, grad []float32) {
	lengths(s.n, dst, theta, grad)
	optimizer.Update(s.inner, dst, theta, s.before(dst, grad))
	s.after(dst, theta)
}

// StepLoss implements optimizer.LossState.
func (s *lossState) StepLoss(theta, grad []float32, loss float64) *optimizer.DivergedError {
	lengths(s.n, theta, theta, grad)
	return s.mover.StepLoss(s, theta, grad, loss)
}

// UpdateLoss implements optimizer.LossUpdater.
func (s *lossState) UpdateLoss(dst, theta, grad []float32, loss float64) (optimizer.Move, *optimizer.DivergedError) {
	lengths(s.n, dst, theta, grad)
	move, diverged := s.inner.(optimizer.LossUpdater).UpdateLoss(dst, theta, s.before(dst, grad), loss)
	switch {
	case diverged != nil:
		return move, diverged
	case move&optimizer.Return != 0:
		s.steps++
		return move, nil
	}
	t := s.steps
	s.after(dst, theta)
	return move, checkUpdate(t, theta, dst)
}

// checkUpdate returns a divergence unless an update and what it leads to are finite.
func checkUpdate(t int, theta, update []float32) *optimizer.DivergedError {
	if d := optimizer.Check(t, "update", update); d != nil {
		return d
	}
	return optimizer.CheckSum(t, theta, update)
}

const version = 1

// MarshalBinary implements encoding.BinaryMarshaler; the state below must.
func (s *state) MarshalBinary() ([]byte, error) {
	w := saved.NewWriter(s.change.name, version)
	w.Int(s.n)
	w.Int(s.steps)
	w.Floats32(s.mover.Kept)
	w.State(s.inner)
	return form(w)
}

func form(w *saved.Writer) ([]byte, error) {
	data, err := w.Bytes()
	if err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	return data, nil
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler. The data must come from a state of the same
// rules and number of coordinates. On an error, which wraps ErrState, the state is
// unchanged.
func (s *state) UnmarshalBinary(data []byte) error {
	r := saved.NewReader(data, s.change.name, version)
	r.Same("coordinates", s.n)
	steps, kept := r.Int(), r.Floats32(s.n)
	var inner optimizer.State
	if r.Err() == nil {
		inner = s.rule.Start(s.n)
		r.State(inner)
	}
	if err := r.Close(); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	s.steps, s.mover, s.inner = steps, optimizer.Mover{Kept: kept}, inner
	return nil
}
