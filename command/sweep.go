package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"learnedopt/baselines"
	"learnedopt/internal/durable"
	"learnedopt/metaopt"
	"learnedopt/report/comparison"
	"learnedopt/sweep"
	"learnedopt/sweep/results"
	"learnedopt/tasks"
	"learnedopt/versus"
)

// sweepFlags are the flags and arguments of metaopt sweep.
type sweepFlags struct {
	task        taskFlags
	optimizers  []string
	axes        []string
	steps, runs int
	tuneRuns    int
	grid, reach int
	seed        uint64
	rules       []string
	tune        string
	tuneLearned bool
	radius      float64 // of the KL guard, 0 for none
	config, out string
	json, quiet bool
	nats        natsFlags

	file []sweep.Axis // axes of the configuration file
}

// defaultReach is the largest number of steps that tuned Adam may take to reach the learned rule's loss, in horizons.
const defaultReach = 4

func newSweep(a *app) *cobra.Command {
	f := sweepFlags{steps: defaultSteps, runs: defaultRuns, tuneRuns: defaultTuneRuns, grid: defaultGrid, reach: defaultReach, tune: sweep.TuneCell}
	cmd := &cobra.Command{
		Use:   "sweep FILE... --axis KEY=V,V --out DIR",
		Short: "Compare learned optimizers with tuned rules over many tasks",
		Long: `Run learned optimizers and tuned hand-designed rules on every combination of the axes'
values, all rules of a combination on the same instances, and tell where the learned ones
win, where they lose, and how many steps tuned Adam needs to get as far.

FILE is a .mopt file or pretrained:NAME. steps is the horizon, data the task by its name; the
axes are
  ` + wrapped(sweep.AxisKeys(), 70, "  ") + `.
Without --task the base task, which axes change, is the one that the files were meta-trained on.

With --tune-learned each learned rule is there once more, as NAME` + versus.TunedSuffix + `, with a factor on
its updates that is tuned like a learning rate. The table, the pictures time-* and the
records have the time of a step on one core of this machine beside the steps.

Every result is kept in the folder --out as soon as it is there. The same command continues
where it was interrupted, and with another axis or optimizer computes what is new.
With --nats URL the cells are computed by metaopt worker --nats URL on other machines, to the same
results (docs/many-machines.md).
A file of settings, in TOML, has the names of flags as its keys, "optimizers" for the FILEs and
a table [axes]; flags win over it.`,
		Example: `  metaopt sweep pretrained:quadratic --axis dims=5,10,20 --axis steps=100,1000 --out runs/sweep
  metaopt sweep a.mopt pretrained:mlp --axis units=10,20,40 --tune both --out runs/units
  metaopt sweep --config sweep.toml --out runs/sweep
  metaopt sweep --config sweep.toml --out runs/sweep --nats nats://host:4222`,
		ValidArgsFunction: completeOptimizers,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.readConfig(cmd, args); err != nil {
				return err
			}
			a.quiet = f.quiet
			if f.out == "" {
				return usagef("%s needs --out DIR, the folder that keeps the results; see %[1]s --help", cmd.CommandPath())
			}
			if err := f.nats.check(); err != nil {
				return err
			}
			return f.run(cmd.Context(), a, cmd.Flags().Changed("task"))
		},
	}
	f.task.add(cmd, defaultTask, "base task (that of the files unless set)")
	fs := cmd.Flags()
	fs.Lookup("task").DefValue = "" // help shows none
	fs.StringArrayVar(&f.axes, "axis", nil, "`KEY=V,V` values of one setting; may be repeated")
	fs.Var(countFlag{&f.steps, 1}, "steps", "inner steps of a run")
	fs.Var(countFlag{&f.runs, 1}, "runs", "fresh instances of each combination")
	fs.Var(seedFlag{&f.seed}, "seed", "seed of all instances")
	fs.StringSliceVar(&f.rules, "rules", defaultRules, "`NAMES` of hand-designed rules: none, or some of "+strings.Join(baselines.Names(), ", "))
	fs.Var(choiceFlag{&f.tune, sweep.Tunes()}, "tune", "tune the rules once on the base task, in each cell, or both: "+oneOf(sweep.Tunes()))
	fs.BoolVar(&f.tuneLearned, "tune-learned", false, tuneLearnedHelp)
	fs.Var(factorFlag{&f.radius, false}, "kl-guard", klGuardHelp)
	fs.Var(countFlag{&f.tuneRuns, 1}, "tune-runs", "instances that learning rates are tuned on; fewer over more than 500 steps")
	fs.Var(countFlag{&f.grid, 1}, "grid", "learning rates tried for each decade from 1e-4 to 10; at most 3 over more than 1000 steps")
	fs.Var(countFlag{&f.reach, 1}, "reach", "how many times the steps tuned Adam runs to reach the learned rule's loss")
	fs.Var(textFlag{&f.config, "FILE"}, "config", "file of settings, in TOML")
	fs.Var(textFlag{&f.out, "DIR"}, "out", "folder of the results; what it holds is not computed again")
	f.nats.add(cmd, "cells")
	fs.BoolVar(&f.json, "json", false, "print the results in JSON, not the table")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "no progress, no remarks")
	complete(cmd, "rules", append(baselines.Names(), "none")...)
	complete(cmd, "tune", sweep.Tunes()...)
	completeAxes(cmd)
	return cmd
}

