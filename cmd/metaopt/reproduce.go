package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"learnedopt/baselines"
	"learnedopt/compare"
	"learnedopt/internal/nearest"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
	"learnedopt/recipe"
	"learnedopt/report"
	"learnedopt/tasks"
)

// reproduceFlags are the flags of metaopt reproduce.
type reproduceFlags struct {
	optimizers     []string
	runs, tuneRuns int
	grid           int
	seed           uint64
	dataDir, data  string
	rows           []string
	out            string
	quick, fresh   bool
	quiet          bool
}

// The reduced values under --quick.
const (
	quickRuns     = 4
	quickTuneRuns = 2
	quickGrid     = 1
)

func newReproduce(a *app) *cobra.Command {
	f := reproduceFlags{runs: defaultRuns, tuneRuns: defaultTuneRuns, grid: defaultGrid}
	cmd := &cobra.Command{
		Use:   "reproduce FIGURE",
		Short: "Reproduce figures of Andrychowicz et al. 2016, or the table of results",
		Long: `Reproduce a figure of Andrychowicz et al. 2016 (arXiv:1606.04474): tune the hand-designed
rules, run them and the learned optimizers on fresh instances, draw the curves with 95%
intervals and the paper's values beside them, and print both. Without a figure, list them.

The target "` + tableName + `" makes the table of results; "` + allName + `" draws all figures.

What is finished is kept in the folder's cache: an interrupted command continues where it
was, and with another optimizer the hand-designed rules are not tuned again. Of several
targets each gets the optimizers that were meta-trained on its kind of task, or else
a pretrained one.`,
		Example: `  metaopt reproduce mnist --optimizer optimizer.mopt
  metaopt reproduce quadratics --quick
  metaopt reproduce ` + tableName + ` --rows mnist-100,relu-100 --out results`,
		ValidArgs: append(figureNames(), tableName, allName, listName),
		Args:      reproduceArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			a.quiet = f.quiet
			set := cmd.Flags().Changed
			if len(args) == 0 || args[0] == listName {
				return listFigures(a.stdout)
			}
			if set("rows") && args[0] != tableName {
				return usagef("--rows is for metaopt reproduce %s", tableName)
			}
			if f.quick {
				for _, q := range []struct {
					flag  string
					p     *int
					value int
				}{{"runs", &f.runs, quickRuns}, {"tune-runs", &f.tuneRuns, quickTuneRuns}, {"grid", &f.grid, quickGrid}} {
					if !set(q.flag) {
						*q.p = q.value
					}
				}
			}
			return f.run(cmd.Context(), a, args[0])
		},
	}
	fs := cmd.Flags()
	fs.StringArrayVar(&f.optimizers, "optimizer", nil, "`FILE` of a learned optimizer, or pretrained:NAME; may be repeated (pretrained ones unless set)")
	fs.Var(countFlag{&f.runs, 1}, "runs", "fresh instances to compare on")
	fs.Var(countFlag{&f.tuneRuns, 1}, "tune-runs", "instances that learning rates are tuned on; fewer over more than 500 steps")
	fs.Var(countFlag{&f.grid, 1}, "grid", "learning rates tried for each decade from 1e-4 to 10; at most 3 over more than 1000 steps")
	fs.Var(seedFlag{&f.seed}, "seed", "seed of all instances")
	fs.Var(textFlag{&f.data, "NAME"}, "data", "data set in place of MNIST: fashion-mnist, digits")
	fs.Var(textFlag{&f.dataDir, "DIR"}, "data-dir", "folder of the data sets; else $"+tasks.DataDirEnv+", else the user's cache folder")
	fs.StringSliceVar(&f.rows, "rows", nil, tableName+": `NAMES` of rows, all unless set: "+strings.Join(rowNames(), ", "))
	fs.Var(textFlag{&f.out, "DIR"}, "out", "folder to write to (runs/reproduce unless set)")
	fs.BoolVar(&f.quick, "quick", false, "a glance: fewer runs, and a coarse grid of learning rates")
	fs.BoolVar(&f.fresh, "fresh", false, "compute everything again, whatever the cache holds")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "no progress, no remarks")
	complete(cmd, "rows", rowNames()...)
	complete(cmd, "data", mnistTask, "fashion-mnist", "digits")
	return cmd
}

func reproduceArgs(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) > 1:
		return usagef("%s draws one figure, or %s", cmd.CommandPath(), allName)
	case len(args) == 1 && !slices.Contains(cmd.ValidArgs, args[0]):
		return usagef("there is no figure %q, did you mean %q? There are %s", args[0], nearest.Name(args[0], cmd.ValidArgs), strings.Join(cmd.ValidArgs, ", "))
	}
	return nil
}

