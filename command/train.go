package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"learnedopt/compare"
	"learnedopt/internal/simd"
	"learnedopt/metaopt"
	"learnedopt/metatrain"
	"learnedopt/recipe"
	"learnedopt/report"
	"learnedopt/report/comparison"
	"learnedopt/runfolder"
	"learnedopt/versus"
)

// training shows a run, and compares its optimizer with hand-designed rules.
type training struct {
	*app
	*runfolder.Run
	rules []string // hand-designed rules to compare with
	meter *meter
	board *board
}

var _ runfolder.Listener = (*training)(nil)

// newTraining prepares a run. Its errors are mistakes in the command line, or missing data.
func (a *app) newTraining(r recipe.Recipe, local recipe.Local, s runfolder.Settings) (*training, error) {
	if err := trainable(); err != nil {
		return nil, err
	}
	t := &training{app: a}
	collectOften()
	var err error
	if t.rules, err = parseRules(s.Rules); err != nil {
		return nil, err
	}
	if t.Run, err = runfolder.New(r, local, s, t); err != nil {
		return nil, taskError(err)
	}
	return t, nil
}

// trainable refuses kernels that are for use alone.
func trainable() error {
	k := simd.Float32()
	if !k.Rounds() {
		return nil
	}
	return usagef("%s=%s rounds the factors of products, and so meta-gradients: it is for finished optimizers. Unset it, or take another of %s to train",
		simd.EnvPath, k.Path, strings.Join(simd.Paths(), ", "))
}

// collectOften lets garbage add a fifth to the memory in use, not double it, unless the environment's GOGC says otherwise. A
// training's memory is large arrays without pointers, which cost the collector nothing.
func collectOften() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(20)
	}
}

// run trains, saves and compares.
func (f *trainFlags) run(cmd *cobra.Command, a *app) error {
	r, err := f.recipe.recipe()
	if err != nil {
		return err
	}
	if f.recipe.dataDir != "" {
		f.dataDir = f.recipe.dataDir
	}
	for _, folder := range []*string{&f.dataDir, &f.TensorBoard} { // a run may be resumed from another working folder
		if *folder != "" {
			if *folder, err = filepath.Abs(*folder); err != nil {
				return err
			}
		}
	}
	if err := oneKind("meta-train", f.out); err != nil {
		return err
	}
	local := recipe.Local{DataDir: f.dataDir}
	if local.Init, err = loadInit(r.Init); err != nil {
		return err
	}
	many, err := f.nats.open(cmd.Context(), a)
	if err != nil {
		return err
	}
	defer many.close()
	if many != nil {
		f.Executor = f.nats.executor(cmd.Context(), a, many)
	}
	t, err := a.newTraining(r, local, f.Settings)
	if err != nil {
		return err
	}
	defer t.Close()
	if err := checkBoard(f.TensorBoard); err != nil {
		return err
	}
	if err := t.Create(f.out); err != nil {
		return err
	}
	many.watch(t.Dir())
	return t.finish(cmd.Context())
}

// finish trains from the present state to the end, saves and compares.
func (t *training) finish(ctx context.Context) error {
	o, err := t.Train(ctx)
	if o == nil {
		return t.unfinished(err, "nothing to keep yet: only "+t.Path(logFile))
	}
	if saveErr := metaopt.Save(t.Path(optimizerFile), o); saveErr != nil {
		if errors.Is(err, context.Canceled) {
			err = nil // report the failure, not the interrupt
		}
		return t.unfinished(errors.Join(err, saveErr), "its optimizer could not be written")
	}
	if err == nil {
		t.summarize()
		err = t.compare(ctx, o)
	}
	if err == nil {
		return t.Forget()
	}
	return t.unfinished(err, t.kept())
}

// OnEvent implements runfolder.Listener: it shows the event on the terminal.
func (t *training) OnEvent(event runfolder.Event) {
	switch e := event.(type) {
	case runfolder.Started:
		t.started(e)
	case runfolder.TrainerEvent:
		t.trainerEvent(e)
	case runfolder.Saving:
		t.board.flush()
	case runfolder.Ended:
		t.board.end()
		t.meter.close()
	case runfolder.SeedDiverged:
		t.note("seed %d: %v", e.Seed, e.Err)
	case runfolder.Choosing:
		t.note("choosing among %d networks on %d instances", e.Networks, e.Runs)
		t.meter = t.app.meter(int64(e.Networks*e.Runs), "choosing", 0).of("runs")
	case runfolder.ChoosingRun:
		t.meter.progress(e.Done, e.Total)
	case runfolder.ChoosingEnded:
		t.meter.close()
	case runfolder.SeedScored:
		t.note("seed %d: loss %s", e.Seed, comparison.Loss(e.Loss))
	case runfolder.NotKept:
		t.note("the state before meta-step %d, which is not finite, could not be kept: %v", e.MetaStep, e.Err)
	case runfolder.Stale:
		t.note("process %d on %s held %s and did not end in order", e.PID, e.Host, e.Dir)
	case runfolder.OtherBuild:
		t.note("the run was saved by version %s on %s with the kernels %s, this is %s on %s with %s: it goes on, but not to the same bits",
			e.Saved.Version, e.Saved.Arch, e.Saved.Kernels, e.Here.Version, e.Here.Arch, e.Here.Kernels)
	}
}

// started begins to show the training from one seed.
func (t *training) started(e runfolder.Started) {
	var folder *uint64 // the seed, if there are several
	if e.Of > 1 {
		t.note("seed %d, %d of %d", e.Seed, e.Index+1, e.Of)
		folder = &e.Seed
	}
	if limit := t.Config().Time; limit > 0 {
		t.note("meta-training on %s for %v", e.Record.Task, limit)
		t.meter = t.clock(limit, "meta-training")
	} else {
		t.note("meta-training on %s for %d meta-steps", e.Record.Task, e.Record.MetaSteps)
		t.meter = t.count(int64(e.Record.MetaSteps), "meta-training").of("meta-steps")
	}
	t.meter.after(e.Elapsed)
	t.board = t.openBoard(t.Settings().TensorBoard, folder, e.Next)
}