// completeAxes offers axes, such as "units=", and files or folders for the flags that take them.
func completeAxes(cmd *cobra.Command) {
	var offers []cobra.Completion
	for _, key := range sweep.AxisKeys() {
		offers = append(offers, key+"=")
	}
	for _, err := range []error{
		cmd.RegisterFlagCompletionFunc("axis", cobra.FixedCompletions(offers, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveNoSpace)),
		cmd.MarkFlagFilename("config", "toml"),
		cmd.MarkFlagDirname("out"),
	} {
		if err != nil {
			panic("metaopt: " + err.Error())
		}
	}
}

// readConfig reads the file of settings. Flags and arguments override it.
func (f *sweepFlags) readConfig(cmd *cobra.Command, args []string) error {
	f.optimizers = args
	if f.config == "" {
		return nil
	}
	const optimizers = "optimizers"
	keys := []string{optimizers, "task"}
	for _, o := range tasks.OptionTable() {
		keys = append(keys, o.Key)
	}
	keys = append(keys, "data-dir", "steps", "runs", "seed", "rules", "tune", "tune-learned", "kl-guard", "tune-runs", "grid", "reach", "out")
	file, err := sweep.ReadFile(f.config, keys)
	if err != nil {
		var wrong *sweep.ConfigError
		if errors.As(err, &wrong) {
			return asUsage(err)
		}
		return err
	}
	f.file = file.Axes
	for _, s := range file.Settings {
		if s.Key == optimizers {
			if len(args) == 0 {
				f.optimizers = s.Values
			}
			continue
		}
		flag := cmd.Flags().Lookup(s.Key)
		if flag.Changed {
			continue
		}
		if err := flag.Value.Set(strings.Join(s.Values, ",")); err != nil {
			return asUsage(&sweep.ConfigError{Path: file.Path, Line: s.Line, Err: fmt.Errorf("%s = %q: %w", s.Key, strings.Join(s.Values, ","), err)})
		}
		flag.Changed = true
	}
	return nil
}

// allAxes returns the axes of the file and then the axes of flags. If a flag has an axis of the file, its values replace the
// file's values.
func (f *sweepFlags) allAxes() ([]sweep.Axis, error) {
	axes := append([]sweep.Axis{}, f.file...)
	given := map[string]bool{}
	for _, text := range f.axes {
		axis, err := sweep.ParseAxis(text)
		if err != nil {
			return nil, usagef("--axis: %w", err)
		}
		if given[axis.Key] {
			return nil, usagef("--axis %s is there twice; give it all its values at once", axis.Key)
		}
		given[axis.Key] = true
		replaced := false
		for i := range axes {
			if axes[i].Key == axis.Key {
				axes[i], replaced = axis, true
			}
		}
		if !replaced {
			axes = append(axes, axis)
		}
	}
	return axes, nil
}

// base returns the task of the flags. If no flag sets a task, it returns the task on which all files agree, with the flags'
// options. If they agree on none, and an axis lists whole tasks, it is the first of these.
func (f *sweepFlags) base(optimizers []*metaopt.Optimizer, taskSet bool, axes []sweep.Axis) (tasks.Spec, error) {
	if taskSet || len(optimizers) == 0 {
		return f.task.spec()
	}
	canonical, err := agreedTask(f.optimizers, optimizers)
	if err != nil {
		i := slices.IndexFunc(axes, func(a sweep.Axis) bool { return a.Key == sweep.TaskAxis })
		if i < 0 {
			return tasks.Spec{}, err
		}
		canonical = axes[i].Values[0]
	}
	s, err := tasks.Parse(canonical)
	if err != nil {
		return s, err
	}
	return f.task.withData(s.Overlay(f.task.options))
}

