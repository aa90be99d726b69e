package metatrain_test

import (
	"context"
	"math"
	"runtime"
	"slices"
	"testing"

	"learnedopt/compare"
	"learnedopt/lstm"
	"learnedopt/metatrain"
	"learnedopt/optimizer"
)

// valley is f(θ) = Σ s_i² θ_i², from θ_0i = c_i/s_i: gradient descent with learning rate α
// reaches f_T = Σ (1 − 2α s_i²)^{2T} c_i².
type valley struct{ s2, c []float64 }

func newValley() *valley {
	return &valley{s2: []float64{0.25, 0.5, 1, 1.5, 0.3, 0.7}, c: []float64{1, -1, 2, 1, -0.5, 0.5}}
}

func (v *valley) Dim() int { return len(v.s2) }
func (v *valley) Init(theta []float32) {
	for i, c := range v.c {
		theta[i] = float32(c / math.Sqrt(v.s2[i]))
	}
}

func (v *valley) LossGrad(theta, grad []float32) (float64, error) {
	f := 0.0
	for i, s2 := range v.s2 {
		x := float64(theta[i])
		f += s2 * x * x
		grad[i] = float32(2 * s2 * x)
	}
	return f, nil
}

func (v *valley) Metrics() optimizer.Metric { return optimizer.Hessian }

func (v *valley) CurvatureProduct(dst, _, vec []float32, _ optimizer.Metric, _ int) error {
	for i, s2 := range v.s2 {
		dst[i] = float32(2 * s2 * float64(vec[i]))
	}
	return nil
}

// slope is df_T/dα. smoothed is the same derivative of E f_T, where each window of K steps has its own w and b in the
// rule u = w·g + b, drawn from normal distributions around −α and 0 with standard deviation σ. With a = 1 + 2w s², a
// window takes θ to a^K θ + b S, where S = Σ_{t<K} a^t. So
//
//	E θ² ← E[a^{2K}] E θ² + σ² E[S²].
func (v *valley) slope(alpha float64, steps int) float64 {
	d := 0.0
	for i, s2 := range v.s2 {
		d -= 4 * float64(steps) * s2 * v.c[i] * v.c[i] * math.Pow(1-2*alpha*s2, float64(2*steps-1))
	}
	return d
}

func (v *valley) smoothed(alpha, sigma float64, unroll, steps int) float64 {
	expect := func(alpha float64, f func(a float64) float64, s2 float64) float64 {
		sum, norm := 0.0, 0.0
		for z := -8.0; z <= 8; z += 1.0 / 64 { // the trapezoidal rule is exact to rounding here
			p := math.Exp(-z * z / 2)
			sum += p * f(1-2*(alpha-sigma*z)*s2)
			norm += p
		}
		return sum / norm
	}
	loss := func(alpha float64) float64 {
		total := 0.0
		for i, s2 := range v.s2 {
			power := expect(alpha, func(a float64) float64 { return math.Pow(a, float64(2*unroll)) }, s2)
			shift := expect(alpha, func(a float64) float64 {
				s := (1 - math.Pow(a, float64(unroll))) / (1 - a)
				return s * s
			}, s2)
			x2 := v.c[i] * v.c[i] / s2
			for range steps / unroll {
				x2 = power*x2 + sigma*sigma*shift
			}
			total += s2 * x2
		}
		return total
	}
	const h = 1e-4 // truncation 1e-8, rounding 1e-12
	return (loss(alpha+h) - loss(alpha-h)) / (2 * h)
}

// atEnd is the objective f_T: only the loss at the episode's end.
type atEnd struct{}

func (atEnd) Weigh(_ context.Context, weights []float64, ep *metatrain.Episode, first int, losses []float64) (float64, error) {
	clear(weights)
	if last := len(losses) - 1; first+len(losses) == ep.Length {
		weights[last] = 1
		return losses[last], nil
	}
	return 0, nil
}

const (
	valleyRate  = 0.05
	valleySigma = 0.004
	valleySteps = 20
)

// valleySlope is an estimator's dL/dα for one episode of gradient descent.
func valleySlope(t *testing.T, e metatrain.Estimator, unroll int, seed uint64) float64 {
	t.Helper()
	net, err := lstm.NewNetwork(lstm.Config{Inputs: lstm.Raw, NoLSTM: true, Scale: 1}, []float32{-valleyRate, 0})
	if err != nil {
		t.Fatal(err)
	}
	ep := metatrain.NewEpisode(net, newValley())
	ep.Seed, ep.Length = seed, valleySteps
	dphi := make([]float64, 2)
	for ep.Step < valleySteps {
		before := ep.Step
		w, err := e.Estimate(t.Context(), dphi, ep, unroll)
		if err != nil || w.Diverged != nil || ep.Step != before+unroll || len(w.Losses) != unroll+1 {
			t.Fatal(err, w, ep.Step)
		}
		if !slices.Equal(ep.State.Network().Params(), net.Params()) {
			t.Fatalf("%T leaves the episode with other parameters", e)
		}
	}
	return -dphi[0] // α = −w
}

