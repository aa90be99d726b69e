package metatrain_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"learnedopt/internal/stream"
	"learnedopt/lstm"
	"learnedopt/metatrain"
	"learnedopt/optimizer"
)

// A fault is a positive quartic with a fault in call number at of LossGrad.
type fault struct {
	positive
	calls   *int
	at      int
	happens func(loss *float64, grad []float32) error
}

func (f *fault) LossGrad(theta, grad []float32) (float64, error) {
	loss, err := f.positive.LossGrad(theta, grad)
	if *f.calls++; *f.calls-1 == f.at {
		err = f.happens(&loss, grad)
	}
	return loss, err
}

func faulted(calls *int, at int, happens func(*float64, []float32) error) *fault {
	return &fault{positive{exactQuartic{quartic{seed: 3, n: 7}}}, calls, at, happens}
}

var everyEstimator = map[string]metatrain.Estimator{
	"backprop":           metatrain.TruncatedBackprop{},
	"coordinates":        metatrain.TruncatedBackprop{Coordinates: 3},
	"second derivatives": metatrain.TruncatedBackprop{SecondDerivatives: true},
	"differences":        metatrain.TruncatedBackprop{SecondDerivatives: true, Differences: true},
	"relative":           metatrain.TruncatedBackprop{Objective: metatrain.Relative{}},
	"es":                 metatrain.ES{Pairs: 2},
	"pes":                metatrain.PES{Pairs: 2},
	"pes, relative":      metatrain.PES{Objective: metatrain.Relative{}},
	"imitation":          metatrain.Imitation{Probability: 1},
}

// If any gradient in two windows fails, Estimate returns the error. If any gradient is not finite, the window diverges and
// dphi stays unchanged. If only Hessian products are not finite, dphi is not finite, and the trainer must see it.
func TestAFaultInAnyGradientIsSeen(t *testing.T) {
	net, err := lstm.Init{}.Random(lstm.Config{Hidden: 4, Inputs: lstm.Raw | lstm.RNNProp}, newRand(1))
	if err != nil {
		t.Fatal(err)
	}
	boom := errors.New("boom")
	for name, e := range everyEstimator {
		run := func(at int, happens func(*float64, []float32) error) (calls int, d []float64, w metatrain.Window, err error) {
			ep := metatrain.NewEpisode(net, faulted(&calls, at, happens))
			for range 2 {
				d = slices.Repeat([]float64{7}, net.Size())
				w, err = e.Estimate(t.Context(), d, ep, 3)
				if err != nil || w.Diverged != nil || !finite(d) {
					break
				}
			}
			return calls, d, w, err
		}
		total, d, w, err := run(-1, nil)
		if err != nil || w.Diverged != nil || d[0] == 7 || total < 7 {
			t.Fatalf("%s: %v, %v after %d gradients", name, err, w.Diverged, total)
		}
		for at := range total {
			if _, _, _, err := run(at, func(*float64, []float32) error { return boom }); !errors.Is(err, boom) {
				t.Errorf("%s: gradient %d of %d fails: error %v", name, at, total, err)
			}
			_, d, w, err := run(at, func(loss *float64, grad []float32) error {
				*loss, grad[2] = math.NaN(), float32(math.NaN())
				return nil
			})
			if untouched := slices.Equal(d, slices.Repeat([]float64{7}, net.Size())); err != nil || (w.Diverged == nil) == finite(d) || w.Diverged != nil && !untouched {
				t.Errorf("%s: gradient %d of %d is NaN: %v, %+v, dphi untouched %v", name, at, total, err, w.Diverged, untouched)
			}
		}
	}
}

func finite(x []float64) bool {
	return !slices.ContainsFunc(x, func(v float64) bool { return v-v != 0 })
}

// spoilt is truncated backprop that replaces one component of its estimates.
type spoilt struct {
	metatrain.TruncatedBackprop
	value float64
}

func (s spoilt) Estimate(ctx context.Context, dphi []float64, ep *metatrain.Episode, k int) (metatrain.Window, error) {
	w, err := s.TruncatedBackprop.Estimate(ctx, dphi, ep, k)
	dphi[3] = s.value
	return w, err
}

