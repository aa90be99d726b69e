package rules

import (
	"errors"
	"fmt"

	"learnedopt/internal/precondition"
	"learnedopt/internal/saved"
	"learnedopt/optimizer"
)

// A Group is a number of consecutive coordinates and their rule.
type Group struct {
	// N is the number of coordinates. One group may have 0: it gets the coordinates that the other groups leave.
	N    int
	Rule optimizer.Rule
}

// Groups gives each group of coordinates its own rule. The groups follow one another in θ. Uses are weight
// decay without biases, or one optimizer for convolutional and another for fully connected layers, as in
// Andrychowicz et al. 2016. The zero value has no groups and is not valid.
//
// A wrapper around Groups sees all coordinates together; a wrapper in a group sees only the group's. A guard must be
// around Groups: a group whose rule handles non-finite points (optimizer.Needs.NonFinite) is not valid.
type Groups []Group

var _ optimizer.Rule = Groups{}

// Validate returns an error if there is no group, if more than one group has size 0, or if a group has a
// negative size, no rule, a rule that is not valid, a guard, or a rule that needs the factors of all layers.
func (g Groups) Validate() error {
	var errs []error
	unsized := 0
	for i, group := range g {
		if group.N < 0 {
			errs = append(errs, fmt.Errorf("rules: group %d of %d coordinates; it must not be negative", i, group.N))
		}
		if group.N == 0 {
			unsized++
		}
		if err := validate(fmt.Sprintf("group %d", i), group.Rule); err != nil {
			errs = append(errs, err)
		} else if needs := group.Rule.Needs(); needs.NonFinite {
			errs = append(errs, fmt.Errorf("rules: group %d has a guard, which decides on all coordinates; put it around the groups", i))
		} else if needs.Factors {
			errs = append(errs, fmt.Errorf("rules: group %d has a rule that factors the curvature of all layers; run it without groups", i))
		}
	}
	if len(g) == 0 {
		errs = append(errs, errors.New("rules: no groups"))
	}
	if unsized > 1 {
		errs = append(errs, fmt.Errorf("rules: %d groups have size 0; one can have the coordinates that the others leave", unsized))
	}
	return errors.Join(errs...)
}

// Needs implements optimizer.Rule: the needs of all rules together.
func (g Groups) Needs() optimizer.Needs {
	var needs optimizer.Needs
	for _, group := range g {
		needs = needs.Or(group.Rule.Needs())
	}
	return needs
}

// Start implements optimizer.Rule. It panics if g is not valid, or if its sizes do not add up to the number of
// coordinates. Each rule starts on its part of the layout. If two groups share a tensor, each sees its part as a vector.
func (g Groups) Start(layout optimizer.Layout) optimizer.State {
	precondition.Valid(g)
	left := layout.Len()
	for _, group := range g {
		left -= group.N
	}
	total := layout.Len() - left
	s, at := &groupState{n: layout.Len()}, 0
	for _, group := range g {
		size := group.N
		if size == 0 {
			size, left = left, 0
		}
		if size <= 0 || at+size > s.n {
			panic(fmt.Sprintf(errGroups, total, layout.Len()))
		}
		own := part{rule: group.Rule, layout: layout.Part(at, at+size)}
		own.state = group.Rule.Start(own.layout)
		if needs := group.Rule.Needs(); needs.Metrics != 0 || needs.Trial {
			own.block = newBlock(at, size, s.n)
		}
		s.parts = append(s.parts, own)
		at += size
	}
	if left != 0 {
		panic(fmt.Sprintf(errGroups, total, layout.Len()))
	}
	return s
}

type part struct {
	rule   optimizer.Rule
	layout optimizer.Layout
	state  optimizer.State
	block  *block // nil unless the rule reads curvature
}

type groupState struct {
	n     int
	parts []part
}

var _ optimizer.State = (*groupState)(nil)

// Update implements optimizer.State.
func (s *groupState) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	lengths(s.n, dst, p.Grad)
	at := 0
	for _, own := range s.parts {
		end := at + own.layout.Len()
		q := p
		q.Grad = p.Grad[at:end]
		if p.Theta != nil {
			q.Theta = p.Theta[at:end]
		}
		if own.block != nil {
			own.block.curvature, own.block.theta = p.Curvature, p.Theta
			q.Curvature = own.block
		}
		move, err := own.state.Update(dst[at:end], q)
		if err != nil {
			return 0, inGroup(err, at)
		}
		if move != 0 {
			panic(errGuard)
		}
		at = end
	}
	return 0, nil
}

// inGroup counts the coordinates of a divergence from the start of all groups.
func inGroup(err error, at int) error {
	if d, ok := err.(*optimizer.DivergedError); ok && d.Coordinate >= 0 {
		moved := *d
		moved.Coordinate += at
		return &moved
	}
	return err
}

// MarshalBinary implements encoding.BinaryMarshaler. The states of all groups must implement it too.
func (s *groupState) MarshalBinary() ([]byte, error) {
	w := saved.NewWriter("groups", version)
	w.Int(s.n)
	w.Int(len(s.parts))
	for _, p := range s.parts {
		w.Int(p.layout.Len())
		w.State(p.state)
	}
	return form(w)
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler. The data must come from a state of the same groups.
// Errors wrap ErrState and leave the state unchanged.
func (s *groupState) UnmarshalBinary(data []byte) error {
	return s.read(saved.NewReader(data, "groups", version))
}

// UnmarshalChanged implements saved.Changer: the groups must have the same sizes.
func (s *groupState) UnmarshalChanged(data []byte) error {
	return s.read(saved.NewReader(data, "groups", version).Changed())
}

func (s *groupState) read(r *saved.Reader) error {
	r.Same("coordinates", s.n)
	r.Same("groups", len(s.parts))
	parts := make([]part, len(s.parts))
	for i, p := range s.parts {
		r.Same("coordinates in a group", p.layout.Len())
		if r.Err() != nil {
			break
		}
		p.state = p.rule.Start(p.layout)
		r.State(p.state)
		parts[i] = p
	}
	if err := r.Close(); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	s.parts = parts
	return nil
}
