package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"learnedopt/checkpoints"
	"learnedopt/internal/durable"
	"learnedopt/internal/lock"
	"learnedopt/internal/simd"
	"learnedopt/metaopt"
	"learnedopt/metatrain"
)

// only refuses flags that a saved state settles.
func only(cmd *cobra.Command, with string, allowed ...string) (err error) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.Name != with && !slices.Contains(allowed, f.Name) {
			err = usagef("--%s is settled by the state that --%s names; drop it, or begin another training", f.Name, with)
		}
	})
	return err
}

// runResume goes on with an interrupted run.
func (f *trainFlags) runResume(cmd *cobra.Command, a *app) error {
	if err := only(cmd, "resume", "quiet", "save-every", "on-non-finite", "tensorboard"); err != nil {
		return err
	}
	if info, err := os.Stat(f.resume); err != nil {
		return fmt.Errorf("%w; --resume names the folder of an interrupted run", err)
	} else if !info.IsDir() {
		return fmt.Errorf("%s is not a folder; --resume names that of an interrupted run", f.resume)
	}
	held, err := lock.Take(f.resume)
	if err != nil {
		return fmt.Errorf("run folder: %w; wait for its end, or interrupt it", err)
	}
	defer held.Release()
	path := filepath.Join(f.resume, stateFile)
	if !exists(path) {
		if exists(filepath.Join(f.resume, resultFile)) {
			return fmt.Errorf("the run in %s is finished; metaopt meta-train --init %s begins another one from its optimizer",
				f.resume, shellQuote(filepath.Join(f.resume, optimizerFile)))
		}
		return fmt.Errorf("%s holds no interrupted run: there is no %s in it", f.resume, stateFile)
	}
	for _, file := range []string{stateFile, optimizerFile} {
		if err := durable.Clean(filepath.Join(f.resume, file)); err != nil {
			return err
		}
	}
	var changed []string
	for _, name := range []string{"save-every", "on-non-finite", "tensorboard"} {
		if flag := cmd.Flags().Lookup(name); flag.Changed {
			changed = append(changed, "--"+name+"="+flag.Value.String())
		}
	}
	t, run, err := restoreRun(a, path, changed)
	if err != nil {
		return err
	}
	t.dir = f.resume
	if s := held.Stale(); s != nil {
		t.note("process %d on %s held %s and did not end in order", s.PID, s.Host, f.resume)
	}
	if dir := t.flags.tensorboard; dir != "" && !cmd.Flags().Changed("tensorboard") && !hasEvents(dir) {
		// The state may be anybody's: it makes no folders elsewhere.
		t.note("the run wrote events for TensorBoard to %s, which has none: it goes on without; set --tensorboard beside --resume for them", dir)
		t.flags.tensorboard = ""
	}
	if err := checkBoard(t.flags.tensorboard); err != nil {
		return err
	}
	if t.log, err = openLog(t.dir, run.Log); err != nil {
		return fmt.Errorf("%w; without its log a run cannot go on, but metaopt meta-train --init %s begins another one from the best so far",
			err, shellQuote(t.path(optimizerFile)))
	}
	t.note("going on with %s at meta-step %d, after %v of training", t.dir, t.trainer.MetaSteps(), t.trainer.Elapsed().Round(time.Second))
	return t.finish(cmd.Context())
}

// restoreRun makes the training of a state, without a folder. Flags that changed come after the saved ones.
func restoreRun(a *app, path string, changed []string) (*training, savedRun, error) {
	var run savedRun
	bad := func(err error) (*training, savedRun, error) {
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
	if run.Log < 0 || run.Seed != len(run.Before) {
		return bad(errors.New("counts that contradict each other"))
	}
	f := newTrainFlags()
	cmd := &cobra.Command{Use: "meta-train"}
	f.add(cmd)
	args := slices.Clone(run.Args)
	for _, flag := range changed {
		name, _, _ := strings.Cut(flag, "=")
		args = slices.DeleteFunc(args, func(old string) bool { return strings.HasPrefix(old, name+"=") })
		args = append(args, flag)
	}
	if err := cmd.ParseFlags(args); err != nil {
		return bad(fmt.Errorf("a run of another version of this program (%s): %w", run.Version, err))
	}
	if f.network.init != "" {
		if f.network.loaded, err = savedOptimizer(file, "init"); err != nil {
			return bad(err)
		}
	}
	t, err := f.prepare(a, cmd.Flags().Changed)
	if err != nil {
		return bad(errors.New(err.Error())) // no mistake of this command line
	}
	t.args = args
	if here := (savedRun{Version: metaopt.Version(), Arch: runtime.GOARCH, Kernels: simd.Float32().Path}); here.Version != run.Version || here.Arch != run.Arch || here.Kernels != run.Kernels {
		t.note("the run was saved by version %s on %s with the kernels %s, this is %s on %s with %s: it goes on, but not to the same bits",
			run.Version, run.Arch, run.Kernels, here.Version, here.Arch, here.Kernels)
	}
	if err := t.restoreSeeds(file, run); err != nil {
		return bad(err)
	}
	state, err := file.Uint8("trainer")
	if err != nil {
		return bad(err)
	}
	if err := t.trainer.UnmarshalBinary(state); err != nil {
		return bad(err)
	}
	t.outcome = run.Outcome.restore()
	t.saved, t.saveNow = time.Now(), false
	return t, run, nil
}

// restoreSeeds restores what the seeds before gave, and makes a trainer of the one that is under way.
func (t *training) restoreSeeds(file *checkpoints.File, run savedRun) (err error) {
	p := &t.progress
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
		p.results = append(p.results, seedResult{Seed: s.Seed, outcome: s.Outcome.restore()})
	}
	if p.now == 0 {
		return nil
	}
	t.setSeed(t.flags.cfg.Seed + uint64(p.now))
	t.trainer, err = metatrain.NewTrainer(t.cfg)
	return err
}

// savedOptimizer reads a network that a state holds.
func savedOptimizer(file *checkpoints.File, name string) (*metaopt.Optimizer, error) {
	data, err := file.Uint8(name)
	if err != nil {
		return nil, err
	}
	return metaopt.Read(bytes.NewReader(data))
}