// A meta-gradient that is not finite in float32 is a divergence at the step where the window ended.
func TestANonFiniteMetaGradientIsADivergence(t *testing.T) {
	for value, diverges := range map[float64]bool{math.Inf(1): true, math.Inf(-1): true, 1e39: true, -1e39: true, math.MaxFloat32: false, -math.MaxFloat32: false} {
		cfg := small()
		cfg.Estimator = spoilt{value: value}
		var events []metatrain.Event
		cfg.OnEvent = func(e metatrain.Event) { events = append(events, e) }
		tr, err := metatrain.NewTrainer(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := tr.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !diverges {
			if len(events) != 0 || tr.MetaSteps() != 1 {
				t.Errorf("%v: %+v", value, events)
			}
			continue
		}
		if len(events) != 1 || events[0].Diverged == nil || *events[0].Diverged != (optimizer.DivergedError{Step: 5, What: "meta-gradient", Coordinate: 3, Value: value}) || tr.MetaSteps() != 0 {
			t.Errorf("%v: %+v", value, events)
		}
	}
}

// An update with a non-finite value is a divergence at its own step and coordinate, before it reaches θ.
func TestANonFiniteUpdateIsADivergence(t *testing.T) {
	net, err := lstm.NewNetwork(lstm.Config{Inputs: lstm.Raw, NoLSTM: true, Scale: 1}, []float32{3e38, 0})
	if err != nil {
		t.Fatal(err)
	}
	// From θ = 0 the gradient is −y: 0 at first, then 2, which 3e38 times is too much.
	ep := metatrain.NewEpisode(net, &bowl{y: []float32{0, -2}})
	w, err := metatrain.TruncatedBackprop{}.Estimate(t.Context(), make([]float64, 2), ep, 3)
	if err != nil || w.Diverged == nil || w.Diverged.Step != 0 || w.Diverged.What != "update" || w.Diverged.Coordinate != 1 || !slices.Equal(ep.Theta, []float32{0, 0}) {
		t.Errorf("%v, %+v, θ %v", err, w.Diverged, ep.Theta)
	}
}

// unclosable is a bowl that cannot be closed.
type unclosable struct{ bowl }

func (unclosable) Close() error { return errors.New("cannot be closed") }

// If closing a problem fails, the training ends: at an episode's end, after a divergence, and in a rollback.
func TestAProblemThatCannotBeClosedEndsTheTraining(t *testing.T) {
	for _, policy := range []string{metatrain.SkipNonFinite, metatrain.RollbackNonFinite} {
		for _, diverges := range []bool{false, true} {
			cfg := small()
			cfg.Steps, cfg.Unroll, cfg.OnNonFinite, cfg.Valid = 2, 2, policy, family(bowls)
			cfg.Family = family(func(rng *rand.Rand) (optimizer.Problem, error) { return &unclosable{bowl{y: make([]float32, 4)}}, nil })
			if diverges {
				cfg.Estimator = spoilt{value: math.Inf(1)}
			}
			if _, err := mustTrainer(t, cfg).Train(t.Context()); err == nil || !strings.Contains(err.Error(), "cannot be closed") {
				t.Errorf("%s, diverges %v: error %v", policy, diverges, err)
			}
		}
	}
}

func mustTrainer(t *testing.T, cfg metatrain.TrainConfig) *metatrain.Trainer {
	t.Helper()
	tr, err := metatrain.NewTrainer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// An error of AtRest ends the training, whenever AtRest is called.
func TestAnErrorAtRestEndsTheTraining(t *testing.T) {
	for at := range 4 {
		cfg := small()
		calls, boom := 0, errors.New("boom")
		cfg.AtRest = func(*metatrain.Trainer) error {
			if calls++; calls-1 == at {
				return boom
			}
			return nil
		}
		tr := mustTrainer(t, cfg)
		opt, err := tr.Train(t.Context())
		if !errors.Is(err, boom) || calls != at+1 || tr.MetaSteps() != max(at-1, 0) || (opt == nil) != (at == 0) {
			t.Errorf("call %d: %v after %d calls at meta-step %d, optimizer %v", at, err, calls, tr.MetaSteps(), opt)
		}
	}
}

// If an objective cannot use a loss, the error says at which step of the episode the loss was.
func TestObjectivesSayAtWhichStep(t *testing.T) {
	ep := metatrain.NewEpisode(zeroNet(t), &sunk{})
	for name, c := range map[string]struct {
		objective metatrain.Objective
		losses    []float64
		word      string
	}{
		"log":         {metatrain.Log{}, []float64{1, 1, -1}, "loss -1 at step 7"},
		"log of zero": {metatrain.Log{}, []float64{1, -1e-8, 1}, "at step 6"},
		"relative":    {metatrain.Relative{}, []float64{1, 1, 1}, "at step 5"},
	} {
		if _, err := c.objective.Weigh(t.Context(), make([]float64, 3), ep, 4, c.losses); err == nil || !strings.Contains(err.Error(), c.word) {
			t.Errorf("%s: error %v, want one that says %q", name, err, c.word)
		}
	}
	// A non-finite meta-loss is a divergence at the window's end.
	for _, value := range []float64{math.NaN(), math.Inf(1)} {
		ep := metatrain.NewEpisode(zeroNet(t), square{})
		for range 2 {
			w, err := metatrain.TruncatedBackprop{Objective: constantly(value)}.Estimate(t.Context(), make([]float64, 2), ep, 3)
			if err != nil || w.Diverged == nil || w.Diverged.What != "meta-loss" || w.Diverged.Step != ep.Step || w.Diverged.Coordinate != -1 {
				t.Errorf("meta-loss %v: %v, %+v", value, err, w.Diverged)
			}
		}
	}
	for _, e := range []metatrain.Estimator{
		metatrain.TruncatedBackprop{Objective: unweighable{}}, metatrain.TruncatedBackprop{Objective: unweighable{}, SecondDerivatives: true},
		metatrain.ES{Objective: unweighable{}}, metatrain.PES{Objective: unweighable{}},
	} {
		w, err := e.Estimate(t.Context(), make([]float64, 2), metatrain.NewEpisode(zeroNet(t), square{}), 3)
		if !errors.Is(err, errUnweighable) || w.Diverged != nil {
			t.Errorf("%T: error %v, %+v", e, err, w.Diverged)
		}
	}
	zero := make([]float64, 1)
	if value, err := (metatrain.Log{}).Weigh(t.Context(), zero, ep, 0, []float64{0}); err != nil || !near(value, math.Log(1e-8), 1e-12) || !near(zero[0], 1e8, 1e-12) {
		t.Errorf("log of 0: %v, %v, weight %v", value, err, zero[0])
	}
	if value, err := (metatrain.Ramp{}).Weigh(t.Context(), make([]float64, 1), &metatrain.Episode{Length: 1}, 0, []float64{3}); err != nil || value != 3 {
		t.Errorf("a ramp of one step: %v, %v", value, err)
	}
}

// A rule that moves nothing whatever the gradient has no second derivatives to be differenced: 0, not 0/0.
func TestDifferencesOfNothing(t *testing.T) {
	for _, e := range []metatrain.Estimator{metatrain.TruncatedBackprop{}, metatrain.TruncatedBackprop{SecondDerivatives: true, Differences: true}} {
		d := make([]float64, 2)
		if w, err := e.Estimate(t.Context(), d, metatrain.NewEpisode(zeroNet(t), square{}), 3); err != nil || w.Diverged != nil {
			t.Fatal(err, w.Diverged)
		}
		// θ stays at 1, where the gradient is 2: dw = Σ g λ = 2·(6+4+2), db = 6+4+2.
		if !slices.Equal(d, []float64{24, 12}) {
			t.Errorf("%+v: %v", e, d)
		}
	}
}

// An episode starts with the data of step 0, wherever the problem stood, and the first network is drawn from
// the stream (seed, "init", 0).
func TestWhereThingsStart(t *testing.T) {
	used := &quartic{seed: 3, n: 7, t: 5}
	fresh, again := metatrain.NewEpisode(zeroNet(t), &quartic{seed: 3, n: 7}), metatrain.NewEpisode(zeroNet(t), used)
	grads := func() [][]float32 { return [][]float32{make([]float32, 7), make([]float32, 7)} }
	a, err := fresh.Unroll(t.Context(), grads(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := again.Unroll(t.Context(), grads(), nil); err != nil || !slices.Equal(a.Losses, b.Losses) {
		t.Errorf("a problem that was used: losses %v, %v, want %v", b.Losses, err, a.Losses)
	}
	cfg := small()
	cfg.Seed = 9
	want, err := cfg.Init.Random(cfg.Network, stream.New(9, "init", 0))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(mustTrainer(t, cfg).Network().Params(), want.Params()) {
		t.Error("the first network is another one")
	}
}

// failing is a family of which the k-th sample fails.
type failing struct {
	optimizer.Family
	left *int
}

func (f failing) Sample(rng *rand.Rand) (optimizer.Problem, error) {
	if *f.left--; *f.left < 0 {
		return nil, errors.New("no more problems")
	}
	return f.Family.Sample(rng)
}

// A family that fails ends the training with its error, in whatever sample, of training or of validation.
func TestAFamilyThatFailsEndsTheTraining(t *testing.T) {
	for _, valid := range []bool{false, true} {
		for samples := 0; ; samples++ {
			cfg := resumable(t)["curriculum, geometric"]
			cfg.Valid = cfg.Family
			cfg.ValidRuns = 1
			left := samples
			if valid {
				cfg.Valid = failing{cfg.Family, &left}
			} else {
				cfg.Family = failing{cfg.Family, &left}
			}
			_, err := mustTrainer(t, cfg).Train(t.Context())
			if left >= 0 {
				if err != nil || samples < 5 {
					t.Errorf("%v with %d samples", err, samples)
				}
				break
			}
			if err == nil || !strings.Contains(err.Error(), "no more problems") {
				t.Fatalf("sample %d fails, of validation %v: error %v", samples, valid, err)
			}
		}
	}
}

// An executor's error is the trainer's.
func TestAnErrorOfTheExecutorEndsTheTraining(t *testing.T) {
	boom := errors.New("boom")
	cfg := small()
	cfg.Executor = broken{boom}
	if err := mustTrainer(t, cfg).Step(t.Context()); !errors.Is(err, boom) {
		t.Errorf("error %v", err)
	}
}

type broken struct{ err error }

func (b broken) Estimate(context.Context, *lstm.Network, []metatrain.Unit) ([]metatrain.Result, error) {
	return nil, b.err
}

// constantly is an objective with a constant value.
type constantly float64

func (c constantly) Weigh(context.Context, []float64, *metatrain.Episode, int, []float64) (float64, error) {
	return float64(c), nil
}

// unweighable is an objective that weighs nothing.
type unweighable struct{}

var errUnweighable = errors.New("nothing to weigh")

func (unweighable) Weigh(context.Context, []float64, *metatrain.Episode, int, []float64) (float64, error) {
	return 0, errUnweighable
}

// sunk is f(θ) = θ² − 1 − 1e-8, below zero from step 0 on.
type sunk struct{ square }

func (s *sunk) LossGrad(theta, grad []float32) (float64, error) {
	f, err := s.square.LossGrad(theta, grad)
	return f - 1 - 1e-8, err
}

func TestAWindowOfNoStepsPanics(t *testing.T) {
	defer func() {
		if r := recover(); r != "metatrain: window of no steps" {
			t.Errorf("panic %v", r)
		}
	}()
	ep := metatrain.NewEpisode(zeroNet(t), square{})
	_, _ = ep.Unroll(t.Context(), make([][]float32, 1), nil)
}

// PES begins anew if another estimator took the episode's last steps, or if the number of pairs changed.
func TestPESBeginsAnewWhereItDidNotStand(t *testing.T) {
	net, err := lstm.Init{}.Random(lstm.Config{Hidden: 4, Inputs: lstm.Raw | lstm.RNNProp}, newRand(1))
	if err != nil {
		t.Fatal(err)
	}
	window := func(ep *metatrain.Episode, e metatrain.Estimator) []float64 {
		d := make([]float64, net.Size())
		if w, err := e.Estimate(t.Context(), d, ep, 3); err != nil || w.Diverged != nil {
			t.Fatal(err, w.Diverged)
		}
		return d
	}
	episode := func(before ...metatrain.Estimator) *metatrain.Episode {
		ep := metatrain.NewEpisode(net, &quartic{seed: 3, n: 7})
		for _, e := range before {
			window(ep, e)
		}
		return ep
	}
	one, two := metatrain.PES{}, metatrain.PES{Pairs: 2}
	fresh := func(ep *metatrain.Episode) *metatrain.Episode { ep.Memory = nil; return ep }
	for name, c := range map[string]struct {
		before []metatrain.Estimator
		anew   bool
	}{
		"pes":             {[]metatrain.Estimator{two}, false},
		"backprop":        {[]metatrain.Estimator{two, metatrain.TruncatedBackprop{}}, true},
		"one pair":        {[]metatrain.Estimator{one}, true},
		"a pair, then es": {[]metatrain.Estimator{one, metatrain.ES{}}, true},
	} {
		got, anew := window(episode(c.before...), two), window(fresh(episode(c.before...)), two)
		if slices.Equal(got, anew) != c.anew {
			t.Errorf("after %s: anew %v", name, !c.anew)
		}
	}
}
