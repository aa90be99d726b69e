package metatrain

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"learnedopt/baselines"
	"learnedopt/compare"
	"learnedopt/internal/stream"
	"learnedopt/lstm"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
)

// TrainConfig configures a meta-training. Family and at least one limit, MetaSteps or Time, must be set. All other
// fields have defaults.
type TrainConfig struct {
	// Family draws the problems: episode e is drawn from the stream (Seed, "train", e), and validation instance i
	// from the stream (Seed, "valid", i).
	Family optimizer.Family
	// Valid, if set, draws the validation instances instead of Family, and names the task in the provenance. Set it
	// if Family is a harder version of the same task (tasks.RandomScaling, tasks.Joint).
	Valid optimizer.Family
	// Network is the shape of the network. Initial is the network to start from. Default: a random network of the
	// shape Network. If Initial is set, Network is not read.
	Network lstm.Config
	Initial *lstm.Network
	// Init says how the random network is drawn. Default: as PyTorch draws it.
	Init lstm.Init
	// Steps is the length T of an episode. Unroll is the length K of a window, which must divide T. Default 100 and
	// 20.
	Steps, Unroll int
	// Horizons, if set, is a curriculum (Chen et al. 2020, section 3.1). Episodes of stage s have Horizons[s] steps,
	// ascending and all divisible by Unroll; Steps is ignored and set to the last horizon. Validation runs at the
	// next stage's horizon; in the last stage, at its own. A stage ends after at least 3 validations, when
	// StagePatience validations in a row (default 1) brought no new best. Then the best φ is restored, and the next
	// stage begins with new moments of Adam. Train ends after the last stage, or after a stage that never improved.
	Horizons      []int
	StagePatience int
	// RandomSteps draws an episode's length log-uniformly from the multiples of Unroll up to Steps, or up to the
	// stage's horizon. So both short and long runs occur (Wichrowska et al. 2017, section 4).
	RandomSteps bool
	// HideLength is the fraction of episodes whose length the network is not told. Users do not always know how many
	// steps they will take, and lstm.TimeContext has to work without. Default 0.
	HideLength float64
	// MetaSteps and Time limit the training; 0 means no limit. With a limit of time, the number of meta-steps depends
	// on the speed of the machine.
	MetaSteps int
	Time      time.Duration
	// MetaLearningRate is the learning rate of Adam on φ. Default 0.003.
	MetaLearningRate float64
	// WarmUp is the number of meta-steps over which the meta learning rate rises linearly to MetaLearningRate.
	// Default 0: no warm-up.
	WarmUp int
	// After the warm-up, the meta learning rate decays along a cosine to FinalFraction times MetaLearningRate. The
	// decay ends at meta-step DecaySteps, by default the last one. Default of FinalFraction: 1, a constant rate,
	// if DecaySteps is 0; if DecaySteps is set, 0 means a decay to 0.
	FinalFraction float64
	DecaySteps    int
	// Clip bounds the Euclidean norm of each episode's meta-gradient, before the mean over the meta-batch. The norms
	// are heavy-tailed, and one episode must not dominate the others. Default 1; +Inf turns clipping off.
	Clip float64
	// Batch is the number of episodes that run side by side, the meta-batch. A meta-step follows the mean of their
	// meta-gradients. The first episodes are cut short, so that later ones are at different steps, and a meta-step
	// sees both the beginning and the end of runs. Default 1.
	Batch int
	// Estimator computes meta-gradients. Default TruncatedBackprop{}.
	Estimator Estimator
	// Executor computes the units of each meta-step. Its results must equal the results of an InProcess of the same
	// configuration. Default: such an InProcess.
	Executor Executor
	// ValidEvery is the number of meta-steps between validations. ValidRuns is the number of instances of each
	// validation. Default 50 and 8. The trainer keeps the φ with the best score.
	ValidEvery, ValidRuns int
	// ValidSteps are the horizons of a validation, ascending. Default: only Steps, or as the curriculum says.
	// Selection says which score is compared: one of compare.Selections. Default compare.SelectMean.
	ValidSteps []int
	Selection  string
	// Patience ends the training after this many validations in a row without a new best. Default 0: never.
	Patience int
	// OnNonFinite says what to do after a window with a non-finite value: SkipNonFinite, StopNonFinite or
	// RollbackNonFinite. Every such window is also reported as an event. Default SkipNonFinite.
	OnNonFinite string
	// SkipLimit ends the training with a *MetaDivergedError after this many meta-steps in a row without a finite
	// window. Under RollbackNonFinite it is the number of returns to the same point. Default 20.
	SkipLimit int
	// Seed determines everything random.
	Seed uint64
	// OnEvent, if set, is called with every event.
	OnEvent func(Event)
	// AtRest, if set, is called by Train before the first validation, before every meta-step, and after the context
	// has ended. At these times the trainer can be saved with MarshalBinary. An error ends the training.
	AtRest func(*Trainer) error
}

