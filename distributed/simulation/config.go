// Package simulation is a discrete-event model of a meta-training on more machines than one has at hand: workers of different speeds
// that fail and come back, a coordinator and a server that take time for each unit, a link with a rate and a latency.
//
// It answers how many units a second a fleet computes, what meta-batch it wants, and what it would gain from gradients of older φ's.
// It says nothing of how well a training learns: a meta-step with a larger meta-batch, or with stale gradients, is another meta-step.
// A run depends on its Config alone.
package simulation

import (
	"fmt"
	"math"
)

// A Mode says when a unit may start and when a meta-step is taken.
type Mode int

const (
	// Bounded takes a meta-step when the answers of as many units as the meta-batch are in, whichever they are. A unit starts with the
	// φ of that moment. No gradient is used that is of a φ more than Stale meta-steps old. With Stale = 0 it is the synchronous
	// meta-step, which package distributed takes.
	Bounded Mode = iota
	// Delayed has one unit of each episode slot in each meta-step, as the synchronous one. Its φ is exactly Stale meta-steps old, so
	// the result does not depend on who computes what when. With Stale = 0 it is the synchronous meta-step too.
	Delayed
)

// Config configures a simulation.
type Config struct {
	// Workers is the number of workers, each of which computes one unit at a time. Batch is the meta-batch: the number of episodes
	// that are under way. Windows is the number of windows of an episode.
	Workers, Batch, Windows int
	// Mode and Stale say how old a φ may be, in meta-steps.
	Mode  Mode
	Stale int
	// Steps is the number of meta-steps that are simulated. The first fifth is not counted.
	Steps int
	Seed  uint64
	Figures
}

// Figures are what one measures, or knows, of machines and of a training. Times are in seconds, sizes in bytes.
type Figures struct {
	// Unit is the time of a unit on a worker of median speed. Speeds are lognormal: Spread is the standard deviation of the logarithm
	// from worker to worker, Jitter from unit to unit of one worker.
	Unit, Spread, Jitter float64
	// Latency is the time of a message from a worker to the server or back, and from the server to the coordinator or back.
	Latency float64
	// Queue is the time that coordinator and server together need for a unit, one unit after another: half of it before the unit, half
	// of it for the answer. Watch is the time a second that they need for each worker that is there.
	Queue, Watch float64
	// Step is the time that the trainer needs for a meta-step.
	Step float64
	// Gradient is the size of an answer, Phi of the parameters, State of an episode's state. Link is the rate of the server's link, each
	// way, in bytes a second.
	Gradient, Phi, State, Link float64
	// Valid is the time of a validation, during which no meta-step is taken, and ValidEvery the meta-steps from one to the next. 0 is none.
	Valid      float64
	ValidEvery int
	// SaveEvery is the time from one saved state to the next. All episodes' states travel then, and nobody computes. 0 is never.
	SaveEvery float64
	// Lifetime is the mean time between two failures of a worker (exponential; 0 is never), and Away the time until it is back. Notice is
	// the time until the coordinator knows of a failure.
	Lifetime, Away, Notice float64
}

// Measured returns the figures of MNIST with one core a worker: a network of 5,061 parameters, episodes of 100 steps, windows of 20.
// docs/many-machines.md says which of them are measured and which are assumed.
func Measured() Figures {
	return Figures{
		Unit: 0.3, Spread: 0.2, Jitter: 0.05, Latency: 0.25e-3, Queue: 1.2e-3, Watch: 0.15e-3, Step: 1e-3,
		Gradient: 40e3, Phi: 20e3, State: 5e6, Link: 125e6,
		Valid: 1.5, ValidEvery: 50, SaveEvery: 60,
		Lifetime: 86400, Away: 60, Notice: 0.75,
	}
}

// Validate returns an error if the configuration cannot be simulated.
func (c Config) Validate() error {
	for _, n := range []struct {
		name        string
		value, from int
		most        int
	}{
		{"Workers", c.Workers, 1, 1 << 16}, {"Batch", c.Batch, 1, 1 << 20}, {"Windows", c.Windows, 1, 1 << 16}, {"Stale", c.Stale, 0, 1 << 10},
		{"Steps", c.Steps, 5, 1 << 24}, {"ValidEvery", c.ValidEvery, 0, 1 << 24},
	} {
		if n.value < n.from || n.value > n.most {
			return fmt.Errorf("simulation: %s is %d; it must be %d to %d", n.name, n.value, n.from, n.most)
		}
	}
	for _, x := range []struct {
		name  string
		value float64
		zero  bool
	}{
		{"Unit", c.Unit, false}, {"Spread", c.Spread, true}, {"Jitter", c.Jitter, true}, {"Latency", c.Latency, true}, {"Queue", c.Queue, true},
		{"Watch", c.Watch, true}, {"Step", c.Step, true}, {"Gradient", c.Gradient, true}, {"Phi", c.Phi, true}, {"State", c.State, true},
		{"Link", c.Link, false}, {"Valid", c.Valid, true}, {"SaveEvery", c.SaveEvery, true}, {"Lifetime", c.Lifetime, true}, {"Away", c.Away, true},
		{"Notice", c.Notice, true},
	} {
		if !(x.value >= 0) || math.IsInf(x.value, 0) || x.value == 0 && !x.zero {
			return fmt.Errorf("simulation: %s is %v; it must be finite, and more than 0 if it is a rate or the time of a unit", x.name, x.value)
		}
	}
	if c.Mode != Bounded && c.Mode != Delayed {
		return fmt.Errorf("simulation: the mode %d; it must be Bounded or Delayed", c.Mode)
	}
	if c.Watch*float64(c.Workers) >= 1 {
		return fmt.Errorf("simulation: %d workers take all of the coordinator's time (Watch)", c.Workers)
	}
	return nil
}

// A Result is what a simulation found, after its first fifth.
type Result struct {
	// Seconds is the simulated time, MetaSteps the meta-steps and Units the units that were used in it.
	Seconds   float64
	MetaSteps int
	Units     int
	// Busy is the share of the workers' time that computed windows which were used or will be, Queue the share of the time in which
	// coordinator and server were at work, and Link that of the server's link.
	Busy, Queue, Link float64
	// Paused is the share of the time in which the trainer validated or saved.
	Paused float64
	// Replayed is the number of windows that were computed again, and Failures of workers that failed.
	Replayed, Failures int
	// MeanStale and MostStale are the mean and the largest age of a used gradient's φ, in meta-steps.
	MeanStale float64
	MostStale int
}

// Rate returns the units a second.
func (r Result) Rate() float64 { return float64(r.Units) / r.Seconds }
