package command

import (
	"strings"

	"github.com/spf13/cobra"

	"learnedopt/baselines"
	"learnedopt/recipe"
	"learnedopt/runfolder"
	"learnedopt/tasks"
)

// trainFlags are the flags of metaopt meta-train.
type trainFlags struct {
	recipe  recipeFlags
	print   string
	dataDir string
	out     string
	quiet   bool
	nats    natsFlags
	runfolder.Settings

	resume string // folder
	replay string // file
	until  int    // meta-step to replay
}

func newMetaTrain(a *app) *cobra.Command {
	f := &trainFlags{Settings: runfolder.DefaultSettings()}
	cmd := &cobra.Command{
		Use:   "meta-train",
		Short: "Meta-train an optimizer and compare it with tuned hand-designed rules",
		Long: `Meta-train a learned optimizer: unroll it over whole optimization runs of a task, and
improve it by gradient descent on the losses that those runs visit. Then tune the
hand-designed rules and compare all on fresh instances.

The run folder gets optimizer.mopt, log.jsonl, curves.png, curves.svg and result.json.
While it runs optimizer.mopt is the best so far, and resume.mopt is where it stands. An interrupt
(Ctrl-C) ends the training in order and keeps both; so does what kills it, but for the time since
resume.mopt was saved. --resume goes on, to the same network that it would have been.

--recipe runs a training that a file describes, of JSON or an optimizer's; flags that are set
beside it take the place of what it says. --print-recipe prints such a file of what the flags
mean, and trains nothing. What is not set has its default: where a version of the defaults is
not named by --defaults or the recipe, that of the latest one.`,
		Example: `  metaopt meta-train
  metaopt meta-train --task mnist --inputs rnnprop --time 10m --out runs/mnist
  metaopt meta-train --meta-steps 2000 --tensorboard events
  metaopt meta-train --recipe runs/mnist/optimizer.mopt --seed 1
  metaopt meta-train --task mnist --meta-batch 8 --nats nats://host:4222
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
			case set("print-recipe"):
				return f.printRecipe(a)
			}
			return f.run(cmd, a)
		},
	}
	f.add(cmd)
	return cmd
}

// The values of --print-recipe.
const (
	printSet = "set"
	printAll = "all"
)

// printRecipe prints the recipe that the flags make.
func (f *trainFlags) printRecipe(a *app) error {
	r, err := f.recipe.recipe()
	if err != nil {
		return err
	}
	if f.print == printAll {
		r = r.WithDefaults()
	}
	text, err := r.Format()
	if err != nil {
		return err
	}
	_, err = a.stdout.Write(text)
	return err
}

func (f *trainFlags) add(cmd *cobra.Command) {
	f.recipe.add(cmd, recipe.Latest, nil)
	fs := cmd.Flags()
	fs.Var(textFlag{&f.recipe.file, "FILE"}, "recipe", "train by a recipe: a file of JSON, that of an optimizer, or pretrained:NAME; flags that are set take the place of what it says")
	fs.Var(choiceFlag{&f.print, []string{printSet, printAll}}, "print-recipe", "print the recipe that the flags make, what is set or --print-recipe=all, and end")
	fs.Lookup("print-recipe").NoOptDefVal = printSet
	fs.Var(textFlag{&f.recipe.data, "FILE"}, "data", dataUsage)
	fs.Var(textFlag{&f.dataDir, "DIR"}, "data-dir", "folder of the data sets; else $"+tasks.DataDirEnv+", else the user's cache folder")
	fs.Var(textFlag{&f.out, "DIR"}, "out", "run folder (runs/<task>-seed<S> unless set)")
	fs.Var(textFlag{&f.TensorBoard, "DIR"}, "tensorboard", "write event files for TensorBoard to a folder, which may have some already")
	fs.Var(countFlag{&f.Runs, 1}, "runs", "fresh instances of the final comparison")
	fs.Var(countFlag{&f.TuneRuns, 1}, "tune-runs", "instances that learning rates are tuned on")
	fs.StringSliceVar(&f.Rules, "rules", defaultRules, "`NAMES` of hand-designed rules to compare with: none, or some of "+strings.Join(baselines.Names(), ", "))
	fs.Var(spanFlag{&f.SaveEvery}, "save-every", "longest time between two states that are saved")
	fs.Var(textFlag{&f.resume, "DIR"}, "resume", "go on with an interrupted run; of the other flags --quiet, --save-every, --on-non-finite, --tensorboard and those of --nats may be set")
	fs.Var(textFlag{&f.replay, "FILE"}, "replay", "show again what was not finite, from a state that a run kept (its log has the command); nothing is written")
	fs.Var(countFlag{&f.until, 0}, "until", "the meta-step of --replay")
	f.nats.add(cmd, "meta-gradients")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "no progress, no remarks")
	complete(cmd, "rules", append(baselines.Names(), "none")...)
	complete(cmd, "print-recipe", printSet, printAll)
}
