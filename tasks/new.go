package tasks

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"learnedopt/internal/nearest"
	"learnedopt/optimizer"
)

// Options are the settings that New understands; each task reads some of them.
// The zero value of a field is that task's documented default.
type Options struct {
	// Units, Layers and Activation shape classifiers: see ClassifierConfig.
	Units, Layers int
	Activation    string
	// InitScale is the standard deviation of a classifier's initial weights and biases.
	InitScale float64
	// Batch is the size of a minibatch, or the number of functions optimized
	// side by side.
	Batch int
	// Dims is the number of dimensions of one quadratic or Rosenbrock function.
	Dims int
	// Condition is the condition number of quadratics: see Quadratic.
	Condition float64
	// LossScale and GradientNoise, of any task, make a Perturbed of it: what losses are
	// multiplied by, and the standard deviation of what is added to gradients.
	LossScale, GradientNoise float64
	// DataDir is the folder of the data sets that are read from files; "" is
	// looked up by DataDir.
	DataDir string
}

// Names returns the names that New knows.
func Names() []string {
	return []string{"quadratic", "quadratic-uniform", "rosenbrock", "mnist", "fashion-mnist", "digits"}
}

// New returns the family of a name. An unknown name is an error that lists the
// names, and an option that the task does not read is an error that names it.
func New(name string, o Options) (optimizer.Family, error) {
	families, err := newAll(name, []Options{o})
	return first(families), err
}

// newAll returns a family for each of the options; equal options have the same one.
// Classifiers share their data and their pool of compiled networks.
func newAll(name string, all []Options) ([]optimizer.Family, error) {
	each := func(one func(o Options) (optimizer.Family, error)) (families []optimizer.Family, err error) {
		made := map[Options]optimizer.Family{}
		for _, o := range all {
			plain := o
			plain.LossScale, plain.GradientNoise = 0, 0
			if made[plain] == nil {
				if made[plain], err = one(plain); err != nil {
					return nil, err
				}
			}
			f, err := o.perturb(made[plain])
			if err != nil {
				return nil, err
			}
			families = append(families, f)
		}
		return families, nil
	}
	pool := newPool(len(all))
	switch name {
	case "quadratic":
		return each(func(o Options) (optimizer.Family, error) {
			return small(name, o, Quadratic{Dims: o.Dims, Batch: o.Batch, Condition: o.Condition}, "Dims Batch Condition")
		})
	case "quadratic-uniform":
		return each(func(o Options) (optimizer.Family, error) {
			return small(name, o, QuadraticUniform{Dims: o.Dims, Batch: o.Batch, Condition: o.Condition}, "Dims Batch Condition")
		})
	case "rosenbrock":
		return each(func(o Options) (optimizer.Family, error) {
			return small(name, o, Rosenbrock{Dims: o.Dims, Batch: o.Batch}, "Dims Batch")
		})
	case "mnist", "fashion-mnist":
		load := sync.OnceValues(func() (*Dataset, error) {
			dir, err := DataDir(all[0].DataDir)
			if err != nil {
				return nil, err
			}
			return LoadIDXDataset(dir, name)
		})
		return each(func(o Options) (optimizer.Family, error) {
			return classifierOf(name, o, "Units Layers Activation InitScale Batch DataDir", load, pool)
		})
	case "digits":
		load := sync.OnceValues(Digits)
		return each(func(o Options) (optimizer.Family, error) {
			return classifierOf(name, o, "Units Layers Activation InitScale Batch", load, pool)
		})
	}
	return nil, fmt.Errorf("tasks: no task %q, did you mean %q? The tasks are %s", name, nearest.Name(name, Names()), strings.Join(Names(), ", "))
}

// perturb returns f as LossScale and GradientNoise want it: f itself where they are 1 and 0.
func (o Options) perturb(f optimizer.Family) (optimizer.Family, error) {
	p := Perturbed{Family: f, Scale: o.LossScale, Noise: o.GradientNoise}
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if p.scale() == 1 && p.Noise == 0 {
		return f, nil
	}
	return p, nil
}

// small returns a family of small functions if its options are right.
func small(name string, o Options, f interface {
	optimizer.Family
	Validate() error
}, applies string) (optimizer.Family, error) {
	if err := o.only(name, applies); err != nil {
		return nil, err
	}
	if err := f.Validate(); err != nil {
		return nil, err
	}
	return f, nil
}

// classifierOf checks the options before it loads the data.
func classifierOf(name string, o Options, applies string, load func() (*Dataset, error), pool *pool) (optimizer.Family, error) {
	if err := o.only(name, applies); err != nil {
		return nil, err
	}
	c := ClassifierConfig{Units: o.Units, Layers: o.Layers, Activation: o.Activation, Batch: o.Batch, InitScale: o.InitScale}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	data, err := load()
	if err != nil {
		return nil, err
	}
	f, err := newClassifier(data, c, pool)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// only returns an error if an option outside the list applies is set.
func (o Options) only(task, applies string) error {
	set := []struct {
		name string
		set  bool
	}{
		{"Units", o.Units != 0}, {"Layers", o.Layers != 0}, {"Activation", o.Activation != ""},
		{"InitScale", o.InitScale != 0}, {"Batch", o.Batch != 0}, {"Dims", o.Dims != 0}, {"Condition", o.Condition != 0},
		{"DataDir", o.DataDir != ""},
	}
	for _, option := range set {
		if option.set && !slices.Contains(strings.Fields(applies), option.name) {
			return fmt.Errorf("tasks: %s does not apply to the task %s; its options are %s",
				option.name, task, strings.Join(append(strings.Fields(applies), "LossScale", "GradientNoise"), ", "))
		}
	}
	return nil
}
