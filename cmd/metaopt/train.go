package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"learnedopt/baselines"
	"learnedopt/compare"
	"learnedopt/internal/lock"
	"learnedopt/lstm"
	"learnedopt/metaopt"
	"learnedopt/metatrain"
)

// training is a meta-training under way.
type training struct {
	*app
	flags   *trainFlags
	trainer *metatrain.Trainer
	record  trainRecord
	init    *metaopt.Optimizer
	rules   []string // to compare with
	dir     string
	log     *runLog
	board   *board
	meter   *meter
	outcome outcome
	cfg     metatrain.TrainConfig
	seeds   []seedResult // if there are several

	saving
	progress seedProgress
}

// runResult is result.json.
type runResult struct {
	Comparison *compare.Comparison `json:"comparison"`
	// Tuning holds each hand-designed rule's grid of learning rates.
	Tuning []baselines.Tuned `json:"tuning"`
	Train  trainResult       `json:"train"`
}

type trainResult struct {
	Command string `json:"command"`
	Version string `json:"version"`
	trainRecord
	outcome
	Seeds []seedResult `json:"seeds,omitempty"`
}

// run trains, saves and compares.
func (f *trainFlags) run(cmd *cobra.Command, a *app) error {
	t, err := f.prepare(a, cmd.Flags().Changed)
	if err != nil {
		return err
	}
	if t.args, err = savedArgs(cmd.Flags()); err != nil {
		return err
	}
	task, _, _ := strings.Cut(t.record.Task, " ")
	if err := checkBoard(f.tensorboard); err != nil {
		return err
	}
	var held *lock.Lock
	if t.dir, held, err = makeRunDir(f.out, fmt.Sprintf("%s-seed%d", task, t.record.Seed)); err != nil {
		return err
	}
	defer held.Release()
	// Before anything else: from now on the run can go on, whatever happens.
	if err := t.save(); err != nil {
		return err
	}
	if t.log, err = openLog(t.dir, 0); err != nil {
		return err
	}
	return t.finish(cmd.Context())
}

// finish trains from where the training stands, saves and compares.
func (t *training) finish(ctx context.Context) error {
	o, err := t.trainAll(ctx)
	if logErr := t.log.close(); err == nil {
		err = logErr
	}
	if o == nil {
		return t.unfinished(err, "nothing to keep yet: only "+filepath.Join(t.dir, logFile))
	}
	if saveErr := metaopt.Save(t.path(optimizerFile), o); saveErr != nil {
		if errors.Is(err, context.Canceled) {
			err = nil // what failed is worse than an interrupt
		}
		return t.unfinished(errors.Join(err, saveErr), "its optimizer could not be written")
	}
	if err == nil {
		t.summarize()
		err = t.compare(ctx, o)
	}
	if err == nil {
		return t.forget()
	}
	return t.unfinished(err, t.kept())
}

// prepare checks everything that can be checked before a folder is made.
func (f *trainFlags) prepare(a *app, set func(string) bool) (*training, error) {
	t := &training{app: a, flags: f, outcome: outcome{validated: -1}}
	if err := errors.Join(f.limit(set), f.plan.check(set)); err != nil {
		return nil, err
	}
	cfg := f.cfg
	var (
		shape lstm.Config
		err   error
	)
	if t.rules, err = parseRules(f.rules); err != nil {
		return nil, err
	}
	if shape, t.init, err = f.network.config(set); err != nil {
		return nil, err
	}
	cfg.Network, cfg.Init = shape, f.network.start
	if t.init != nil {
		cfg.Initial = t.init.Network
	}
	if cfg.Valid, err = f.task.family(); err != nil {
		return nil, err
	}
	if cfg.Family, err = f.augment.family(cfg.Valid); err != nil {
		return nil, err
	}
	gradient, err := f.gradient.record(set)
	if err != nil {
		return nil, err
	}
	if cfg.Estimator, err = gradient.build(cfg.Valid); err != nil {
		return nil, err
	}
	cfg.OnEvent, cfg.AtRest = t.hear, t.atRest
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, asUsage(err)
	}
	t.record = recordTraining(cfg, shape, f.network.init, gradient)
	t.cfg = cfg
	t.record.augmentRecord = f.augment.augmentRecord
	t.trainer, err = metatrain.NewTrainer(cfg)
	return t, err
}

