package metaopt_test

import (
	"errors"
	"math"
	"slices"
	"testing"

	"learnedopt/baselines"
	"learnedopt/lstm"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
	"learnedopt/optimizer/optimizertest"
	"learnedopt/tasks"
)

func TestGuardedConforms(t *testing.T) {
	optimizertest.Conform(t, metaopt.Guarded{Rule: someOptimizer(t, lstm.Config{Hidden: 3}).Network})
}

// constant is u = c for any gradient.
type constant float32

func (constant) Needs() optimizer.Needs                   { return optimizer.Needs{} }
func (c constant) Start(optimizer.Layout) optimizer.State { return c }
func (c constant) Update(dst []float32, _ optimizer.Point) (optimizer.Move, error) {
	for i := range dst {
		dst[i] = float32(c)
	}
	return 0, nil
}

// stepThrough feeds losses to a guard over the rule u = +1 with the fallback u = −0.25,
// from θ = 0 with gradients of 1, and returns θ_1, θ_2, … and the handovers.
func stepThrough(t *testing.T, g metaopt.Guard, losses []float64) (thetas []float64, handovers []metaopt.Handover) {
	t.Helper()
	g.Fallback = baselines.SGD{LearningRate: 0.25}
	g.OnHandover = func(h metaopt.Handover) { handovers = append(handovers, h) }
	moving := start(metaopt.Guarded{Rule: constant(1), Guard: g}, 1)
	theta := []float32{0}
	for _, loss := range losses {
		if d := moving.step(theta, []float32{1}, loss); d != nil {
			t.Fatalf("losses %v: %v", losses, d)
		}
		thetas = append(thetas, float64(theta[0]))
	}
	return thetas, handovers
}

