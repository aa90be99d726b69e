package metatrain_test

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"learnedopt/baselines"
	"learnedopt/internal/stream"
	"learnedopt/lstm"
	"learnedopt/metatrain"
	"learnedopt/optimizer"
)

// TestSampledAdjointIsUnbiased draws 20 of 40 coordinates four thousand times. Along a fixed direction, the mean of the
// estimates must lie within four standard errors of the full meta-gradient. The standard error must be small.
func TestSampledAdjointIsUnbiased(t *testing.T) {
	net, err := lstm.Init{}.Random(lstm.Config{Hidden: 4, Inputs: lstm.Raw | lstm.RNNProp}, newRand(1))
	if err != nil {
		t.Fatal(err)
	}
	y, rng := make([]float32, 40), newRand(2)
	for i := range y {
		y[i] = float32(rng.NormFloat64())
	}
	size := len(net.Params())
	estimate := func(coordinates int, seed uint64) []float64 {
		ep := metatrain.NewEpisode(net, &bowl{y: y})
		ep.Seed = seed
		dphi := make([]float64, size)
		tb := &metatrain.TruncatedBackprop{Coordinates: coordinates}
		if w, err := tb.Estimate(t.Context(), dphi, ep, 3); err != nil || w.Diverged != nil {
			t.Fatal(err, w.Diverged)
		}
		return dphi
	}
	full := estimate(0, 0)
	if !slices.Equal(full, estimate(40, 1)) {
		t.Error("all coordinates, drawn, are not all coordinates")
	}
	if slices.Equal(estimate(20, 1), estimate(20, 2)) {
		t.Error("two seeds draw the same coordinates")
	}
	norm := 0.0
	for _, d := range full {
		norm += d * d
	}
	const draws = 4000
	var sum, squares float64
	for k := range draws {
		dot := 0.0 // along the full meta-gradient, so its expectation is 1
		for i, d := range estimate(20, uint64(k)) {
			dot += d * full[i] / norm
		}
		sum += dot
		squares += dot * dot
	}
	mean := sum / draws
	se := math.Sqrt((squares/draws - mean*mean) / draws)
	if math.Abs(mean-1) > 4*se || se > 0.02 {
		t.Errorf("the mean estimate is %.4f ± %.4f of the meta-gradient", mean, se)
	}
}

// TestMetaBatchFollowsTheMean repeats the first meta-step of a meta-batch of three by hand: Adam on the mean of three
// episodes' meta-gradients.
func TestMetaBatchFollowsTheMean(t *testing.T) {
	cfg := small()
	cfg.Batch, cfg.Seed, cfg.Clip = 3, 11, math.Inf(1)
	trainer, err := metatrain.NewTrainer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	net := trainer.Network()
	mean := make([]float64, len(net.Params()))
	for e := range uint64(3) {
		p, err := cfg.Family.Sample(stream.New(11, "train", e))
		if err != nil {
			t.Fatal(err)
		}
		dphi := make([]float64, len(mean))
		if _, err := new(metatrain.TruncatedBackprop).Estimate(t.Context(), dphi, metatrain.NewEpisode(net, p), cfg.Unroll); err != nil {
			t.Fatal(err)
		}
		for i, d := range dphi {
			mean[i] += d / 3
		}
	}
	grad, want := make([]float32, len(mean)), net.Params()
	for i, d := range mean {
		grad[i] = float32(d)
	}
	u := make([]float32, len(mean))
	baselines.Adam{LearningRate: cfg.MetaLearningRate}.Start(optimizer.Flat(len(mean))).Update(u, optimizer.Point{Grad: grad})
	if err := trainer.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, got := range trainer.Network().Params() {
		if !near(float64(got), float64(want[i]+u[i]), 1e-6) {
			t.Fatalf("φ[%d] = %v, want %v", i, got, want[i]+u[i])
		}
	}
}

func TestMetaBatchSameBitsOnAnyNumberOfCores(t *testing.T) {
	run := func(procs int) []float32 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
		cfg := small()
		cfg.MetaSteps, cfg.Batch = 10, 3
		cfg.Estimator = &metatrain.TruncatedBackprop{Coordinates: 100}
		cfg.Family = family(func(rng *rand.Rand) (optimizer.Problem, error) {
			return &quartic{seed: rng.Uint64(), n: 700}, nil
		})
		trainer, _ := train(t, cfg)
		return trainer.Network().Params()
	}
	if !slices.Equal(run(1), run(2)) {
		t.Error("parameters differ between one and two processors")
	}
}

// TestDivergedEpisodeLeavesTheBatch makes one of two episodes diverge. The other one continues, and meta-steps are taken.
func TestDivergedEpisodeLeavesTheBatch(t *testing.T) {
	cfg := small()
	cfg.Batch, cfg.MetaSteps, cfg.SkipLimit, cfg.ValidRuns = 2, 8, 2, 1
	samples, diverged := 0, 0
	cfg.Family = family(func(rng *rand.Rand) (optimizer.Problem, error) {
		samples++
		if samples%2 == 0 {
			return &bowl{y: make([]float32, 10)}, nil
		}
		return &cliff{bowl{y: make([]float32, 10)}}, nil
	})
	cfg.OnEvent = func(e metatrain.Event) {
		if e.Kind == metatrain.EventDiverged {
			diverged++
		}
	}
	trainer, err := metatrain.NewTrainer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for range 8 {
		if err := trainer.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if trainer.MetaSteps() != 8 || diverged == 0 {
		t.Errorf("%d meta-steps with %d divergences", trainer.MetaSteps(), diverged)
	}
}
