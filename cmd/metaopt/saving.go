package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/spf13/pflag"

	"learnedopt/checkpoints"
	"learnedopt/compare"
	"learnedopt/internal/simd"
	"learnedopt/metaopt"
	"learnedopt/metatrain"
)

// saving is when a training's state was saved, and what belongs to it.
type saving struct {
	ctx            context.Context
	args           []string // flags that make the training again
	saved          time.Time
	cost           time.Duration // of saving
	saveNow        bool
	validatedSince bool   // since saved
	best           string // which network is in the folder
	replaying      *replaying
}

// worth is how many times as long as saving takes training must have taken since, for a state to be
// saved only because there was a validation: so much that saving takes a hundredth of the time.
const worth = 100

// atRest saves the training's state if it is time to. An error ends the training: what is not
// saved or logged would be lost.
func (t *training) atRest(*metatrain.Trainer) error {
	if t.replaying != nil {
		return t.replaying.atRest(t.trainer)
	}
	if err := t.log.failed(); err != nil {
		return err
	}
	since := time.Since(t.saved)
	switch {
	case t.saveNow, t.ctx.Err() != nil, since >= t.flags.saveEvery:
	case t.validatedSince && since >= worth*t.cost:
	default:
		return nil
	}
	return t.save()
}

// stateKind is what resume.mopt says it is.
const stateKind = "meta-training"

// savedRun is what a run's state holds beside the trainer's.
type savedRun struct {
	Version string `json:"version"`
	Arch    string `json:"arch"`
	Kernels string `json:"kernels"`
	// Args are the flags of the run.
	Args []string `json:"args"`
	// Log is the size of the log when the state was saved.
	Log int64 `json:"log"`
	// Of several seeds, the index of the one that is trained from; whether its beginning was logged, and
	// what the seeds before gave.
	Seed     int          `json:"seed"`
	Started  bool         `json:"started"`
	Outcome  savedOutcome `json:"outcome"`
	Before   []savedSeed  `json:"before"`
	Failure  string       `json:"failure"`
	Finished int          `json:"finished"`
}

// savedOutcome is an outcome with what the result leaves out.
type savedOutcome struct {
	Outcome     outcome                `json:"outcome"`
	Validated   int                    `json:"validated"`
	LastLoss    compare.Number         `json:"last_loss"`
	Stale       int                    `json:"stale"`
	Diagnostics *metatrain.Diagnostics `json:"diagnostics"`
}

type savedSeed struct {
	Seed    uint64       `json:"seed"`
	Outcome savedOutcome `json:"outcome"`
	Found   bool         `json:"found"` // a network
}

func saveOutcome(out outcome) savedOutcome {
	return savedOutcome{out, out.validated, out.lastLoss, out.stale, out.diagnostics}
}

func (s savedOutcome) restore() outcome {
	out := s.Outcome
	out.validated, out.lastLoss, out.stale, out.diagnostics = s.Validated, s.LastLoss, s.Stale, s.Diagnostics
	return out
}

