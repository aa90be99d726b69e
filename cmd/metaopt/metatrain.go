package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"learnedopt/baselines"
	"learnedopt/metatrain"
)

// trainFlags is what meta-train was asked for.
type trainFlags struct {
	task     taskFlags
	network  networkFlags
	plan     planFlags
	cfg      metatrain.TrainConfig // what has a flag
	gradient estimatorFlags
	augment  augmentFlags
	runs     int
	tune     int
	rules    []string
	out      string
	name     string
	quiet    bool

	tensorboard string // folder

	saveEvery time.Duration
	resume    string // folder
	replay    string // file
	until     int    // meta-step, of replay
}

func newTrainFlags() *trainFlags {
	f := &trainFlags{runs: defaultRuns, tune: defaultTuneRuns, cfg: library, saveEvery: defaultSaveEvery}
	f.cfg.Time = defaultTime
	return f
}

func newMetaTrain(a *app) *cobra.Command {
	f := newTrainFlags()
	cmd := &cobra.Command{
		Use:   "meta-train",
		Short: "Meta-train an optimizer and compare it with tuned hand-designed rules",
		Long: `Meta-train a learned optimizer: unroll it over whole optimization runs of a task, and
improve it by gradient descent on the losses that those runs visit. Then tune the
hand-designed rules and compare all on fresh instances.

The run folder gets optimizer.mopt, log.jsonl, curves.png, curves.svg and result.json.
While it runs optimizer.mopt is the best so far, and resume.mopt is where it stands. An interrupt
(Ctrl-C) ends the training in order and keeps both; so does what kills it, but for the time since
resume.mopt was saved. --resume goes on, to the same network that it would have been.`,
		Example: `  metaopt meta-train
  metaopt meta-train --task mnist --inputs rnnprop --time 10m --out runs/mnist
  metaopt meta-train --meta-steps 2000 --tensorboard events
  metaopt meta-train --resume runs/mnist`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.quiet = f.quiet
			set := cmd.Flags().Changed
			switch {
			case set("replay"):
				return f.runReplay(cmd, a)
			case set("until"):
				return usagef("--until is the meta-step of a --replay; set both")
			case set("resume"):
				return f.runResume(cmd, a)
			}
			return f.run(cmd, a)
		},
	}
	f.add(cmd)
	return cmd
}

// limit settles which limit a training has.
func (f *trainFlags) limit(set func(string) bool) error {
	if set("meta-steps") {
		if set("time") {
			return usagef("--time and --meta-steps are two limits of one training; set one of them")
		}
		f.cfg.Time = 0
	}
	return nil
}

func (f *trainFlags) add(cmd *cobra.Command) {
	f.task.add(cmd, defaultTask, "task to train on")
	fs := cmd.Flags()
	fs.Var(span{&f.cfg.Time}, "time", "limit of training time, as 90s or 10m")
	fs.Var(count{&f.cfg.MetaSteps, 1}, "meta-steps", "limit of meta-steps, in place of --time")
	fs.Var(seed{&f.cfg.Seed}, "seed", "seed of everything random")
	fs.Var(text{&f.out, "DIR"}, "out", "run folder (runs/<task>-seed<S> unless set)")
	fs.Var(text{&f.name, "NAME"}, "name", "name that the optimizer carries in tables (learned unless set)")
	fs.Var(text{&f.tensorboard, "DIR"}, "tensorboard", "write event files for TensorBoard to a folder, which may have some already")
	f.network.add(cmd)
	fs.Var(count{&f.cfg.Steps, 1}, "steps", "inner steps of an episode")
	fs.Var(count{&f.cfg.Unroll, 1}, "unroll", "inner steps of a window, which is one meta-step; it divides --steps")
	fs.Var(factor{&f.cfg.MetaLearningRate, false}, "meta-lr", "meta learning rate (Adam's)")
	f.plan.add(cmd, &f.cfg)
	fs.Var(factor{&f.cfg.Clip, true}, "clip", "largest norm of the meta-gradient, inf for any")
	f.gradient.add(cmd)
	f.augment.add(cmd)
	fs.Var(count{&f.cfg.Batch, 1}, "meta-batch", "episodes that run side by side; a meta-step follows their mean")
	fs.Var(count{&f.cfg.ValidEvery, 1}, "valid-every", "meta-steps between validations")
	fs.Var(count{&f.cfg.ValidRuns, 1}, "valid-runs", "instances of a validation")
	fs.Var(count{&f.cfg.Patience, 0}, "patience", "end after so many validations without a new best (never unless set)")
	fs.Var(count{&f.runs, 1}, "runs", "fresh instances of the final comparison")
	fs.Var(count{&f.tune, 1}, "tune-runs", "instances that learning rates are tuned on")
	fs.StringSliceVar(&f.rules, "rules", defaultRules, "`NAMES` of hand-designed rules to compare with: none, or some of "+strings.Join(baselines.Names(), ", "))
	fs.Var(choice{&f.cfg.OnNonFinite, metatrain.NonFinitePolicies()}, "on-non-finite", "what to do where a window is not finite: skip it, stop, or rollback to the last validation")
	fs.Var(count{&f.cfg.SkipLimit, 1}, "skip-limit", "end after so many meta-steps in a row without a finite window, or so many returns by rollback to one validation")
	fs.Var(span{&f.saveEvery}, "save-every", "longest time between two states that are saved")
	fs.Var(text{&f.resume, "DIR"}, "resume", "go on with an interrupted run; of the other flags --quiet, --save-every, --on-non-finite and --tensorboard may be set")
	fs.Var(text{&f.replay, "FILE"}, "replay", "show again what was not finite, from a state that a run kept (its log has the command); nothing is written")
	fs.Var(count{&f.until, 0}, "until", "the meta-step of --replay")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "no progress, no remarks")
	complete(cmd, "rules", append(baselines.Names(), "none")...)
	complete(cmd, "on-non-finite", metatrain.NonFinitePolicies()...)
}