// train runs the trainer and fills in the outcome. It returns the best so far also
// beside an error, nil if there is none.
func (t *training) train(ctx context.Context) (*metaopt.Optimizer, error) {
	limit := t.flags.cfg.Time
	if limit > 0 {
		t.note("meta-training on %s for %v", t.record.Task, limit)
		t.meter = t.clock(limit, "meta-training")
	} else {
		t.note("meta-training on %s for %d meta-steps", t.record.Task, t.record.MetaSteps)
		t.meter = t.count(int64(t.record.MetaSteps), "meta-training").of("meta-steps")
	}
	t.meter.after(t.trainer.Elapsed())
	t.board = t.openBoard(t.flags.tensorboard, t.log.seed)
	o, err := t.trainer.Train(ctx)
	t.board.end()
	t.meter.close()
	out := &t.outcome
	out.Seconds, out.MetaSteps = t.trainer.Elapsed().Seconds(), t.trainer.MetaSteps()
	var diverged *metatrain.MetaDivergedError
	switch {
	case err == nil && t.record.MetaSteps > 0 && out.MetaSteps >= t.record.MetaSteps:
		out.Reason = "meta-steps"
	case err == nil && limit > 0 && out.Seconds >= limit.Seconds():
		out.Reason = "time"
	case err == nil && len(t.record.Horizons) > 0:
		out.Reason = "curriculum"
	case err == nil:
		out.Reason = "patience"
	case ctx.Err() != nil:
		out.Reason = "interrupted"
	case errors.As(err, &diverged):
		out.Reason = "diverged"
	default:
		out.Reason = "error"
	}
	if err != nil && ctx.Err() == nil {
		out.Error = oneLine(err)
	}
	if o == nil {
		return nil, err
	}
	if len(t.record.Horizons) > 0 {
		out.KeptSteps = o.Provenance.Steps
	}
	t.sign(o)
	return o, err
}

// sign completes the provenance of the training's best network.
func (t *training) sign(o *metaopt.Optimizer) {
	o.Provenance.Name = t.flags.name
	o.Provenance.Command = t.record.command(t.flags.name, t.outcome.validated)
	if t.init != nil {
		o.Provenance.Source = t.init.Provenance.Source
	}
}

// hear logs an event and shows it.
func (t *training) hear(e metatrain.Event) {
	if t.replaying != nil {
		t.replaying.hear(e)
		return
	}
	if e.Kind == metatrain.EventDiverged {
		e.Replay = t.keepForReplay(e)
	}
	t.log.add(e)
	t.board.hear(e, t.trainer.Network(), t.cfg.MetaLearningRateAt(max(e.MetaStep-1, 0)))
	if t.record.MetaSteps > 0 {
		t.meter.set(int64(e.MetaStep))
	} else if e.MetaStep > 0 {
		t.meter.describe(fmt.Sprintf("meta-training, valid loss %s, %.3g meta-steps/s", loss(t.outcome.lastLoss), float64(e.MetaStep)/e.Seconds))
	}
	switch e.Kind {
	case metatrain.EventDiverged:
		t.outcome.Skipped++
	case metatrain.EventValidation:
		if t.outcome.validated < 0 {
			t.outcome.StartLoss = e.Valid.Loss()
		}
		t.outcome.validated = e.MetaStep
		t.validatedSince = true
		t.outcome.diagnostics = e.Diagnostics
		t.outcome.stale++
		if e.Best {
			t.outcome.stale = 0
			t.outcome.BestMetaStep, t.outcome.ValidLoss = e.MetaStep, e.Valid.Loss()
		}
		t.outcome.lastLoss = e.Valid.Loss()
		if t.record.MetaSteps > 0 {
			t.meter.describe("meta-training, valid loss " + loss(e.Valid.Loss()))
		}
	}
}

