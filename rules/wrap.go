package rules

import (
	"fmt"

	"learnedopt/internal/precondition"
	"learnedopt/internal/saved"
	"learnedopt/optimizer"
)

// A change says how a wrapper changes the gradients and the updates of the rule below it. It is
// immutable and shared by all runs.
type change struct {
	name string // at most 8 bytes, for the binary form
	// gradient writes the gradient that the rule below sees; dst may be grad. If it is nil, the rule sees grad.
	gradient func(dst, grad []float32)
	// update changes the update dst of step t, counted from 0, at theta. If it is nil, dst stays.
	update func(t int, dst, theta []float32)
	// point says that update reads theta.
	point bool
}

// wrap starts the rule below and puts the change around its state.
func wrap(rule optimizer.Rule, c *change, layout optimizer.Layout) optimizer.State {
	return &state{change: c, rule: rule, layout: layout, inner: rule.Start(layout)}
}

// state is the state of a wrapper.
type state struct {
	change *change
	rule   optimizer.Rule
	layout optimizer.Layout
	steps  int
	inner  optimizer.State
}

var _ optimizer.State = (*state)(nil)

// Unwrap returns the state of the rule below.
func (s *state) Unwrap() optimizer.State { return s.inner }

// Update implements optimizer.State.
func (s *state) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	lengths(s.layout.Len(), dst, p.Grad)
	if s.change.point {
		precondition.Length("rules", "Point.Theta", p.Theta, s.layout.Len())
	}
	if s.change.gradient != nil {
		s.change.gradient(dst, p.Grad)
		p.Grad = dst
	}
	move, err := s.inner.Update(dst, p)
	if err != nil {
		return move, err
	}
	t := s.steps
	s.steps++
	if s.change.update != nil && move&optimizer.Return == 0 {
		s.change.update(t, dst, p.Theta)
	}
	return move, nil
}

// lengths panics unless an update has n coordinates.
func lengths(n int, dst, grad []float32) {
	precondition.Length("rules", "dst", dst, n)
	precondition.Length("rules", "Point.Grad", grad, n)
}

const version = 2

// MarshalBinary implements encoding.BinaryMarshaler. The state below must implement it too.
func (s *state) MarshalBinary() ([]byte, error) {
	w := saved.NewWriter(s.change.name, version)
	w.Int(s.layout.Len())
	w.Int(s.steps)
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

// UnmarshalBinary implements encoding.BinaryUnmarshaler. The data must come from a state with the same
// rules and number of coordinates. Errors wrap ErrState and leave the state unchanged.
func (s *state) UnmarshalBinary(data []byte) error {
	return s.read(saved.NewReader(data, s.change.name, version))
}

// UnmarshalChanged implements saved.Changer.
func (s *state) UnmarshalChanged(data []byte) error {
	return s.read(saved.NewReader(data, s.change.name, version).Changed())
}

func (s *state) read(r *saved.Reader) error {
	r.Same("coordinates", s.layout.Len())
	steps := r.Int()
	var inner optimizer.State
	if r.Err() == nil {
		inner = s.rule.Start(s.layout)
		r.State(inner)
	}
	if err := r.Close(); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	s.steps, s.inner = steps, inner
	return nil
}
