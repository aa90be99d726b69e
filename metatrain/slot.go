package metatrain

import (
	"context"
	"encoding"
	"errors"
	"fmt"
	"math"

	"learnedopt/optimizer"
)

// A slot runs the episodes of one place in the meta-batch, one after another.
type slot struct {
	live  bool // an episode is under way
	index int  // of the episode
	steps int  // its length
	step  int  // where it stands
	state encoding.BinaryMarshaler
	sum   episodeSum
	seen  Seen // activity since the last validation

	// The present window.
	gradient []float64
	norm     float64 // of gradient
	window   Window
}

// begin gives a slot that has no episode the next one.
func (t *Trainer) begin(s *slot) {
	if s.live {
		return
	}
	s.live, s.index, s.step, s.state, s.sum = true, t.episodes, 0, nil, episodeSum{}
	s.steps = t.staggered(uint64(t.episodes))
	t.episodes++
}

// staggered is the length of episode e: of the meta-batch's first episodes, of the training
// or a stage, a part, so that they end one after another.
func (t *Trainer) staggered(e uint64) int {
	steps, batch := t.length(e), uint64(t.cfg.Batch)
	e -= t.stages.first
	if e >= batch {
		return steps
	}
	windows := uint64(steps / t.cfg.Unroll)
	return int((windows*(e+1)+batch-1)/batch) * t.cfg.Unroll
}

// unit is the next window of a slot's episode.
func (t *Trainer) unit(i int, look bool) Unit {
	s := t.slots[i]
	u := Unit{MetaStep: t.metaSteps, Slot: i, Episode: s.index, Length: s.steps, Step: s.step, Window: t.cfg.Unroll, State: s.state}
	if look {
		u.Seen = &s.seen
	}
	return u
}

// estimate has the executor compute the next window of every slot.
func (t *Trainer) estimate(ctx context.Context) error {
	look := t.looks()
	t.units = t.units[:0]
	for i, s := range t.slots {
		t.begin(s)
		t.units = append(t.units, t.unit(i, look))
	}
	results, err := t.executor.Estimate(ctx, t.net, t.units)
	if err != nil {
		return err
	}
	if len(results) != len(t.units) {
		return fmt.Errorf("metatrain: the executor returned %d results for %d units", len(results), len(t.units))
	}
	for i, s := range t.slots { // all of them, so that Close finds what is open
		err = errors.Join(err, s.take(&results[i], &t.units[i], len(t.phi)))
	}
	return err
}

// take takes the result of the slot's unit over; n is the number of meta-parameters.
func (s *slot) take(r *Result, u *Unit, n int) error {
	s.state, s.window, s.gradient = r.State, r.Window, r.Gradient
	if s.window.Diverged != nil {
		return nil
	}
	if len(s.gradient) != n || len(s.window.Losses) != u.Window+1 {
		return fmt.Errorf("metatrain: the executor's result for step %d of episode %d has a meta-gradient of %d components and %d losses, want %d and %d",
			u.Step, u.Episode, len(s.gradient), len(s.window.Losses), n, u.Window+1)
	}
	s.step += u.Window
	s.window.Diverged = checkMeta(s.step, s.gradient)
	if r.Seen != nil && s.window.Diverged == nil {
		s.seen.set(r.Seen)
	}
	return nil
}

// end drops a slot's episode.
func (s *slot) end() error {
	state := s.state
	s.live, s.state = false, nil
	return closeState(state)
}

// checkMeta returns a divergence if a meta-gradient is not finite in float32.
func checkMeta(step int, dphi []float64) *optimizer.DivergedError {
	for i, d := range dphi {
		if !(math.Abs(d) <= math.MaxFloat32) {
			return &optimizer.DivergedError{Step: step, What: "meta-gradient", Coordinate: i, Value: d}
		}
	}
	return nil
}