// TestGuardByHand compares a Guard with its definition, on losses for which s_t and b_t were
// computed by hand.
func TestGuardByHand(t *testing.T) {
	inf := math.Inf(1)
	for name, c := range map[string]struct {
		guard  metaopt.Guard
		losses []float64
		thetas []float64
		want   metaopt.Handover // Cause "" if there is none
	}{
		// s = 8 7 5 3 2.5 3.5 5.5 4: b = 3 of θ_3 = 3, for f_4 = 3 is above s_4; then b + τ f_0 = 3.8 is exceeded twice.
		"rise": {
			metaopt.Guard{Window: 2, Rise: metaopt.Rise{Tolerance: 0.1, Patience: 2}},
			[]float64{8, 6, 4, 2, 3, 4, 7, 1, 1},
			[]float64{1, 2, 3, 4, 5, 6, 7, 3, 2.75},
			metaopt.Handover{Step: 7, Cause: "rise", Loss: 4, Best: 3},
		},
		// s = 8 9 10: back to the start.
		"from the start": {
			metaopt.Guard{Window: 2, Rise: metaopt.Rise{Tolerance: 0.1, Patience: 2}},
			[]float64{8, 10, 10, 0, 17, 8},
			[]float64{1, 2, 0, -0.25, -0.5, -0.75},
			metaopt.Handover{Step: 2, Cause: "rise", Loss: 10, Best: 8},
		},
		"not in a row": {
			metaopt.Guard{Window: 1, Rise: metaopt.Rise{Tolerance: 0.1, Patience: 2}},
			[]float64{8, 10, 8, 10, 8, 10},
			[]float64{1, 2, 3, 4, 5, 6},
			metaopt.Handover{},
		},
		"within tolerance": {
			metaopt.Guard{Window: 1, Rise: metaopt.Rise{Tolerance: 0.5, Patience: 1}},
			[]float64{8, 4, 8, 8, 8.1},
			[]float64{1, 2, 3, 4, 1},
			metaopt.Handover{Step: 4, Cause: "rise", Loss: 8.1, Best: 4},
		},
		// With a tolerance of 0 the smallest rise counts.
		"no tolerance": {
			metaopt.Guard{Window: 1, Rise: metaopt.Rise{Patience: 2}},
			[]float64{8, 4, 4, 4.0001, 4, 4.0001, 4.0001},
			[]float64{1, 2, 3, 4, 5, 6, 1},
			metaopt.Handover{Step: 6, Cause: "rise", Loss: 4.0001, Best: 4},
		},
		// Negative losses: the tolerance is a fraction of |f_0|.
		"negative": {
			metaopt.Guard{Window: 1, Rise: metaopt.Rise{Tolerance: 0.1, Patience: 1}},
			[]float64{-10, -11, -10, -9.9},
			[]float64{1, 2, 3, 1},
			metaopt.Handover{Step: 3, Cause: "rise", Loss: -9.9, Best: -11},
		},
		"stall": {
			metaopt.Guard{Window: 1, Stall: 3},
			[]float64{8, 4, 4, 4, 4, 4},
			[]float64{1, 2, 3, 4, 1, 0.75},
			metaopt.Handover{Step: 4, Cause: "stall", Loss: 4, Best: 4},
		},
		"loss": {
			metaopt.Guard{Window: 1},
			[]float64{8, 4, 5, math.NaN(), 4},
			[]float64{1, 2, 3, 1, 0.75},
			metaopt.Handover{Step: 3, Cause: "loss", Loss: math.NaN(), Best: 4},
		},
		"infinite loss": {
			metaopt.Guard{},
			[]float64{8, inf, 8},
			[]float64{1, 0, -0.25},
			metaopt.Handover{Step: 1, Cause: "loss", Loss: inf, Best: 8},
		},
		// s = 9 5 1.5 11: s_2 is the least, but f_2 is above it.
		"spike": {
			metaopt.Guard{Window: 2, Rise: metaopt.Rise{Tolerance: 0.1, Patience: 1}},
			[]float64{9, 1, 2, 20, 1},
			[]float64{1, 2, 3, 1, 0.75},
			metaopt.Handover{Step: 3, Cause: "rise", Loss: 11, Best: 5},
		},
	} {
		thetas, handovers := stepThrough(t, c.guard, c.losses)
		if !slices.Equal(thetas, c.thetas) {
			t.Errorf("%s: θ = %v, want %v", name, thetas, c.thetas)
		}
		if c.want.Cause == "" {
			if len(handovers) != 0 {
				t.Errorf("%s: handed over %+v", name, handovers)
			}
			continue
		}
		if len(handovers) != 1 {
			t.Errorf("%s: handed over %+v, want once", name, handovers)
			continue
		}
		got := handovers[0]
		if math.IsNaN(got.Loss) && math.IsNaN(c.want.Loss) {
			got.Loss, c.want.Loss = 0, 0
		}
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// drawn returns the problem of an instance of quadratic-uniform.
func drawn(t *testing.T, index uint64) optimizer.Problem {
	t.Helper()
	p, err := tasks.QuadraticUniform{Batch: 8}.Sample(newRand(index))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestGuardThatNeverFires expects the bits of the unguarded run, from optimizer.Run and
// from a caller's own loop.
func TestGuardThatNeverFires(t *testing.T) {
	opt, err := metaopt.Load("testdata/quadratic.mopt")
	if err != nil {
		t.Fatal(err)
	}
	guarded, err := opt.WithGuard(metaopt.Guard{})
	if err != nil {
		t.Fatal(err)
	}
	for index := range uint64(5) {
		p := drawn(t, index)
		bare, err := optimizer.Run(t.Context(), opt.Network, p, 150)
		under, err2 := optimizer.Run(t.Context(), metaopt.Guarded{Rule: opt.Network}, p, 150)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(bare.Losses, under.Losses) || !slices.Equal(bare.Theta, under.Theta) {
			t.Fatalf("instance %d: the guarded run ends at a loss of %v, the other at %v", index, under.Losses[150], bare.Losses[150])
		}
		for _, o := range []*metaopt.Optimizer{opt, guarded} {
			theta, grad := make([]float32, p.Dim()), make([]float32, p.Dim())
			p.Init(theta)
			run := o.Start(optimizer.Flat(len(theta)))
			for range 150 {
				loss, err := p.LossGrad(theta, grad)
				if err != nil {
					t.Fatal(err)
				}
				if err := run.StepLoss(theta, grad, loss); err != nil {
					t.Fatal(err)
				}
			}
			if h, ok := run.HandedOver(); ok || !slices.Equal(theta, bare.Theta) {
				t.Errorf("instance %d: handed over: %v %+v, θ_0 = %v, want %v", index, ok, h, theta[0], bare.Theta[0])
			}
		}
	}
}

// wild returns an optimizer whose steps are a hundred times too long.
func wild(t *testing.T) *metaopt.Optimizer {
	t.Helper()
	opt, err := metaopt.Load("testdata/quadratic.mopt")
	if err != nil {
		t.Fatal(err)
	}
	cfg := opt.Network.Config()
	cfg.Scale *= 100
	net, err := lstm.NewNetwork(cfg, opt.Network.Params())
	if err != nil {
		t.Fatal(err)
	}
	return &metaopt.Optimizer{Network: net}
}

// TestGuardRescues lets an optimizer diverge. No point on its way is better than the start, so
// after the handover the run equals the fallback's run from the start, bit for bit.
func TestGuardRescues(t *testing.T) {
	var handover metaopt.Handover
	g := metaopt.Guard{Fallback: baselines.Adam{LearningRate: 0.1}, OnHandover: func(h metaopt.Handover) { handover = h }}
	for index := range uint64(5) {
		p := drawn(t, index)
		const steps = 200
		bare, err := optimizer.Run(t.Context(), wild(t).Network, p, steps)
		under, err2 := optimizer.Run(t.Context(), metaopt.Guarded{Rule: wild(t).Network, Guard: g}, p, steps)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		at := handover.Step
		if handover.Cause != "rise" || at < 9 || at > 20 {
			t.Errorf("instance %d: handed over %+v", index, handover)
		}
		adam, err := optimizer.Run(t.Context(), g.Fallback, p, steps-at-1)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(under.Losses[at+1:], adam.Losses) || !slices.Equal(under.Theta, adam.Theta) {
			t.Errorf("instance %d: the run ends at %v after a handover at %d, the fallback at %v", index, under.Losses[steps], at, adam.Losses[steps-at-1])
		}
		if !slices.Equal(under.Losses[:at+1], bare.Losses[:at+1]) {
			t.Errorf("instance %d: the run differs from the unguarded one before the handover", index)
		}
		if !(under.Losses[steps] < under.Losses[0]/2 && bare.Losses[steps] > 10*bare.Losses[0]) {
			t.Errorf("instance %d: from %v to %v under guard, to %v without", index, under.Losses[0], under.Losses[steps], bare.Losses[steps])
		}
	}
}
