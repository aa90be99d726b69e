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

// TrainConfig is a meta-training. Of its fields only Family and a limit,
// MetaSteps or Time, have no default.
type TrainConfig struct {
	// Family draws the problems to train on: episode e gets the stream
	// (Seed, "train", e), validation instance i the stream (Seed, "valid", i).
	Family optimizer.Family
	// Valid, if set, draws the validation instances in its place, and is the task of
	// the provenance: Family is then the same task made harder (tasks.RandomScaling,
	// tasks.Joint).
	Valid optimizer.Family
	// Network is the shape of the network, Initial the network to start from.
	// Default: a random one of that shape. If Initial is set, Network is not read.
	Network lstm.Config
	Initial *lstm.Network
	// Init says how that random network is drawn. Default: as PyTorch does.
	Init lstm.Init
	// Steps is the length T of an episode, Unroll that of a window, K, which must divide
	// it. Default 100 and 20.
	Steps, Unroll int
	// Horizons, if set, is a curriculum (Chen et al. 2020, section 3.1): episodes of
	// stage s have Horizons[s] steps, all divisible by Unroll, and Steps is not read but
	// becomes the last. Validation is at the next stage's horizon, the last stage's
	// own. A stage ends after 3 validations or more, when StagePatience of them in a
	// row, by default 1, brought no new best; then the best φ is restored and the
	// next stage begins with new moments of Adam. Train ends after the last stage
	// or one that never improved.
	Horizons      []int
	StagePatience int
	// RandomSteps draws an episode's length log-uniformly from the multiples of Unroll up to
	// Steps, or to the stage's horizon, so that short and long runs both
	// occur (Wichrowska et al. 2017, section 4).
	RandomSteps bool
	// MetaSteps and Time limit the training; 0 is no limit. A training that is
	// limited by time ends after as many meta-steps as the machine makes of it.
	MetaSteps int
	Time      time.Duration
	// MetaLearningRate is Adam's on φ. Default 0.003.
	MetaLearningRate float64
	// WarmUp is the number of meta-steps over which the meta learning rate rises
	// linearly to MetaLearningRate. Default 0: none.
	WarmUp int
	// FinalFraction is the fraction of MetaLearningRate that it decays to after
	// the warm-up, along a cosine that ends at meta-step DecaySteps, by default
	// the last one. Default 1, constant, unless DecaySteps is set: 0 is then a decay to 0.
	FinalFraction float64
	DecaySteps    int
	// Clip bounds the Euclidean norm of each episode's meta-gradient, before the mean over
	// the meta-batch: their norms are heavy-tailed, and one episode must not outvote the
	// others. Default 1; +Inf turns it off.
	Clip float64
	// Batch is the number of episodes that run side by side, the meta-batch: a
	// meta-step follows the mean of their meta-gradients. The first ones are cut short, so
	// that from then on they stand at different steps, and a meta-step sees the
	// beginning and the end of runs. Default 1.
	Batch int
	// Estimator computes meta-gradients. Default TruncatedBackprop{}.
	Estimator Estimator
	// Executor computes the units of each meta-step. It must do so as an InProcess of the same
	// configuration does, which is the default.
	Executor Executor
	// ValidEvery is the number of meta-steps between validations, ValidRuns
	// the number of instances of each. Default 50 and 8. The φ of the best score
	// is kept.
	ValidEvery, ValidRuns int
	// ValidSteps are the horizons that validation evaluates, ascending. Default:
	// Steps alone, or as the curriculum says. Selection says which score is the best. Default SelectMean.
	ValidSteps []int
	Selection  string
	// Patience ends the training after so many validations in a row without a
	// new best. Default 0: never.
	Patience int
	// OnNonFinite says what follows a window in which something was not finite: SkipNonFinite,
	// StopNonFinite or RollbackNonFinite. Each is reported as an event. Default SkipNonFinite.
	OnNonFinite string
	// SkipLimit ends the training with a *MetaDivergedError after so many meta-steps in a row of which
	// no window was finite, or under RollbackNonFinite after so many returns to one point. Default 20.
	SkipLimit int
	// Seed fixes everything random.
	Seed uint64
	// OnEvent, if set, hears of everything that happens.
	OnEvent func(Event)
	// AtRest, if set, is called by Train before the first validation, before every meta-step, and when the
	// context has ended: the trainer is at rest then and can be saved, by its MarshalBinary. An error
	// ends the training.
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

// Validate says what is wrong with cfg, after its defaults are filled in.
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
	episodes          int // begun
	metaSteps         int // taken
	skipped           int // meta-steps in a row of which no window was finite
	rollbacks         int // since there is this safe point
	safe              safePoint

	best      *lstm.Network
	bestScore compare.Score
	bestAt    int
	stale     int // validations since the best
	validated int // meta-step of the last validation, -1 before the first
	lastScore compare.Score
	stages    stages
	phase     trainingPhase
	began     time.Time
	before    time.Duration // of training before began
}