func (t *training) summarize() {
	out := t.outcome
	t.note("%d meta-steps in %.0f s; validation loss %s at meta-step %d, %s before the first",
		out.MetaSteps, out.Seconds, loss(out.ValidLoss), out.BestMetaStep, loss(out.StartLoss))
	if out.KeptSteps > 0 {
		t.note("the curriculum's network that is kept was trained at %d steps; the two losses are at the horizons of their stages", out.KeptSteps)
	}
	if out.Skipped > 0 {
		followed := "and were skipped"
		if t.record.OnNonFinite == metatrain.RollbackNonFinite {
			followed = "and led back to the last validation without a divergence"
		}
		t.note("%d windows were not finite %s; a lower --meta-lr or --scale may help", out.Skipped, followed)
	}
	hint := t.record.hint(out.diagnostics, len(t.trainer.Network().Params()))
	switch {
	case out.BestMetaStep == 0 && hint == "":
		t.note("training found nothing better than its start; give it more --time, or another --meta-lr or --scale")
	case out.BestMetaStep == 0:
		t.note("training found nothing better than its start: %s", hint)
	case out.stalled() && hint != "":
		t.note("no validation after meta-step %d was better: %s", out.BestMetaStep, hint)
	}
}

// compare tunes the hand-designed rules, compares and writes the results; the
// files first, since standard output may be a pipe that closes.
func (t *training) compare(ctx context.Context, o *metaopt.Optimizer) error {
	name := distinctNames([]string{t.path(optimizerFile)}, []*metaopt.Optimizer{o}, t.rules)[0]
	family, err := t.flags.task.family()
	if err != nil {
		return err
	}
	if len(t.rules) > 0 {
		t.note("tuning %s, then comparing on fresh instances", strings.Join(t.rules, ", "))
	}
	res, err := versus{
		family: family, steps: o.Provenance.Steps, runs: t.flags.runs, tuneRuns: t.flags.tune, seed: t.record.Seed,
		learned: []compare.Contender{{Name: name, Kind: compare.Learned, Rule: o.Network}}, rules: t.rules,
	}.run(ctx, t.app)
	if err != nil {
		return err
	}
	train := trainResult{Command: o.Provenance.Command, Version: o.Provenance.Version, trainRecord: t.record, outcome: t.outcome, Seeds: t.seeds}
	if err := t.writeJSON(t.path(resultFile), runResult{res.comparison, res.tuned, train}); err != nil {
		return err
	}
	plot, err := plotComparison(res.comparison, 0)
	if err != nil {
		return err
	}
	for _, format := range []string{".png", ".svg"} {
		if err := plot.Save(t.path(curvesFile + format)); err != nil {
			return err
		}
	}
	fmt.Fprintln(t.stdout)
	if err := printComparison(t.stdout, res.comparison); err != nil {
		return err
	}
	fmt.Fprintf(t.stdout, "\nWritten to %s: %s\n", t.dir, strings.Join(runFiles, ", "))
	t.note("next: metaopt compare %s --steps %d", t.path(optimizerFile), 2*o.Provenance.Steps)
	return nil
}

func (t *training) path(file string) string { return filepath.Join(t.dir, file) }

// kept says what an unfinished run leaves.
func (t *training) kept() string {
	return fmt.Sprintf("the best so far, of meta-step %d with validation loss %s, is in %s, the log beside it; compare it with metaopt compare %[3]s",
		t.outcome.BestMetaStep, loss(t.outcome.ValidLoss), t.path(optimizerFile))
}

// unfinished adds to an error what the run folder holds.
func (t *training) unfinished(err error, holds string) error {
	var diverged *metatrain.MetaDivergedError
	onward := fmt.Sprintf("go on with metaopt meta-train --resume %s", shellQuote(t.dir))
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return &interruptedError{fmt.Sprintf("interrupted at meta-step %d; %s; %s", t.outcome.MetaSteps, onward, holds)}
	case errors.As(err, &diverged): // as it would again
		return fmt.Errorf("%w; %s", err, holds)
	}
	return fmt.Errorf("%w; %s; %s", err, onward, holds)
}
