// Package reproduce makes the figures of Andrychowicz et al. 2016 (arXiv:1606.04474) again, and the table of results:
// it tunes the hand-designed rules, runs them and the learned optimizers on fresh instances, and draws and tells what
// came of it beside the paper's values.
//
//	r, err := reproduce.New(reproduce.Config{Target: "quadratics", Out: "results"}, listener)
//	drawn, err := r.Figure(ctx, "quadratics") // its files are written
//	err = drawn.Write(os.Stdout, report.Table)
//
// What is computed is kept in the folder's cache, one file for each tuning and each evaluation: an interrupted
// reproduction continues where it was. The package prints nothing: a Listener hears how far it is.
package reproduce

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"learnedopt/baselines"
	"learnedopt/compare"
	"learnedopt/internal/nearest"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
	"learnedopt/recipe"
	"learnedopt/tasks"
	"learnedopt/versus"
)

// DefaultData is the data set of the paper's classifiers.
const DefaultData = "mnist"

// DefaultOut returns the folder to write to if none is named.
func DefaultOut() string { return filepath.Join("runs", "reproduce") }

// An Optimizer is a learned optimizer by the name that tables and pictures call it.
type Optimizer struct {
	Name string
	// Path is the file, or pretrained:NAME, in the command lines that are written beside the results.
	Path string
	*metaopt.Optimizer
}

// A Config says what to reproduce. Only Target has no default.
type Config struct {
	// Target is a figure's name, Table, or All.
	Target string
	// Optimizers are the learned optimizers. One figure gets all of them; of several targets each gets the optimizers
	// that were meta-trained on its kind of task, or else one that ships with package metaopt.
	Optimizers []Optimizer
	// Runs, TuneRuns and Grid are those of versus.Config; 0 means its defaults. Long comparisons are tuned with less
	// (baselines.Effort).
	Runs, TuneRuns, Grid int
	// Seed is the seed of all instances.
	Seed uint64
	// Data is the data set in place of MNIST, "" is DefaultData. The paper's values are of MNIST alone.
	Data string
	// DataDir is the folder of the data sets; "" means what package tasks takes.
	DataDir string
	// Rows are names of rows of the table; none means all.
	Rows []string
	// Out is the folder to write to; "" means DefaultOut.
	Out string
	// Quick leaves out most architectures of the figure that has many.
	Quick bool
	// Fresh computes everything again, whatever the cache holds.
	Fresh bool
}

// Validate says what is wrong with c.
func (c Config) Validate() error {
	targets := append(FigureNames(), Table, All)
	if !slices.Contains(targets, c.Target) {
		return fmt.Errorf("reproduce: there is no target %q%s There are %s", c.Target, nearest.DidYouMean(c.Target, targets), strings.Join(targets, ", "))
	}
	if c.Runs < 0 || c.TuneRuns < 0 || c.Grid < 0 {
		return fmt.Errorf("reproduce: %d runs, %d to tune on, %d learning rates a decade: each must be positive, or 0 for its default", c.Runs, c.TuneRuns, c.Grid)
	}
	for _, name := range c.Rows {
		if !slices.Contains(RowNames(), name) {
			return fmt.Errorf("reproduce: there is no row %q%s There are %s", name, nearest.DidYouMean(name, RowNames()), strings.Join(RowNames(), ", "))
		}
	}
	return nil
}

// A Reproduction is under way.
type Reproduction struct {
	Config
	listener Listener
	store    *store
	entrants []entrant // the optimizers named by the user
	shipped  map[string]entrant
	one      bool // whether there is only one target
}

// New prepares a reproduction. It finds out ahead of a long computation whether there are data and optimizers
// (*TaskError, *NoOptimizerError), and only then makes the folder (*FolderError). l may be nil.
func New(c Config, l Listener) (*Reproduction, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c.Runs, c.TuneRuns, c.Grid = cmp.Or(c.Runs, versus.DefaultRuns), cmp.Or(c.TuneRuns, versus.DefaultTuneRuns), cmp.Or(c.Grid, versus.DefaultGrid)
	c.Data, c.Out = cmp.Or(c.Data, DefaultData), cmp.Or(c.Out, DefaultOut())
	r := &Reproduction{Config: c, listener: l, shipped: map[string]entrant{}, one: c.Target != All && c.Target != Table}
	for _, o := range c.Optimizers {
		e, err := newEntrant(o)
		if err != nil {
			return nil, err
		}
		r.entrants = append(r.entrants, e)
	}
	r.store = &store{listener: l, dir: filepath.Join(c.Out, "cache"), fresh: c.Fresh}
	if err := r.check(c.Target); err != nil {
		return nil, err
	}
	if err := makeFolder(r.store.dir); err != nil {
		return nil, err
	}
	return r, nil
}

