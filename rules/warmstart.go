package rules

import (
	"errors"
	"fmt"

	"learnedopt/internal/saved"
	"learnedopt/optimizer"
)

// WarmStart takes the first K steps by one rule and all others by another: Adam until the
// worst is over, then a learned rule, or a learned rule for its horizon and then SGD.
//
// Both states are there from the start, so that nothing is allocated at the change; the first one
// is given up then. Either rule may be under a guard.
type WarmStart struct {
	// Steps is K; 0 means that Then takes all steps.
	Steps int
	// First takes the first K steps, Then the others.
	First, Then optimizer.Rule
	// Hear lets Then see the gradients of the first K steps too, without using its updates: its
	// moments and memory are then those of a run under way, and its steps count from the start. That
	// costs one float a coordinate until the change, and the time of both. Default: it starts
	// fresh at step K.
	Hear bool
}

var _ optimizer.Rule = WarmStart{}

// Validate returns an error if a rule is missing or not valid or K is negative.
func (r WarmStart) Validate() error {
	return errors.Join(steps("warm start", r.Steps, 0), validate("warm start", r.First), validate("warm start", r.Then))
}

// Start implements optimizer.Rule. It panics if r is not valid.
func (r WarmStart) Start(n int) optimizer.State {
	if r.Validate() != nil {
		panic(errInvalid)
	}
	s := warmState{rule: r, n: n, first: r.First.Start(n), then: r.Then.Start(n)}
	point := false
	loss := false
	for _, inner := range []optimizer.State{s.first, s.then} {
		switch inner.(type) {
		case optimizer.LossUpdater:
			loss = true
		case optimizer.LossState:
			panic(errLossState)
		case optimizer.PointState:
			point = true
		}
	}
	switch {
	case r.Steps == 0:
		s.first = nil
	case r.Hear:
		s.unused = make([]float32, n)
	}
	switch {
	case loss:
		return &warmLossState{warmPointState{s}}
	case point:
		return &warmPointState{s}
	}
	return &s
}

type warmState struct {
	rule        WarmStart
	n           int
	steps       int
	first, then optimizer.State // first is nil after the change
	unused      []float32       // updates of a rule that only hears
	mover       optimizer.Mover // of warmLossState
}

type warmPointState struct{ warmState }

type warmLossState struct{ warmPointState }

var (
	_ optimizer.State       = (*warmState)(nil)
	_ optimizer.PointState  = (*warmPointState)(nil)
	_ optimizer.PointState  = (*warmLossState)(nil)
	_ optimizer.LossUpdater = (*warmLossState)(nil)
)

// Unwrap returns the state of the rule that takes the next step.
func (s *warmState) Unwrap() optimizer.State {
	if s.first != nil {
		return s.first
	}
	return s.then
}

// Update implements optimizer.State.
func (s *warmState) Update(dst, grad []float32) {
	lengths(s.n, dst, grad, grad)
	s.hear(nil, grad)
	s.Unwrap().Update(dst, grad)
	s.count()
}

// hear shows a gradient to the rule that waits.
func (s *warmState) hear(theta, grad []float32) {
	if s.unused != nil {
		optimizer.Update(s.then, s.unused, theta, grad)
	}
}

func (s *warmState) count() {
	s.steps++
	if s.steps == s.rule.Steps {
		s.first, s.unused = nil, nil
	}
}

// Update implements optimizer.State: it panics.
func (s *warmPointState) Update(_, _ []float32) { panic(errPoint) }

// UpdateAt implements optimizer.PointState.
func (s *warmPointState) UpdateAt(dst, theta, grad []float32) {
	lengths(s.n, dst, theta, grad)
	s.hear(theta, grad)
	optimizer.Update(s.Unwrap(), dst, theta, grad)
	s.count()
}

// StepLoss implements optimizer.LossState.
func (s *warmLossState) StepLoss(theta, grad []float32, loss float64) *optimizer.DivergedError {
	lengths(s.n, theta, theta, grad)
	return s.mover.StepLoss(s, theta, grad, loss)
}

// UpdateLoss implements optimizer.LossUpdater.
func (s *warmLossState) UpdateLoss(dst, theta, grad []float32, loss float64) (optimizer.Move, *optimizer.DivergedError) {
	lengths(s.n, dst, theta, grad)
	bad := optimizer.CheckLoss(s.steps, loss)
	if bad == nil {
		bad = optimizer.Check(s.steps, "gradient", grad)
	}
	if bad == nil {
		s.hear(theta, grad)
	}
	if guard, ok := s.Unwrap().(optimizer.LossUpdater); ok {
		move, diverged := guard.UpdateLoss(dst, theta, grad, loss)
		if diverged == nil {
			s.count()
		} else {
			diverged.Step = s.steps // of the run, not of its part
		}
		return move, diverged
	}
	if bad != nil {
		return 0, bad
	}
	optimizer.Update(s.Unwrap(), dst, theta, grad)
	if d := checkUpdate(s.steps, theta, dst); d != nil {
		return 0, d
	}
	s.count()
	return 0, nil
}

// MarshalBinary implements encoding.BinaryMarshaler; the states of both rules must.
func (s *warmState) MarshalBinary() ([]byte, error) {
	w := saved.NewWriter("warm", version)
	w.Int(s.n)
	w.Int(s.rule.Steps)
	w.Int(s.steps)
	w.Floats32(s.mover.Kept)
	if s.first != nil {
		w.State(s.first)
	}
	w.State(s.then)
	return form(w)
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler. The data must come from a state of the same
// rules, number of coordinates and K. On an error, which wraps ErrState, the state is unchanged.
func (s *warmState) UnmarshalBinary(data []byte) error {
	r := saved.NewReader(data, "warm", version)
	r.Same("coordinates", s.n)
	r.Same("first steps", s.rule.Steps)
	back := warmState{rule: s.rule, n: s.n, steps: r.Int()}
	back.mover.Kept = r.Floats32(s.n)
	if r.Err() == nil {
		if back.steps < s.rule.Steps {
			back.first = s.rule.First.Start(s.n)
			r.State(back.first)
			if s.rule.Hear {
				back.unused = make([]float32, s.n)
			}
		}
		back.then = s.rule.Then.Start(s.n)
		r.State(back.then)
	}
	if err := r.Close(); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	*s = back
	return nil
}
