package tasks

import (
	"fmt"
	"slices"
	"strings"

	"learnedopt/internal/nearest"
	"learnedopt/optimizer"
)

// A task is an entry of the catalog: a name and how to make its families.
type task struct {
	name string
	kind kindOfTask
	// small makes a family that needs no data; it is nil for classifiers.
	small func(o Options) smallFamily
	// images reads the data set of a classifier; files says that it is read from the folder dir.
	images func(dir, name string) (*Dataset, error)
	files  bool
}

// A smallFamily is a family of small functions that can check itself.
type smallFamily interface {
	optimizer.Family
	Validate() error
}

// catalog holds the tasks in the order of Names.
var catalog = []task{
	{name: "quadratic", kind: quadratics, small: func(o Options) smallFamily { return Quadratic{o.Dims, o.Batch, o.Condition} }},
	{name: "quadratic-uniform", kind: quadratics, small: func(o Options) smallFamily { return QuadraticUniform{o.Dims, o.Batch, o.Condition} }},
	{name: "rosenbrock", kind: rosenbrocks, small: func(o Options) smallFamily { return Rosenbrock{o.Dims, o.Batch} }},
	{name: "mnist", kind: classifiers, images: imagesIn, files: true},
	{name: "fashion-mnist", kind: classifiers, images: imagesIn, files: true},
	{name: "digits", kind: classifiers, images: func(string, string) (*Dataset, error) { return Digits() }},
}

// imagesIn reads a data set from files.
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

// taskOf returns the task of a name. An unknown name is an error that lists the known ones.
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

// readerOf returns the kind of a task, which says what options it reads; 0 if there is no such task.
func readerOf(name string) kindOfTask {
	t, err := taskOf(name)
	if err != nil {
		return 0
	}
	return t.kind | losses
}

// dataDirKey is the name of Options.DataDir, which has no row in the table.
const dataDirKey = "data-dir"

// reads returns an *OptionError if the task does not read an option that is set.
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

// check reports the first mistake in the options that the task reads.
func (t task) check(o Options) error {
	// The family does not matter here: only the scale and the noise are checked.
	if _, err := o.perturb(Convex{}); err != nil {
		return err
	}
	if t.small != nil {
		return t.small(o).Validate()
	}
	return o.validateClassifier()
}

// New returns the family of a task with one value for each option. An unknown name is an error
// that lists the known ones. An option that the task does not read is an *OptionError.
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

// Families returns the family of each Spec, as Spec.Family does. Classifiers on the same data set
// share its images and a pool of idle compiled networks. Apart from networks in use, many shapes therefore
// need hardly more memory than one. dataDir is the folder for tasks that read files.
func Families(dataDir string, specs ...Spec) ([]optimizer.Family, error) {
	total := map[string]uint64{} // number of combinations of each task
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

// A source makes families of one task, which share its data set and its pool.
type source struct {
	task
	data *Dataset // nil unless the task is a classifier, as pool
	pool *pool
}

// open reads the task's data. Its pool has room for the given number of combinations of options.
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
	// Make the first family now: a mistake that depends on the data is then an error here and not in a later sample.
	one, err := s.family(choices.at(0))
	n, _ := choices.combinations()
	if err != nil || n == 1 {
		return one, err
	}
	return &Mixture{spec.String(), n, func(i uint64) (optimizer.Family, error) { return s.family(choices.at(i)) }}, nil
}

// perturb returns f with LossScale and GradientNoise applied; it returns f itself if they are 1 and 0.
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
