package command

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"learnedopt/recipe"
	"learnedopt/runfolder"
)

// refuseFlagsBeside refuses all flags except with and allowed: a saved state determines the others.
func refuseFlagsBeside(cmd *cobra.Command, with string, allowed ...string) (err error) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.Name != with && !slices.Contains(allowed, f.Name) {
			err = usagef("--%s is settled by the state that --%s names; drop it, or begin another training", f.Name, with)
		}
	})
	return err
}

// runResume resumes an interrupted run.
func (f *trainFlags) runResume(cmd *cobra.Command, a *app) error {
	if err := refuseFlagsBeside(cmd, "resume", append([]string{"quiet", "save-every", "on-non-finite", "tensorboard"}, natsFlagNames...)...); err != nil {
		return err
	}
	changed := cmd.Flags().Changed
	t := &training{app: a}
	many, err := f.nats.open(cmd.Context(), a)
	if err != nil {
		return err
	}
	defer many.close()
	t.Run, err = runfolder.Resume(f.resume, func(r *recipe.Recipe, s *runfolder.Settings) (err error) {
		if changed("save-every") {
			s.SaveEvery = f.SaveEvery
		}
		if changed("tensorboard") {
			if s.TensorBoard, err = filepath.Abs(f.TensorBoard); err != nil {
				return err
			}
		}
		if many != nil {
			s.Executor = f.nats.executor(cmd.Context(), a, many)
		}
		*r, err = r.With(f.recipe.settings...)
		return err
	}, t)
	if err != nil {
		return err
	}
	defer t.Close()
	s := t.Settings()
	if t.rules, err = parseRules(s.Rules); err != nil {
		return errors.New(err.Error()) // not a mistake in this command line, so not a usageError
	}
	if dir := s.TensorBoard; dir != "" && !changed("tensorboard") && !hasEvents(dir) {
		// The state may come from a stranger: it must not make folders elsewhere.
		t.note("the run wrote events for TensorBoard to %s, which has none: it goes on without; set --tensorboard beside --resume for them", dir)
		s.TensorBoard = ""
	}
	if err := checkBoard(s.TensorBoard); err != nil {
		return err
	}
	t.note("going on with %s at meta-step %d, after %v of training", t.Dir(), t.Trainer().MetaSteps(), t.Trainer().Elapsed().Round(time.Second))
	many.watch(t.Dir())
	return t.finish(cmd.Context())
}

// runReplay trains from a state and shows the non-finite values of one meta-step. It writes no files.
func (f *trainFlags) runReplay(cmd *cobra.Command, a *app) error {
	if err := refuseFlagsBeside(cmd, "replay", "quiet", "until"); err != nil {
		return err
	}
	if !cmd.Flags().Changed("until") {
		return usagef("--replay needs the meta-step to show: set --until")
	}
	found, err := runfolder.Replay(cmd.Context(), f.replay, f.until, &training{app: a})
	if err != nil {
		return err
	}
	for _, e := range found {
		fmt.Fprintln(a.stdout, runfolder.Describe(e))
	}
	return nil
}