// WithDefaults returns cfg with its defaults filled in.
func (cfg TrainConfig) WithDefaults() TrainConfig {
	set := func(x *int, v int) {
		if *x == 0 {
			*x = v
		}
	}
	set(&cfg.Steps, 100)
	set(&cfg.Unroll, 20)
	set(&cfg.Batch, 1)
	set(&cfg.ValidEvery, 50)
	set(&cfg.ValidRuns, 8)
	set(&cfg.SkipLimit, 20)
	if cfg.OnNonFinite == "" {
		cfg.OnNonFinite = SkipNonFinite
	}
	if cfg.MetaLearningRate == 0 {
		cfg.MetaLearningRate = 0.003
	}
	if cfg.Clip == 0 {
		cfg.Clip = 1
	}
	if cfg.Valid == nil {
		cfg.Valid = cfg.Family
	}
	if cfg.Estimator == nil {
		cfg.Estimator = TruncatedBackprop{}
	}
	if cfg.Selection == "" {
		cfg.Selection = compare.SelectMean
	}
	cfg.scheduleDefaults()
	cfg.lengthDefaults()
	return cfg
}

// Validate returns an error if cfg, with its defaults filled in, is invalid.
func (cfg TrainConfig) Validate() error {
	valid := cfg.Valid // nil if it is Family
	cfg = cfg.WithDefaults()
	switch {
	case cfg.Family == nil:
		return errors.New("metatrain: no family of problems to train on")
	case cfg.Steps < 0 || cfg.Unroll < 0:
		return fmt.Errorf("metatrain: %d steps in windows of %d; both must be positive", cfg.Steps, cfg.Unroll)
	case cfg.Steps%cfg.Unroll != 0:
		return fmt.Errorf("metatrain: %d steps are not a whole number of windows of %d; choose steps divisible by unroll", cfg.Steps, cfg.Unroll)
	case !(cfg.HideLength >= 0 && cfg.HideLength <= 1):
		return fmt.Errorf("metatrain: a fraction %v of the episodes hides its length; it must be in [0, 1]", cfg.HideLength)
	case cfg.Batch < 0:
		return fmt.Errorf("metatrain: meta-batch of %d episodes; it must be positive", cfg.Batch)
	case cfg.MetaSteps < 0 || cfg.Time < 0:
		return errors.New("metatrain: a negative limit of meta-steps or time")
	case cfg.MetaSteps == 0 && cfg.Time == 0:
		return errors.New("metatrain: no limit; set the number of meta-steps or the time")
	case !(cfg.MetaLearningRate > 0) || math.IsInf(cfg.MetaLearningRate, 0):
		return fmt.Errorf("metatrain: meta learning rate is %v; it must be positive", cfg.MetaLearningRate)
	case !(cfg.Clip > 0):
		return fmt.Errorf("metatrain: clip is %v; it must be positive", cfg.Clip)
	case cfg.ValidEvery < 0 || cfg.ValidRuns < 0 || cfg.Patience < 0 || cfg.SkipLimit < 0:
		return errors.New("metatrain: validation interval, runs, patience and skip limit must not be negative")
	}
	if err := errors.Join(cfg.validatePolicy(), cfg.validateSchedule(), cfg.validateSelection(), cfg.validateLengths(),
		validate(cfg.Estimator), validate(cfg.Family), validate(valid)); err != nil || cfg.Initial != nil {
		return err
	}
	return errors.Join(cfg.Network.Validate(), cfg.Init.Validate())
}

