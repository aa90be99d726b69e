package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"learnedopt/metatrain"

	"github.com/spf13/cobra"
)

// A replaying shows what is not finite at a meta-step.
type replaying struct {
	out   io.Writer
	until int
	found int
}

func (r *replaying) hear(e metatrain.Event) {
	if e.Kind == metatrain.EventDiverged && e.MetaStep == r.until {
		r.found++
		fmt.Fprintln(r.out, describeNonFinite(e))
	}
}

func (r *replaying) atRest(t *metatrain.Trainer) error {
	if t.MetaSteps() > r.until {
		return errReplayed
	}
	return nil
}

// errReplayed ends a replay.
var errReplayed = errors.New("replayed")

// runReplay trains from a state, in memory alone, and shows what is not finite at one meta-step.
func (f *trainFlags) runReplay(cmd *cobra.Command, a *app) error {
	if err := only(cmd, "replay", "quiet", "until"); err != nil {
		return err
	}
	if !cmd.Flags().Changed("until") {
		return usagef("--replay needs the meta-step to show: set --until")
	}
	if !exists(f.replay) {
		return fmt.Errorf("--replay %s: %w; it is a nonfinite-….mopt or %s of a run folder", f.replay, fs.ErrNotExist, stateFile)
	}
	t, _, err := restoreRun(a, f.replay, nil)
	if err != nil {
		return err
	}
	if at := t.trainer.MetaSteps(); at > f.until {
		return fmt.Errorf("the state in %s is of meta-step %d, after meta-step %d", f.replay, at, f.until)
	}
	t.replaying = &replaying{out: a.stdout, until: f.until}
	_, err = t.trainer.Train(cmd.Context())
	var diverged *metatrain.MetaDivergedError
	if err != nil && !errors.Is(err, errReplayed) && !errors.As(err, &diverged) {
		return err
	}
	if t.replaying.found == 0 {
		return fmt.Errorf("everything was finite at meta-step %d", f.until)
	}
	return nil
}
