package metaopt

import (
	"errors"
	"fmt"

	"learnedopt/internal/saved"
	"learnedopt/optimizer"
)

// guardState is the state of a run under a guard.
type guardState struct {
	rule   optimizer.Rule
	cfg    Guard
	layout optimizer.Layout
	active optimizer.State // the guarded rule's state; after a handover, the fallback's
	steps  int

	// The fields up to above are used until the handover.
	losses []float64 // the last W losses: loss k is at k mod W
	held   int       // number of losses in losses
	read   int       // number of losses so far
	first  float64   // f_0
	best   float64   // b_t
	bestAt int       // number of losses read when best was set
	above  int       // number of steps in a row with s_t > b_t + τ |f_0|

	handover *Handover
}

var _ optimizer.State = (*guardState)(nil)

// Update implements optimizer.State. It returns a divergence only at the first step, where there is no point to go back
// to, and after the handover.
func (s *guardState) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	lengths(dst, p, s.layout.Len())
	diverged := optimizer.CheckLoss(s.steps, p.Loss)
	if diverged == nil {
		diverged = optimizer.Check(s.steps, "gradient", p.Grad)
	}
	var move optimizer.Move
	if diverged == nil && s.handover == nil {
		cause, smooth := s.judge(p.Loss)
		if s.bestAt == s.read {
			move = optimizer.Keep
		}
		if cause != "" {
			s.handOver(cause, smooth)
			return move | optimizer.Return, nil
		}
	}
	if diverged == nil {
		if err := s.update(dst, p); err != nil {
			if diverged = divergence(err); diverged == nil {
				return 0, err
			}
		}
	}
	switch {
	case diverged == nil:
		s.steps++
		return move, nil
	case s.handover == nil && s.read > 0:
		s.handOver(diverged.What, p.Loss)
		return move | optimizer.Return, nil
	}
	return 0, diverged
}

// divergence returns the divergence that err is, or nil if it is something else. errors.As makes its target escape;
// here that costs an allocation only where there is an error.
func divergence(err error) *optimizer.DivergedError {
	var d *optimizer.DivergedError
	errors.As(err, &d)
	return d
}

// update writes an update of the active rule. It returns a divergence if the update or the parameters after it are
// non-finite.
func (s *guardState) update(dst []float32, p optimizer.Point) error {
	// Update has checked the point: NonFinite spares a second look.
	if _, err := optimizer.CheckedUpdate(s.active, optimizer.Needs{NonFinite: true}, s.steps, dst, p); err != nil {
		return err
	}
	theta := [1][]float32{p.Theta}
	if d := optimizer.CheckSum(s.steps, theta[:], dst); d != nil {
		return d
	}
	return nil
}

// judge records a loss. It returns the cause of a handover, "" for none, and the
// smoothed loss. If θ_t is the new θ*, it sets bestAt to read.
func (s *guardState) judge(loss float64) (cause string, smooth float64) {
	s.losses[s.read%len(s.losses)] = loss
	s.read++
	oldest := 0
	if s.held = min(s.held+1, len(s.losses)); s.held < len(s.losses) {
		oldest = s.read - s.held
	}
	for k := range s.held {
		smooth += s.losses[(oldest+k)%len(s.losses)] / float64(s.held) // divided first, so that the sum cannot overflow
	}
	if s.read == 1 {
		s.first = loss
	}
	// A loss above its own mean may be part of a spike, and its θ is not a point to go back to.
	if s.read == 1 || smooth < s.best && loss <= smooth {
		s.best, s.bestAt = smooth, s.read
	}
	if smooth > s.best+s.cfg.Rise.Tolerance*max(s.first, -s.first) {
		s.above++
	} else {
		s.above = 0
	}
	switch {
	case s.above >= s.cfg.Rise.Patience:
		return "rise", smooth
	case s.cfg.Stall > 0 && s.read-s.bestAt >= s.cfg.Stall:
		return "stall", smooth
	}
	return "", smooth
}

// handOver starts the fallback.
func (s *guardState) handOver(cause string, loss float64) {
	s.handover = &Handover{Step: s.steps, Cause: cause, Loss: loss, Best: s.best}
	s.steps++
	s.active = s.cfg.Fallback.Start(s.layout)
	s.losses = nil
	if s.cfg.OnHandover != nil {
		s.cfg.OnHandover(*s.handover)
	}
}

// resize moves the newest losses into a window of another length.
func (s *guardState) resize(window int) {
	if s.losses == nil || len(s.losses) == window {
		return
	}
	losses := make([]float64, window)
	s.held = min(s.held, window)
	for k := s.read - s.held; k < s.read; k++ {
		losses[k%window] = s.losses[k%len(s.losses)]
	}
	s.losses = losses
}

// handedOver returns the handover, nil if there was none. Run.HandedOver looks for this method.
func (s *guardState) handedOver() *Handover { return s.handover }

const (
	guardName    = "guard"
	guardVersion = 3
)

// MarshalBinary implements encoding.BinaryMarshaler. The active rule's state must implement it too. The
// guard's settings are not in these data: Run.MarshalBinary saves them.
func (s *guardState) MarshalBinary() ([]byte, error) {
	w := saved.NewWriter(guardName, guardVersion)
	w.Int(s.layout.Len())
	w.Int(s.steps)
	w.Floats64(s.losses)
	w.Int(s.held)
	w.Int(s.read)
	w.Float(s.first)
	w.Float(s.best)
	w.Int(s.bestAt)
	w.Int(s.above)
	if h := s.handover; h != nil {
		w.Text(h.Cause)
		w.Int(h.Step)
		w.Float(h.Loss)
		w.Float(h.Best)
	} else {
		w.Text("")
	}
	w.State(s.active)
	data, err := w.Bytes()
	if err != nil {
		return nil, fmt.Errorf("metaopt: a run under guard: %w", err)
	}
	return data, nil
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler. The data must come from a state with the same
// rules, window and number of coordinates. Errors wrap ErrState and leave the state
// unchanged. OnHandover is not called for a handover before the save.
func (s *guardState) UnmarshalBinary(data []byte) error {
	return s.unmarshal(saved.NewReader(data, guardName, guardVersion))
}

// UnmarshalChanged implements saved.Changer: the window may differ. A longer window starts with the losses that were
// saved; a shorter one keeps the newest.
func (s *guardState) UnmarshalChanged(data []byte) error {
	return s.unmarshal(saved.NewReader(data, guardName, guardVersion).Changed())
}

func (s *guardState) unmarshal(r *saved.Reader) error {
	r.Same("coordinates", s.layout.Len())
	back := &guardState{rule: s.rule, cfg: s.cfg, layout: s.layout, steps: r.Int()}
	if r.MayDiffer() {
		back.losses = r.SomeFloats64()
	} else {
		back.losses = r.Floats64(s.cfg.Window)
	}
	back.held, back.read, back.first, back.best, back.bestAt, back.above = r.Int(), r.Int(), r.Float(), r.Float(), r.Int(), r.Int()
	active := s.rule
	if cause := r.Text(); cause != "" {
		back.handover = &Handover{Cause: cause, Step: r.Int(), Loss: r.Float(), Best: r.Float()}
		active = s.cfg.Fallback
	}
	if (back.handover == nil) != (back.losses != nil) || back.losses != nil && back.held > min(back.read, len(back.losses)) {
		r.Fail(errInconsistent)
	}
	if r.Err() == nil {
		back.resize(s.cfg.Window)
		back.active = active.Start(s.layout)
		r.State(back.active)
	}
	if err := r.Close(); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	*s = *back
	return nil
}
