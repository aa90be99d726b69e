package metatrain_test

import (
	"context"
	"math"
	"slices"
	"testing"

	"learnedopt/baselines"
	"learnedopt/lstm"
	"learnedopt/metatrain"
	"learnedopt/optimizer"
)

// TestObjectivesAreWorthTheirFormula compares objectives with values computed by hand, for a window of three steps that
// begins at step 4 of 9. On f(θ) = θ², gradient descent with learning rate 0.25 halves θ at every step.
func TestObjectivesAreWorthTheirFormula(t *testing.T) {
	losses := []float64{4, 1, 0.25}
	base := func(halvings int) float64 { return math.Ldexp(1, -halvings) + 1e-8 } // of the reference
	for name, c := range map[string]struct {
		objective metatrain.Objective
		value     float64
		weights   []float64
	}{
		"sum":      {metatrain.Sum{}, 5.25, []float64{1, 1, 1}},
		"last":     {metatrain.Last{}, 0.25, []float64{0, 0, 1}},
		"log":      {metatrain.Log{}, 0, []float64{0.25, 1, 4}},
		"ramp":     {metatrain.Ramp{}, 4 + 1.2 + 0.35, []float64{1, 1.2, 1.4}},
		"relative": {metatrain.Relative{Rule: baselines.SGD{LearningRate: 0.25}}, 4/base(10) + 1/base(12) + 0.25/base(14), []float64{1 / base(10), 1 / base(12), 1 / base(14)}},
	} {
		ep := metatrain.NewEpisode(zeroNet(t), square{})
		ep.Length = 9
		weights := make([]float64, 3)
		value, err := c.objective.Weigh(t.Context(), weights, ep, 4, losses)
		if err != nil || !near(value, c.value, 1e-6) { // the floor under losses of log is 1e-8
			t.Errorf("%s: value %v, %v, want %v", name, value, err, c.value)
		}
		for i, w := range weights {
			if !near(w, c.weights[i], 1e-6) {
				t.Errorf("%s: weights %v, want %v", name, weights, c.weights)
				break
			}
		}
		// The weights are the derivatives of the value. All objectives except log are linear; the third derivative of
		// log, 2/f³, gives an error of h²·128/6 at the smallest loss.
		for i := range losses {
			const h = 1e-4
			side := func(sign float64) float64 {
				moved := slices.Clone(losses)
				moved[i] += sign * h
				v, err := c.objective.Weigh(t.Context(), make([]float64, 3), ep, 4, moved)
				if err != nil {
					t.Fatal(err)
				}
				return v
			}
			if d := (side(1) - side(-1)) / (2 * h); !near(weights[i], d, 1e-6) {
				t.Errorf("%s: weight %d is %v, the derivative %v", name, i+1, weights[i], d)
			}
		}
	}
}

// weighted is L = Σ w_t f(θ_t), the same in every window.
type weighted []float64

func (w weighted) Weigh(_ context.Context, weights []float64, _ *metatrain.Episode, _ int, losses []float64) (float64, error) {
	sum := 0.0
	for t, f := range losses {
		weights[t] = w[t]
		sum += w[t] * f
	}
	return sum, nil
}

// zeroNet is a rule w·g + b that does not move.
func zeroNet(t *testing.T) *lstm.Network {
	t.Helper()
	net, err := lstm.NewNetwork(lstm.Config{Inputs: lstm.Raw, NoLSTM: true, Scale: 1}, make([]float32, 2))
	if err != nil {
		t.Fatal(err)
	}
	return net
}

// TestObjectiveIsDifferentiated compares the meta-gradient of every objective with the meta-gradient of a sum with the
// weights that the objective returned, over two windows. The data change at every step, so the test also shows that the
// reference run does not disturb the data.
func TestObjectiveIsDifferentiated(t *testing.T) {
	net, err := lstm.Init{}.Random(lstm.Config{Hidden: 5, Inputs: lstm.Raw | lstm.RNNProp}, newRand(1))
	if err != nil {
		t.Fatal(err)
	}
	estimate := func(objective func(window int) metatrain.Objective, second bool, coordinates int) (losses, dphi []float64) {
		ep := metatrain.NewEpisode(net, &positive{exactQuartic{quartic{seed: 3, n: 7}}})
		ep.Length = 8
		for window := range 2 {
			tb := &metatrain.TruncatedBackprop{Objective: objective(window), SecondDerivatives: second, Coordinates: coordinates}
			d := make([]float64, len(net.Params()))
			w, err := tb.Estimate(t.Context(), d, ep, 4)
			if err != nil || w.Diverged != nil {
				t.Fatal(err, w.Diverged)
			}
			losses, dphi = append(losses, w.Losses...), append(dphi, d...)
		}
		return losses, dphi
	}
	for _, o := range []metatrain.Objective{metatrain.Sum{}, metatrain.Last{}, metatrain.Log{}, metatrain.Ramp{}, metatrain.Relative{}} {
		for _, second := range []bool{false, true} {
			for _, coordinates := range []int{0, 3} {
				if second && coordinates > 0 {
					continue
				}
				losses, dphi := estimate(func(int) metatrain.Objective { return o }, second, coordinates)
				ep := metatrain.NewEpisode(net, &positive{exactQuartic{quartic{seed: 3, n: 7}}})
				ep.Length = 8
				lossesW, dphiW := estimate(func(window int) metatrain.Objective {
					weights := make(weighted, 4)
					if _, err := o.Weigh(t.Context(), weights, ep, 4*window, losses[5*window+1:][:4]); err != nil {
						t.Fatal(err)
					}
					return weights
				}, second, coordinates)
				if !slices.Equal(losses, lossesW) {
					t.Errorf("%T: the losses are %v, with given weights %v", o, losses, lossesW)
				}
				sum, first := estimate(func(int) metatrain.Objective { return nil }, second, coordinates)
				if o != (metatrain.Sum{}) && distance(first, dphi) < 0.1 || !slices.Equal(losses, sum) {
					t.Errorf("%T, second derivatives %v, %d coordinates: the meta-gradient is that of the sum", o, second, coordinates)
				}
				if !slices.Equal(dphi, dphiW) {
					t.Errorf("%T, second derivatives %v, %d coordinates: not the meta-gradient of its weights", o, second, coordinates)
				}
			}
		}
	}
}

