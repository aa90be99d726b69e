package metatrain_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"learnedopt/compare"
	"learnedopt/lstm"
	"learnedopt/metaopt"
	"learnedopt/metatrain"
	"learnedopt/optimizer"
)

// small is a meta-training that takes a second, on bowls in ten dimensions.
func small() metatrain.TrainConfig {
	return metatrain.TrainConfig{
		Family: family(bowls), Network: lstm.Config{Hidden: 8, Inputs: lstm.Raw}, Steps: 20, Unroll: 5,
		MetaSteps: 300, MetaLearningRate: 0.01, ValidEvery: 50,
	}
}

func train(t *testing.T, cfg metatrain.TrainConfig) (*metatrain.Trainer, *metaopt.Optimizer) {
	t.Helper()
	trainer, err := metatrain.NewTrainer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	opt, err := trainer.Train(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return trainer, opt
}

// TestMetaTrainingLearns expects that the learned rule descends and the random rule at the start does not, and that the
// provenance describes the training.
func TestMetaTrainingLearns(t *testing.T) {
	var valid []metatrain.Event
	cfg := small()
	cfg.OnEvent = func(e metatrain.Event) {
		if e.Kind == metatrain.EventValidation {
			valid = append(valid, e)
		}
	}
	_, opt := train(t, cfg)
	if len(valid) != 7 || valid[0].MetaStep != 0 || valid[6].MetaStep != 300 {
		t.Fatalf("validations at %+v, want every 50 meta-steps from 0 to 300", valid)
	}
	first, best := valid[0].Valid.MeanLoss, compare.Number(math.Inf(1))
	for _, e := range valid {
		if e.Best != (e.Valid.MeanLoss < best) {
			t.Errorf("meta-step %d: loss %v after %v, best is %v", e.MetaStep, e.Valid.MeanLoss, best, e.Best)
		}
		best = min(best, e.Valid.MeanLoss)
	}
	if best > first/2 {
		t.Errorf("mean loss went from %v to %v only", first, best)
	}
	pr := opt.Provenance
	if pr.Task != "test" || pr.Steps != 20 || pr.Unroll != 5 || pr.MetaLearningRate != 0.01 || pr.ValidLoss != float64(best) || pr.MetaSteps%50 != 0 {
		t.Errorf("provenance %+v", pr)
	}
}

func TestSameSeedSameBits(t *testing.T) {
	run := func(procs int, seed uint64) []float32 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
		cfg := small()
		cfg.MetaSteps, cfg.Seed = 40, seed
		cfg.Family = family(func(rng *rand.Rand) (optimizer.Problem, error) {
			return &quartic{seed: rng.Uint64(), n: 700}, nil
		})
		trainer, _ := train(t, cfg)
		return trainer.Network().Params()
	}
	one := run(1, 5)
	if !slices.Equal(one, run(2, 5)) {
		t.Error("parameters differ between one and two processors")
	}
	if slices.Equal(one, run(2, 6)) {
		t.Error("another seed gives the same parameters")
	}
}

// cliff is a bowl whose gradient is NaN away from its start.
type cliff struct{ bowl }

func (c *cliff) LossGrad(theta, grad []float32) (float64, error) {
	f, err := c.bowl.LossGrad(theta, grad)
	if theta[3] != 0 {
		grad[3] = float32(math.NaN())
	}
	return f, err
}

func TestDivergedWindowsAreSkippedUpToALimit(t *testing.T) {
	var diverged []metatrain.Event
	cfg := small()
	cfg.SkipLimit = 3
	cfg.Family = only(&cliff{bowl{y: make([]float32, 10)}})
	cfg.OnEvent = func(e metatrain.Event) {
		if e.Kind == metatrain.EventDiverged {
			diverged = append(diverged, e)
		}
	}
	trainer, err := metatrain.NewTrainer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	before := trainer.Network().Params()
	_, err = trainer.Train(t.Context())
	var meta *metatrain.MetaDivergedError
	if !errors.As(err, &meta) || meta.Skipped != 3 || meta.Last.Coordinate != 3 || meta.Last.Step != 1 || meta.Last.What != "gradient" {
		t.Fatalf("error %v, want three skips for the gradient of coordinate 3 at step 1", err)
	}
	if len(diverged) != 3 || diverged[2].Episode != 2 {
		t.Errorf("events %+v, want three episodes", diverged)
	}
	if !slices.Equal(before, trainer.Network().Params()) {
		t.Error("φ changed")
	}
}

