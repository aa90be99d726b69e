package metaopt

import "learnedopt/optimizer"

// guardState is the state of a run under guard.
type guardState struct {
	cfg    Guard
	active optimizer.State // the guarded rule's, after a handover the fallback's
	next   []float32       // the update, then θ_{t+1}
	steps  int

	// Until the handover.
	losses []float64 // the last W
	read   int       // losses so far
	first  float64   // f_0
	best   float64   // b_t
	saved  []float32 // θ*
	bestAt int       // its number among the losses
	above  int       // steps in a row

	handover *Handover
}

var _ optimizer.LossState = (*guardState)(nil)

// Update implements optimizer.State.
func (s *guardState) Update(dst, grad []float32) {
	s.active.Update(dst, grad)
	s.steps++
}

// StepLoss implements optimizer.LossState.
func (s *guardState) StepLoss(theta, grad []float32, loss float64) *optimizer.DivergedError {
	if len(theta) != len(s.next) || len(grad) != len(s.next) {
		panic(errLength)
	}
	diverged := optimizer.CheckLoss(s.steps, loss)
	if diverged == nil {
		diverged = optimizer.Check(s.steps, "gradient", grad)
	}
	if diverged == nil && s.handover == nil {
		if cause, smooth := s.judge(theta, loss); cause != "" {
			s.handOver(theta, cause, smooth)
			return nil
		}
	}
	if diverged == nil {
		diverged = s.step(theta, grad)
	}
	if diverged == nil {
		s.steps++
		return nil
	}
	if s.handover == nil && s.read > 0 {
		s.handOver(theta, diverged.What, loss)
		return nil
	}
	return diverged
}

// step adds an update of the active rule to theta if all stays finite.
func (s *guardState) step(theta, grad []float32) *optimizer.DivergedError {
	optimizer.Update(s.active, s.next, theta, grad)
	if d := optimizer.Check(s.steps, "update", s.next); d != nil {
		return d
	}
	for i, x := range theta {
		s.next[i] += x
	}
	if d := optimizer.Check(s.steps, "parameter", s.next); d != nil {
		return d
	}
	copy(theta, s.next)
	return nil
}

// judge takes a loss down and returns why the run is to be handed over, "" if it is
// not, and the smoothed loss.
func (s *guardState) judge(theta []float32, loss float64) (cause string, smooth float64) {
	s.losses[s.read%len(s.losses)] = loss
	s.read++
	window := s.losses[:min(s.read, len(s.losses))]
	for _, f := range window {
		smooth += f / float64(len(window)) // no sum that overflows
	}
	if s.read == 1 {
		s.first = loss
	}
	// A step that lies above its own mean may be one of a spike, no point to go back to.
	if s.read == 1 || smooth < s.best && loss <= smooth {
		s.best, s.bestAt = smooth, s.read
		copy(s.saved, theta)
	}
	if smooth > s.best+s.cfg.Tolerance*max(s.first, -s.first) {
		s.above++
	} else {
		s.above = 0
	}
	switch {
	case s.above >= s.cfg.Patience:
		return "rise", smooth
	case s.cfg.Stall > 0 && s.read-s.bestAt >= s.cfg.Stall:
		return "stall", smooth
	}
	return "", smooth
}

// handOver puts θ* back and starts the fallback.
func (s *guardState) handOver(theta []float32, cause string, loss float64) {
	copy(theta, s.saved)
	s.handover = &Handover{Step: s.steps, Cause: cause, Loss: loss, Best: s.best}
	s.steps++
	s.active = s.cfg.Fallback.Start(len(theta))
	s.losses, s.saved = nil, nil
	if s.cfg.OnHandover != nil {
		s.cfg.OnHandover(*s.handover)
	}
}
