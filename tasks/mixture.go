package tasks

import (
	"errors"
	"math/rand/v2"
	"slices"

	"learnedopt/optimizer"
)

// A Mixture is a distribution over families: each sample is one of a family that
// is drawn uniformly. A family that stands in it twice is drawn twice as often.
type Mixture struct {
	name string
	n    uint64
	at   func(i uint64) (optimizer.Family, error) // made when it is drawn: n may be very large
}

var _ optimizer.Family = (*Mixture)(nil)

// NewMixture returns the mixture of one family or more, under a name.
func NewMixture(name string, families ...optimizer.Family) (*Mixture, error) {
	if len(families) == 0 {
		return nil, errors.New("tasks: a mixture of no families; name one at least")
	}
	families = slices.Clone(families)
	return &Mixture{name, uint64(len(families)), func(i uint64) (optimizer.Family, error) { return families[i], nil }}, nil
}

// Name implements optimizer.Family.
func (m *Mixture) Name() string { return m.name }

// Sample implements optimizer.Family. It draws the number of a family from rng and has the family
// sample from it.
func (m *Mixture) Sample(rng *rand.Rand) (optimizer.Problem, error) {
	f, err := m.at(rng.Uint64N(m.n))
	if err != nil {
		return nil, err
	}
	return f.Sample(rng)
}
