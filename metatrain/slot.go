package metatrain

import (
	"context"
	"fmt"
	"math"
	"sync"

	"learnedopt/internal/stream"
	"learnedopt/lstm"
	"learnedopt/optimizer"
)

// A slot runs the episodes of one place in the meta-batch, one after another.
type slot struct {
	estimator Estimator
	episode   *Episode
	index     int // of the episode
	steps     int // its length
	sum       episodeSum

	// The present window.
	dphi   []float64
	norm   float64 // of dphi
	window Window
	err    error

	probe    lstm.Probe
	activity lstm.Activity // since the last validation
}

// begin samples the next episode into a slot that has none.
func (t *Trainer) begin(s *slot) error {
	if s.episode != nil {
		return nil
	}
	e := uint64(t.episodes)
	ep, err := t.sample(e)
	if err != nil {
		return err
	}
	s.episode, s.index, s.sum = ep, t.episodes, episodeSum{}
	s.steps = t.staggered(e)
	s.episode.Length = s.steps
	t.episodes++
	return nil
}

// sample returns episode e at its start.
func (t *Trainer) sample(e uint64) (*Episode, error) {
	p, err := t.cfg.Family.Sample(stream.New(t.cfg.Seed, episodePurpose, e))
	if err != nil {
		return nil, fmt.Errorf("metatrain: sampling episode %d of %s: %w", e, t.cfg.Family.Name(), err)
	}
	ep := NewEpisode(t.net, p)
	ep.Seed = stream.New(t.cfg.Seed, "estimator", e).Uint64()
	return ep, nil
}

// episodePurpose is that of the streams which episodes are drawn from.
const episodePurpose = "train"

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

// estimate takes the next window of every slot, all at the same time.
func (t *Trainer) estimate(ctx context.Context) {
	looks := t.looks()
	one := func(s *slot) {
		clear(s.dphi)
		s.episode.State.SetNetwork(t.net)
		s.window, s.err = s.estimator.Estimate(ctx, s.dphi, s.episode, t.cfg.Unroll)
		if s.err == nil && s.window.Diverged == nil {
			s.window.Diverged = checkMeta(s.episode.Step, s.dphi)
		}
		if looks && s.err == nil && s.window.Diverged == nil && s.episode.open {
			s.probe.Look(&s.activity, s.episode.State, s.episode.grad) // what opens the next window
		}
	}
	if len(t.slots) == 1 {
		one(t.slots[0])
		return
	}
	var wg sync.WaitGroup
	for _, s := range t.slots {
		wg.Go(func() { one(s) })
	}
	wg.Wait()
}

// end closes a slot's episode.
func (s *slot) end() error {
	if s.episode == nil {
		return nil
	}
	ep := s.episode
	s.episode = nil
	return ep.Close()
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
