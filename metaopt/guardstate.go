package metaopt

import (
	"errors"
	"fmt"

	"learnedopt/internal/saved"
	"learnedopt/optimizer"
)

// guardState is the state of a run under guard.
type guardState struct {
	rule   optimizer.Rule
	cfg    Guard
	layout optimizer.Layout
	active optimizer.State // the guarded rule's, after a handover the fallback's
	steps  int

	// Until the handover.
	losses []float64 // the last W: loss k at k mod W
	held   int       // how many of them there are
	read   int       // losses so far
	first  float64   // f_0
	best   float64   // b_t
	bestAt int       // its number among the losses
	above  int       // steps in a row

	handover *Handover
}

var _ optimizer.State = (*guardState)(nil)

// Update implements optimizer.State. A divergence is returned only where there is nothing to go back to: at the
// first step, and after the handover.
func (s *guardState) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	if n := s.layout.Len(); len(dst) != n || len(p.Grad) != n || len(p.Theta) != n {
		panic(errLength)
	}
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
		var err error
		if diverged, err = s.update(dst, p); err != nil {
			return 0, err
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

// update writes an update of the active rule and says whether all would stay finite.
func (s *guardState) update(dst []float32, p optimizer.Point) (*optimizer.DivergedError, error) {
	if _, err := s.active.Update(dst, p); err != nil {
		var diverged *optimizer.DivergedError
		if errors.As(err, &diverged) {
			return diverged, nil
		}
		return nil, err
	}
	if d := optimizer.Check(s.steps, "update", dst); d != nil {
		return d, nil
	}
	for i, u := range dst {
		if sum := p.Theta[i] + u; sum-sum != 0 {
			return &optimizer.DivergedError{Step: s.steps, What: "parameter", Coordinate: i, Value: float64(sum)}, nil
		}
	}
	return nil, nil
}

// judge takes a loss down and returns why the run is to be handed over, "" if it is
// not, and the smoothed loss. If θ_t is the new θ*, bestAt is the number of losses.
func (s *guardState) judge(loss float64) (cause string, smooth float64) {
	s.losses[s.read%len(s.losses)] = loss
	s.read++
	oldest := 0
	if s.held = min(s.held+1, len(s.losses)); s.held < len(s.losses) {
		oldest = s.read - s.held
	}
	for k := range s.held {
		smooth += s.losses[(oldest+k)%len(s.losses)] / float64(s.held) // no sum that overflows
	}
	if s.read == 1 {
		s.first = loss
	}
	// A step that lies above its own mean may be one of a spike, no point to go back to.
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

// resize keeps the newest losses of the window in one of another length.
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

// handedOver is what Run.HandedOver asks for.
func (s *guardState) handedOver() *Handover { return s.handover }

const (
	guardName    = "guard"
	guardVersion = 3
)

// MarshalBinary implements encoding.BinaryMarshaler; the states of rule and fallback must. The
// guard's settings are part of the run's form, not of this one.
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

// UnmarshalBinary implements encoding.BinaryUnmarshaler. The data must come from a state of the same
// rules, window and number of coordinates. On an error, which wraps ErrState, the state is
// unchanged. OnHandover does not hear of a handover before the save.
func (s *guardState) UnmarshalBinary(data []byte) error {
	return s.unmarshal(saved.NewReader(data, guardName, guardVersion))
}

// UnmarshalChanged implements saved.Changer: the window may be another one, of which as many losses are known as were
// saved.
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