// positive is a quartic plus a constant that makes it positive.
type positive struct{ exactQuartic }

func (p *positive) LossGrad(theta, grad []float32) (float64, error) {
	f, err := p.exactQuartic.LossGrad(theta, grad)
	return f + 10, err
}

// TestReferenceIsTheRulesOwnRun extends a reference step by step, with the episode's own windows in between, and compares
// it with one run of the rule.
func TestReferenceIsTheRulesOwnRun(t *testing.T) {
	rule := baselines.Adam{LearningRate: 0.05}
	out, err := optimizer.Run(t.Context(), rule, &quartic{seed: 3, n: 7}, 6)
	if err != nil {
		t.Fatal(err)
	}
	ep := metatrain.NewEpisode(zeroNet(t), &quartic{seed: 3, n: 7})
	alone := metatrain.NewEpisode(zeroNet(t), &quartic{seed: 3, n: 7})
	for _, steps := range []int{0, 2, 1, 6} {
		losses, err := ep.Reference(t.Context(), rule, steps)
		if err != nil || len(losses) < steps+1 || !slices.Equal(losses, out.Losses[:len(losses)]) {
			t.Fatalf("after %d steps the reference is %v (%v), want the beginning of %v", steps, losses, err, out.Losses)
		}
		w, err := new(metatrain.TruncatedBackprop).Estimate(t.Context(), make([]float64, 2), ep, 1)
		if err != nil || w.Diverged != nil {
			t.Fatal(err, w.Diverged)
		}
		undisturbed, err := new(metatrain.TruncatedBackprop).Estimate(t.Context(), make([]float64, 2), alone, 1)
		if err != nil || !slices.Equal(w.Losses, undisturbed.Losses) {
			t.Errorf("after a reference of %d steps the episode's losses are %v, without one %v (%v)", steps, w.Losses, undisturbed.Losses, err)
		}
	}
}

// TestObjectivesReject checks the errors of objectives. If a reference diverges, only the episode ends. Every other error
// ends the training.
func TestObjectivesReject(t *testing.T) {
	episode := func() *metatrain.Episode { return metatrain.NewEpisode(zeroNet(t), square{}) }
	weights := make([]float64, 2)
	for name, o := range map[string]metatrain.Objective{
		"a ramp without a length": metatrain.Ramp{},
		"log of a negative loss":  metatrain.Log{},
	} {
		if _, err := o.Weigh(t.Context(), weights, episode(), 0, []float64{1, -1}); err == nil {
			t.Errorf("%s is no error", name)
		}
	}
	wild := metatrain.Relative{Rule: baselines.SGD{LearningRate: 1e30}}
	for _, second := range []bool{false, true} {
		tb := &metatrain.TruncatedBackprop{Objective: wild, SecondDerivatives: second}
		dphi := make([]float64, 2)
		w, err := tb.Estimate(t.Context(), dphi, episode(), 3)
		if err != nil || w.Diverged == nil || w.Diverged.What != "reference loss" || w.Diverged.Coordinate != -1 || math.Abs(dphi[0])+math.Abs(dphi[1]) != 0 {
			t.Errorf("a reference that diverges: %v, %+v, dphi %v", err, w.Diverged, dphi)
		}
	}
}

// TestEpisodesKnowTheirLength: each randomly drawn length is the step after which the next episode begins.
func TestEpisodesKnowTheirLength(t *testing.T) {
	cfg := small()
	cfg.Steps, cfg.RandomSteps, cfg.MetaSteps = 40, true, 60
	e := &watcher{}
	cfg.Estimator = e
	train(t, cfg)
	lengths := map[int]bool{}
	for i, w := range e.windows[1:] {
		last := e.windows[i]
		if ended := last.end == last.length; ended != (w.end == cfg.Unroll) {
			t.Errorf("an episode of %d steps goes on or ends at %d", last.length, last.end)
		}
		lengths[last.length] = true
	}
	if len(lengths) < 3 {
		t.Errorf("only the lengths %v occur", lengths)
	}
}

// watcher is truncated backprop that records the episodes' steps and lengths.
type watcher struct {
	metatrain.TruncatedBackprop
	windows []struct{ end, length int }
}

func (w *watcher) Estimate(ctx context.Context, dphi []float64, ep *metatrain.Episode, k int) (metatrain.Window, error) {
	window, err := w.TruncatedBackprop.Estimate(ctx, dphi, ep, k)
	w.windows = append(w.windows, struct{ end, length int }{ep.Step, ep.Length})
	return window, err
}
