package tasks

import (
	"errors"
	"math/rand/v2"
	"slices"

	"learnedopt/optimizer"
)

// A Mixture is a distribution over families: each Sample draws one of its families uniformly and
// samples from it. A family that is listed twice is drawn twice as often.
type Mixture struct {
	name string
	n    uint64
	at   func(i uint64) (optimizer.Family, error) // makes family i when it is drawn, because n may be very large
}

var _ optimizer.Family = (*Mixture)(nil)

// NewMixture returns the mixture of one family or more, with the given name.
func NewMixture(name string, families ...optimizer.Family) (*Mixture, error) {
	if len(families) == 0 {
		return nil, errors.New("tasks: a mixture of no families; name at least one")
	}
	families = slices.Clone(families)
	return &Mixture{name, uint64(len(families)), func(i uint64) (optimizer.Family, error) { return families[i], nil }}, nil
}

// Name implements optimizer.Family.
func (m *Mixture) Name() string { return m.name }

// Sample implements optimizer.Family. It draws the index of a family from rng and then samples from that family
// with the same rng.
func (m *Mixture) Sample(rng *rand.Rand) (optimizer.Problem, error) {
	f, err := m.at(rng.Uint64N(m.n))
	if err != nil {
		return nil, err
	}
	return f.Sample(rng)
}