func listFigures(w io.Writer) error {
	var rows [][]string
	for _, f := range figures {
		rows = append(rows, []string{f.name, f.number, f.title})
	}
	rows = append(rows, []string{tableName, "", fmt.Sprintf("the table of results, %d rows", len(resultRows()))},
		[]string{allName, "", "all figures"})
	return report.Table(w, []string{"figure", "in the paper", "what"}, rows)
}

// A reproduction is a running metaopt reproduce.
type reproduction struct {
	*app
	reproduceFlags
	store    *store
	entrants []entrant // the optimizers named by the user
	shipped  map[string]entrant
	one      bool // whether there is only one target
}

func (f *reproduceFlags) run(ctx context.Context, a *app, target string) error {
	r := &reproduction{app: a, reproduceFlags: *f, shipped: map[string]entrant{}, one: target != allName && target != tableName}
	for _, name := range r.rows {
		if !slices.Contains(rowNames(), name) {
			return usagef("--rows: there is no row %q, did you mean %q? There are %s", name, nearest.Name(name, rowNames()), strings.Join(rowNames(), ", "))
		}
	}
	if r.data == "" {
		r.data = mnistTask
	}
	optimizers, err := loadAll(r.optimizers)
	if err != nil {
		return err
	}
	for i, name := range distinctNames(r.optimizers, optimizers, defaultRules) {
		e, err := newEntrant(r.optimizers[i])
		if err != nil {
			return err
		}
		e.name = name
		r.entrants = append(r.entrants, e)
	}
	if r.out == "" {
		r.out = filepath.Join("runs", "reproduce")
	}
	r.store = &store{app: a, dir: filepath.Join(r.out, "cache"), fresh: r.fresh}
	if err := r.check(target); err != nil {
		return err
	}
	if err := os.MkdirAll(r.store.dir, 0o755); err != nil {
		return fmt.Errorf("%w; choose another folder with --out", err)
	}
	switch target {
	case tableName:
		err = r.table(ctx)
	case allName:
		for _, fig := range figures {
			if err = r.figure(ctx, fig); err != nil {
				break
			}
		}
	default:
		err = r.figure(ctx, figures[slices.Index(figureNames(), target)])
	}
	if errors.Is(err, context.Canceled) {
		return &interruptedError{fmt.Sprintf("interrupted; what was finished is in %s, and the same command continues", r.store.dir)}
	}
	return err
}

// check returns an error if data or optimizers are missing. It is called before a long computation.
func (r *reproduction) check(target string) error {
	one := func(task, options string) error {
		if _, err := r.family(task, options); err != nil {
			return err
		}
		_, err := r.learned(task)
		return err
	}
	if target == tableName {
		for _, row := range r.chosenRows() {
			if err := one(row.task, row.options); err != nil {
				return err
			}
		}
		return nil
	}
	for _, f := range figures {
		if target == allName || target == f.name {
			if err := one(f.task, f.options); err != nil {
				return err
			}
		}
	}
	return nil
}

// family returns a task with options. The task mnist is on the data set of --data.
func (r *reproduction) family(task, options string) (optimizer.Family, error) {
	if task == mnistTask {
		task = r.data
	}
	spec, err := tasks.Parse(task + " " + options)
	if err != nil {
		return nil, taskError(err)
	}
	families, err := tasks.Families(r.dataDir, spec)
	if err != nil {
		return nil, taskError(err)
	}
	return families[0], nil
}

// asPublished says whether the paper's values apply to this task: its data set must be the paper's.
func (r *reproduction) asPublished(task string) bool { return task != mnistTask || r.data == mnistTask }

// learned returns the optimizers to run on a task. If there is only one target, these are all optimizers named by the user.
// Otherwise these are the named optimizers that were meta-trained on the task, else on its kind of task, else the pretrained
// optimizer.
func (r *reproduction) learned(task string) ([]entrant, error) {
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
		e, err := newEntrant(pretrainedPrefix + name)
		r.shipped[name] = e
		return []entrant{e}, err
	}
	return nil, usagef("no optimizer that ships with the program is for %s; name one with --optimizer", task)
}

// versus returns the comparison on a task. Tuning for long runs uses fewer instances and learning rates.
func (r *reproduction) versus(task, options string, steps int) (versus, error) {
	family, err := r.family(task, options)
	v := versus{family: family, steps: steps, runs: r.runs, seed: r.seed, rules: defaultRules}
	v.tuneRuns, v.grid = baselines.Effort(steps, r.tuneRuns, r.grid)
	return v, err
}

// compareCommand returns the command line that prints the comparison of an entrant.
func (v versus) compareCommand(path string) string {
	args := append([]string{"metaopt", "compare", path}, taskArgs(v.family.Name())...)
	args = append(args, "--steps", fmt.Sprint(v.steps), "--runs", fmt.Sprint(v.runs), "--tune-runs", fmt.Sprint(v.tuneRuns))
	if v.grid != defaultGrid {
		args = append(args, "--grid", fmt.Sprint(v.grid))
	}
	args = append(args, "--seed", fmt.Sprint(v.seed))
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
