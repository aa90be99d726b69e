package command

import (
	"context"
	"fmt"
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
	scale      float64
	half       bool
	tune       bool
	json, plot string
	markdown   bool
	quiet      bool
}

func newCompare(a *app) *cobra.Command {
	f := compareFlags{scale: 1, steps: defaultSteps, runs: defaultRuns, tuneRuns: defaultTuneRuns, grid: defaultGrid}
	cmd := &cobra.Command{
		Use:   "compare [FILE.mopt ...]",
		Short: "Compare learned optimizers with tuned hand-designed rules",
		Long: `Compare learned optimizers with each other and with hand-designed rules, all on the
same fresh instances of a task: the same starting points and minibatches. The
hand-designed rules' learning rates are tuned first, on instances of their own. With
--tune-learned a factor on each learned rule's updates is tuned like a learning rate, and
NAME` + versus.TunedSuffix + ` is the rule with that factor.

The table also has the time of a step on one core of this machine, measured after the
comparison, and the update's part of it: where a gradient is cheap, a learned update is
most of the step.

pretrained:NAME in place of a file is an optimizer that ships with the program:
` + strings.Join(metaopt.PretrainedNames(), ", ") + `.

Without --task the task is the one that the files were meta-trained on; task flags
like --units change it.`,
		Example: `  metaopt compare optimizer.mopt --steps 200 --plot curves.png
  metaopt compare a.mopt b.mopt --task mnist --units 40 --rules adam,nesterov --json -
  metaopt compare optimizer.mopt --steps 10000 --guard=adam:0.01
  metaopt compare optimizer.mopt --task mnist --kl-guard 0.01 --rules adam,kfac
  metaopt compare pretrained:mlp --task mnist --activation relu --weight-init he --learned-scale 0.3
  metaopt compare pretrained:general --task mnist --half-state --rules adam
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
			for _, flag := range []string{"learned-scale", "tune-learned", "half-state"} {
				if len(args) == 0 && cmd.Flags().Changed(flag) {
					return usagef("--%s is for learned rules; name a FILE.mopt", flag)
				}
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
	fs.Var(factorFlag{&f.scale, false}, "learned-scale", "multiply all updates of the learned rules by this number")
	fs.BoolVar(&f.tune, "tune-learned", false, tuneLearnedHelp)
	fs.BoolVar(&f.half, "half-state", false, "compare the learned rules with their hidden states in 16 bits too")
	f.guard.add(cmd)
	fs.Var(textFlag{&f.json, "FILE"}, "json", "write the comparison to a JSON file, - for standard output")
	fs.Var(textFlag{&f.plot, "FILE"}, "plot", "draw the learning curves in a file, .png or .svg, and beside it, in NAME-time, against wall time")
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
	for flag, set := range map[string]bool{"guard": f.guard.fallback != "", "kl-guard": f.guard.radius != 0} {
		if set && len(paths) == 0 {
			return usagef("--%s is for learned rules; name a FILE.mopt", flag)
		}
	}
	if len(rules) == 0 && len(paths) == 0 {
		return usagef("there is nothing to compare; name a FILE.mopt, or rules with --rules")
	}
	if f.plot != "" {
		if _, err := report.FormatOf(f.plot); err != nil {
			return usagef("--plot: %w", err)
		}
	}
	for _, path := range []string{f.plot, timePath(f.plot)} {
		if err := checkTarget("plot", path); err != nil {
			return err
		}
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
	v := versus.Config{Family: family, Steps: f.steps, Runs: f.runs, TuneRuns: f.tuneRuns, Grid: f.grid, Seed: f.seed, Rules: rules, Times: true}
	names := distinctNames(paths, optimizers, rules)
	for i, o := range optimizers {
		v.Learned = append(v.Learned, compare.Contender{Name: names[i], Kind: compare.Learned, Rule: o.Network})
		if f.half {
			v.Learned = append(v.Learned, compare.Contender{Name: names[i] + ", 16-bit state", Kind: compare.Learned, Rule: o.Network.WithHalfState()})
		}
	}
	if f.tune {
		v.Multiplied = slices.Clone(v.Learned)
	}
	if f.scale != 1 {
		for i, c := range v.Learned {
			v.Learned[i] = versus.Scaled(c, fmt.Sprintf("%s×%g", c.Name, f.scale), f.scale)
		}
	}
	v.Learned = append(v.Learned, f.guard.variants(v.Learned)...)
	a.note("comparing on %s: %d steps", family.Name(), f.steps)
	res, err := v.Run(ctx, &comparing{app: a})
	if err != nil {
		return err
	}
	return f.write(a, res.Comparison, comparison.CommonHorizon(optimizers))
}

// write writes the files, then the table. The files come first, because standard output may be a pipe that closes. The table
// comes even if a file fails: what was computed is not lost.
func (f *compareFlags) write(a *app, c *compare.Comparison, horizon int) error {
	err := f.writeFiles(a, c, horizon)
	if tableErr := f.writeTable(a, c); err == nil {
		err = tableErr
	}
	return err
}

func (f *compareFlags) writeFiles(a *app, c *compare.Comparison, horizon int) error {
	if f.plot != "" {
		plot, err := comparison.Plot(c, horizon)
		if err != nil {
			return err
		}
		if err := plot.Save(f.plot); err != nil {
			return err
		}
		if plot, err = comparison.PlotTime(c); err != nil {
			return err
		}
		if plot != nil {
			if err := plot.Save(timePath(f.plot)); err != nil {
				return err
			}
		}
	}
	if f.json != "" {
		return a.writeJSON(f.json, c)
	}
	return nil
}

func (f *compareFlags) writeTable(a *app, c *compare.Comparison) error {
	table := a.stdout
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

// tuneLearnedHelp is the help of --tune-learned, here and in a sweep.
const tuneLearnedHelp = "add each learned rule with a tuned factor on its updates, from 0.001 to 100, as many as learning rates"

// timePath returns where the picture against wall time goes: curves-time.svg beside curves.svg.
func timePath(path string) string {
	if path == "" {
		return ""
	}
	ext := filepath.Ext(path)
	return strings.TrimSuffix(path, ext) + "-time" + ext
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
	if strings.Contains(canonical, " | ") {
		return "", usagef("%s was meta-trained for several tasks, %s; choose one with --task", paths[0], canonical)
	}
	if _, err := tasks.Parse(canonical); err != nil {
		return "", usagef("%s does not name a task of this program; choose one with --task", paths[0])
	}
	return canonical, nil
}

// loadAll loads the files. A file that is named twice is an error.
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

// parseRules checks the names of rules. The single name "none" means no rules.
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
