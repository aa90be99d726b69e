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
	// Condition is of quadratics, LossScale and GradientNoise of any task: see Options.
	Condition, LossScale, GradientNoise []float64
	DataDir                             string
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
		cross(&all, c.Condition, func(o *Options, v float64) { o.Condition = v }),
		cross(&all, c.LossScale, func(o *Options, v float64) { o.LossScale = v }),
		crossAny(&all, c.GradientNoise, func(o *Options, v float64) { o.GradientNoise = v }),
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
	return crossAny(all, values, set)
}

// crossAny is cross of values whose zero means itself.
func crossAny[T any](all *[]Options, values []T, set func(*Options, T)) error {
	if len(values) == 0 {
		return nil
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

// NewEach is NewOf for each of several settings of one task. Classifiers among them share
// their data and their pool of compiled networks, so that many shapes on one data set need no more
// memory than one, beside what is in use.
func NewEach(name string, settings []Choices) ([]optimizer.Family, error) {
	var (
		all   []Options
		sizes []int
	)
	for _, c := range settings {
		o, err := c.Options()
		if err != nil {
			return nil, err
		}
		all, sizes = append(all, o...), append(sizes, len(o))
	}
	if len(all) == 0 {
		return nil, nil
	}
	families, err := newAll(name, all)
	if err != nil {
		return nil, err
	}
	var each []optimizer.Family
	for i, n := range sizes {
		own := families[:n]
		families = families[n:]
		if n == 1 {
			each = append(each, own[0])
			continue
		}
		m, err := NewMixture(settings[i].name(own[0].Name()), own...)
		if err != nil {
			return nil, err
		}
		each = append(each, m)
	}
	return each, nil
}

// NewOf is New for lists of settings. Lists of one entry give the family that
// New gives; longer ones a *Mixture, whose name has the lists joined by commas:
// "mnist units=10,20 layers=1 activation=sigmoid,relu batch=128".
func NewOf(name string, c Choices) (optimizer.Family, error) {
	families, err := NewEach(name, []Choices{c})
	return first(families), err
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
	// A family names these at its end, in this order, where they are not their defaults.
	for _, list := range []struct {
		key    string
		values []float64
	}{
		{"condition", c.Condition}, {"init-scale", c.InitScale}, {"loss-scale", c.LossScale}, {"gradient-noise", c.GradientNoise},
	} {
		at := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, list.key+"=") })
		var word []string
		if at >= 0 {
			word = words[at : at+1 : at+1]
			words = slices.Delete(slices.Clone(words), at, at+1)
		}
		if len(list.values) > 1 {
			word = []string{list.key + "=" + joined(list.values, formatScale)}
		}
		words = append(words, word...)
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