// Cache returns the folder of what is finished.
func (r *Reproduction) Cache() string { return r.store.dir }

func makeFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return &FolderError{err}
	}
	return nil
}

// check returns an error if data or optimizers are missing. It is called before a long computation.
func (r *Reproduction) check(target string) error {
	one := func(task, options string) error {
		if _, err := r.family(task, options); err != nil {
			return err
		}
		_, err := r.learned(task)
		return err
	}
	if target == Table {
		for _, row := range r.chosenRows() {
			if err := one(row.task, row.options); err != nil {
				return err
			}
		}
		return nil
	}
	for _, f := range figures {
		if target == All || target == f.Name {
			if err := one(f.task, f.options); err != nil {
				return err
			}
		}
	}
	return nil
}

// family returns a task with options. The task mnist is on the data set of --data.
func (r *Reproduction) family(task, options string) (optimizer.Family, error) {
	if task == mnistTask {
		task = r.Data
	}
	spec, err := tasks.Parse(task + " " + options)
	if err != nil {
		return nil, &TaskError{err}
	}
	families, err := tasks.Families(r.DataDir, spec)
	if err != nil {
		return nil, &TaskError{err}
	}
	return families[0], nil
}

// asPublished says whether the paper's values apply to this task: its data set must be the paper's.
func (r *Reproduction) asPublished(task string) bool { return task != mnistTask || r.Data == mnistTask }

// learned returns the optimizers to run on a task. If there is only one target, these are all optimizers named by the user.
// Otherwise these are the named optimizers that were meta-trained on the task, else on its kind of task, else the pretrained
// optimizer.
func (r *Reproduction) learned(task string) ([]entrant, error) {
	if r.one && len(r.entrants) > 0 {
		return r.entrants, nil
	}
	word := func(e entrant) string {
		first, _, _ := strings.Cut(e.optimizer.Provenance.Task, " ")
		return first
	}
	quadratic := func(task string) bool { return strings.HasPrefix(task, "quadratic") }
	for _, fits := range []func(entrant) bool{
		func(e entrant) bool { return quadratic(task) && word(e) == task },
		func(e entrant) bool { return quadratic(task) == quadratic(word(e)) },
	} {
		if some := slices.DeleteFunc(slices.Clone(r.entrants), func(e entrant) bool { return !fits(e) }); len(some) > 0 {
			return some, nil
		}
	}
	wanted := []string{"mlp"}
	if quadratic(task) {
		wanted = []string{task, "quadratic", "quadratic-uniform"}
	}
	for _, name := range wanted {
		if !slices.Contains(metaopt.PretrainedNames(), name) {
			continue
		}
		if e, ok := r.shipped[name]; ok {
			return []entrant{e}, nil
		}
		o, err := metaopt.Pretrained(name)
		if err != nil {
			return nil, err
		}
		e, err := newEntrant(Optimizer{Name: o.Name(), Path: "pretrained:" + name, Optimizer: o})
		if err != nil {
			return nil, err
		}
		r.shipped[name] = e
		return []entrant{e}, nil
	}
	return nil, &NoOptimizerError{task}
}

// versus returns the comparison on a task. Tuning for long runs uses fewer instances and learning rates.
func (r *Reproduction) versus(task, options string, steps int) (versus.Config, error) {
	family, err := r.family(task, options)
	v := versus.Config{Family: family, Steps: steps, Runs: r.Runs, Seed: r.Seed, Rules: defaultRules}
	v.TuneRuns, v.Grid = baselines.Effort(steps, r.TuneRuns, r.Grid)
	return v, err
}

// compareCommand returns the command line that prints the comparison of an entrant.
func compareCommand(v versus.Config, path string) string {
	args := append([]string{"metaopt", "compare", path}, tasks.MustParse(v.Family.Name()).Args()...)
	args = append(args, "--steps", fmt.Sprint(v.Steps), "--runs", fmt.Sprint(v.Runs), "--tune-runs", fmt.Sprint(v.TuneRuns))
	if v.Grid != versus.DefaultGrid {
		args = append(args, "--grid", fmt.Sprint(v.Grid))
	}
	args = append(args, "--seed", fmt.Sprint(v.Seed))
	for i, arg := range args {
		args[i] = recipe.Quote(arg)
	}
	return strings.Join(args, " ")
}

// short prints three significant digits.
func short(x float64) string {
	if s := fmt.Sprintf("%.3g", x); compare.Number(x).Finite() {
		return s
	}
	return "–"
}
