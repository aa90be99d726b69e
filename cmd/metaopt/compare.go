package main

import (
	"context"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"learnedopt/baselines"
	"learnedopt/compare"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
	"learnedopt/report"
	"learnedopt/report/comparison"
	"learnedopt/tasks"
	"learnedopt/versus"
)

// compareFlags are the flags of metaopt compare.
type compareFlags struct {
	task       taskFlags
	guard      guardFlags
	steps      int
	runs       int
	tuneRuns   int
	grid       int
	seed       uint64
	rules      []string
	json, plot string
	markdown   bool
	quiet      bool
}

func newCompare(a *app) *cobra.Command {
	f := compareFlags{steps: defaultSteps, runs: defaultRuns, tuneRuns: defaultTuneRuns, grid: defaultGrid}
	cmd := &cobra.Command{
		Use:   "compare [FILE.mopt ...]",
		Short: "Compare learned optimizers with tuned hand-designed rules",
		Long: `Compare learned optimizers with each other and with hand-designed rules, all on the
same fresh instances of a task: the same starting points and minibatches. The
hand-designed rules' learning rates are tuned first, on instances of their own.

pretrained:NAME in place of a file is an optimizer that ships with the program:
` + strings.Join(metaopt.PretrainedNames(), ", ") + `.

Without --task the task is the one that the files were meta-trained on; task flags
like --units change it.`,
		Example: `  metaopt compare optimizer.mopt --steps 200 --plot curves.png
  metaopt compare a.mopt b.mopt --task mnist --units 40 --rules adam,nesterov --json -
  metaopt compare optimizer.mopt --steps 10000 --guard=adam:0.01
  metaopt compare pretrained:` + metaopt.PretrainedNames()[0] + ` --steps 1000`,
		ValidArgsFunction: completeOptimizers,
		RunE: func(cmd *cobra.Command, args []string) error {
			a.quiet = f.quiet
			if len(args) == 0 && !cmd.Flags().Changed("rules") {
				return usagef("%s needs a FILE.mopt, or hand-designed rules alone with --rules; see %[1]s --help", cmd.CommandPath())
			}
			if err := f.guard.parse(cmd.Flags().Changed); err != nil {
				return err
			}
			return f.run(cmd.Context(), a, args, cmd.Flags().Changed("task"))
		},
	}
	f.task.add(cmd, defaultTask, "task to compare on (that of the files unless set)")
	fs := cmd.Flags()
	fs.Lookup("task").DefValue = "" // help shows none
	fs.Var(countFlag{&f.steps, 1}, "steps", "inner steps of a run")
	fs.Var(countFlag{&f.runs, 1}, "runs", "fresh instances to compare on")
	fs.Var(countFlag{&f.tuneRuns, 1}, "tune-runs", "instances that learning rates are tuned on")
	fs.Var(countFlag{&f.grid, 1}, "grid", "learning rates tried for each decade from 1e-4 to 10")
	fs.Var(seedFlag{&f.seed}, "seed", "seed of all instances")
	fs.StringSliceVar(&f.rules, "rules", defaultRules, "`NAMES` of hand-designed rules: none, or some of "+strings.Join(baselines.Names(), ", "))
	f.guard.add(cmd)
	fs.Var(textFlag{&f.json, "FILE"}, "json", "write the comparison to a JSON file, - for standard output")
	fs.Var(textFlag{&f.plot, "FILE"}, "plot", "draw the learning curves in a file, .png or .svg")
	fs.BoolVar(&f.markdown, "markdown", false, "print the table in Markdown")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "no progress, no remarks")
	complete(cmd, "rules", append(baselines.Names(), "none")...)
	return cmd
}

