package runfolder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"learnedopt/metatrain"
)

// A replayer collects the events of non-finite values at one meta-step.
type replayer struct {
	until int
	found []metatrain.Event
}

func (r *replayer) onEvent(e metatrain.Event) {
	if e.Kind == metatrain.EventDiverged && e.MetaStep == r.until {
		r.found = append(r.found, e)
	}
}

func (r *replayer) atRest(t *metatrain.Trainer) error {
	if t.MetaSteps() > r.until {
		return errReplayed
	}
	return nil
}

// errReplayed ends a replay after its meta-step.
var errReplayed = errors.New("replayed")

// Replay trains from the state in a file up to meta-step until, and returns the events of non-finite values at this
// meta-step. It writes no files. It returns an error if all values are finite at this meta-step.
func Replay(ctx context.Context, path string, until int, listener Listener) ([]metatrain.Event, error) {
	if !exists(path) {
		return nil, fmt.Errorf("--replay %s: %w; it is a nonfinite-….mopt or %s of a run folder", path, fs.ErrNotExist, StateFile)
	}
	r, _, err := restore(path, nil, listener)
	if err != nil {
		return nil, err
	}
	if at := r.trainer.MetaSteps(); at > until {
		return nil, fmt.Errorf("the state in %s is of meta-step %d, after meta-step %d", path, at, until)
	}
	r.replaying = &replayer{until: until}
	_, err = r.trainer.Train(ctx)
	var diverged *metatrain.MetaDivergedError
	if err != nil && !errors.Is(err, errReplayed) && !errors.As(err, &diverged) {
		return nil, err
	}
	if len(r.replaying.found) == 0 {
		return nil, fmt.Errorf("everything was finite at meta-step %d", until)
	}
	return r.replaying.found, nil
}

// Describe says where the non-finite value of an EventDiverged is.
func Describe(e metatrain.Event) string {
	d, in := e.Diverged, e.Instance
	where := ""
	if d.Coordinate >= 0 {
		where = fmt.Sprintf(" at coordinate %d", d.Coordinate)
	}
	return fmt.Sprintf("meta-step %d, episode %d (stream %d, %q, %d), inner step %d: %s is %v%s",
		e.MetaStep, e.Episode, in.Seed, in.Purpose, in.Index, d.Step, d.What, d.Value, where)
}
