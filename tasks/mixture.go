package tasks

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"learnedopt/optimizer"
)

// A Mixture is a distribution over families: each sample is one of a family that
// is drawn uniformly. A family that stands in it twice is drawn twice as often.
type Mixture struct {
	name     string
	families []optimizer.Family
}

var _ optimizer.Family = (*Mixture)(nil)

// NewMixture returns the mixture of one family or more, under a name.
func NewMixture(name string, families ...optimizer.Family) (*Mixture, error) {
	if len(families) == 0 {
		return nil, errors.New("tasks: a mixture of no families; name one at least")
	}
	return &Mixture{name, slices.Clone(families)}, nil
}

// Name implements optimizer.Family.
func (m *Mixture) Name() string { return m.name }

// Families returns the families that samples are drawn from.
func (m *Mixture) Families() []optimizer.Family { return slices.Clone(m.families) }

// Sample implements optimizer.Family.
func (m *Mixture) Sample(rng *rand.Rand) (optimizer.Problem, error) {
	return m.families[rng.IntN(len(m.families))].Sample(rng)
}

// Choices are lists of settings to mix: every combination of one entry of each
// is a family of the mixture. An empty list is the task's default.
type Choices struct {
	Units, Layers []int
	Activation    []string
	Batch, Dims   []int
	InitScale     []float64
	DataDir       string
}

// maxCombinations bounds a mixture.
const maxCombinations = 256

// Options returns the combinations.
func (c Choices) Options() ([]Options, error) {
	all := []Options{{DataDir: c.DataDir}}
	for _, err := range []error{
		cross(&all, c.Units, func(o *Options, v int) { o.Units = v }),
		cross(&all, c.Layers, func(o *Options, v int) { o.Layers = v }),
		cross(&all, c.Activation, func(o *Options, v string) { o.Activation = v }),
		cross(&all, c.Batch, func(o *Options, v int) { o.Batch = v }),
		cross(&all, c.Dims, func(o *Options, v int) { o.Dims = v }),
		cross(&all, c.InitScale, func(o *Options, v float64) { o.InitScale = v }),
	} {
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// cross replaces every combination by one for each value.
func cross[T comparable](all *[]Options, values []T, set func(*Options, T)) error {
	if len(values) == 0 {
		return nil
	}
	if len(values) > 1 && slices.ContainsFunc(values, func(v T) bool { return v == *new(T) }) {
		return fmt.Errorf("tasks: a list of settings has the value %#v, which stands for a default; write it out", *new(T))
	}
	if len(*all)*len(values) > maxCombinations {
		return fmt.Errorf("tasks: a mixture of more than %d combinations; shorten the lists", maxCombinations)
	}
	var out []Options
	for _, o := range *all {
		for _, v := range values {
			set(&o, v)
			out = append(out, o)
		}
	}
	*all = out
	return nil
}

// NewOf is New for lists of settings. Lists of one entry give the family that
// New gives; longer ones a *Mixture, whose name has the lists joined by commas:
// "mnist units=10,20 layers=1 activation=sigmoid,relu batch=128".
func NewOf(name string, c Choices) (optimizer.Family, error) {
	all, err := c.Options()
	if err != nil {
		return nil, err
	}
	families, err := newAll(name, all)
	if err != nil || len(families) == 1 {
		return first(families), err
	}
	return NewMixture(c.name(families[0].Name()), families...)
}

func first(families []optimizer.Family) optimizer.Family {
	if len(families) == 0 {
		return nil
	}
	return families[0]
}

// name puts the lists into the name of the first family.
func (c Choices) name(one string) string {
	lists := map[string]string{
		"units": joined(c.Units, strconv.Itoa), "layers": joined(c.Layers, strconv.Itoa),
		"activation": joined(c.Activation, func(s string) string { return s }),
		"batch":      joined(c.Batch, strconv.Itoa), "dims": joined(c.Dims, strconv.Itoa),
	}
	words := strings.Fields(one)
	for i, word := range words {
		if key, _, _ := strings.Cut(word, "="); lists[key] != "" {
			words[i] = key + "=" + lists[key]
		}
	}
	if len(c.InitScale) > 1 {
		words = slices.DeleteFunc(words, func(w string) bool { return strings.HasPrefix(w, "init-scale=") })
		words = append(words, "init-scale="+joined(c.InitScale, formatScale))
	}
	return strings.Join(words, " ")
}

func joined[T any](values []T, format func(T) string) string {
	var words []string
	for _, v := range values {
		words = append(words, format(v))
	}
	return strings.Join(words, ",")
}

func formatScale(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
