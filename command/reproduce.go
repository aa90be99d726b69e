package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"learnedopt/internal/nearest"
	"learnedopt/report"
	"learnedopt/reproduce"
	"learnedopt/studies"
	"learnedopt/tasks"
)

// reproduceFlags are the flags of metaopt reproduce.
type reproduceFlags struct {
	optimizers     []string
	runs, tuneRuns int
	grid, steps    int
	seed           uint64
	dataDir, data  string
	rows           []string
	sizes          []int
	out            string
	quick, fresh   bool
	quiet          bool
}

// listName is the argument that lists the targets. No argument does the same.
const listName = "list"

// sizedStudy is the study that reads --sizes.
const sizedStudy = "inner-solver"

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
		Short: "Reproduce the figures of a paper, the table of results, or a study",
		Long: `Reproduce a figure of Andrychowicz et al. 2016 (arXiv:1606.04474): tune the hand-designed
rules, run them and the learned optimizers on fresh instances, draw the curves with 95%
intervals and the paper's values beside them, and print both. Without a figure, list them.

The target "` + reproduce.Table + `" makes the table of results; "` + reproduce.All + `" draws all figures.

What is finished is kept in the folder's cache: an interrupted command continues where it
was, and with another optimizer the hand-designed rules are not tuned again. Of several
targets each gets the optimizers that were meta-trained on its kind of task, or else
a pretrained one.

The studies are
` + strings.Join(studyNames(), ", ") + `.
They read only --seed, --data-dir, --out, --quick and --optimizer; ` + strings.Join(trainingNames(), ", ") + `
reads --steps, --runs, --data and --rows in place of --optimizer, and
` + sizedStudy + ` also reads --sizes.`,
		Example: `  metaopt reproduce mnist --optimizer optimizer.mopt
  metaopt reproduce quadratics --quick
  metaopt reproduce ` + reproduce.Table + ` --rows mnist-100,relu-100 --out results`,
		ValidArgs: slices.Concat(reproduce.FigureNames(), []string{reproduce.Table, reproduce.All}, studyNames(), []string{listName}),
		Args:      reproduceArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			a.quiet = f.quiet
			set := cmd.Flags().Changed
			if len(args) == 0 || args[0] == listName {
				return listFigures(a.stdout)
			}
			if err := oneKind("reproduce", f.out); err != nil {
				return err
			}
			if slices.Contains(studyNames(), args[0]) {
				if err := f.checkStudy(args[0], set); err != nil {
					return err
				}
				runs := 0 // the study's own number
				if set("runs") {
					runs = f.runs
				}
				return f.study(cmd.Context(), a, args[0], runs)
			}
			if set("steps") {
				return usagef("--steps is for the study %s", oneOf(trainingNames()))
			}
			if set("sizes") {
				return usagef("--sizes is for metaopt reproduce %s", sizedStudy)
			}
			if set("rows") && args[0] != reproduce.Table {
				return usagef("--rows is for metaopt reproduce %s", reproduce.Table)
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
	fs.Var(countFlag{&f.steps, 1}, "steps", strings.Join(trainingNames(), ", ")+": steps of each run (two epochs unless set)")
	fs.StringSliceVar(&f.rows, "rows", nil, reproduce.Table+": `NAMES` of rows, all unless set: "+strings.Join(reproduce.RowNames(), ", ")+
		"; natural-gradient: "+strings.Join(studies.RowNames(), ", "))
	fs.IntSliceVar(&f.sizes, "sizes", nil, sizedStudy+": `NUMBERS` of variables, 8 to 4000 (64,200,729 unless set)")
	fs.Var(textFlag{&f.out, "DIR"}, "out", "folder to write to (runs/reproduce unless set)")
	fs.BoolVar(&f.quick, "quick", false, "a glance: fewer runs, and a coarse grid of learning rates")
	fs.BoolVar(&f.fresh, "fresh", false, "compute everything again, whatever the cache holds")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "no progress, no remarks")
	complete(cmd, "rows", slices.Concat(reproduce.RowNames(), studies.RowNames())...)
	complete(cmd, "data", reproduce.DefaultData, "fashion-mnist", "digits")
	return cmd
}

func reproduceArgs(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) > 1:
		return usagef("%s draws one figure, or %s", cmd.CommandPath(), reproduce.All)
	case len(args) == 1 && !slices.Contains(cmd.ValidArgs, args[0]):
		return usagef("there is no figure %q%s There are %s", args[0], nearest.DidYouMean(args[0], cmd.ValidArgs), strings.Join(cmd.ValidArgs, ", "))
	}
	return nil
}

