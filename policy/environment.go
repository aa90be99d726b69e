package policy

import "math/rand/v2"

// An Environment is something to act in, episode after episode. It belongs to one goroutine.
type Environment interface {
	// Reset begins an episode and writes its first observation. All randomness of the episode comes from rng, which the
	// environment may keep until the next Reset.
	Reset(observation []float32, rng *rand.Rand)
	// Step takes an action, from 0, and writes the observation that follows, also after the episode's last action.
	Step(observation []float32, action int) (reward float64, status Status)
}

// A Status says whether an episode goes on.
type Status int

const (
	// Running means that another action follows.
	Running Status = iota
	// Terminated means that the episode has ended and that nothing can be earned after it.
	Terminated
	// Truncated means that a limit of time has ended the episode, although more could be earned.
	Truncated
)
