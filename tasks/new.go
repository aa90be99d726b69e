package tasks

import (
	"fmt"
	"slices"
	"strings"

	"learnedopt/internal/nearest"
	"learnedopt/optimizer"
)

// A task is what a name stands for.
type task struct {
	name string
	kind kindOfTask
	// small makes a family that needs no data; nil of classifiers.
	small func(o Options) smallFamily
	// images reads the data set of classifiers; files says that it lies in the folder dir.
	images func(dir, name string) (*Dataset, error)
	files  bool
}

// A smallFamily is a family of small functions, with what is wrong with it.
type smallFamily interface {
	optimizer.Family
	Validate() error
}

// catalog has the tasks in the order of Names.
var catalog = []task{
	{name: "quadratic", kind: quadratics, small: func(o Options) smallFamily { return Quadratic{o.Dims, o.Batch, o.Condition} }},
	{name: "quadratic-uniform", kind: quadratics, small: func(o Options) smallFamily { return QuadraticUniform{o.Dims, o.Batch, o.Condition} }},
	{name: "rosenbrock", kind: rosenbrocks, small: func(o Options) smallFamily { return Rosenbrock{o.Dims, o.Batch} }},
	{name: "mnist", kind: classifiers, images: imagesIn, files: true},
	{name: "fashion-mnist", kind: classifiers, images: imagesIn, files: true},
	{name: "digits", kind: classifiers, images: func(string, string) (*Dataset, error) { return Digits() }},
}

// imagesIn reads a data set of files.
func imagesIn(dir, name string) (*Dataset, error) {
	dir, err := DataDir(dir)
	if err != nil {
		return nil, err
	}
	return LoadIDXDataset(dir, name)
}

// Names returns the names of the tasks.
func Names() []string {
	var names []string
	for _, t := range catalog {
		names = append(names, t.name)
	}
	return names
}

// taskOf returns the task of a name. An unknown one is an error that lists the names.
func taskOf(name string) (task, error) {
	i := slices.IndexFunc(catalog, func(t task) bool { return t.name == name })
	switch {
	case i >= 0:
		return catalog[i], nil
	case name == "":
		return task{}, errNoTask
	}
	return task{}, fmt.Errorf("tasks: no task %q, did you mean %q? The tasks are %s", name, nearest.Name(name, Names()), strings.Join(Names(), ", "))
}

// readerOf is what options a task reads; none if there is no such task.
func readerOf(name string) kindOfTask {
	t, err := taskOf(name)
	if err != nil {
		return 0
	}
	return t.kind | losses
}

// dataDirKey is the name of Options.DataDir, which is no option of the table.
const dataDirKey = "data-dir"

// reads returns an *OptionError if an option is set that the task does not read.
func (t task) reads(set lists, dataDir string) error {
	var keys, wrong []string
	for _, i := range naming {
		if _, reads := table[i].readBy(t.kind | losses); reads {
			keys = append(keys, table[i].Key)
		} else if set[i] != nil {
			wrong = append(wrong, table[i].Key)
		}
	}
	if t.files {
		keys = append(keys, dataDirKey)
	} else if dataDir != "" {
		wrong = append(wrong, dataDirKey)
	}
	if len(wrong) == 0 {
		return nil
	}
	return &OptionError{wrong[0], t.name, keys}
}

// check says what is wrong with options that the task reads.
func (t task) check(o Options) error {
	// What is perturbed does not matter.
	if _, err := o.perturb(Convex{}); err != nil {
		return err
	}
	if t.small != nil {
		return t.small(o).Validate()
	}
	return o.validateClassifier()
}

// New returns the family of a task with one value of each option. An unknown name is an error
// that lists the names, and an option that the task does not read is an *OptionError.
func New(name string, o Options) (optimizer.Family, error) {
	t, err := taskOf(name)
	if err != nil {
		return nil, err
	}
	if err := t.reads(o.lists(), o.DataDir); err != nil {
		return nil, err
	}
	if err := t.check(o); err != nil {
		return nil, err
	}
	s, err := t.open(o.DataDir, 1)
	if err != nil {
		return nil, err
	}
	return s.family(o)
}

// Families returns the family of each Spec, as Spec.Family does. Classifiers of one data set
// among them share its images and their pool of compiled networks, so that many shapes need no more
// memory than one, beside what is in use. dataDir is for those that read files.
func Families(dataDir string, specs ...Spec) ([]optimizer.Family, error) {
	total := map[string]uint64{} // combinations of a task
	for _, s := range specs {
		if err := s.Validate(); err != nil {
			return nil, err
		}
		n, _ := s.lists().combinations()
		total[s.task] += min(n, sharedNetworks+1)
	}
	sources := map[string]*source{}
	var families []optimizer.Family
	for _, s := range specs {
		from := sources[s.task]
		if from == nil {
			t, err := taskOf(s.task)
			if err != nil {
				return nil, err
			}
			if from, err = t.open(dataDir, total[s.task]); err != nil {
				return nil, err
			}
			sources[s.task] = from
		}
		f, err := from.mixture(s)
		if err != nil {
			return nil, err
		}
		families = append(families, f)
	}
	return families, nil
}

// A source makes families of one task, which share what a source has.
type source struct {
	task
	data *Dataset // of classifiers
	pool *pool
}

// open reads the data for families of so many combinations of options.
func (t task) open(dataDir string, combinations uint64) (*source, error) {
	s := &source{task: t}
	if t.images == nil {
		return s, nil
	}
	s.pool = newPool(combinations)
	var err error
	s.data, err = t.images(dataDir, t.name)
	return s, err
}

// family makes the family of one combination.
func (s *source) family(o Options) (optimizer.Family, error) {
	if s.small != nil {
		return o.perturb(s.small(o))
	}
	f, err := newClassifier(s.data, o, Train, s.pool)
	if err != nil {
		return nil, err
	}
	return o.perturb(f)
}

// mixture makes the family of a valid Spec.
func (s *source) mixture(spec Spec) (optimizer.Family, error) {
	choices := spec.lists()
	// What is wrong with the data shows here, and not in some later sample.
	one, err := s.family(choices.at(0))
	n, _ := choices.combinations()
	if err != nil || n == 1 {
		return one, err
	}
	return &Mixture{spec.String(), n, func(i uint64) (optimizer.Family, error) { return s.family(choices.at(i)) }}, nil
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
