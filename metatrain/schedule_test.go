package metatrain_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"learnedopt/compare"
	"learnedopt/metatrain"
)

// The values are optax.warmup_cosine_decay_schedule(0, 0.004, 4, 10, 0.0004) at counts 1 … 12: first linear, then with
// cosines of multiples of π/6.
func TestMetaLearningRateAt(t *testing.T) {
	cfg := metatrain.TrainConfig{MetaLearningRate: 0.004, WarmUp: 4, FinalFraction: 0.1, MetaSteps: 10}
	root := math.Sqrt(3) / 4
	for s, want := range []float64{
		0.001, 0.002, 0.003, 0.004, 0.0004 + 0.0036*(0.5+root), 0.0004 + 0.0036*0.75, 0.0022, 0.0004 + 0.0036*0.25,
		0.0004 + 0.0036*(0.5-root), 0.0004, 0.0004, 0.0004,
	} {
		if got := cfg.MetaLearningRateAt(s); math.Abs(got-want) > 1e-15 {
			t.Errorf("meta-step %d: %v, want %v", s, got, want)
		}
	}
	// If DecaySteps is set, a fraction of 0 means a decay to 0.
	cfg.FinalFraction, cfg.DecaySteps = 0, 6
	for s, want := range map[int]float64{3: 0.004, 4: 0.002, 5: 0, 9: 0} {
		if got := cfg.MetaLearningRateAt(s); math.Abs(got-want) > 1e-15 {
			t.Errorf("to 0, meta-step %d: %v, want %v", s, got, want)
		}
	}
	if got := (metatrain.TrainConfig{}).MetaLearningRateAt(5); got != 0.003 {
		t.Errorf("the default is %v, want a constant 0.003", got)
	}
}

// TestScheduleScalesEveryMetaStep measures the rate by the changes of φ. As long as φ moves little, the meta-gradients of
// one problem hardly change. So the quotient of the updates with and without a schedule is close to the schedule's factor.
func TestScheduleScalesEveryMetaStep(t *testing.T) {
	steps := func(change func(*metatrain.TrainConfig)) (all [][]float32) {
		cfg := small()
		cfg.MetaSteps, cfg.Steps, cfg.Unroll, cfg.MetaLearningRate = 10, 5, 5, 1e-3
		cfg.Family = only(&bowl{y: []float32{1, -2, 3}})
		change(&cfg)
		trainer, err := metatrain.NewTrainer(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer trainer.Close()
		before := trainer.Network().Params()
		for range cfg.MetaSteps {
			if err := trainer.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
			after := trainer.Network().Params()
			update := make([]float32, len(after))
			for i := range update {
				update[i] = after[i] - before[i]
			}
			all, before = append(all, update), after
		}
		return all
	}
	norm := func(x []float32) float64 {
		s := 0.0
		for _, v := range x {
			s += float64(v) * float64(v)
		}
		return math.Sqrt(s)
	}
	constant := steps(func(*metatrain.TrainConfig) {})
	scheduled := steps(func(c *metatrain.TrainConfig) { c.WarmUp, c.FinalFraction = 4, 0.1 })
	// (1+cos(π/6))/2 and so on, for the six meta-steps after the warm-up.
	want := []float64{0.25, 0.5, 0.75, 1, 0.93971143, 0.775, 0.55, 0.325, 0.16028857, 0.1}
	for s, w := range want {
		// The gradient changes by some percent on the way.
		if got := norm(scheduled[s]) / norm(constant[s]); math.Abs(got-w) > 0.05*w {
			t.Errorf("meta-step %d: the update is %.4f of the constant one, want %.4f", s, got, w)
		}
	}
	if one := steps(func(c *metatrain.TrainConfig) { c.FinalFraction, c.DecaySteps = 1, 7 }); !slices.EqualFunc(one, constant, slices.Equal[[]float32]) {
		t.Error("a final fraction of 1 is not the constant rate")
	}
}

// TestAnEarlyEndKeepsTheSchedule stops at meta-step 3 a training whose rate decays until meta-step 10.
func TestAnEarlyEndKeepsTheSchedule(t *testing.T) {
	run := func(limit, decay int) []float32 {
		cfg := small()
		cfg.MetaSteps, cfg.DecaySteps, cfg.FinalFraction, cfg.WarmUp = limit, decay, 0.01, 1
		trainer, err := metatrain.NewTrainer(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer trainer.Close()
		for range 3 {
			if err := trainer.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		return trainer.Network().Params()
	}
	if long := run(10, 0); !slices.Equal(long, run(3, 10)) || slices.Equal(long, run(3, 0)) {
		t.Error("the decay's end is not the limit by default, or cannot be told from it")
	}
}

func TestScheduleRejects(t *testing.T) {
	for word, change := range map[string]func(*metatrain.TrainConfig){
		"negative":           func(c *metatrain.TrainConfig) { c.WarmUp = -1 },
		"not be":             func(c *metatrain.TrainConfig) { c.DecaySteps = -1 },
		"at most 1":          func(c *metatrain.TrainConfig) { c.FinalFraction = 1.5 },
		"fraction":           func(c *metatrain.TrainConfig) { c.FinalFraction = math.NaN() },
		"only time":          func(c *metatrain.TrainConfig) { c.MetaSteps, c.Time, c.FinalFraction = 0, time.Second, 0.5 },
		"leaves none":        func(c *metatrain.TrainConfig) { c.WarmUp, c.FinalFraction = 300, 0.5 },
		"none of 20 ":        func(c *metatrain.TrainConfig) { c.WarmUp, c.FinalFraction, c.DecaySteps = 30, 0.5, 20 },
		"must be at least 0": func(c *metatrain.TrainConfig) { c.FinalFraction = -0.5 },
	} {
		cfg := small()
		change(&cfg)
		if _, err := metatrain.NewTrainer(cfg); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("error %v, want one that says %q", err, word)
		}
	}
}

// TestValidationAtOtherHorizons: events hold the score at each horizon, which equals the score of runs of that length.
func TestValidationAtOtherHorizons(t *testing.T) {
	validate := func(horizons ...int) (compare.Score, []compare.HorizonScore) {
		cfg := small()
		cfg.ValidSteps = horizons
		var event metatrain.Event
		cfg.OnEvent = func(e metatrain.Event) { event = e }
		trainer, err := metatrain.NewTrainer(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer trainer.Close()
		score, err := trainer.Validate(t.Context())
		if err != nil || *event.Valid != score {
			t.Fatalf("%+v, %+v, %v", score, event.Valid, err)
		}
		return score, event.Horizons
	}
	_, all := validate(7, 20, 50)
	for i, steps := range []int{7, 20, 50} {
		if alone, _ := validate(steps); all[i].Steps != steps || all[i].Score != alone {
			t.Errorf("%+v, alone %+v", all[i], alone)
		}
	}
	plain, none := validate()
	if plain != all[1].Score || none != nil {
		t.Errorf("the default is %+v with %v, want that of 20 steps", plain, none)
	}
}

func TestSelectionRejects(t *testing.T) {
	for word, change := range map[string]func(*metatrain.TrainConfig){
		"positive":  func(c *metatrain.TrainConfig) { c.ValidSteps = []int{0, 10} },
		"ascend":    func(c *metatrain.TrainConfig) { c.ValidSteps = []int{10, 10} },
		"geometric": func(c *metatrain.TrainConfig) { c.Selection = "best" },
	} {
		cfg := small()
		change(&cfg)
		if _, err := metatrain.NewTrainer(cfg); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("error %v, want one that says %q", err, word)
		}
	}
}
