package metatrain_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"learnedopt/baselines"
	"learnedopt/compare"
	"learnedopt/lstm"
	"learnedopt/metatrain"
)

// The defaults are the values in the fields' comments. A field that is set keeps its value.
func TestDefaults(t *testing.T) {
	got := metatrain.TrainConfig{}.WithDefaults()
	if got.Steps != 100 || got.Unroll != 20 || got.Batch != 1 || got.ValidEvery != 50 || got.ValidRuns != 8 || got.SkipLimit != 20 ||
		got.StagePatience != 1 || got.MetaLearningRate != 0.003 || got.Clip != 1 || got.FinalFraction != 1 || got.DecaySteps != 0 || got.WarmUp != 0 ||
		got.MetaSteps != 0 || got.Time != 0 || got.Patience != 0 || got.OnNonFinite != metatrain.SkipNonFinite || got.Selection != compare.SelectMean {
		t.Errorf("defaults %+v", got)
	}
	if curriculum := (metatrain.TrainConfig{Horizons: []int{20, 400}}).WithDefaults(); curriculum.Steps != 400 {
		t.Errorf("a curriculum's last horizon is 400, its steps %d", curriculum.Steps)
	}
	if e, ok := got.Estimator.(metatrain.TruncatedBackprop); !ok || e != (metatrain.TruncatedBackprop{}) {
		t.Errorf("the default estimator is %+v", got.Estimator)
	}
	set := metatrain.TrainConfig{
		Steps: 7, Unroll: 7, Batch: 2, ValidEvery: 3, ValidRuns: 4, SkipLimit: 5, StagePatience: 6, MetaLearningRate: 1, Clip: 2, FinalFraction: 0.5, DecaySteps: 9,
		OnNonFinite: metatrain.StopNonFinite, Selection: compare.SelectGeometric,
	}
	again := set.WithDefaults()
	if again.Steps != 7 || again.Unroll != 7 || again.Batch != 2 || again.ValidEvery != 3 || again.ValidRuns != 4 || again.SkipLimit != 5 || again.StagePatience != 6 ||
		again.MetaLearningRate != 1 || again.Clip != 2 || again.FinalFraction != 0.5 || again.DecaySteps != 9 ||
		again.OnNonFinite != metatrain.StopNonFinite || again.Selection != compare.SelectGeometric {
		t.Errorf("%+v became %+v", set, again)
	}
}

// Unset fields of estimators and objectives give the same bits as the documented defaults written out.
func TestDefaultsOfEstimators(t *testing.T) {
	net, err := lstm.Init{}.Random(lstm.Config{Hidden: 4, Inputs: lstm.Raw | lstm.RNNProp}, newRand(1))
	if err != nil {
		t.Fatal(err)
	}
	estimate := func(e metatrain.Estimator, seed uint64) []float64 {
		d := make([]float64, net.Size())
		ep := metatrain.NewEpisode(net, &positive{exactQuartic{quartic{seed: 3, n: 7}}})
		ep.Seed = seed
		for range 2 {
			if w, err := e.Estimate(t.Context(), d, ep, 3); err != nil || w.Diverged != nil {
				t.Fatal(err, w.Diverged)
			}
		}
		return d
	}
	adam := baselines.Adam{LearningRate: 0.01}
	for seed := range uint64(6) { // some episodes are imitated, some are not
		for _, pair := range [][2]metatrain.Estimator{
			{metatrain.TruncatedBackprop{}, metatrain.TruncatedBackprop{Objective: metatrain.Sum{}}},
			{metatrain.ES{}, metatrain.ES{Perturbation: 0.01, Pairs: 1, Objective: metatrain.Sum{}}},
			{metatrain.PES{}, metatrain.PES{Perturbation: 0.01, Pairs: 1, Objective: metatrain.Sum{}}},
			{metatrain.Imitation{Probability: 0.5}, metatrain.Imitation{Teacher: adam, Probability: 0.5, Estimator: metatrain.TruncatedBackprop{}}},
			{metatrain.TruncatedBackprop{Objective: metatrain.Relative{}}, metatrain.TruncatedBackprop{Objective: metatrain.Relative{Rule: adam}}},
		} {
			if !slices.Equal(estimate(pair[0], seed), estimate(pair[1], seed)) {
				t.Errorf("%+v is not %+v", pair[0], pair[1])
			}
		}
	}
}

