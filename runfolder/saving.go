package runfolder

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"learnedopt/checkpoints"
	"learnedopt/compare"
	"learnedopt/metaopt"
	"learnedopt/metatrain"
	"learnedopt/recipe"
)

// saving decides when a training's state is saved.
type saving struct {
	ctx            context.Context
	saved          time.Time     // when the last state was saved
	cost           time.Duration // how long the last save took
	saveNow        bool
	validatedSince bool      // whether there was a validation since the last save
	best           string    // names the network that is in the folder
	replaying      *replayer // set only by Replay
}

// savingShare bounds the time that saving takes: a state is saved after a validation only if training since the last save
// took at least this many times as long as saving does.
const savingShare = 100

// atRest saves the training's state if it is time to. An error of saving or of the log ends the training, because later
// results would be lost.
func (r *Run) atRest(*metatrain.Trainer) error {
	if r.replaying != nil {
		return r.replaying.atRest(r.trainer)
	}
	if err := r.log.failed(); err != nil {
		return err
	}
	since := time.Since(r.saved)
	switch {
	case r.saveNow, r.ctx.Err() != nil, since >= r.settings.SaveEvery:
	case r.validatedSince && since >= savingShare*r.cost:
	default:
		return nil
	}
	return r.save()
}

// stateKind is the Kind of the file resume.mopt.
const stateKind = "meta-training"

// savedRun is the part of a run's state that is not the trainer's.
type savedRun struct {
	Version string `json:"version"`
	Arch    string `json:"arch"`
	Kernels string `json:"kernels"`
	// Recipe has all its defaults filled in. DataDir is the folder of the data.
	Recipe   *recipe.Recipe `json:"recipe,omitempty"`
	Settings *Settings      `json:"settings,omitempty"`
	DataDir  string         `json:"data_dir,omitempty"`
	// Args are the flags of the run, in states older than recipes. They replace the three fields above.
	Args []string `json:"args,omitempty"`
	// Log is the size of the log when the state was saved, in bytes.
	Log int64 `json:"log"`
	// Seed is the index of the present seed. Started says whether its start event was logged. Outcome is its outcome so
	// far. Before holds the results of the seeds before it; Failure is the last error of a diverged seed, and Finished
	// the number of seeds that did not diverge.
	Seed     int          `json:"seed"`
	Started  bool         `json:"started"`
	Outcome  savedOutcome `json:"outcome"`
	Before   []savedSeed  `json:"before"`
	Failure  string       `json:"failure"`
	Finished int          `json:"finished"`
}

// savedOutcome is an Outcome with its unexported fields.
type savedOutcome struct {
	Outcome     Outcome                `json:"outcome"`
	Validated   int                    `json:"validated"`
	LastLoss    compare.Number         `json:"last_loss"`
	Stale       int                    `json:"stale"`
	Diagnostics *metatrain.Diagnostics `json:"diagnostics"`
}

type savedSeed struct {
	Seed    uint64       `json:"seed"`
	Outcome savedOutcome `json:"outcome"`
	Found   bool         `json:"found"` // whether the seed has a network
}

func saveOutcome(out Outcome) savedOutcome {
	return savedOutcome{out, out.validated, out.lastLoss, out.stale, out.diagnostics}
}

func (s savedOutcome) restore() Outcome {
	out := s.Outcome
	out.validated, out.lastLoss, out.stale, out.diagnostics = s.Validated, s.LastLoss, s.Stale, s.Diagnostics
	return out
}

