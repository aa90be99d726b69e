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
	// small makes a family that needs no data, else it is nil.
	small func(o Options) smallFamily
	// images reads the data set of a classifier; files says that it is read from the folder dir.
	images func(dir, name string) (*Dataset, error)
	files  bool
	// own says that the data are the user's own; data names them, as "iris@0123456789abcdef", and name ends with them.
	own  bool
	data string
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
	{name: "factorization", kind: factorizations, small: func(o Options) smallFamily { return Factorization{o.Dims, o.Batch} }},
	{name: "sinusoid", kind: sinusoids, small: func(o Options) smallFamily {
		return Sinusoid{o.Dims, o.Units, o.Layers, o.Activation, o.Batch, o.WeightInit, o.InitScale}
	}},
	{name: "equilibrium", kind: equilibria, small: func(o Options) smallFamily { return Equilibrium{o.Dims, o.Batch} }},
	{name: "maxent", kind: entropies, small: func(o Options) smallFamily { return MaxEnt{o.Dims, o.Batch} }},
	{name: "denoising", kind: signals, small: func(o Options) smallFamily { return Denoising{o.Dims, o.Batch} }},
	{name: "sudoku", kind: puzzles, small: func(o Options) smallFamily { return Sudoku{o.Batch} }},
	{name: "chain", kind: chains, small: func(o Options) smallFamily { return Chain{o.Dims, o.Batch} }},
	{name: "mnist", kind: images28, images: imagesIn, files: true},
	{name: "fashion-mnist", kind: images28, images: imagesIn, files: true},
	{name: "digits", kind: images28, images: func(string, string) (*Dataset, error) { return Digits() }},
	{name: cifarName, kind: images32, images: cifarIn, files: true},
	{name: cifarGreyName, kind: images32, images: cifarIn, files: true},
	{name: imagesName, kind: images, own: true, files: true},
	{name: tableName, kind: tables, own: true, files: true},
	{name: regressionName, kind: regressions, own: true, files: true},
	{name: charRNNName, kind: textTasks, own: true, files: true},
}

// imagesIn reads a data set from files.
func imagesIn(dir, name string) (*Dataset, error) {
	dir, err := DataDir(dir)
	if err != nil {
		return nil, err
	}
	return LoadIDXDataset(dir, name)
}

// cifarIn reads CIFAR-10 in colour or grey.
func cifarIn(dir, name string) (*Dataset, error) {
	dir, err := DataDir(dir)
	if err != nil {
		return nil, err
	}
	return loadCIFAR10(dir, name)
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
	base, data := splitTask(name)
	i := slices.IndexFunc(catalog, func(t task) bool { return t.name == base })
	switch {
	case i >= 0:
		return catalog[i].withData(name, data)
	case name == "":
		return task{}, errNoTask
	}
	return task{}, fmt.Errorf("tasks: no task %q%s The tasks are %s", name, nearest.DidYouMean(base, Names()), strings.Join(Names(), ", "))
}

// readerOf returns the kinds of the tasks of a Spec, which say what options they read; 0 if it has no task.
func readerOf(s Spec) (kinds kindOfTask) {
	of, err := s.tasks()
	if err != nil {
		return 0
	}
	for _, t := range of {
		kinds |= t.kind | losses
	}
	return kinds
}

// dataDirKey is the name of Options.DataDir, which has no row in the table.
const dataDirKey = "data-dir"