func (f *compareFlags) run(ctx context.Context, a *app, paths []string, taskSet bool) error {
	rules, err := parseRules(f.rules)
	if err != nil {
		return err
	}
	if f.guard.fallback != "" && len(paths) == 0 {
		return usagef("--guard is for learned rules; name a FILE.mopt")
	}
	if len(rules) == 0 && len(paths) == 0 {
		return usagef("there is nothing to compare; name a FILE.mopt, or rules with --rules")
	}
	if f.plot != "" {
		if _, err := report.FormatOf(f.plot); err != nil {
			return usagef("--plot: %w", err)
		}
	}
	if err := checkTarget("plot", f.plot); err != nil {
		return err
	}
	if err := checkTarget("json", f.json); err != nil {
		return err
	}
	optimizers, err := loadAll(paths)
	if err != nil {
		return err
	}
	family, err := f.family(paths, optimizers, taskSet)
	if err != nil {
		return err
	}
	v := versus.Config{Family: family, Steps: f.steps, Runs: f.runs, TuneRuns: f.tuneRuns, Grid: f.grid, Seed: f.seed, Rules: rules}
	names := distinctNames(paths, optimizers, rules)
	for i, o := range optimizers {
		v.Learned = append(v.Learned, compare.Contender{Name: names[i], Kind: compare.Learned, Rule: o.Network})
	}
	v.Learned = append(v.Learned, f.guard.variants(v.Learned)...)
	a.note("comparing on %s: %d steps", family.Name(), f.steps)
	res, err := v.Run(ctx, &comparing{app: a})
	if err != nil {
		return err
	}
	return f.write(a, res.Comparison, comparison.CommonHorizon(optimizers))
}

// write writes the files, then the table. The files come first, because standard output may be a pipe that closes.
func (f *compareFlags) write(a *app, c *compare.Comparison, horizon int) error {
	if f.plot != "" {
		plot, err := comparison.Plot(c, horizon)
		if err != nil {
			return err
		}
		if err := plot.Save(f.plot); err != nil {
			return err
		}
	}
	table := a.stdout
	if f.json != "" {
		if err := a.writeJSON(f.json, c); err != nil {
			return err
		}
	}
	if f.json == "-" {
		if table = a.stderr; a.quiet {
			table = io.Discard
		}
	}
	if f.markdown {
		return comparison.Write(table, c, report.Markdown)
	}
	return comparison.Write(table, c, report.Table)
}

// family returns the task of the flags or, if no flag sets a task, the task on which all files agree.
func (f *compareFlags) family(paths []string, optimizers []*metaopt.Optimizer, taskSet bool) (optimizer.Family, error) {
	if taskSet || len(optimizers) == 0 {
		return f.task.family()
	}
	canonical, err := agreedTask(paths, optimizers)
	if err != nil {
		return nil, err
	}
	return f.task.familyOf(canonical)
}

// agreedTask returns the canonical name of the task on which all files were meta-trained. It is an error if they differ.
func agreedTask(paths []string, optimizers []*metaopt.Optimizer) (string, error) {
	canonical := optimizers[0].Provenance.Task
	for i, o := range optimizers {
		if o.Provenance.Task != canonical {
			return "", usagef("%s was meta-trained on %q, %s on %q; choose a task with --task",
				paths[0], canonical, paths[i], o.Provenance.Task)
		}
	}
	if _, err := tasks.Parse(canonical); err != nil {
		return "", usagef("%s does not name a task of this program; choose one with --task", paths[0])
	}
	return canonical, nil
}

// loadAll loads the files, each once.
func loadAll(paths []string) ([]*metaopt.Optimizer, error) {
	var optimizers []*metaopt.Optimizer
	seen := map[string]bool{}
	for _, path := range paths {
		if clean := filepath.Clean(path); seen[clean] {
			return nil, usagef("%s is named twice; name it once", path)
		} else {
			seen[clean] = true
		}
		o, err := load(path)
		if err != nil {
			return nil, err
		}
		optimizers = append(optimizers, o)
	}
	return optimizers, nil
}

// parseRules checks the names of rules; "none" is no rule.
func parseRules(names []string) ([]string, error) {
	if len(names) == 1 && names[0] == "none" {
		return nil, nil
	}
	for i, name := range names {
		if err := baselines.CheckName(name); err != nil {
			return nil, usagef("--rules: %w", err)
		}
		if slices.Contains(names[:i], name) {
			return nil, usagef("--rules names %s twice; name it once", name)
		}
	}
	return names, nil
}