func TestPatienceAndInterrupt(t *testing.T) {
	cfg := small()
	cfg.Patience, cfg.ValidEvery = 2, 10
	cfg.MetaLearningRate = 1e-12 // nothing improves
	trainer, _ := train(t, cfg)
	if n := trainer.MetaSteps(); n != 20 {
		t.Errorf("stopped after %d meta-steps, want two validations of 10", n)
	}

	cfg = small()
	ctx, cancel := context.WithCancel(t.Context())
	cfg.OnEvent = func(e metatrain.Event) {
		if e.Kind == metatrain.EventValidation && e.MetaStep == 100 {
			cancel()
		}
	}
	trainer, err := metatrain.NewTrainer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	opt, err := trainer.Train(ctx)
	if !errors.Is(err, context.Canceled) || opt == nil || trainer.MetaSteps() != 100 {
		t.Errorf("an interrupted training returns %v, %v after %d meta-steps", opt, err, trainer.MetaSteps())
	}
}

// closing counts the open problems.
type closing struct {
	bowl
	open *int
}

func (c *closing) Close() error { *c.open--; return nil }

func TestEveryProblemIsClosed(t *testing.T) {
	open := 0
	cfg := small()
	cfg.MetaSteps, cfg.ValidRuns = 42, 1 // ends in mid-episode
	cfg.Family = family(func(rng *rand.Rand) (optimizer.Problem, error) {
		open++
		return &closing{bowl{y: make([]float32, 10)}, &open}, nil
	})
	train(t, cfg)
	if open != 0 {
		t.Errorf("%d problems are left open", open)
	}
}

func TestTrainConfigRejects(t *testing.T) {
	for name, change := range map[string]func(*metatrain.TrainConfig){
		"no family":        func(c *metatrain.TrainConfig) { c.Family = nil },
		"no limit":         func(c *metatrain.TrainConfig) { c.MetaSteps = 0 },
		"a remainder":      func(c *metatrain.TrainConfig) { c.Unroll = 7 },
		"negative steps":   func(c *metatrain.TrainConfig) { c.Steps = -20 },
		"negative time":    func(c *metatrain.TrainConfig) { c.Time = -1 },
		"NaN meta-lr":      func(c *metatrain.TrainConfig) { c.MetaLearningRate = math.NaN() },
		"infinite meta-lr": func(c *metatrain.TrainConfig) { c.MetaLearningRate = math.Inf(1) },
		"negative clip":    func(c *metatrain.TrainConfig) { c.Clip = -1 },
		"patience":         func(c *metatrain.TrainConfig) { c.Patience = -1 },
		"network":          func(c *metatrain.TrainConfig) { c.Network.Hidden = -1 },
	} {
		cfg := small()
		change(&cfg)
		if _, err := metatrain.NewTrainer(cfg); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// TestValidateAgainSaysTheSame validates twice a network that is not the best. The second call runs nothing and must
// return the same score.
func TestValidateAgainSaysTheSame(t *testing.T) {
	cfg := small()
	cfg.MetaLearningRate = 0.003
	trainer, _ := train(t, cfg) // a good network
	cfg.Initial, cfg.MetaLearningRate = trainer.Network(), 1
	worse, err := metatrain.NewTrainer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer worse.Close()
	best, err := worse.Validate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := worse.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	first, err := worse.Validate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	again, err := worse.Validate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if first == best || again != first {
		t.Errorf("the best is %+v; after a bad meta-step %+v, asked again %+v", best, first, again)
	}
}
