package metatrain

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"learnedopt/compare"
	"learnedopt/lstm"
	"learnedopt/optimizer"
)

// A dish is f(θ) = ½‖θ - y‖² from θ_0 = 0, in four dimensions.
type dish [4]float32

func (d *dish) Dim() int             { return len(d) }
func (d *dish) Init(theta []float32) { clear(theta) }
func (d *dish) LossGrad(theta, grad []float32) (f float64, err error) {
	for i, y := range d {
		grad[i] = theta[i] - y
		f += float64(grad[i]) * float64(grad[i]) / 2
	}
	return f, nil
}

type dishes struct{}

func (dishes) Name() string { return "dishes" }
func (dishes) Sample(rng *rand.Rand) (optimizer.Problem, error) {
	var d dish
	for i := range d {
		d[i] = float32(rng.NormFloat64())
	}
	return &d, nil
}

// staged is a curriculum that trains in a second.
func staged() TrainConfig {
	return TrainConfig{
		Family: dishes{}, Network: lstm.Config{Hidden: 6, Inputs: lstm.Raw}, Horizons: []int{5, 10, 30}, Unroll: 5,
		MetaSteps: 5000, MetaLearningRate: 0.03, ValidEvery: 10,
	}
}

func begin(t *testing.T, cfg TrainConfig) *Trainer {
	t.Helper()
	trainer, err := NewTrainer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { trainer.Close() })
	return trainer
}