// plan makes the plan of the sweep and checks everything before the long computation.
func (f *sweepFlags) plan(taskSet bool) (*sweep.Plan, error) {
	rules, err := parseRules(f.rules)
	if err != nil {
		return nil, err
	}
	if len(rules) == 0 && len(f.optimizers) == 0 {
		return nil, usagef("there is nothing to run; name a FILE.mopt, or rules with --rules")
	}
	axes, err := f.allAxes()
	if err != nil {
		return nil, err
	}
	optimizers, err := loadAll(f.optimizers)
	if err != nil {
		return nil, err
	}
	c := sweep.Config{
		Axes: axes, Steps: f.steps, Runs: f.runs, Seed: f.seed, Rules: rules,
		Tune: f.tune, TuneRuns: f.tuneRuns, Grid: f.grid, Reach: f.reach,
		TuneLearned: f.tuneLearned, KLGuard: f.radius, Times: true,
	}
	if c.Task, err = f.base(optimizers, taskSet, axes); err != nil {
		return nil, err
	}
	c.DataDir = f.task.dataDir // which --data may have set
	for i, name := range distinctNames(f.optimizers, optimizers, rules) {
		c.Learned = append(c.Learned, sweep.Learned{Name: name, Source: f.optimizers[i], Optimizer: optimizers[i]})
	}
	p, err := c.Plan()
	return p, taskError(err)
}

func (f *sweepFlags) run(ctx context.Context, a *app, taskSet bool) error {
	plan, err := f.plan(taskSet)
	if err != nil {
		return err
	}
	if err := oneKind("sweep", f.out); err != nil {
		return err
	}
	store, err := sweep.OpenStore(f.out)
	if at := (*fs.PathError)(nil); errors.As(err, &at) {
		return fmt.Errorf("%w; choose another folder with --out", err)
	}
	if err != nil {
		return err
	}
	defer store.Close()
	if err := plan.Write(f.out); err != nil {
		return err
	}
	left := plan.Missing(store.Records())
	a.note("sweeping over %d cells with %d rules; %d of %d results are there", len(plan.Cells), len(plan.Rules), plan.Total()-left, plan.Total())
	if err := f.compute(ctx, a, plan, store, left > 0); err != nil {
		if errors.Is(err, context.Canceled) {
			left = plan.Missing(store.Records())
			return &interruptedError{fmt.Sprintf("interrupted; %d of %d results are in %s, and the same command continues", plan.Total()-left, plan.Total(), f.out)}
		}
		return err
	}
	res := plan.Results(store.Records())
	written, err := f.write(res)
	if err != nil {
		return err
	}
	if f.json {
		return a.writeJSON("-", res)
	}
	if err := comparison.WriteSweep(a.stdout, res); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "\nWritten to %s: %s\n", f.out, strings.Join(written, ", "))
	return nil
}

// compute runs everything that the store does not hold yet, if something is missing.
func (f *sweepFlags) compute(ctx context.Context, a *app, plan *sweep.Plan, store *sweep.Store, missing bool) error {
	var x sweep.Executor
	if missing && f.nats.URL != "" {
		many, err := f.nats.open(ctx, a)
		if err != nil {
			return err
		}
		defer many.close()
		if x, err = f.nats.sweepExecutor(ctx, a, many, plan); err != nil {
			return err
		}
	}
	var m *meter
	defer func() {
		if m != nil {
			m.close()
		}
	}()
	return plan.Run(ctx, store, sweep.RunOptions{
		Executor: x,
		Progress: func(cell int, done, total int64) {
			where := fmt.Sprintf("cell %d/%d", cell+1, len(plan.Cells))
			if m == nil {
				m = a.meter(total, where, 0).of("steps")
			}
			m.describe(where)
			m.set(done)
		},
		Note: a.note,
	})
}

// resultsFile is the tidy table of a sweep's folder.
const resultsFile = "results.csv"

// write writes the table and the pictures, and returns the names of the folder's files.
func (f *sweepFlags) write(res *results.Results) ([]string, error) {
	var b bytes.Buffer
	if err := res.WriteCSV(&b); err != nil {
		return nil, err
	}
	if err := durable.Replace(filepath.Join(f.out, resultsFile), b.Bytes()); err != nil {
		return nil, err
	}
	written := []string{results.CellsFile, results.ManifestFile, resultsFile}
	pictures, err := comparison.DrawSweep(res)
	if err != nil {
		return nil, err
	}
	curves := map[string]int{}
	for _, p := range pictures {
		for _, ext := range []string{".svg", ".png"} {
			if err := p.Plot.Save(filepath.Join(f.out, p.Name+ext)); err != nil {
				return nil, err
			}
		}
		switch {
		case strings.HasPrefix(p.Name, comparison.HeatPrefix):
			written = append(written, p.Name+".svg and .png")
		case strings.HasPrefix(p.Name, comparison.TimePrefix):
			curves[comparison.TimePrefix]++
		default:
			curves[comparison.CurvesPrefix]++
		}
	}
	for _, prefix := range []string{comparison.CurvesPrefix, comparison.TimePrefix} {
		if n := curves[prefix]; n > 0 {
			written = append(written, fmt.Sprintf("%d× %s*.svg and .png", n, prefix))
		}
	}
	return written, nil
}