// save writes resume.mopt, and optimizer.mopt if there is a new best. It flushes the log first: a state must never rely on a
// line that a crash could lose.
func (r *Run) save() error {
	began := time.Now()
	r.tell(Saving{})
	here := hereBuild()
	run := savedRun{
		Version: here.Version, Arch: here.Arch, Kernels: here.Kernels,
		Recipe: &r.recipe, Settings: &r.settings, DataDir: r.local.DataDir,
		Seed: r.progress.now, Started: r.progress.started, Outcome: saveOutcome(r.outcome), Finished: r.progress.finished,
	}
	if r.log != nil {
		if err := r.log.sync(); err != nil {
			return err
		}
		run.Log = r.log.size
	}
	f := &checkpoints.File{
		Kind:       stateKind,
		Provenance: metaopt.Provenance{Task: r.record.Task, Seed: r.record.Seed, MetaSteps: r.trainer.MetaSteps(), Version: run.Version},
	}
	add := func(name string, data []byte) {
		f.Tensors = append(f.Tensors, checkpoints.Tensor{Name: name, Shape: []int{len(data)}, Bytes: data})
	}
	state, err := r.trainer.MarshalBinary()
	if err != nil {
		return err
	}
	add("trainer", state)
	if o := r.local.Init; o != nil {
		if err := addOptimizer(add, "init", o); err != nil {
			return err
		}
	}
	p := &r.progress
	if p.failure != nil {
		run.Failure = p.failure.Error()
	}
	for k, o := range p.found {
		run.Before = append(run.Before, savedSeed{p.results[k].Seed, saveOutcome(p.results[k].Outcome), o != nil})
		if o != nil {
			if err := addOptimizer(add, fmt.Sprintf("found/%d", k), o); err != nil {
				return err
			}
		}
	}
	data, err := json.Marshal(run)
	if err != nil {
		return err
	}
	add("run", data)
	if err := checkpoints.Save(r.Path(StateFile), f); err != nil {
		return fmt.Errorf("the training's state: %w", err)
	}
	if err := r.keepBest(); err != nil {
		return err
	}
	r.saved, r.cost = time.Now(), time.Since(began)
	r.saveNow, r.validatedSince = false, false
	return nil
}

func addOptimizer(add func(string, []byte), name string, o *metaopt.Optimizer) error {
	var b bytes.Buffer
	if err := metaopt.Write(&b, o); err != nil {
		return err
	}
	add(name, b.Bytes())
	return nil
}

// keepBest writes the best network so far, of all seeds, unless the folder already holds it.
func (r *Run) keepBest() error {
	p := &r.progress
	o, out, which := r.trainer.Best(), r.outcome, p.now
	if o != nil {
		if err := r.sign(o, r.alone(), out.validated); err != nil {
			return err
		}
	}
	if k := lowest(p.results, p.found); k >= 0 && (o == nil || p.results[k].ValidLoss <= out.ValidLoss) {
		o, out, which = p.found[k], p.results[k].Outcome, k
	}
	key := fmt.Sprint(which, " ", out.BestMetaStep)
	if o == nil || key == r.best {
		return nil
	}
	if err := metaopt.Save(r.Path(OptimizerFile), o); err != nil {
		return err
	}
	r.best = key
	return nil
}

// Forget removes the state of a finished run.
func (r *Run) Forget() error {
	if err := os.Remove(r.Path(StateFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// MaxReplays is the number of non-finite windows, the first ones of a run, for which the state before is kept.
const MaxReplays = 5

// keepForReplay keeps a copy of the last state that was saved before a non-finite value occurred. It returns the command
// that replays the event from this state, or "" if the state is not kept.
func (r *Run) keepForReplay(e metatrain.Event) string {
	if r.outcome.Skipped >= MaxReplays {
		return ""
	}
	name := fmt.Sprintf("nonfinite-%d.mopt", e.MetaStep)
	if r.log.seed != nil {
		name = fmt.Sprintf("nonfinite-seed%d-%d.mopt", *r.log.seed, e.MetaStep)
	}
	path := r.Path(name)
	// The state's file is replaced, never modified, so a link keeps it. An existing link is also good: it comes from an
	// earlier window of this meta-step, or from the run before it was interrupted.
	if err := os.Link(r.Path(StateFile), path); err != nil && !errors.Is(err, fs.ErrExist) {
		if err := copyFile(r.Path(StateFile), path); err != nil {
			r.tell(NotKept{e.MetaStep, err})
			return ""
		}
	}
	return fmt.Sprintf("metaopt meta-train --replay %s --until %d", recipe.Quote(path), e.MetaStep)
}

// copyFile copies a state, on file systems without links.
func copyFile(from, to string) error {
	f, err := checkpoints.Load(from)
	if err != nil {
		return err
	}
	return checkpoints.Save(to, f)
}
