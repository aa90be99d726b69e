package rules

import (
	"errors"
	"fmt"

	"learnedopt/internal/saved"
	"learnedopt/optimizer"
)

// A Group is a number of coordinates that follow one another, and their rule.
type Group struct {
	// N is the number of coordinates; 0, in one group of all, means those that the others leave.
	N    int
	Rule optimizer.Rule
}

// Groups gives groups of coordinates rules of their own, in their order: as Andrychowicz et al. 2016 train
// one optimizer for convolutional and one for fully connected layers, or to spare biases a
// weight decay. The zero value has no groups and is not valid.
//
// Wrappers around Groups see all coordinates together, wrappers in a group its own. A guard belongs
// around Groups: Start panics if a group's rule decides by losses.
type Groups []Group

var _ optimizer.Rule = Groups{}

// Validate returns an error if there is no group, a group has no rule or a negative size, more
// than one has size 0, or a rule is not valid.
func (g Groups) Validate() error {
	var errs []error
	rest := 0
	for i, group := range g {
		if group.N < 0 {
			errs = append(errs, fmt.Errorf("rules: group %d of %d coordinates; it must not be negative", i, group.N))
		}
		if group.N == 0 {
			rest++
		}
		errs = append(errs, validate(fmt.Sprintf("group %d", i), group.Rule))
	}
	if len(g) == 0 {
		errs = append(errs, errors.New("rules: no groups"))
	}
	if rest > 1 {
		errs = append(errs, fmt.Errorf("rules: %d groups have size 0; one can have the coordinates that the others leave", rest))
	}
	return errors.Join(errs...)
}

// Start implements optimizer.Rule. It panics if g is not valid, or its sizes do not add up to n.
func (g Groups) Start(n int) optimizer.State {
	if g.Validate() != nil {
		panic(errInvalid)
	}
	left := n
	for _, group := range g {
		left -= group.N
	}
	s, point := groupState{n: n}, false
	for _, group := range g {
		size := group.N
		if size == 0 {
			size, left = left, 0
		}
		if size <= 0 {
			panic(errGroups)
		}
		inner := group.Rule.Start(size)
		if _, ok := inner.(optimizer.LossState); ok {
			panic(errGuard)
		}
		_, ok := inner.(optimizer.PointState)
		point = point || ok
		s.parts = append(s.parts, part{size, group.Rule, inner})
	}
	if left != 0 {
		panic(errGroups)
	}
	if point {
		return &groupPointState{s}
	}
	return &s
}

type part struct {
	n     int
	rule  optimizer.Rule
	state optimizer.State
}

type groupState struct {
	n     int
	parts []part
}

type groupPointState struct{ groupState }

var (
	_ optimizer.State      = (*groupState)(nil)
	_ optimizer.PointState = (*groupPointState)(nil)
)

// Update implements optimizer.State.
func (s *groupState) Update(dst, grad []float32) {
	lengths(s.n, dst, grad, grad)
	s.update(dst, grad, grad)
}

func (s *groupState) update(dst, theta, grad []float32) {
	at := 0
	for _, p := range s.parts {
		end := at + p.n
		optimizer.Update(p.state, dst[at:end], theta[at:end], grad[at:end])
		at = end
	}
}

// Update implements optimizer.State.
func (s *groupPointState) Update(_, _ []float32) { panic(errPoint) }

// UpdateAt implements optimizer.PointState.
func (s *groupPointState) UpdateAt(dst, theta, grad []float32) {
	lengths(s.n, dst, theta, grad)
	s.update(dst, theta, grad)
}

// MarshalBinary implements encoding.BinaryMarshaler; the states of all groups must.
func (s *groupState) MarshalBinary() ([]byte, error) {
	w := saved.NewWriter("groups", version)
	w.Int(s.n)
	w.Int(len(s.parts))
	for _, p := range s.parts {
		w.Int(p.n)
		w.State(p.state)
	}
	return form(w)
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler. The data must come from a state of the same groups. On
// an error, which wraps ErrState, the state is unchanged.
func (s *groupState) UnmarshalBinary(data []byte) error {
	r := saved.NewReader(data, "groups", version)
	r.Same("coordinates", s.n)
	r.Same("groups", len(s.parts))
	parts := make([]part, len(s.parts))
	for i, p := range s.parts {
		r.Same("coordinates in a group", p.n)
		if r.Err() != nil {
			break
		}
		p.state = p.rule.Start(p.n)
		r.State(p.state)
		parts[i] = p
	}
	if err := r.Close(); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	s.parts = parts
	return nil
}
