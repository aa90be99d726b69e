package rules

import (
	"errors"
	"fmt"

	"learnedopt/internal/precondition"
	"learnedopt/internal/saved"
	"learnedopt/optimizer"
)

// WarmStart takes the first K steps with one rule and all later steps with another. Examples: Adam for the
// first, steep steps and then a learned rule, or a learned rule for its horizon and then SGD.
//
// Both states exist from the start, so that the change of rules allocates nothing; the first state
// is dropped at the change. Either rule may be under a guard.
type WarmStart struct {
	// Steps is K; 0 means that Then takes all steps.
	Steps int
	// First takes the first K steps, Then all later steps.
	First, Then optimizer.Rule
	// Observe lets Then see the first K steps too, without using its updates. At the change its state then
	// knows the run so far, and its steps count from the start. Until the change this costs one float per
	// coordinate and the time of both rules. By default Then starts fresh at step K.
	Observe bool
}

var _ optimizer.Rule = WarmStart{}

// Validate returns an error if a rule is missing or not valid, if K is negative, or if Observe is set and Then
// has a guard: the guard would judge steps that its rule did not take.
func (r WarmStart) Validate() error {
	err := errors.Join(steps("warm start", r.Steps, 0), validate("warm start", r.First), validate("warm start", r.Then))
	if err == nil && r.Observe && r.Then.Needs().NonFinite {
		err = errors.New("rules: warm start: the rule that observes the first steps has a guard; put the guard around the warm start")
	}
	return err
}

// Needs implements optimizer.Rule: the needs of both rules.
func (r WarmStart) Needs() optimizer.Needs {
	first, then := r.First.Needs(), r.Then.Needs()
	needs := first.Or(then)
	needs.NonFinite = first.NonFinite || then.NonFinite
	return needs
}

// Start implements optimizer.Rule. It panics if r is not valid.
func (r WarmStart) Start(layout optimizer.Layout) optimizer.State {
	precondition.Valid(r)
	s := &warmState{rule: r, layout: layout, first: r.First.Start(layout), then: r.Then.Start(layout)}
	switch {
	case r.Steps == 0:
		s.first = nil
	case r.Observe:
		s.unused = make([]float32, layout.Len())
	}
	return s
}

type warmState struct {
	rule        WarmStart
	layout      optimizer.Layout
	steps       int
	first, then optimizer.State // first is nil after the change
	unused      []float32       // updates of Then while it observes
}

var _ optimizer.State = (*warmState)(nil)

// Unwrap returns the state of the rule that takes the next step.
func (s *warmState) Unwrap() optimizer.State {
	if s.first != nil {
		return s.first
	}
	return s.then
}

// Update implements optimizer.State.
func (s *warmState) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	lengths(s.layout.Len(), dst, p.Grad)
	if s.unused != nil && optimizer.CheckLoss(s.steps, p.Loss) == nil && optimizer.NonFinite(p.Grad) < 0 {
		if _, err := s.then.Update(s.unused, p); err != nil {
			return 0, s.at(err)
		}
	}
	active, needs := s.then, s.rule.Then.Needs()
	if s.first != nil {
		active, needs = s.first, s.rule.First.Needs()
	}
	move, err := optimizer.CheckedUpdate(active, needs, s.steps, dst, p)
	if err != nil {
		return move, s.at(err)
	}
	s.steps++
	if s.steps == s.rule.Steps {
		s.first, s.unused = nil, nil
	}
	return move, nil
}

// at returns err with the step of a divergence counted from the start of the run, not from the rule's own start.
func (s *warmState) at(err error) error {
	if d, ok := err.(*optimizer.DivergedError); ok {
		moved := *d
		moved.Step = s.steps
		return &moved
	}
	return err
}

// MarshalBinary implements encoding.BinaryMarshaler. The states of both rules must implement it too.
func (s *warmState) MarshalBinary() ([]byte, error) {
	w := saved.NewWriter("warm", version)
	w.Int(s.layout.Len())
	w.Int(s.rule.Steps)
	w.Int(s.steps)
	if s.first != nil {
		w.State(s.first)
	}
	w.State(s.then)
	return form(w)
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler. The data must come from a state with the same
// rules, number of coordinates and K. Errors wrap ErrState and leave the state unchanged.
func (s *warmState) UnmarshalBinary(data []byte) error {
	return s.read(saved.NewReader(data, "warm", version))
}

// UnmarshalChanged implements saved.Changer: K may differ. It is an error if this would bring back the first rule after
// its state was dropped.
func (s *warmState) UnmarshalChanged(data []byte) error {
	return s.read(saved.NewReader(data, "warm", version).Changed())
}

func (s *warmState) read(r *saved.Reader) error {
	r.Same("coordinates", s.layout.Len())
	first := s.rule.Steps
	if r.MayDiffer() {
		first = r.Int()
	} else {
		r.Same("first steps", first)
	}
	back := warmState{rule: s.rule, layout: s.layout, steps: r.Int()}
	if first <= back.steps && back.steps < s.rule.Steps {
		r.Fail(fmt.Errorf("the first rule gave its state up after %d steps; at step %d the number of first steps must be at most that", first, back.steps))
	}
	if r.Err() == nil {
		if back.steps < first {
			back.first = s.rule.First.Start(s.layout)
			r.State(back.first)
			if s.rule.Observe {
				back.unused = make([]float32, s.layout.Len())
			}
		}
		back.then = s.rule.Then.Start(s.layout)
		r.State(back.then)
	}
	if back.steps >= s.rule.Steps {
		back.first, back.unused = nil, nil
	}
	if err := r.Close(); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	*s = back
	return nil
}
