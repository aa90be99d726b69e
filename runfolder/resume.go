package runfolder

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"learnedopt/checkpoints"
	"learnedopt/internal/durable"
	"learnedopt/internal/lock"
	"learnedopt/internal/simd"
	"learnedopt/metaopt"
	"learnedopt/recipe"
)

// A Change modifies the recipe and the settings of a saved state, before its training is made. The trainer refuses a state of
// another training. So in the recipe hardly more than OnNonFinite can change.
type Change func(*recipe.Recipe, *Settings) error

// Resume restores the interrupted run in a folder and locks the folder for this process. The state may come from a
// stranger: its values are bounded, and it makes no file outside the folder. Resume does not write TensorBoard events; that
// is up to the caller. change and listener may be nil.
func Resume(dir string, change Change, listener Listener) (*Run, error) {
	if info, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("%w; --resume names the folder of an interrupted run", err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("%s is not a folder; --resume names the folder of an interrupted run", dir)
	}
	held, err := lock.Take(dir)
	if err != nil {
		return nil, fmt.Errorf("run folder: %w; wait for its end, or interrupt it", err)
	}
	r, err := resume(dir, held, change, listener)
	if err != nil {
		return nil, errors.Join(err, held.Release())
	}
	return r, nil
}

func resume(dir string, held *lock.Lock, change Change, listener Listener) (*Run, error) {
	path := filepath.Join(dir, StateFile)
	if !exists(path) {
		if exists(filepath.Join(dir, ResultFile)) {
			return nil, fmt.Errorf("the run in %s is finished; metaopt meta-train --init %s begins another one from its optimizer",
				dir, recipe.Quote(filepath.Join(dir, OptimizerFile)))
		}
		return nil, fmt.Errorf("%s holds no interrupted run: there is no %s in it", dir, StateFile)
	}
	for _, file := range append(Files(), StateFile) {
		if err := durable.Clean(filepath.Join(dir, file)); err != nil {
			return nil, err
		}
	}
	r, run, err := restore(path, change, listener)
	if err != nil {
		return nil, err
	}
	if s := held.Stale(); s != nil {
		r.tell(Stale{Dir: dir, PID: s.PID, Host: s.Host})
	}
	if r.log, err = openLog(dir, run.Log); err != nil {
		return nil, fmt.Errorf("%w; without its log a run cannot go on, but metaopt meta-train --init %s begins another one from the best so far",
			err, recipe.Quote(filepath.Join(dir, OptimizerFile)))
	}
	r.dir, r.held = dir, held
	return r, nil
}

// restore makes the run of a saved state, without a folder.
func restore(path string, change Change, listener Listener) (*Run, savedRun, error) {
	var run savedRun
	bad := func(err error) (*Run, savedRun, error) {
		return nil, run, fmt.Errorf("%s: %w", path, err)
	}
	file, err := checkpoints.Load(path)
	if err != nil {
		return nil, run, err
	}
	if file.Kind != stateKind {
		return bad(fmt.Errorf("it holds a %q, not the state of a run", file.Kind))
	}
	data, err := file.Uint8("run")
	if err != nil {
		return bad(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&run); err != nil {
		return bad(err)
	}
	if run.Log < 0 || run.Seed < 0 || run.Seed != len(run.Before) {
		return bad(errors.New("counts that contradict each other"))
	}
	trained, s, local, err := run.training()
	if err == nil && change != nil {
		err = change(&trained, &s)
	}
	if err == nil {
		err = trained.Validate()
	}
	if err != nil {
		return bad(fmt.Errorf("a run of another version of this program (%s): %w", run.Version, err))
	}
	if trained.Init != "" {
		if local.Init, err = savedOptimizer(file, "init"); err != nil {
			return bad(err)
		}
	}
	r, err := New(trained, local, s, listener)
	if err != nil {
		return bad(err)
	}
	saved := Build{Version: run.Version, Arch: run.Arch, Kernels: run.Kernels}
	if here := hereBuild(); here != saved {
		r.tell(OtherBuild{Saved: saved, Here: here})
	}
	if err := r.restoreSeeds(file, run); err != nil {
		return bad(err)
	}
	state, err := file.Uint8("trainer")
	if err != nil {
		return bad(err)
	}
	if err := r.trainer.UnmarshalBinary(state); err != nil {
		return bad(err)
	}
	r.outcome = run.Outcome.restore()
	r.saved, r.saveNow = time.Now(), false
	return r, run, nil
}

// hereBuild is the build of this process.
func hereBuild() Build {
	return Build{Version: metaopt.Version(), Arch: runtime.GOARCH, Kernels: simd.Float32().Path}
}

// training returns the recipe, the settings and the data folder in a state. States older than recipes hold flags instead,
// which mean version 1 of the defaults.
func (run savedRun) training() (r recipe.Recipe, s Settings, local recipe.Local, err error) {
	if run.Recipe != nil && run.Settings != nil && run.Args == nil {
		return *run.Recipe, *run.Settings, recipe.Local{DataDir: run.DataDir}, nil
	}
	if run.Recipe != nil || run.Settings != nil || run.Args == nil {
		return r, s, local, errors.New("it has neither a recipe nor flags, or both")
	}
	r, rest, err := recipe.ParseArgs(run.Args)
	if err != nil {
		return r, s, local, err
	}
	s, local.DataDir, err = parseSettings(rest)
	return r, s, local, err
}

// restoreSeeds restores the results of the finished seeds, and makes a trainer for the running seed.
func (r *Run) restoreSeeds(file *checkpoints.File, run savedRun) (err error) {
	p := &r.progress
	p.now, p.started, p.finished = run.Seed, run.Started, run.Finished
	if run.Failure != "" {
		p.failure = errors.New(run.Failure)
	}
	for k, s := range run.Before {
		var o *metaopt.Optimizer
		if s.Found {
			if o, err = savedOptimizer(file, fmt.Sprintf("found/%d", k)); err != nil {
				return err
			}
		}
		p.found = append(p.found, o)
		p.results = append(p.results, SeedResult{Seed: s.Seed, Outcome: s.Outcome.restore()})
	}
	if p.now == 0 {
		return nil
	}
	r.setSeed(r.recipe.Seed + uint64(p.now))
	r.trainer, err = r.newTrainer()
	return err
}

// savedOptimizer reads an optimizer from a state.
func savedOptimizer(file *checkpoints.File, name string) (*metaopt.Optimizer, error) {
	data, err := file.Uint8(name)
	if err != nil {
		return nil, err
	}
	return metaopt.Read(bytes.NewReader(data))
}
