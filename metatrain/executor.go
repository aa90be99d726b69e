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

// An Executor computes the units of a meta-step, in this process (InProcess) or elsewhere. The unit, φ and the
// training's configuration determine the result, bit for bit on machines with the same kernels
// (simd.Float32().Path). So a unit may be computed anywhere, late, in any order and more than once.
type Executor interface {
	// Estimate computes units, all of one meta-step, with the parameters φ of net. It returns one result per unit,
	// in the same order. Gradients are valid until the next call. If a unit's state is not the state of its result,
	// Estimate has closed it. An error ends the training: the context ended, a problem failed, or units could not be
	// computed. After an error the caller keeps the units' states and can only close them.
	Estimate(ctx context.Context, net *lstm.Network, units []Unit) ([]Result, error)
}

// A Unit is one window of one episode: the part of a meta-step that one slot of the meta-batch needs.
type Unit struct {
	// MetaStep is the number of meta-steps taken before, and Slot the place in the meta-batch. They do not identify
	// a unit: a meta-step without a finite window is tried again with other episodes. Episode and Step identify it.
	MetaStep, Slot int
	// Episode is the episode's index. With the training's Family and Seed it determines the problem and everything
	// that an estimator draws at random. Length is the number of steps T that the episode will have.
	Episode, Length int
	// Step is t, the number of steps that the episode has taken. Window is the number of steps K of the window.
	Step, Window int
	// State is the state of the episode. In this process it is an *Episode, and computing the unit advances it.
	// Elsewhere it is any value whose MarshalBinary returns the bytes of Episode.MarshalBinary. It is nil at step 0.
	State encoding.BinaryMarshaler
	// Seen, if set, asks for one more probe, at the window's end. The result's Seen adds it to the probes in this
	// value.
	Seen *Seen
}

// A Result is the result of computing a unit.
type Result struct {
	// Gradient is the estimate of dL/dφ, before clipping. It is meaningless if the window diverged.
	Gradient []float64
	// Window holds the losses, and says where a non-finite value occurred.
	Window Window
	// State is the episode's state after the window, for the unit of the next window. It is an io.Closer if it
	// holds resources. If the window diverged it is not used and may be nil.
	State encoding.BinaryMarshaler
	// Seen is the unit's Seen with one more probe. It is nil if the unit did not ask for a probe, if the window
	// diverged, or if the estimator does not compute a gradient at the window's end.
	Seen *Seen
}

// Seen holds the results of the probes (lstm.Probe) of a slot's episodes since the last validation.
type Seen struct {
	Activity lstm.Activity
	// Looks is the number of probes since the training began. It determines which coordinates the next probe samples.
	Looks int
}

// set makes s a copy of from.
func (s *Seen) set(from *Seen) {
	saturated := append(s.Activity.Saturated[:0], from.Activity.Saturated...)
	*s = *from
	s.Activity.Saturated = saturated
}

// InProcess is the Executor that computes units in this process, all units of a call in parallel. It holds working
// memory for each unit of the largest call. It belongs to one goroutine.
type InProcess struct {
	cfg     TrainConfig
	workers []*worker
	results []Result
}

var _ Executor = (*InProcess)(nil)

// A worker computes one unit at a time and holds the memory for it.
type worker struct {
	work     Workspace
	episode  *Episode
	inPlace  bool // whether the unit's state is the episode itself, not its bytes
	gradient []float64
	probe    lstm.Probe
	seen     Seen
	err      error
}

// NewInProcess returns an executor for the units of the training that cfg describes. The results depend only on the
// Family, Seed and Estimator of cfg. The error says what is invalid in cfg.
func NewInProcess(cfg TrainConfig) (*InProcess, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &InProcess{cfg: cfg.WithDefaults()}, nil
}

// Estimate implements Executor. The state of each result is an *Episode. Whoever drops it must close it. If a unit's
// state is not an *Episode, Estimate samples the problem anew.
func (x *InProcess) Estimate(ctx context.Context, net *lstm.Network, units []Unit) ([]Result, error) {
	for len(x.workers) < len(units) {
		x.workers = append(x.workers, &worker{})
	}
	if cap(x.results) < len(units) {
		x.results = make([]Result, len(units))
	}
	results := x.results[:len(units)]
	clear(results)
	err := x.compute(ctx, net, units, results)
	for i, u := range units {
		switch d := x.workers[i]; {
		case d.inPlace: // the episode is still the unit's state
		case err == nil:
			err = closeState(u.State)
		case d.episode != nil: // after an error the caller never gets this episode
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
		x.workers[i].episode, x.workers[i].inPlace = nil, false
	}
	for i := range units {
		if err := x.workers[i].open(&x.cfg, net, &units[i]); err != nil {
			return err
		}
	}
	one := func(i int) { x.workers[i].compute(ctx, x.cfg.Estimator, net, &units[i], &results[i]) }
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
		if err := x.workers[i].err; err != nil {
			return err
		}
	}
	return nil
}

// open gives the worker a unit's episode.
func (d *worker) open(cfg *TrainConfig, net *lstm.Network, u *Unit) (err error) {
	if d.episode, d.inPlace = u.State.(*Episode); !d.inPlace {
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

// restored returns a unit's episode, restored from the bytes of the unit's state, on a problem sampled anew.
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

// compute computes the unit whose episode the worker holds.
func (d *worker) compute(ctx context.Context, e Estimator, net *lstm.Network, u *Unit, r *Result) {
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
		d.probe.Look(&d.seen.Activity, ep.State, ep.point(ep.grad)) // the state and gradient with which the next window begins
		d.seen.Looks = d.probe.Looks()
		r.Seen = &d.seen
	}
}

// closeState closes the state of a dropped episode, if it holds resources.
func closeState(s encoding.BinaryMarshaler) error {
	if c, ok := s.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