func listFigures(w io.Writer) error {
	var rows [][]string
	for _, f := range reproduce.Figures() {
		rows = append(rows, []string{f.Name, f.Number, f.Title})
	}
	rows = append(rows, []string{reproduce.Table, "", fmt.Sprintf("the table of results, %d rows", len(reproduce.RowNames()))},
		[]string{reproduce.All, "", "all figures"})
	for _, s := range studies.All() {
		rows = append(rows, []string{s.Name, "", s.Title})
	}
	return report.Table(w, []string{"figure", "in the paper", "what"}, rows)
}

// config returns the configuration that the flags describe.
func (f *reproduceFlags) config(target string) (reproduce.Config, error) {
	c := reproduce.Config{
		Target: target, Runs: f.runs, TuneRuns: f.tuneRuns, Grid: f.grid, Seed: f.seed, Data: f.data, DataDir: f.dataDir,
		Rows: f.rows, Out: f.out, Quick: f.quick, Fresh: f.fresh,
	}
	for _, name := range f.rows {
		if names := reproduce.RowNames(); !slices.Contains(names, name) {
			return c, usagef("--rows: there is no row %q%s There are %s", name, nearest.DidYouMean(name, names), strings.Join(names, ", "))
		}
	}
	optimizers, err := loadAll(f.optimizers)
	if err != nil {
		return c, err
	}
	for i, name := range distinctNames(f.optimizers, optimizers, defaultRules) {
		c.Optimizers = append(c.Optimizers, reproduce.Optimizer{Name: name, Path: f.optimizers[i], Optimizer: optimizers[i]})
	}
	return c, nil
}

func (f *reproduceFlags) run(ctx context.Context, a *app, target string) error {
	c, err := f.config(target)
	if err != nil {
		return err
	}
	r, err := reproduce.New(c, &reproducing{comparing{app: a}})
	if err != nil {
		return reproduceError(err)
	}
	switch target {
	case reproduce.Table:
		err = a.table(ctx, r)
	case reproduce.All:
		for _, name := range reproduce.FigureNames() {
			if err = a.figure(ctx, r, name); err != nil {
				break
			}
		}
	default:
		err = a.figure(ctx, r, target)
	}
	if errors.Is(err, context.Canceled) {
		return &interruptedError{fmt.Sprintf("interrupted; what was finished is in %s, and the same command continues", r.Cache())}
	}
	return reproduceError(err)
}

// figure makes a figure and prints its table.
func (a *app) figure(ctx context.Context, r *reproduce.Reproduction, name string) error {
	d, err := r.Figure(ctx, name)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s (%s): %s\n\n", d.Name, d.Number, d.Title)
	if err := d.Write(a.stdout, report.Table); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "\nWritten to %s: %s\n\n", d.Dir, strings.Join(d.Files, ", "))
	return nil
}

// table makes the table of results and prints it.
func (a *app) table(ctx context.Context, r *reproduce.Reproduction) error {
	t, err := r.Table(ctx)
	if err != nil {
		return err
	}
	if err := t.Write(a.stdout, report.Table); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "\nWritten to %s: %s, a picture of each row\n", t.Dir, strings.Join(t.Files, ", "))
	return nil
}

// reproduceError adds to an error of package reproduce the flags that help.
func reproduceError(err error) error {
	var (
		task   *reproduce.TaskError
		none   *reproduce.NoOptimizerError
		folder *reproduce.FolderError
	)
	switch {
	case errors.As(err, &task):
		return taskError(task.Err)
	case errors.As(err, &none):
		return usagef("%w with --optimizer", none)
	case errors.As(err, &folder):
		return fmt.Errorf("%w with --out", folder)
	}
	return err
}

// reproducing shows the progress of a reproduction.
type reproducing struct{ comparing }

var _ reproduce.Listener = (*reproducing)(nil)

// OnEvent implements reproduce.Listener: it shows the event on the terminal.
func (r *reproducing) OnEvent(event reproduce.Event) {
	switch e := event.(type) {
	case reproduce.FigureStarted:
		if e.Of == 1 {
			r.note("%s, %s, on %s", e.Figure.Name, e.Figure.Number, e.Task)
		} else {
			r.note("%s, %s, %d of %d: %s", e.Figure.Name, e.Figure.Number, e.Index+1, e.Of, e.Task)
		}
	case reproduce.RowStarted:
		r.note("row %d of %d: %s", e.Index+1, e.Of, e.Row)
	case reproduce.Comparing:
		r.comparing.OnEvent(e.Event)
	case reproduce.Damaged:
		r.note("%s is damaged and is computed again: %v", e.Path, e.Err)
	}
}