// A Trainer meta-trains one network. It belongs to one goroutine.
type Trainer struct {
	cfg  TrainConfig
	net  *lstm.Network
	meta optimizer.State // Adam on φ

	phi, update, grad []float32
	dphi              []float64
	executor          Executor
	units             []Unit
	slots             []*slot
	episodes          int // number of episodes begun
	metaSteps         int // number of meta-steps taken
	skipped           int // number of meta-steps in a row without a finite window
	rollbacks         int // number of rollbacks to the present safe point
	safe              safePoint

	best      *lstm.Network
	bestScore compare.Score
	bestAt    int // meta-step of the best validation
	stale     int // number of validations since the best
	validated int // meta-step of the last validation, -1 before the first
	lastScore compare.Score
	stages    stages
	phase     trainingPhase
	began     time.Time
	before    time.Duration // time of training before began, in interrupted parts
}

// NewTrainer returns a trainer at meta-step 0. The error says what is invalid in cfg.
func NewTrainer(cfg TrainConfig) (*Trainer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.WithDefaults()
	t := &Trainer{cfg: cfg, net: cfg.Initial, executor: cfg.Executor, validated: -1, began: time.Now()}
	if t.executor == nil {
		t.executor = &InProcess{cfg: cfg}
	}
	if t.net == nil {
		var err error
		if t.net, err = cfg.Init.Random(cfg.Network, stream.New(cfg.Seed, "init", 0)); err != nil {
			return nil, err
		}
	}
	adam := baselines.Adam{LearningRate: cfg.MetaLearningRate}
	if err := adam.Validate(); err != nil {
		return nil, err
	}
	t.phi = t.net.Params()
	t.meta = adam.Start(optimizer.Flat(len(t.phi)))
	t.update, t.grad = make([]float32, len(t.phi)), make([]float32, len(t.phi))
	t.dphi = make([]float64, len(t.phi))
	for range cfg.Batch {
		t.slots = append(t.slots, &slot{})
	}
	return t, nil
}

// Elapsed returns the time of training. If the training was interrupted, it is the sum over all parts.
func (t *Trainer) Elapsed() time.Duration { return t.before + time.Since(t.began) }

// Network returns the network with the present φ.
func (t *Trainer) Network() *lstm.Network { return t.net }

// MetaSteps returns the number of meta-steps taken.
func (t *Trainer) MetaSteps() int { return t.metaSteps }

// Close ends the running episodes and closes their problems.
func (t *Trainer) Close() error {
	var errs []error
	for _, s := range t.slots {
		errs = append(errs, s.end())
	}
	if x, ok := t.executor.(*InProcess); ok {
		x.workers = nil // their memory
	}
	return errors.Join(errs...)
}

// Step takes one meta-step. The executor computes the next window of each running episode, where an ended episode is
// replaced by a new one. Then Adam takes a step on φ. A window with a non-finite value is reported as an event, and its
// episode ends. By default such a window is left out, and if no window is left, no meta-step is taken; OnNonFinite can
// change this. After an error the trainer cannot continue.
func (t *Trainer) Step(ctx context.Context) error {
	if err := t.estimate(ctx); err != nil {
		return err
	}
	t.phase.metaSteps++
	clear(t.dphi)
	finite := 0.0
	var diverged *optimizer.DivergedError
	for _, s := range t.slots {
		if s.window.Diverged != nil {
			t.phase.windowDone(t.metaSteps, s, false)
			diverged = s.window.Diverged
			if err := t.giveUp(s); err != nil {
				return err
			}
			continue
		}
		finite++
		scale := t.clip(s)
		t.phase.windowDone(t.metaSteps, s, scale < 1)
		for i, d := range s.gradient {
			t.dphi[i] += scale * d
		}
	}
	switch {
	case diverged != nil && t.cfg.OnNonFinite == RollbackNonFinite:
		return t.rollBack(diverged)
	case finite == 0:
		return t.skip(diverged)
	}
	t.skipped = 0
	for i, d := range t.dphi {
		t.grad[i] = float32(d / finite)
	}
	if _, err := t.meta.Update(t.update, optimizer.Point{Grad: t.grad}); err != nil {
		return err
	}
	t.applySchedule()
	for i, u := range t.update {
		t.phi[i] += u
	}
	t.net = t.net.With(t.phi)
	t.metaSteps++
	for _, s := range t.slots {
		if !s.live { // ended above, after a non-finite window
			continue
		}
		s.sum.add(s.window.Losses, s.norm, s.norm > t.cfg.Clip)
		if s.step >= s.steps {
			t.emit(s.sum.event(s.index))
			if err := s.end(); err != nil {
				return err
			}
		}
	}
	return nil
}