// TestCurriculumAdvancesAndRestores follows a whole curriculum by its events and by the network at each event.
func TestCurriculumAdvancesAndRestores(t *testing.T) {
	cfg := staged()
	var (
		trainer      *Trainer
		stage, since int // validations since the stage began, its first not counted
		best         = compare.Number(math.Inf(1))
		stale        int
		bestPhi      []float32
		bestAt       int
		opening      = true // the next validation opens a stage
		ended        bool
	)
	cfg.OnEvent = func(e Event) {
		phi := trainer.Network().Params()
		switch e.Kind {
		case EventValidation:
			if want := cfg.Horizons[min(stage+1, 2)]; len(e.Horizons) != 1 || e.Horizons[0].Steps != want || e.Horizons[0].Score != *e.Valid {
				t.Errorf("stage %d, meta-step %d: validation at %+v, want %d steps", stage, e.MetaStep, e.Horizons, want)
			}
			if e.Best != (e.Valid.MeanLoss < best && !(opening && stage > 0)) {
				t.Errorf("stage %d, meta-step %d: best is %v at %v after %v", stage, e.MetaStep, e.Best, e.Valid.MeanLoss, best)
			}
			switch {
			case opening:
				best, stale, since, opening = e.Valid.MeanLoss, 0, 0, false
			case e.Best:
				best, stale = e.Valid.MeanLoss, 0
				since++
			default:
				stale++
				since++
			}
			if e.Best {
				bestPhi, bestAt = phi, e.MetaStep
			}
		case EventStage:
			c := *e.Stage
			if since < 3 || stale < 1 || since > 3 && stale > 1 {
				t.Errorf("stage %d ends after %d validations, %d of them stale", stage, since, stale)
			}
			if c.From != cfg.Horizons[stage] || c.Best != bestAt {
				t.Errorf("stage %d ends with %+v, the best was at %d", stage, c, bestAt)
			}
			if c.To == 0 {
				ended = true
				return
			}
			if !slices.Equal(phi, bestPhi) || c.To != cfg.Horizons[stage+1] || !c.Improved || bestAt == e.MetaStep {
				t.Errorf("stage %d ends with %+v at meta-step %d; φ is restored: %v", stage, c, e.MetaStep, slices.Equal(phi, bestPhi))
			}
			stage++
			opening = true
		}
	}
	trainer = begin(t, cfg)
	o, err := trainer.Train(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if stage != 2 || !ended || trainer.MetaSteps() >= cfg.MetaSteps {
		t.Errorf("in stage %d after %d meta-steps, ended: %v", stage, trainer.MetaSteps(), ended)
	}
	if !slices.Equal(o.Network.Params(), bestPhi) || o.Provenance.MetaSteps != bestAt || o.Provenance.Steps != cfg.Horizons[trainer.stages.bestStage] {
		t.Errorf("kept %+v, want that of meta-step %d", o.Provenance, bestAt)
	}
}

// TestCurriculumStartsAdamAnew takes the meta-step after a stage change. Adam's first step is ±lr whatever the gradient
// is; after hundreds of steps this no longer holds.
func TestCurriculumStartsAdamAnew(t *testing.T) {
	cfg := staged()
	cfg.MetaLearningRate, cfg.Horizons = 0.01, []int{25, 50}
	trainer := begin(t, cfg)
	var before []float32
	for trainer.stages.now == 0 {
		if _, err := trainer.Validate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if done, err := trainer.advance(t.Context()); done || err != nil {
			t.Fatal(done, err)
		}
		before = trainer.Network().Params()
		if trainer.stages.now == 0 {
			for range 8 {
				if err := trainer.Step(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if trainer.MetaSteps()%5 == 0 {
		t.Error("no episode was under way: this test shows nothing")
	}
	if trainer.stale != 0 || trainer.stages.validations != 0 || trainer.stages.improved {
		t.Errorf("the stage begins with %d stale validations of %d, improved %v", trainer.stale, trainer.stages.validations, trainer.stages.improved)
	}
	for _, s := range trainer.slots {
		if s.live {
			t.Error("an episode of the stage before goes on")
		}
	}
	if err := trainer.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := trainer.slots[0]; s.steps != 50 || !s.live {
		t.Errorf("the episode has %d steps and runs: %v, want 50 of which 5 are done", s.steps, s.live)
	}
	for i, x := range trainer.Network().Params() {
		// The step is smaller if the gradient is not large compared with ε = 1e-8.
		if u := math.Abs(float64(x - before[i])); math.Abs(float64(trainer.grad[i])) > 1e-5 && math.Abs(u-0.01) > 2e-5 {
			t.Fatalf("φ[%d] moves by %v, want 0.01", i, u)
		}
	}
}

// The episodes of a meta-batch are at different steps in every stage. With four episodes of 50 steps in windows of 5,
// the first ones have 3, 5, 8 and 10 windows.
func TestCurriculumStaggersEveryStage(t *testing.T) {
	cfg := staged()
	cfg.Horizons, cfg.Batch = []int{25, 50}, 4
	trainer := begin(t, cfg)
	for range 9 {
		if err := trainer.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	trainer.best = trainer.net
	if err := trainer.restore(); err != nil {
		t.Fatal(err)
	}
	trainer.stages.now = 1
	if err := trainer.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	var steps []int
	for _, s := range trainer.slots {
		steps = append(steps, s.steps)
	}
	if want := []int{15, 25, 40, 50}; !slices.Equal(steps, want) {
		t.Errorf("episodes of %v steps, want %v", steps, want)
	}
}

func TestCurriculumEndsWithAStageThatNeverImproves(t *testing.T) {
	for patience, want := range map[int]int{1: 30, 3: 30, 5: 50} {
		cfg := staged()
		cfg.MetaLearningRate, cfg.StagePatience = 1e-12, patience
		var last StageChange
		cfg.OnEvent = func(e Event) {
			if e.Kind == EventStage {
				last = *e.Stage
			}
		}
		trainer := begin(t, cfg)
		o, err := trainer.Train(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if trainer.MetaSteps() != want || last != (StageChange{From: 5}) || o.Provenance.Steps != 5 || o.Provenance.MetaSteps != 0 {
			t.Errorf("patience %d: %d meta-steps, %+v, %+v; want %d", patience, trainer.MetaSteps(), last, o.Provenance, want)
		}
	}
}

// If stage 1 finds no better network, the best network keeps the horizon of stage 0 in its provenance.
func TestProvenanceSaysTheHorizonOfTheKeptNetwork(t *testing.T) {
	cfg := staged()
	trainer := begin(t, cfg)
	score := func(loss compare.Number) compare.Score { return compare.Score{MeanLoss: loss} }
	trainer.keep(score(4))
	trainer.keep(score(3))
	trainer.stages.now, trainer.stages.reference = 1, score(9)
	if got := trainer.Best().Provenance; got.Steps != 5 || got.ValidLoss != 3 {
		t.Errorf("%+v, want 5 steps", got)
	}
	trainer.keep(score(8)) // worse than 3, but at another horizon
	if got := trainer.Best().Provenance; got.Steps != 10 || got.ValidLoss != 8 {
		t.Errorf("%+v, want 10 steps", got)
	}
}

// TestRandomLengths compares the frequencies of n windows, of at most 8, with P(n) = ln((n+1)/n)/ln(9), and the drawn
// lengths with the actual lengths of episodes.
func TestRandomLengths(t *testing.T) {
	cfg := staged()
	cfg.Horizons, cfg.Steps, cfg.RandomSteps, cfg.MetaSteps, cfg.Seed = nil, 40, true, 60, 3
	var ends []Event
	cfg.OnEvent = func(e Event) {
		if e.Kind == EventEpisode {
			ends = append(ends, e)
		}
	}
	trainer := begin(t, cfg)
	const draws = 20000
	count := map[int]int{}
	for e := range uint64(draws) {
		count[trainer.length(e)]++
	}
	for n := 1; n <= 8; n++ {
		p := math.Log(float64(n+1)/float64(n)) / math.Log(9)
		sigma := math.Sqrt(p * (1 - p) / draws)
		if got := float64(count[5*n]) / draws; math.Abs(got-p) > 4*sigma {
			t.Errorf("%d windows: frequency %.4f, want %.4f ± %.4f", n, got, p, sigma)
		}
	}
	if len(count) != 8 {
		t.Errorf("lengths %v", count)
	}
	if _, err := trainer.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	before, lengths := 0, map[int]bool{}
	for i, e := range ends {
		// The event is emitted after the meta-step is counted.
		if got := 5 * (e.MetaStep - before); got != trainer.length(uint64(i)) {
			t.Errorf("episode %d has %d steps, want %d", i, got, trainer.length(uint64(i)))
		}
		before, lengths[trainer.length(uint64(i))] = e.MetaStep, true
	}
	if len(lengths) < 4 {
		t.Errorf("only the lengths %v occur", lengths)
	}
}

func TestCurriculumRejects(t *testing.T) {
	for word, change := range map[string]func(*TrainConfig){
		"ascend":        func(c *TrainConfig) { c.Horizons = []int{10, 10} },
		"positive":      func(c *TrainConfig) { c.Horizons = []int{-5, 10} },
		"of 12 steps":   func(c *TrainConfig) { c.Horizons = []int{5, 12, 20} },
		"negative":      func(c *TrainConfig) { c.StagePatience = -1 },
		"first stage":   func(c *TrainConfig) { c.Patience = 2 },
		"whole number":  func(c *TrainConfig) { c.Horizons, c.Steps = nil, 12 },
		"no limit; set": func(c *TrainConfig) { c.MetaSteps = 0 },
	} {
		cfg := staged()
		change(&cfg)
		if _, err := NewTrainer(cfg); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("error %v, want one that says %q", err, word)
		}
	}
}