// Each number of a configuration is accepted at its bound. Beyond the bound it is refused by an error that names it.
func TestBoundsOfAConfiguration(t *testing.T) {
	for _, c := range []struct {
		word         string
		wrong, right func(*metatrain.TrainConfig)
	}{
		{"windows of", func(c *metatrain.TrainConfig) { c.Steps = -5 }, func(c *metatrain.TrainConfig) { c.Steps = 5 }},
		{"windows of", func(c *metatrain.TrainConfig) { c.Unroll = -1 }, func(c *metatrain.TrainConfig) { c.Unroll = 1 }},
		{"whole number of windows", func(c *metatrain.TrainConfig) { c.Unroll = 21 }, func(c *metatrain.TrainConfig) { c.Unroll = 20 }},
		{"meta-batch", func(c *metatrain.TrainConfig) { c.Batch = -1 }, func(c *metatrain.TrainConfig) { c.Batch = 1 }},
		{"negative limit", func(c *metatrain.TrainConfig) { c.MetaSteps = -1 }, func(c *metatrain.TrainConfig) { c.MetaSteps = 1 }},
		{"negative limit", func(c *metatrain.TrainConfig) { c.Time = -1 }, func(c *metatrain.TrainConfig) { c.Time = 1 }},
		{"no limit", func(c *metatrain.TrainConfig) { c.MetaSteps = 0 }, func(c *metatrain.TrainConfig) { c.MetaSteps, c.Time = 0, time.Second }},
		{"meta learning rate", func(c *metatrain.TrainConfig) { c.MetaLearningRate = -1e-9 }, func(c *metatrain.TrainConfig) { c.MetaLearningRate = 1e-9 }},
		{"clip", func(c *metatrain.TrainConfig) { c.Clip = math.NaN() }, func(c *metatrain.TrainConfig) { c.Clip = 1e-9 }},
		{"must not be negative", func(c *metatrain.TrainConfig) { c.ValidEvery = -1 }, func(c *metatrain.TrainConfig) { c.ValidEvery = 1 }},
		{"must not be negative", func(c *metatrain.TrainConfig) { c.ValidRuns = -1 }, func(c *metatrain.TrainConfig) { c.ValidRuns = 1 }},
		{"must not be negative", func(c *metatrain.TrainConfig) { c.Patience = -1 }, func(c *metatrain.TrainConfig) { c.Patience = 1 }},
		{"must not be negative", func(c *metatrain.TrainConfig) { c.SkipLimit = -1 }, func(c *metatrain.TrainConfig) { c.SkipLimit = 1 }},
		{"warm-up", func(c *metatrain.TrainConfig) { c.WarmUp = -1 }, func(c *metatrain.TrainConfig) { c.WarmUp = 1 }},
		{"decay over", func(c *metatrain.TrainConfig) { c.DecaySteps = -1 }, func(c *metatrain.TrainConfig) { c.DecaySteps = 1 }},
		{"fraction", func(c *metatrain.TrainConfig) { c.FinalFraction = 1.001 }, func(c *metatrain.TrainConfig) { c.FinalFraction = 0.999 }},
		{"leaves none", func(c *metatrain.TrainConfig) { c.FinalFraction, c.DecaySteps, c.WarmUp = 0.5, 9, 9 }, func(c *metatrain.TrainConfig) { c.FinalFraction, c.DecaySteps, c.WarmUp = 0.5, 9, 8 }},
		{"ascend", func(c *metatrain.TrainConfig) { c.Horizons = []int{0, 5} }, func(c *metatrain.TrainConfig) { c.Horizons, c.Unroll = []int{1}, 1 }},
		{"patience would end", func(c *metatrain.TrainConfig) { c.Horizons, c.Patience = []int{5}, 1 }, func(c *metatrain.TrainConfig) { c.Patience = 1 }},
		{"ascend", func(c *metatrain.TrainConfig) { c.Horizons = []int{10, 10} }, func(c *metatrain.TrainConfig) { c.Horizons = []int{5, 10} }},
		{"patience of a stage", func(c *metatrain.TrainConfig) { c.StagePatience = -1 }, func(c *metatrain.TrainConfig) { c.StagePatience = 1 }},
		{"hidden", func(c *metatrain.TrainConfig) { c.Network.Hidden = -1 }, func(c *metatrain.TrainConfig) { c.Network.Hidden = 1 }},
		{"gain", func(c *metatrain.TrainConfig) { c.Init.Gain = -1 }, func(c *metatrain.TrainConfig) { c.Init.Gain, c.Initial = -1, zeroNet(t) }},
		{"pairs", func(c *metatrain.TrainConfig) { c.Estimator = metatrain.ES{Pairs: -1} }, func(c *metatrain.TrainConfig) { c.Estimator = metatrain.ES{Pairs: 1} }},
		{"perturbation", func(c *metatrain.TrainConfig) { c.Estimator = metatrain.PES{Perturbation: -1e-9} }, func(c *metatrain.TrainConfig) { c.Estimator = metatrain.PES{Perturbation: 1e-9} }},
		{"coordinates", func(c *metatrain.TrainConfig) { c.Estimator = metatrain.TruncatedBackprop{Coordinates: -1} }, func(c *metatrain.TrainConfig) { c.Estimator = metatrain.TruncatedBackprop{Coordinates: 1} }},
		{"probability", func(c *metatrain.TrainConfig) { c.Estimator = metatrain.Imitation{} }, func(c *metatrain.TrainConfig) { c.Estimator = metatrain.Imitation{Probability: 1e-9} }},
		{"probability", func(c *metatrain.TrainConfig) { c.Estimator = metatrain.Imitation{Probability: 1.001} }, func(c *metatrain.TrainConfig) { c.Estimator = metatrain.Imitation{Probability: 1} }},
	} {
		cfg := small()
		c.wrong(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), c.word) {
			t.Errorf("error %v, want one that says %q", err, c.word)
		}
		cfg = small()
		c.right(&cfg)
		if err := cfg.Validate(); err != nil {
			t.Errorf("%s: %v", c.word, err)
		}
	}
}