// clip computes the norm of a slot's meta-gradient and returns the factor that clips it.
func (t *Trainer) clip(s *slot) float64 {
	s.norm = 0
	for _, d := range s.gradient {
		s.norm += d * d
	}
	s.norm = math.Sqrt(s.norm)
	if s.norm > t.cfg.Clip {
		return t.cfg.Clip / s.norm
	}
	return 1
}

// Validate scores the network on the validation instances, and keeps it if it is the best so far. A second call at the
// same meta-step returns the same score without running anything.
func (t *Trainer) Validate(ctx context.Context) (compare.Score, error) {
	if t.validated == t.metaSteps {
		return t.lastScore, nil
	}
	score, event, err := t.score(ctx)
	if err != nil {
		return compare.Score{}, err
	}
	t.validated, t.lastScore = t.metaSteps, score
	t.stale++
	event.Best = t.best == nil || score.BetterThan(t.stages.reference)
	if t.best != nil {
		t.stages.validations++
	}
	if event.Best {
		t.keep(score)
	}
	if err := t.makeSafe(score); err != nil {
		return compare.Score{}, err
	}
	t.emit(event)
	return score, nil
}

// Train takes meta-steps until a limit, early stopping or the context ends the training. It returns the network of the
// best validation. If the context ends or a step fails, it returns the best network so far together with the error. A
// context ends the training between two meta-steps or in a validation, and AtRest is called once more. A training saved
// then and resumed later continues as if it had not been interrupted.
func (t *Trainer) Train(ctx context.Context) (*metaopt.Optimizer, error) {
	defer t.Close()
	err := t.train(ctx)
	if t.best == nil {
		return nil, err
	}
	return t.Best(), err
}

func (t *Trainer) train(ctx context.Context) error {
	cfg := t.cfg
	if err := t.atRest(); err != nil {
		return err
	}
	if t.validated < 0 {
		if _, err := t.Validate(ctx); err != nil {
			return err
		}
		t.before = 0
	}
	t.began = time.Now()
	for {
		atLimit := cfg.MetaSteps > 0 && t.metaSteps >= cfg.MetaSteps || cfg.Time > 0 && t.Elapsed() >= cfg.Time
		if atLimit || t.metaSteps-t.validated >= cfg.ValidEvery {
			if _, err := t.Validate(ctx); err != nil {
				if ctx.Err() != nil {
					if restErr := t.atRest(); restErr != nil {
						return restErr
					}
				}
				return err
			}
		}
		if atLimit || cfg.Patience > 0 && t.stale >= cfg.Patience {
			return nil
		}
		uncancelled := context.WithoutCancel(ctx) // a half-done meta-step or stage change could not be saved
		if done, err := t.advance(uncancelled); done || err != nil {
			return err
		}
		if err := t.atRest(); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := t.Step(uncancelled); err != nil {
			return err
		}
	}
}

// atRest calls TrainConfig.AtRest, if set.
func (t *Trainer) atRest() error {
	if t.cfg.AtRest == nil {
		return nil
	}
	return t.cfg.AtRest(t)
}

// Best returns the network of the best validation with its provenance; nil before the first validation.
func (t *Trainer) Best() *metaopt.Optimizer {
	if t.best == nil {
		return nil
	}
	return &metaopt.Optimizer{
		Network: t.best,
		Provenance: metaopt.Provenance{
			Task: t.cfg.Valid.Name(), Seed: t.cfg.Seed, MetaSteps: t.bestAt, Steps: t.cfg.horizon(t.stages.bestStage), Unroll: t.cfg.Unroll,
			MetaLearningRate: t.cfg.MetaLearningRate, ValidLoss: finiteLoss(t.bestScore), Version: metaopt.Version(),
		},
	}
}

// finiteLoss is a score's loss, or 0 if the loss is not finite. In a file, 0 means that there is no loss.
func finiteLoss(s compare.Score) float64 {
	if !s.Loss().Finite() {
		return 0
	}
	return float64(s.Loss())
}