// trainerEvent shows an event of the trainer.
func (t *training) trainerEvent(e runfolder.TrainerEvent) {
	t.board.add(e.Event, e.Network, e.MetaLearningRate)
	counted := t.Config().MetaSteps > 0
	if counted {
		t.meter.set(int64(e.MetaStep))
	} else if e.MetaStep > 0 {
		t.meter.describe(fmt.Sprintf("meta-training, valid loss %s, %.3g meta-steps/s", comparison.Loss(e.Outcome.LastLoss()), float64(e.MetaStep)/e.Seconds))
	}
	if counted && e.Kind == metatrain.EventValidation {
		t.meter.describe("meta-training, valid loss " + comparison.Loss(e.Valid.Loss()))
	}
	if e.Replay != "" {
		t.note("%s: %s; show it again with %s", runfolder.Describe(e.Event), e.Policy, e.Replay)
	}
}

func (t *training) summarize() {
	out := t.Outcome()
	t.note("%d meta-steps in %.0f s; validation loss %s at meta-step %d, %s before the first",
		out.MetaSteps, out.Seconds, comparison.Loss(out.ValidLoss), out.BestMetaStep, comparison.Loss(out.StartLoss))
	if out.KeptSteps > 0 {
		t.note("the curriculum's network that is kept was trained at %d steps; the two losses are at the horizons of their stages", out.KeptSteps)
	}
	if out.Skipped > 0 {
		followed := "and were skipped"
		if t.Config().OnNonFinite == metatrain.RollbackNonFinite {
			followed = "and led back to the last validation without a divergence"
		}
		t.note("%d windows were not finite %s; a lower --meta-lr or --scale may help", out.Skipped, followed)
	}
	remark := hint(t.Record(), out.Diagnostics(), len(t.Network().Params()), t.usualStart())
	switch {
	case out.BestMetaStep == 0 && remark == "":
		t.note("training found nothing better than its start; give it more --time, or another --meta-lr or --scale")
	case out.BestMetaStep == 0:
		t.note("training found nothing better than its start: %s", remark)
	case out.Stalled() && remark != "":
		t.note("no validation after meta-step %d was better: %s", out.BestMetaStep, remark)
	}
}

// usualStart returns the default start of a network.
func (t *training) usualStart() runfolder.Start {
	_, start, err := recipe.Recipe{Defaults: t.Recipe().Defaults, Task: t.Recipe().Task}.Network()
	if err != nil {
		panic("metaopt: " + err.Error()) // not reached: defaults are valid
	}
	return runfolder.Start(start)
}

// compare tunes the hand-designed rules, compares, and writes the results. It writes the files first, because standard output
// may be a pipe that closes.
func (t *training) compare(ctx context.Context, o *metaopt.Optimizer) error {
	name := distinctNames([]string{t.Path(optimizerFile)}, []*metaopt.Optimizer{o}, t.rules)[0]
	if len(t.rules) > 0 {
		t.note("tuning %s, then comparing on fresh instances", strings.Join(t.rules, ", "))
	}
	res, err := versus.Config{
		Family: t.Config().Valid, Steps: o.Provenance.Steps, Runs: t.Settings().Runs, TuneRuns: t.Settings().TuneRuns, Seed: t.Record().Seed,
		Learned: []compare.Contender{{Name: name, Kind: compare.Learned, Rule: o.Network}}, Rules: t.rules, Times: true,
	}.Run(ctx, &comparing{app: t.app})
	if err != nil {
		return err
	}
	if err := t.writeJSON(t.Path(resultFile), runfolder.Result{Comparison: res.Comparison, Tuning: res.Tuned, Train: t.Trained(o.Provenance)}); err != nil {
		return err
	}
	plot, err := comparison.Plot(res.Comparison, 0)
	if err != nil {
		return err
	}
	for _, format := range []string{".png", ".svg"} {
		if err := plot.Save(t.Path(curvesFile + format)); err != nil {
			return err
		}
	}
	fmt.Fprintln(t.stdout)
	if err := comparison.Write(t.stdout, res.Comparison, report.Table); err != nil {
		return err
	}
	fmt.Fprintf(t.stdout, "\nWritten to %s: %s\n", t.Dir(), strings.Join(runfolder.Files(), ", "))
	t.note("next: metaopt compare %s --steps %d", t.Path(optimizerFile), 2*o.Provenance.Steps)
	return nil
}

// kept says what an unfinished run leaves behind.
func (t *training) kept() string {
	return fmt.Sprintf("the best so far, of meta-step %d with validation loss %s, is in %s, the log beside it; compare it with metaopt compare %[3]s",
		t.Outcome().BestMetaStep, comparison.Loss(t.Outcome().ValidLoss), t.Path(optimizerFile))
}

// unfinished adds to an error what the run folder holds.
func (t *training) unfinished(err error, holds string) error {
	var diverged *metatrain.MetaDivergedError
	onward := fmt.Sprintf("go on with metaopt meta-train --resume %s", recipe.Quote(t.Dir()))
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return &interruptedError{fmt.Sprintf("interrupted at meta-step %d; %s; %s", t.Outcome().MetaSteps, onward, holds)}
	case errors.As(err, &diverged): // resuming would diverge again
		return fmt.Errorf("%w; %s", err, holds)
	}
	return fmt.Errorf("%w; %s; %s", err, onward, holds)
}
