package metatrain

import (
	"context"
	"encoding"
	"errors"
	"fmt"
	"io"
	"sync"

	"learnedopt/lstm"
)

// An Executor computes the units of a meta-step: in this process (InProcess) or elsewhere. A unit
// with φ and the training's configuration fixes its result, bit for bit on machines with
// the same kernels (simd.Float32().Path). So a unit may be computed anywhere, late, in any order and more than
// once.
type Executor interface {
	// Estimate computes units, all of one meta-step, with the parameters φ of net, and returns
	// the result of each in their order. Gradients are valid until the next call. A unit's
	// state that is not a result's again has been closed. An error
	// ends the training: the context's, a problem's, or that units cannot be computed. The
	// units' states then stay the caller's, who can do nothing with them but close them.
	Estimate(ctx context.Context, net *lstm.Network, units []Unit) ([]Result, error)
}

// A Unit is one window of one episode: the piece of a meta-step that a slot of the
// meta-batch asks for.
type Unit struct {
	// MetaStep is the number of meta-steps taken before, Slot the place in the meta-batch. A
	// meta-step of which no window was finite is tried again with other episodes: what
	// identifies a unit in a training is Episode and Step.
	MetaStep, Slot int
	// Episode is the episode's index: with the training's Family and Seed it fixes the problem and all
	// that an estimator draws at random. Length is the number of steps T that the episode will have.
	Episode, Length int
	// Step is the t that the episode stands at, Window the number of steps K of the window.
	Step, Window int
	// State is where the episode stands: a *Episode in this process, which the unit then
	// moves; elsewhere anything whose MarshalBinary returns the bytes that Episode.MarshalBinary wrote. nil at the
	// beginning, step 0.
	State encoding.BinaryMarshaler
	// Seen, if set, asks for a look at what opens the next window, to be added to these looks.
	Seen *Seen
}

// A Result is what a unit came to.
type Result struct {
	// Gradient is the estimate of dL/dφ, before clipping; of no use if the window diverged.
	Gradient []float64
	// Window has the losses, and says where the window left the finite numbers.
	Window Window
	// State is where the episode stands now, for the unit of its next window; an io.Closer if it
	// holds resources. It is of no use, and may be nil, if the window diverged.
	State encoding.BinaryMarshaler
	// Seen is the unit's with one more look. nil if the unit did not ask for one, the window
	// diverged, or the estimator does not end windows with a gradient.
	Seen *Seen
}

// Seen is what lstm.Probe saw of a slot's episodes since the last validation.
type Seen struct {
	Activity lstm.Activity
	// Looks is the number of looks since the training began: where the next one is depends on it.
	Looks int
}

// set makes s a copy of from.
func (s *Seen) set(from *Seen) {
	saturated := append(s.Activity.Saturated[:0], from.Activity.Saturated...)
	*s = *from
	s.Activity.Saturated = saturated
}

// InProcess is the Executor that computes units here, all units of a call at the same time. It holds
// working memory for each unit of the largest call, and belongs to one goroutine.
type InProcess struct {
	cfg     TrainConfig
	desks   []*desk
	results []Result
}

var _ Executor = (*InProcess)(nil)

// A desk is where one unit at a time is computed.
type desk struct {
	work     Workspace
	episode  *Episode
	here     bool // the episode was the unit's state
	gradient []float64
	probe    lstm.Probe
	seen     Seen
	err      error
}

// NewInProcess returns an executor for the units of the training that cfg describes: of the
// configuration Family, Seed and Estimator matter to it.
func NewInProcess(cfg TrainConfig) (*InProcess, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &InProcess{cfg: cfg.WithDefaults()}, nil
}

// Estimate implements Executor. The state of a result is the *Episode, which whoever drops it
// closes. Problems are sampled for units whose state is no *Episode.
func (x *InProcess) Estimate(ctx context.Context, net *lstm.Network, units []Unit) ([]Result, error) {
	for len(x.desks) < len(units) {
		x.desks = append(x.desks, &desk{})
	}
	if cap(x.results) < len(units) {
		x.results = make([]Result, len(units))
	}
	results := x.results[:len(units)]
	clear(results)
	err := x.compute(ctx, net, units, results)
	for i, u := range units {
		switch d := x.desks[i]; {
		case d.here: // the state stays what it is
		case err == nil:
			err = closeState(u.State)
		case d.episode != nil: // nobody else knows of it
			err = errors.Join(err, d.episode.Close())
		}
	}
	if err != nil {
		return nil, err
	}
	return results, nil
}

func (x *InProcess) compute(ctx context.Context, net *lstm.Network, units []Unit, results []Result) error {
	for i := range units {
		x.desks[i].episode, x.desks[i].here = nil, false
	}
	for i := range units {
		if err := x.desks[i].open(&x.cfg, net, &units[i]); err != nil {
			return err
		}
	}
	one := func(i int) { x.desks[i].compute(ctx, x.cfg.Estimator, net, &units[i], &results[i]) }
	if len(units) == 1 {
		one(0)
	} else {
		var wg sync.WaitGroup
		for i := range units {
			wg.Go(func() { one(i) })
		}
		wg.Wait()
	}
	for i := range units {
		if err := x.desks[i].err; err != nil {
			return err
		}
	}
	return nil
}

// open puts a unit's episode on the desk.
func (d *desk) open(cfg *TrainConfig, net *lstm.Network, u *Unit) (err error) {
	if d.episode, d.here = u.State.(*Episode); !d.here {
		if d.episode, err = cfg.restored(net, u); err != nil {
			return err
		}
	}
	if ep := d.episode; ep.Step != u.Step || u.Window < 1 || u.Window > u.Length-u.Step || u.Length > cfg.Steps {
		return fmt.Errorf("metatrain: a unit of %d steps from step %d of %d of episode %d, which stands at step %d; episodes have %d steps at most",
			u.Window, u.Step, u.Length, u.Episode, ep.Step, cfg.Steps)
	}
	return nil
}

// restored returns a unit's episode where the unit's state says that it stands, on a problem sampled
// anew.
func (cfg *TrainConfig) restored(net *lstm.Network, u *Unit) (*Episode, error) {
	ep, err := cfg.episode(net, u)
	if err != nil || u.State == nil {
		return ep, err
	}
	data, err := u.State.MarshalBinary()
	if err == nil {
		ep.Memory = cfg.Estimator.Start(ep)
		err = ep.UnmarshalBinary(data)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("metatrain: the state of episode %d: %w", u.Episode, err), ep.Close())
	}
	return ep, nil
}

// compute computes the unit whose episode is on the desk.
func (d *desk) compute(ctx context.Context, e Estimator, net *lstm.Network, u *Unit, r *Result) {
	ep := d.episode
	if size := net.Size(); len(d.gradient) != size {
		d.gradient = make([]float64, size)
	}
	clear(d.gradient)
	ep.Workspace = &d.work
	ep.State.SetNetwork(net)
	r.Gradient, r.State = d.gradient, ep
	r.Window, d.err = e.Estimate(ctx, d.gradient, ep, u.Window)
	if u.Seen != nil && d.err == nil && r.Window.Diverged == nil && ep.open {
		d.seen.set(u.Seen)
		d.probe.Resume(d.seen.Looks)
		d.probe.Look(&d.seen.Activity, ep.State, ep.grad) // what opens the next window
		d.seen.Looks = d.probe.Looks()
		r.Seen = &d.seen
	}
}

// closeState closes the state of an episode that is dropped, if it holds resources.
func closeState(s encoding.BinaryMarshaler) error {
	if c, ok := s.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
