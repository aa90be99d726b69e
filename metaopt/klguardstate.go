package metaopt

import (
	"fmt"
	"math"

	"learnedopt/internal/saved"
	"learnedopt/optimizer"
)

// klState is the state of a run under a KLGuard.
type klState struct {
	rule     optimizer.Rule
	cfg      KLGuard
	layout   optimizer.Layout
	active   optimizer.State // the guarded rule's state; after a handover, the fallback's
	steps    int
	rises    int // number of steps in a row at which the guard acted and the loss rose
	handover *Handover

	to, product []float32
}

var _ optimizer.State = (*klState)(nil)

// Update implements optimizer.State.
func (s *klState) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	n := s.layout.Len()
	lengths(dst, p, n)
	if move, err := s.active.Update(dst, p); err != nil || move != 0 {
		return move, err
	}
	step, cause, err := s.bound(dst, p)
	if err != nil {
		return 0, err
	}
	if cause == "update" && s.handover != nil {
		return 0, optimizer.Check(s.steps, "update", dst)
	}
	if cause != "" {
		clear(dst)
		step = KLStep{}
		if s.handover == nil {
			s.handOver(cause, p.Loss)
		}
	}
	s.steps++
	if s.cfg.OnStep != nil {
		s.cfg.OnStep(step)
	}
	return 0, nil
}

// bound scales an update so that its divergence is at most δ. cause says why the update cannot be used, "" if it can.
func (s *klState) bound(update []float32, p optimizer.Point) (step KLStep, cause string, err error) {
	if optimizer.NonFinite(update) >= 0 {
		return step, "update", nil
	}
	step.Scale = 1
	if step.Trial, err = s.try(update, p); err != nil || step.Trial.KL <= s.cfg.Radius {
		return step, "", err
	}
	if err := p.Curvature.CurvatureProduct(s.product, p.Theta, update, optimizer.Fisher, p.Step); err != nil {
		return step, "", err
	}
	square := 0.0
	for i, u := range update {
		square += float64(u) * float64(s.product[i])
	}
	// A product that overflows or is 0 says nothing about the size.
	if scale := math.Sqrt(2 * s.cfg.Radius / square); scale < 1 && scale > 0 {
		step.Scale = scale
		scaleBy(update, scale)
	}
	for try := 0; ; try++ {
		if step.Trial, err = s.try(update, p); err != nil {
			return step, "", err
		}
		if step.Trial.KL <= s.cfg.Radius {
			break
		}
		if try == klTries {
			return step, "divergence", nil
		}
		step.Scale *= klShrink
		scaleBy(update, klShrink)
	}
	if step.Trial.Change > 0 {
		s.rises++
	} else {
		s.rises = 0
	}
	if s.rises >= s.cfg.Patience && s.handover == nil {
		return step, "rise", nil
	}
	return step, "", nil
}

// try tries θ + u as the caller will add it.
func (s *klState) try(update []float32, p optimizer.Point) (optimizer.Trial, error) {
	for i, u := range update {
		s.to[i] = p.Theta[i] + u
	}
	return p.Curvature.(optimizer.Trier).Try(p.Theta, s.to, p.Step)
}

func scaleBy(x []float32, by float64) {
	for i, v := range x {
		x[i] = float32(by * float64(v))
	}
}

// handOver starts the fallback.
func (s *klState) handOver(cause string, loss float64) {
	s.handover = &Handover{Step: s.steps, Cause: cause, Loss: loss}
	s.active = s.cfg.Fallback.Start(s.layout)
	s.rises = 0
	if s.cfg.OnHandover != nil {
		s.cfg.OnHandover(*s.handover)
	}
}

// handedOver returns the handover, nil if there was none. Run.HandedOver looks for this method.
func (s *klState) handedOver() *Handover { return s.handover }

const (
	klName    = "klguard"
	klVersion = 1
)

// MarshalBinary implements encoding.BinaryMarshaler. The active rule's state must implement it too. The
// guard's settings are not in these data: Run.MarshalBinary saves them.
func (s *klState) MarshalBinary() ([]byte, error) {
	w := saved.NewWriter(klName, klVersion)
	w.Int(s.layout.Len())
	w.Int(s.steps)
	w.Int(s.rises)
	if h := s.handover; h != nil {
		w.Text(h.Cause)
		w.Int(h.Step)
		w.Float(h.Loss)
	} else {
		w.Text("")
	}
	w.State(s.active)
	data, err := w.Bytes()
	if err != nil {
		return nil, fmt.Errorf("metaopt: a run under a KL guard: %w", err)
	}
	return data, nil
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler. The data must come from a state with the same
// rules and number of coordinates. Errors wrap ErrState and leave the state unchanged. OnHandover is not called for a handover before the save.
func (s *klState) UnmarshalBinary(data []byte) error {
	return s.unmarshal(saved.NewReader(data, klName, klVersion))
}

// UnmarshalChanged implements saved.Changer.
func (s *klState) UnmarshalChanged(data []byte) error {
	return s.unmarshal(saved.NewReader(data, klName, klVersion).Changed())
}

func (s *klState) unmarshal(r *saved.Reader) error {
	r.Same("coordinates", s.layout.Len())
	back := &klState{rule: s.rule, cfg: s.cfg, layout: s.layout, to: s.to, product: s.product, steps: r.Int(), rises: r.Int()}
	active := s.rule
	if cause := r.Text(); cause != "" {
		back.handover = &Handover{Cause: cause, Step: r.Int(), Loss: r.Float()}
		active = s.cfg.Fallback
	}
	if back.rises > back.steps || back.handover != nil && back.handover.Step >= back.steps {
		r.Fail(errInconsistent)
	}
	if r.Err() == nil {
		back.active = active.Start(s.layout)
		r.State(back.active)
	}
	if err := r.Close(); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	*s = *back
	return nil
}
