package compare

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"time"

	"learnedopt/internal/cputime"
	"learnedopt/internal/stream"
	"learnedopt/optimizer"
)

// A StepTime is the time of one step of a rule on one core, in seconds: the median over repeated steps on one instance. Unlike
// losses it depends on the machine.
type StepTime struct {
	// Gradient is the time of the loss and its gradient. Rules that were measured together share it.
	Gradient float64 `json:"gradient_seconds"`
	// Update is the time of all else in a step: the update, its sum with the parameters, and the checks of both for
	// non-finite values.
	Update float64 `json:"update_seconds"`
}

// Seconds is the time of the whole step.
func (s StepTime) Seconds() float64 { return s.Gradient + s.Update }

// Share is the part of a step that the update takes, from 0 to 1.
func (s StepTime) Share() float64 {
	if s.Seconds() == 0 {
		return 0
	}
	return s.Update / s.Seconds()
}

// How much Time measures of each rule.
const (
	turnSteps   = 8                     // steps of a rule before the next rule's turn
	leastSteps  = 9                     // at least so many steps in all
	mostSteps   = 129                   // and at most so many
	enoughSpent = 60 * time.Millisecond // between the two, steps that take this time together
)

// timing is locked while Time measures: two at a time would disturb each other, and leave GOMAXPROCS at 1.
var timing sync.Mutex

// Time measures how long a step of each contender takes, all on one instance, from the stream (cfg.Seed, "time", 0), which nothing
// else uses. Calls wait for each other. cfg.Runs is not read. The rules take turns, so that other load on the machine meets all of them. Meanwhile
// GOMAXPROCS is 1. Parts of a step that take a millisecond or more are measured in CPU time of the process where the system
// tells it: on a core that other programs use too, their wall time would be longer. If most of the time is not spent computing
// in this process, it is wall time. times[i] belongs to contender i; it is nil if the rule diverged in its first step.
func Time(ctx context.Context, cfg EvalConfig) (times []*StepTime, err error) {
	if cfg.Runs = 1; len(cfg.Contenders) == 0 {
		return nil, nil
	}
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	timing.Lock()
	defer timing.Unlock()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	p, err := cfg.Family.Sample(stream.New(cfg.Seed, "time", 0))
	if err != nil {
		return nil, fmt.Errorf("compare: sampling an instance of %s: %w", cfg.Family.Name(), err)
	}
	if c, ok := p.(io.Closer); ok {
		defer func() { err = errors.Join(err, c.Close()) }()
	}
	var gradients spans
	samples, done := make([]sample, len(cfg.Contenders)), 0
	for done < len(samples) {
		for r, c := range cfg.Contenders {
			if samples[r].ended {
				continue
			}
			if err := samples[r].turn(ctx, c.Rule, p, cfg.Steps, &gradients); err != nil {
				return nil, fmt.Errorf("compare: timing %s: %w", c.Name, err)
			}
			if samples[r].ended {
				if done++; cfg.Progress != nil {
					cfg.Progress(done, len(samples))
				}
			}
		}
	}
	for _, s := range samples {
		if len(s.updates.wall) == 0 {
			times = append(times, nil)
			continue
		}
		times = append(times, &StepTime{Gradient: gradients.median(), Update: s.updates.median()})
	}
	return times, nil
}

// A sample holds what was measured of a rule's steps.
type sample struct {
	updates spans
	spent   time.Duration
	ended   bool
}

// turn takes up to turnSteps steps of a run from its beginning.
func (s *sample) turn(ctx context.Context, rule optimizer.Rule, p optimizer.Problem, steps int, gradients *spans) error {
	own, stop := context.WithCancel(ctx)
	defer stop()
	taken := 0
	_, err := optimizer.RunTimed(own, rule, p, steps, readClocks, func(began, computed, ended clocks) {
		gradients.add(began, computed)
		s.updates.add(computed, ended)
		s.spent += ended.wall.Sub(began.wall)
		n := len(s.updates.wall)
		s.ended = n >= mostSteps || n >= leastSteps && s.spent >= enoughSpent
		if taken++; s.ended || taken == turnSteps {
			stop()
		}
	})
	s.ended = s.ended || taken == 0
	if errors.Is(err, context.Canceled) && ctx.Err() == nil {
		return nil // the turn is over
	}
	return err
}

// clocks are readings of two clocks at a moment. cpu is the CPU time of this process so far, 0 if the system does not tell it.
type clocks struct {
	wall time.Time
	cpu  time.Duration
}

func readClocks() clocks { return clocks{time.Now(), cputime.Used()} }

// spans are times between readings.
type spans struct{ wall, cpu []time.Duration }

func (s *spans) add(from, to clocks) {
	s.wall, s.cpu = append(s.wall, to.wall.Sub(from.wall)), append(s.cpu, to.cpu-from.cpu)
}

// Spans shorter than shortest are taken by the wall clock, because CPU clocks tick in microseconds; a short span is rarely
// interrupted. idle is the part of a core below which this process rather waits than competes with others.
const (
	shortest = time.Millisecond
	idle     = 0.05
)

// median returns the median in seconds; of two middle values it is the lower.
func (s *spans) median() float64 {
	middle := func(x []time.Duration) time.Duration {
		x = slices.Sorted(slices.Values(x))
		return x[(len(x)-1)/2]
	}
	wall, cpu := middle(s.wall), middle(s.cpu)
	if wall < shortest || float64(cpu) < idle*float64(wall) {
		return wall.Seconds()
	}
	return min(wall, cpu).Seconds()
}