// save writes resume.mopt, and optimizer.mopt if there is a new best. The log comes first: a state
// never counts on a line that a crash could take.
func (t *training) save() error {
	began := time.Now()
	run := savedRun{
		Version: metaopt.Version(), Arch: runtime.GOARCH, Kernels: simd.Float32().Path, Args: t.args,
		Seed: t.progress.now, Started: t.progress.started, Outcome: saveOutcome(t.outcome), Finished: t.progress.finished,
	}
	if t.log != nil {
		if err := t.log.sync(); err != nil {
			return err
		}
		run.Log = t.log.size
	}
	f := &checkpoints.File{
		Kind:       stateKind,
		Provenance: metaopt.Provenance{Task: t.record.Task, Seed: t.record.Seed, MetaSteps: t.trainer.MetaSteps(), Version: run.Version},
	}
	add := func(name string, data []byte) {
		f.Tensors = append(f.Tensors, checkpoints.Tensor{Name: name, Shape: []int{len(data)}, Bytes: data})
	}
	state, err := t.trainer.MarshalBinary()
	if err != nil {
		return err
	}
	add("trainer", state)
	if o := t.flags.network.loaded; o != nil {
		if err := addOptimizer(add, "init", o); err != nil {
			return err
		}
	}
	p := &t.progress
	if p.failure != nil {
		run.Failure = p.failure.Error()
	}
	for k, o := range p.found {
		run.Before = append(run.Before, savedSeed{p.results[k].Seed, saveOutcome(p.results[k].outcome), o != nil})
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
	if err := checkpoints.Save(t.path(stateFile), f); err != nil {
		return fmt.Errorf("the training's state: %w", err)
	}
	if err := t.keepBest(); err != nil {
		return err
	}
	t.saved, t.cost = time.Now(), time.Since(began)
	t.saveNow, t.validatedSince = false, false
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

// keepBest writes the best network so far, of all seeds, unless it is there.
func (t *training) keepBest() error {
	p := &t.progress
	o, out, which := t.trainer.Best(), t.outcome, p.now
	if o != nil {
		t.sign(o)
	}
	if k := lowest(p.results, p.found); k >= 0 && (o == nil || p.results[k].ValidLoss <= out.ValidLoss) {
		o, out, which = p.found[k], p.results[k].outcome, k
	}
	key := fmt.Sprint(which, " ", out.BestMetaStep)
	if o == nil || key == t.best {
		return nil
	}
	if err := metaopt.Save(t.path(optimizerFile), o); err != nil {
		return err
	}
	t.best = key
	return nil
}

// forget removes the state of a run that is finished.
func (t *training) forget() error {
	if err := os.Remove(t.path(stateFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// localFlags are those that say where a run is and how it is watched, not what it is.
var localFlags = []string{"out", "quiet", "resume"}

// savedArgs are the flags that were set, as a command line would have them. Folders become absolute: a
// run may go on from elsewhere. What --init names is saved itself.
func savedArgs(flags *pflag.FlagSet) (args []string, err error) {
	args = []string{} // not null in JSON
	local := map[string]bool{}
	for _, name := range localFlags {
		local[name] = true
	}
	flags.Visit(func(f *pflag.Flag) {
		if local[f.Name] {
			return
		}
		value := f.Value.String()
		if list, ok := f.Value.(pflag.SliceValue); ok {
			for _, v := range list.GetSlice() {
				args = append(args, "--"+f.Name+"="+v)
			}
			return
		}
		if f.Name == "data-dir" || f.Name == "tensorboard" {
			abs, absErr := filepath.Abs(value)
			err = errors.Join(err, absErr)
			value = abs
		}
		args = append(args, "--"+f.Name+"="+value)
	})
	return args, err
}

// maxReplays is of how many windows that are not finite the state before is kept.
const maxReplays = 5

// keepForReplay keeps the last state that was saved before something was not finite, and returns the
// command that shows it again from there; "" if it is not kept.
func (t *training) keepForReplay(e metatrain.Event) string {
	if t.outcome.Skipped >= maxReplays {
		return ""
	}
	name := fmt.Sprintf("nonfinite-%d.mopt", e.MetaStep)
	if t.log.seed != nil {
		name = fmt.Sprintf("nonfinite-seed%d-%d.mopt", *t.log.seed, e.MetaStep)
	}
	path := t.path(name)
	// A state is replaced, never changed: a link keeps it. One that is there already, of an earlier window of
	// this meta-step or of the run before it was interrupted, does as well.
	if err := os.Link(t.path(stateFile), path); err != nil && !errors.Is(err, fs.ErrExist) {
		if err := copyFile(t.path(stateFile), path); err != nil {
			t.note("the state before meta-step %d, which is not finite, could not be kept: %v", e.MetaStep, err)
			return ""
		}
	}
	command := fmt.Sprintf("metaopt meta-train --replay %s --until %d", shellQuote(path), e.MetaStep)
	t.note("%s: %s; show it again with %s", describeNonFinite(e), e.Policy, command)
	return command
}

// copyFile is for file systems without links.
func copyFile(from, to string) error {
	f, err := checkpoints.Load(from)
	if err != nil {
		return err
	}
	return checkpoints.Save(to, f)
}

// describeNonFinite says where something was not finite.
func describeNonFinite(e metatrain.Event) string {
	d, in := e.Diverged, e.Instance
	where := ""
	if d.Coordinate >= 0 {
		where = fmt.Sprintf(" at coordinate %d", d.Coordinate)
	}
	return fmt.Sprintf("meta-step %d, episode %d (stream %d, %q, %d), inner step %d: %s is %v%s",
		e.MetaStep, e.Episode, in.Seed, in.Purpose, in.Index, d.Step, d.What, d.Value, where)
}