// NewTrainer returns a trainer at meta-step 0.
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

// Elapsed returns the time since training began, with that of all its parts if it was interrupted.
func (t *Trainer) Elapsed() time.Duration { return t.before + time.Since(t.began) }

// Network returns the network as it stands.
func (t *Trainer) Network() *lstm.Network { return t.net }

// MetaSteps returns the number of meta-steps taken.
func (t *Trainer) MetaSteps() int { return t.metaSteps }

// Close releases the running episodes' problems.
func (t *Trainer) Close() error {
	var errs []error
	for _, s := range t.slots {
		errs = append(errs, s.end())
	}
	return errors.Join(errs...)
}

// Step takes one meta-step: it has the executor compute the next window of the running episodes, new
// ones where they have ended, and steps Adam on φ. A window that is not finite is
// reported as an event and its episode given up; unless OnNonFinite says otherwise it is left out, and
// without any other there is no meta-step. After an error the trainer cannot go on.
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
		if !s.live { // given up above
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

// clip returns the factor that clips a slot's meta-gradient.
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

// Validate evaluates the network on the validation instances, and keeps it if it
// is the best so far.
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

// Train takes meta-steps until a limit, early stopping or the context ends it,
// and returns the network of the best validation. When the context ends
// it or a step fails, the best so far is returned beside the error. A context ends it between two
// meta-steps or in a validation, and AtRest is called once more: what it saves goes on as if there had
// been no interruption.
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
	if err := t.rest(); err != nil {
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
		out := cfg.MetaSteps > 0 && t.metaSteps >= cfg.MetaSteps || cfg.Time > 0 && t.Elapsed() >= cfg.Time
		if out || t.metaSteps-t.validated >= cfg.ValidEvery {
			if _, err := t.Validate(ctx); err != nil {
				if ctx.Err() != nil {
					if notSaved := t.rest(); notSaved != nil {
						return notSaved
					}
				}
				return err
			}
		}
		if out || cfg.Patience > 0 && t.stale >= cfg.Patience {
			return nil
		}
		whole := context.WithoutCancel(ctx) // what is half done cannot be saved
		if done, err := t.advance(whole); done || err != nil {
			return err
		}
		if err := t.rest(); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := t.Step(whole); err != nil {
			return err
		}
	}
}

// rest tells that the trainer is at rest.
func (t *Trainer) rest() error {
	if t.cfg.AtRest == nil {
		return nil
	}
	return t.cfg.AtRest(t)
}

// Best returns the network of the best validation with its provenance; nil
// before the first.
func (t *Trainer) Best() *metaopt.Optimizer {
	if t.best == nil {
		return nil
	}
	return &metaopt.Optimizer{
		Network: t.best,
		Provenance: metaopt.Provenance{
			Task: t.cfg.Valid.Name(), Seed: t.cfg.Seed, MetaSteps: t.bestAt, Steps: t.cfg.horizon(t.stages.kept), Unroll: t.cfg.Unroll,
			MetaLearningRate: t.cfg.MetaLearningRate, ValidLoss: finiteLoss(t.bestScore), Version: metaopt.Version(),
		},
	}
}

// finiteLoss is a score's loss, or 0, which in a file means none, if the loss is not finite.
func finiteLoss(s compare.Score) float64 {
	if !s.Loss().Finite() {
		return 0
	}
	return float64(s.Loss())
}