// TestPESIsUnbiasedWhereTruncationIsNot meta-learns SGD's learning rate on a quadratic in four windows. The derivative of
// the whole run's smoothed loss is known in closed form. The mean of PES equals it, within four standard errors of 3 per
// cent each, and so does ES on the whole run. The mean of ES on windows and truncated backprop, of first and second order,
// do not.
func TestPESIsUnbiasedWhereTruncationIsNot(t *testing.T) {
	const unroll, draws = 5, 6000
	v := newValley()
	want := v.smoothed(valleyRate, valleySigma, unroll, valleySteps)
	if plain := v.slope(valleyRate, valleySteps); math.Abs(plain/want-1) > 0.02 {
		t.Errorf("the smoothed slope %v is far from the plain one, %v", want, plain)
	}
	mean := func(e metatrain.Estimator, unroll int) (mean, se float64) {
		var sum, squares float64
		for seed := range uint64(draws) {
			d := valleySlope(t, e, unroll, seed)
			sum += d
			squares += d * d
		}
		mean = sum / draws
		return mean, math.Sqrt((squares/draws - mean*mean) / draws)
	}
	for name, e := range map[string]metatrain.Estimator{
		"PES":           &metatrain.PES{Perturbation: valleySigma, Objective: atEnd{}},
		"PES, 2 pairs":  &metatrain.PES{Perturbation: valleySigma, Objective: atEnd{}, Pairs: 2},
		"ES of windows": &metatrain.ES{Perturbation: valleySigma, Objective: atEnd{}},
	} {
		got, se := mean(e, unroll)
		t.Logf("%s: %.3f ± %.3f, the slope is %.3f", name, got, se, want)
		if se > 0.03*math.Abs(want) {
			t.Errorf("%s: the standard error %.3f is large beside %.3f: the test is blind", name, se, want)
		}
		off := math.Abs(got-want) / se
		if _, truncated := e.(*metatrain.ES); truncated && off < 20 || !truncated && off > 4 {
			t.Errorf("%s: the mean %.3f is %.1f standard errors from the slope %.3f", name, got, off, want)
		}
	}
	whole := v.smoothed(valleyRate, valleySigma, valleySteps, valleySteps)
	if got, se := mean(&metatrain.ES{Perturbation: valleySigma, Objective: atEnd{}}, valleySteps); math.Abs(got-whole) > 4*se {
		t.Errorf("ES on whole runs: %.3f ± %.3f, the slope is %.3f", got, se, whole)
	}

	plain := v.slope(valleyRate, valleySteps)
	for _, second := range []bool{false, true} {
		tb := &metatrain.TruncatedBackprop{SecondDerivatives: second, Objective: atEnd{}}
		got := valleySlope(t, tb, unroll, 0)
		t.Logf("truncated backprop, second derivatives %v: %.3f", second, got)
		if math.Abs(got/plain-1) < 0.5 {
			t.Errorf("truncated backprop, second derivatives %v: %.3f is not far from the slope %.3f", second, got, plain)
		}
	}
	// Without truncation and with second derivatives, only float32 rounding is left.
	if got := valleySlope(t, &metatrain.TruncatedBackprop{SecondDerivatives: true, Objective: atEnd{}}, valleySteps, 0); !near(got, plain, 1e-4) {
		t.Errorf("backprop through a whole run: %v, the slope is %v", got, plain)
	}
}

// TestPESOfOneWindowIsES: with the same draws, PES gives the same estimate as ES, bit for bit. A second episode does not
// remember the first; different draws show that this would change the estimate.
func TestPESOfOneWindowIsES(t *testing.T) {
	pes := &metatrain.PES{Pairs: 3, Objective: metatrain.Log{}}
	for seed := range uint64(3) {
		got := valleySlope(t, pes, valleySteps, seed)
		want := valleySlope(t, &metatrain.ES{Pairs: 3, Objective: metatrain.Log{}}, valleySteps, seed)
		if got != want || got == 0 {
			t.Errorf("episode %d: PES %v, ES %v", seed, got, want)
		}
	}
	for seed := range uint64(3) {
		if got, fresh := valleySlope(t, pes, 5, seed), valleySlope(t, metatrain.PES{Pairs: 3, Objective: metatrain.Log{}}, 5, seed); got != fresh {
			t.Errorf("episode %d: %v after other episodes, %v without", seed, got, fresh)
		}
	}
}