// reads returns an *OptionError if the task, with the options that are set, does not read an option that is set.
func (t task) reads(set lists, dataDir string) error {
	var keys, wrong []string
	kinds, name := set.kinds(t.kind|losses), t.name
	if t.kind&classifiers != 0 && kinds&perceptrons == 0 {
		name += " with " + channelsKey
	}
	for _, i := range naming {
		if _, reads := table[i].readBy(kinds); reads {
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
	return &OptionError{wrong[0], name, keys}
}

// check reports the first mistake in the options that the task reads.
func (t task) check(o Options) error {
	if err := t.needsData(); err != nil {
		return err
	}
	// The family does not matter here: only the scale and the noise are checked.
	if _, err := o.perturb(Convex{}); err != nil {
		return err
	}
	if t.small != nil {
		return t.small(o).Validate()
	}
	if side := t.side(); side > 0 && o.ImageSize > side {
		return fmt.Errorf("tasks: image-size %d with the task %s, whose images have %d×%d pixels; take at most %d", o.ImageSize, t.name, side, side, side)
	}
	if err := o.validateChannels(t.side()); err != nil {
		return err
	}
	return o.validateNetwork(t.kind)
}

// side returns the side of the images in pixels, 0 if only the data say it.
func (t task) side() int {
	var o Options
	return o.withDefaults(t.kind).ImageSize
}

// New returns the family of a task with one value for each option. An unknown name is an error
// that lists the known ones. An option that the task does not read is an *OptionError.
func New(name string, o Options) (optimizer.Family, error) {
	t, err := taskOf(name)
	if err != nil {
		return nil, err
	}
	if err := o.validateNumbers(); err != nil {
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
		for name := range strings.SplitSeq(s.task, ",") {
			total[name] += min(n, sharedNetworks+1)
		}
	}
	sources := sources{}
	var families []optimizer.Family
	for _, s := range specs {
		of, err := s.tasks()
		if err != nil {
			return nil, err
		}
		for _, t := range of {
			if sources[t.name] != nil {
				continue
			}
			if sources[t.name], err = t.open(dataDir, total[t.name]); err != nil {
				return nil, err
			}
		}
		f, err := sources.mixture(s)
		if err != nil {
			return nil, err
		}
		families = append(families, f)
	}
	return families, nil
}

// sources are open tasks by name.
type sources map[string]*source

// A source makes families of one task, which share its data set and its pool.
type source struct {
	task
	data  *Dataset  // of a classifier of images, else nil
	table *csvTable // of a table or a regression, else nil
	text  *Text     // of a char-rnn, else nil
	pool  *pool     // nil for a family of small functions
}

// open reads the task's data. Its pool has room for the given number of combinations of options.
func (t task) open(dataDir string, combinations uint64) (*source, error) {
	s := &source{task: t}
	if t.small != nil {
		return s, nil
	}
	s.pool = newPool(combinations)
	if t.own {
		return s, s.openOwn(dataDir)
	}
	var err error
	s.data, err = t.images(dataDir, t.name)
	return s, err
}

// family makes the family of one combination.
func (s *source) family(o Options) (optimizer.Family, error) {
	if s.small != nil {
		return o.perturb(s.small(o))
	}
	if s.text != nil {
		f, err := newCharRNN(s.text, o)
		if err != nil {
			return nil, err
		}
		return o.perturb(f)
	}
	if o.ImageSize == s.side() {
		o.ImageSize = 0 // the name does not have the task's default, so it means what no size means
	}
	data := s.data
	if s.table != nil {
		var err error
		if data, err = s.table.dataset(s.name, TableConfig{o.Target, o.Columns == rawColumns, s.kind == regressions}); err != nil {
			return nil, err
		}
	}
	f, err := newClassifier(data, o, Train, s.pool)
	if err != nil {
		return nil, err
	}
	return o.perturb(f)
}

// mixture makes the family of a valid Spec. The tasks change slowest in the order of its combinations.
func (s sources) mixture(spec Spec) (optimizer.Family, error) {
	choices := spec.lists()
	values, _ := choices.combinations()
	n, _ := spec.combinations()
	var (
		from []*source
		one  optimizer.Family
	)
	for name := range strings.SplitSeq(spec.task, ",") {
		from = append(from, s[name])
		// Make a family now: a mistake that depends on the data is then an error here and not in a later sample.
		var err error
		if one, err = s[name].family(choices.at(0)); err != nil {
			return nil, err
		}
		if err := s[name].checkOwn(choices); err != nil {
			return nil, err
		}
	}
	if n == 1 {
		return one, nil
	}
	return &Mixture{spec.String(), n, func(i uint64) (optimizer.Family, error) { return from[i/values].family(choices.at(i % values)) }}, nil
}

// checkOwn makes a family for each value of the options that data of the user's own may refuse.
func (s *source) checkOwn(choices lists) error {
	if !s.own {
		return nil
	}
	for i, row := range table {
		if !slices.Contains([]string{"image-size", channelsKey, "target", "columns"}, row.Key) {
			continue
		}
		for _, value := range choices[i] {
			o := choices.at(0)
			row.set(&o, value)
			if _, err := s.family(o); err != nil {
				return err
			}
		}
	}
	return nil
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
