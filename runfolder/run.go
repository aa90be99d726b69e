package runfolder

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"learnedopt/internal/lock"
	"learnedopt/lstm"
	"learnedopt/metaopt"
	"learnedopt/metatrain"
	"learnedopt/recipe"
)

// A Run is a running or ended meta-training. It belongs to one goroutine.
type Run struct {
	recipe   recipe.Recipe // with its defaults
	local    recipe.Local
	settings Settings
	listener Listener
	cfg      metatrain.TrainConfig
	trainer  *metatrain.Trainer
	record   Record
	dir      string
	held     *lock.Lock
	log      *runLog
	outcome  Outcome
	seeds    []SeedResult // results of the seeds, if there are several

	saving
	progress seedProgress
}

// folderName replaces what a task's name has and a folder's should not have.
var folderName = strings.NewReplacer(",", "-", ":", "-", "@", "-")

// New prepares a run and checks everything that can be checked before a folder is made. listener may be nil.
func New(r recipe.Recipe, local recipe.Local, s Settings, listener Listener) (*Run, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	run := &Run{recipe: r.WithDefaults(), local: local, settings: s, listener: listener, outcome: Outcome{validated: -1}}
	var err error
	if run.cfg, err = run.recipe.Config(local); err != nil {
		return nil, err
	}
	run.cfg.OnEvent, run.cfg.AtRest = run.onEvent, run.atRest
	run.record = recordTraining(run.recipe, run.cfg)
	run.trainer, err = run.newTrainer()
	return run, err
}

// Create makes the folder of the run, locks it for this process, and saves the first state. From then on the run can be
// resumed, whatever happens. If dir is "", the folder is a new one in the folder runs, named after the task and the seed.
func (r *Run) Create(dir string) (err error) {
	if r.dir, r.held, err = makeFolder(dir, fmt.Sprintf("%s-seed%d", folderName.Replace(r.recipe.Task.Task()), r.record.Seed)); err != nil {
		return err
	}
	if err = r.save(); err == nil {
		r.log, err = openLog(r.dir, 0)
	}
	return err
}

// Close closes the log and unlocks the folder. A run without a folder can be closed too.
func (r *Run) Close() error {
	var errs []error
	if r.log != nil {
		errs = append(errs, r.log.close())
		r.log = nil
	}
	if r.held != nil {
		errs = append(errs, r.held.Release())
		r.held = nil
	}
	return errors.Join(errs...)
}

// Recipe returns the run's recipe, with all defaults.
func (r *Run) Recipe() recipe.Recipe { return r.recipe }

// Config returns the trainer's configuration.
func (r *Run) Config() metatrain.TrainConfig { return r.cfg }

// Settings returns the run's settings. The caller may change them.
func (r *Run) Settings() *Settings { return &r.settings }

// Record returns the configuration as it is written to the log.
func (r *Run) Record() Record { return r.record }

// Outcome returns how the training went so far, or ended.
func (r *Run) Outcome() Outcome { return r.outcome }

// Trainer returns the present trainer.
func (r *Run) Trainer() *metatrain.Trainer { return r.trainer }

// Dir returns the folder.
func (r *Run) Dir() string { return r.dir }

// Path returns the path of a file in the folder.
func (r *Run) Path(file string) string { return filepath.Join(r.dir, file) }

// Trained returns the training as it is written to result.json. p is the provenance of the resulting optimizer.
func (r *Run) Trained(p metaopt.Provenance) Trained {
	return Trained{Command: p.Command, Version: p.Version, Record: r.record, Outcome: r.outcome, Seeds: r.seeds}
}

// Train trains from the run's present state until its end, from all its seeds, and returns the best network. It returns the
// best network so far also together with an error, or nil if there is none. When ctx ends, the state is saved and the error
// is the context's.
func (r *Run) Train(ctx context.Context) (*metaopt.Optimizer, error) {
	o, err := r.trainAll(ctx)
	logErr := r.log.close()
	r.log = nil
	if err == nil {
		err = errors.Join(logErr, r.trainer.Close())
	}
	return o, err
}

func (r *Run) tell(e Event) {
	if r.listener != nil {
		r.listener.OnEvent(e)
	}
}

// train runs the trainer and fills in the outcome. It returns the best network so far also together with an error, or nil if
// there is none.
func (r *Run) train(ctx context.Context) (*metaopt.Optimizer, error) {
	next := 0
	if r.outcome.validated >= 0 {
		next = r.trainer.MetaSteps() + 1
	}
	r.tell(Started{Record: r.record, Seed: r.record.Seed, Index: r.progress.now, Of: r.recipe.Seeds, Elapsed: r.trainer.Elapsed(), Next: next})
	o, err := r.trainer.Train(ctx)
	r.tell(Ended{})
	out := &r.outcome
	out.ended(ctx, r.cfg, r.trainer, err)
	if o == nil {
		return nil, err
	}
	if len(r.record.Horizons) > 0 {
		out.KeptSteps = o.Provenance.Steps
	}
	return o, errors.Join(err, r.sign(o, r.alone(), r.outcome.validated))
}

// alone returns the recipe that trains only the present seed.
func (r *Run) alone() recipe.Recipe {
	one := r.recipe
	one.Seed, one.Seeds = r.record.Seed, 1
	return one
}

// sign completes the provenance of the best network of a training with the given recipe and number of meta-steps.
func (r *Run) sign(o *metaopt.Optimizer, by recipe.Recipe, metaSteps int) error {
	by, err := by.Finished(r.record.Task, shapeOf(r.cfg), metaSteps)
	if err != nil {
		return err
	}
	if r.local.Init != nil {
		o.Provenance.Source = r.local.Init.Provenance.Source
	}
	return by.Sign(&o.Provenance)
}

// onEvent logs an event of the trainer and passes it on.
func (r *Run) onEvent(e metatrain.Event) {
	if r.replaying != nil {
		r.replaying.onEvent(e)
		return
	}
	if e.Kind == metatrain.EventDiverged {
		e.Replay = r.keepForReplay(e)
	}
	r.log.add(e)
	r.outcome.observe(e)
	if e.Kind == metatrain.EventValidation {
		r.validatedSince = true
	}
	r.tell(TrainerEvent{Event: e, Outcome: r.outcome, Network: r.trainer.Network(), MetaLearningRate: r.cfg.MetaLearningRateAt(max(e.MetaStep-1, 0))})
}

// Network returns the network with the present parameters.
func (r *Run) Network() *lstm.Network { return r.trainer.Network() }