// TestEvolutionSeesTheSameDataOnBothSides uses a problem with fresh data at every step. With almost no perturbation, the
// losses of both sides equal the losses of the network itself, and ES leaves the episode where the network takes it.
func TestEvolutionSeesTheSameDataOnBothSides(t *testing.T) {
	net, err := lstm.Init{}.Random(lstm.Config{Hidden: 5, Inputs: lstm.RNNProp}, newRand(1))
	if err != nil {
		t.Fatal(err)
	}
	episode := func() *metatrain.Episode {
		ep := metatrain.NewEpisode(net, &quartic{seed: 3, n: 7})
		return ep
	}
	plain, es, pes := episode(), episode(), episode()
	tb := &metatrain.TruncatedBackprop{}
	e, p := &metatrain.ES{Perturbation: 1e-12, Pairs: 2, Objective: metatrain.Relative{}}, &metatrain.PES{Perturbation: 1e-12, Pairs: 2, Objective: metatrain.Relative{}}
	for range 3 {
		want, err := tb.Estimate(t.Context(), make([]float64, len(net.Params())), plain, 4)
		if err != nil {
			t.Fatal(err)
		}
		for ep, estimator := range map[*metatrain.Episode]metatrain.Estimator{es: e, pes: p} {
			w, err := estimator.Estimate(t.Context(), make([]float64, len(net.Params())), ep, 4)
			if err != nil || w.Diverged != nil || !slices.Equal(w.Losses, want.Losses) || !slices.Equal(ep.Theta, plain.Theta) {
				t.Errorf("%T: losses %v, want %v (%v, %v)", estimator, w.Losses, want.Losses, err, w.Diverged)
			}
		}
	}
}

// TestEvolutionAllocatesNothingPerStep compares windows of 8 and of 64 steps.
func TestEvolutionAllocatesNothingPerStep(t *testing.T) {
	net, err := lstm.Init{}.Random(lstm.Config{Hidden: 4}, newRand(1))
	if err != nil {
		t.Fatal(err)
	}
	dphi := make([]float64, len(net.Params()))
	for _, e := range []metatrain.Estimator{&metatrain.ES{}, &metatrain.PES{}} {
		ep := metatrain.NewEpisode(net, newValley())
		allocs := func(k int) float64 {
			return testing.AllocsPerRun(10, func() {
				if w, err := e.Estimate(t.Context(), dphi, ep, k); err != nil || w.Diverged != nil {
					t.Fatal(err, w.Diverged)
				}
			})
		}
		allocs(64)
		if short, long := allocs(8), allocs(64); long > short {
			t.Errorf("%T: %v allocations in 8 steps, %v in 64", e, short, long)
		}
	}
}

// TestEvolutionLearns meta-trains with ES and with PES on bowls, and gets the same bits on one and on two processors.
func TestEvolutionLearns(t *testing.T) {
	for _, e := range []metatrain.Estimator{&metatrain.ES{Pairs: 2}, &metatrain.PES{Pairs: 4}} {
		run := func(procs int) (first, best compare.Number, phi []float32) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			cfg := small()
			cfg.Estimator, cfg.Batch = e, 2
			var losses []compare.Number
			cfg.OnEvent = func(e metatrain.Event) {
				if e.Kind == metatrain.EventValidation {
					losses = append(losses, e.Valid.MeanLoss)
				}
			}
			trainer, _ := train(t, cfg)
			return losses[0], slices.Min(losses), trainer.Network().Params()
		}
		first, best, phi := run(1)
		if best > first/2 {
			t.Errorf("%T: mean loss went from %v to %v only", e, first, best)
		}
		if _, _, again := run(2); !slices.Equal(phi, again) {
			t.Errorf("%T: parameters differ between one and two processors", e)
		}
	}
}

// TestEvolutionDivergesAndRejects: if one side has a non-finite value, dphi stays unchanged.
func TestEvolutionDivergesAndRejects(t *testing.T) {
	net := zeroNet(t)
	for _, e := range []metatrain.Estimator{&metatrain.ES{Pairs: 2}, &metatrain.PES{Pairs: 2}} {
		ep := metatrain.NewEpisode(net, &cliff{bowl{y: []float32{1, 1, 1, 1, 1}}})
		dphi := []float64{7, 7}
		w, err := e.Estimate(t.Context(), dphi, ep, 3)
		if err != nil || w.Diverged == nil || w.Diverged.Step != 1 || !slices.Equal(dphi, []float64{7, 7}) {
			t.Errorf("%T: %v, %+v, dphi %v", e, err, w.Diverged, dphi)
		}
	}
	for _, e := range []metatrain.Estimator{
		&metatrain.ES{Perturbation: -1}, &metatrain.PES{Perturbation: math.Inf(1)}, &metatrain.PES{Pairs: -1}, &metatrain.ES{Perturbation: math.NaN()},
		&metatrain.TruncatedBackprop{Coordinates: -1}, &metatrain.TruncatedBackprop{Coordinates: 1, SecondDerivatives: true},
	} {
		cfg := small()
		cfg.Estimator = e
		if _, err := metatrain.NewTrainer(cfg); err == nil {
			t.Errorf("a trainer takes %+v", e)
		}
	}
}
