package rules

import (
	"errors"
	"fmt"

	"learnedopt/internal/precondition"
	"learnedopt/internal/saved"
	"learnedopt/optimizer"
)

// Resting keeps coordinates still that have no gradient. A coordinate whose gradient was never anything but 0 does not move,
// and one whose gradient was last different from 0 k steps ago moves by
//
//	u_t = β^k u'_t
//
// and so comes to rest. Where the gradient is not 0, the update is the rule's, bit for bit. The rule sees all gradients.
//
// Learned rules need it that turn a gradient of 0 into a small update of constant sign: all shipped ones but "general".
// Coordinates of dead units, of black pixels and of rows that no minibatch touches then wander, by several units in 1,000
// steps. Rules with momentum go on for some steps after a gradient, which helps where gradients are sparse; β lets them.
type Resting struct {
	Rule optimizer.Rule
	// Decay is β in [0, 1). The zero value means 0.9; use 1e-9 for updates that are 0 wherever the gradient is.
	Decay float64
}

var _ optimizer.Rule = Resting{}

// WithDefaults returns r with its zero Decay set to the default.
func (r Resting) WithDefaults() Resting {
	if r.Decay == 0 {
		r.Decay = 0.9
	}
	return r
}

// Validate returns an error if there is no rule, β is out of range, or the rule is not valid.
func (r Resting) Validate() error {
	return errors.Join(validate("resting", r.Rule), inRange("resting", "decay", r.Decay, 0, 1))
}

// Needs implements optimizer.Rule: what the rule below needs.
func (r Resting) Needs() optimizer.Needs { return r.Rule.Needs() }

// Start implements optimizer.Rule. It panics if r is not valid.
func (r Resting) Start(layout optimizer.Layout) optimizer.State {
	precondition.Valid(r)
	r = r.WithDefaults()
	return &restingState{rule: r.Rule, decay: float32(r.Decay), layout: layout, inner: r.Rule.Start(layout),
		share: make([]float32, layout.Len()), before: make([]float32, layout.Len())}
}

// restingState holds β^k of each coordinate, and 0 for coordinates that never had a gradient.
type restingState struct {
	rule   optimizer.Rule
	decay  float32
	layout optimizer.Layout
	inner  optimizer.State
	share  []float32
	// before is share before the step in progress: grad may be dst, so share is computed before the rule below writes.
	before []float32
}

var _ optimizer.State = (*restingState)(nil)

// Unwrap returns the state of the rule below.
func (s *restingState) Unwrap() optimizer.State { return s.inner }

// Update implements optimizer.State.
func (s *restingState) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	lengths(len(s.share), dst, p.Grad)
	copy(s.before, s.share)
	for i, g := range p.Grad {
		if g != 0 {
			s.share[i] = 1
		} else {
			s.share[i] *= s.decay
		}
	}
	move, err := s.inner.Update(dst, p)
	if err != nil {
		copy(s.share, s.before)
		return move, err
	}
	if move&optimizer.Return == 0 {
		for i, share := range s.share {
			if share != 1 {
				dst[i] *= share
			}
		}
	}
	return move, nil
}

const restingName = "resting"

// MarshalBinary implements encoding.BinaryMarshaler. The state below must implement it too.
func (s *restingState) MarshalBinary() ([]byte, error) {
	w := saved.NewWriter(restingName, version)
	w.Floats32(s.share)
	w.State(s.inner)
	return form(w)
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler. The data must come from a state with the same
// rule and number of coordinates. Errors wrap ErrState and leave the state unchanged.
func (s *restingState) UnmarshalBinary(data []byte) error {
	return s.read(saved.NewReader(data, restingName, version))
}

// UnmarshalChanged implements saved.Changer: β may differ.
func (s *restingState) UnmarshalChanged(data []byte) error {
	return s.read(saved.NewReader(data, restingName, version).Changed())
}

func (s *restingState) read(r *saved.Reader) error {
	share := r.Floats32(len(s.share))
	for _, x := range share {
		if !(x >= 0 && x <= 1) {
			r.Fail(fmt.Errorf("a coordinate's share of its update is %v; it must be in [0, 1]", x))
			break
		}
	}
	var inner optimizer.State
	if r.Err() == nil {
		inner = s.rule.Start(s.layout)
		r.State(inner)
	}
	if err := r.Close(); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	copy(s.share, share)
	s.inner = inner
	return nil
}
