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
	live  bool // whether an episode is running
	index int  // the episode's index
	steps int  // the episode's length
	step  int  // the number of steps it has taken
	state encoding.BinaryMarshaler
	sum   episodeSum
	seen  Seen // activity since the last validation

	// Results of the present window.
	gradient []float64
	norm     float64 // the norm of gradient, before clipping
	window   Window
}

// begin starts the next episode in a slot that has none.
func (t *Trainer) begin(s *slot) {
	if s.live {
		return
	}
	s.live, s.index, s.step, s.state, s.sum = true, t.episodes, 0, nil, episodeSum{}
	s.steps = t.staggered(uint64(t.episodes))
	t.episodes++
}

// staggered is the length of episode e. The first meta-batch of the training, of a stage, or after a rollback gets only
// parts of the full length, so that its episodes end one after another.
func (t *Trainer) staggered(e uint64) int {
	steps, batch := t.length(e), uint64(t.cfg.Batch)
	e -= t.stages.first
	if e >= batch {
		return steps
	}
	windows := uint64(steps / t.cfg.Unroll)
	return int((windows*(e+1)+batch-1)/batch) * t.cfg.Unroll
}

// unit returns the unit for the next window of slot i's episode. If probe is set, it asks for a probe.
func (t *Trainer) unit(i int, probe bool) Unit {
	s := t.slots[i]
	u := Unit{MetaStep: t.metaSteps, Slot: i, Episode: s.index, Length: s.steps, Step: s.step, Window: t.cfg.Unroll, State: s.state}
	if probe {
		u.Seen = &s.seen
	}
	return u
}

// estimate has the executor compute the next window of every slot.
func (t *Trainer) estimate(ctx context.Context) error {
	probe := t.probesNow()
	t.units = t.units[:0]
	for i, s := range t.slots {
		t.begin(s)
		t.units = append(t.units, t.unit(i, probe))
	}
	results, err := t.executor.Estimate(ctx, t.net, t.units)
	if err != nil {
		return err
	}
	if len(results) != len(t.units) {
		return fmt.Errorf("metatrain: the executor returned %d results for %d units", len(results), len(t.units))
	}
	for i, s := range t.slots { // also after an error, so that Close finds every open episode
		err = errors.Join(err, s.take(&results[i], &t.units[i], len(t.phi)))
	}
	return err
}

// take stores the result of the slot's unit in the slot. n is the number of meta-parameters. It returns an error if the
// result has the wrong shape.
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

// end ends a slot's episode and closes its state.
func (s *slot) end() error {
	state := s.state
	s.live, s.state = false, nil
	return closeState(state)
}

// checkMeta returns a divergence if a component of the meta-gradient is not finite in float32.
func checkMeta(step int, dphi []float64) *optimizer.DivergedError {
	for i, d := range dphi {
		if !(math.Abs(d) <= math.MaxFloat32) {
			return &optimizer.DivergedError{Step: step, What: "meta-gradient", Coordinate: i, Value: d}
		}
	}
	return nil
}
