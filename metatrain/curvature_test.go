package metatrain_test

import (
	"errors"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"learnedopt/internal/gemm/mlp/mlptest"
	"learnedopt/internal/stream"
	"learnedopt/lstm"
	"learnedopt/metaopt"
	"learnedopt/metatrain"
	"learnedopt/optimizer"
	"learnedopt/tasks"
)

// metaGradients holds the meta-gradient of one window of k steps on a classifier of digits, computed with each kind of
// second derivatives and without them.
type metaGradients struct{ float64s, exact, differences, firstOrder []float64 }

// newMetaGradients computes metaGradients. The float64 one is a whole unroll with lstm.Reference as the network and
// package mlptest as the classifier.
func newMetaGradients(t testing.TB, net *lstm.Network, c tasks.ClassifierConfig, widths []int, k int) (g metaGradients) {
	t.Helper()
	data, err := tasks.Digits()
	if err != nil {
		t.Fatal(err)
	}
	family, err := tasks.NewClassifier(data, c)
	if err != nil {
		t.Fatal(err)
	}
	of := func(tb *metatrain.TruncatedBackprop) []float64 {
		p, err := family.Sample(newRand(5))
		if err != nil {
			t.Fatal(err)
		}
		ep := metatrain.NewEpisode(net, p)
		defer ep.Close()
		dphi := make([]float64, len(net.Params()))
		if w, err := tb.Estimate(t.Context(), dphi, ep, k); err != nil || w.Diverged != nil {
			t.Fatal(err, w.Diverged)
		}
		return dphi
	}
	g.firstOrder = of(&metatrain.TruncatedBackprop{})
	g.exact = of(&metatrain.TruncatedBackprop{SecondDerivatives: true})
	g.differences = of(&metatrain.TruncatedBackprop{SecondDerivatives: true, Differences: true})

	seed := newRand(5).Uint64() // the seed that Sample draws
	minibatch := func(step int) (batch []mlptest.Example) {
		rng := stream.New(seed, "batch", uint64(step))
		for range c.Batch {
			i, x := rng.IntN(data.Len(tasks.Train)), make([]float32, widths[0])
			data.Image(x, tasks.Train, i)
			batch = append(batch, mlptest.Example{X: x, Label: data.Label(tasks.Train, i)})
		}
		return batch
	}
	ref, err := lstm.NewReference(net.Config(), mlptest.Widen(net.Params()))
	if err != nil {
		t.Fatal(err)
	}
	p, err := family.Sample(newRand(5))
	if err != nil {
		t.Fatal(err)
	}
	ep := metatrain.NewEpisode(net, p)
	defer ep.Close()
	model := mlptest.Network{Widths: widths, Activation: c.Activation}
	theta, n := mlptest.Widen(ep.Theta), len(ep.Theta)
	state, u := ref.NewState(n), make([]float64, n)
	var (
		states        []*lstm.ReferenceState
		thetas, grads [][]float64
		back          lstm.ReferenceAdjoint
	)
	for step := range k + 1 {
		_, grad := model.LossGrad(theta, minibatch(step))
		states, thetas, grads = append(states, state.Clone()), append(thetas, slices.Clone(theta)), append(grads, grad)
		if step < k {
			state.Update(u, grad)
			for i := range theta {
				theta[i] += u[i]
			}
		}
	}
	g.float64s = make([]float64, len(net.Params()))
	mu, lambda, v, hv := ref.NewState(n), make([]float64, n), make([]float64, n), make([]float64, n)
	for step := k; step > 0; step-- {
		for i, d := range grads[step] {
			lambda[i] += d + hv[i]
		}
		back.Step(g.float64s, states[step-1], grads[step-1], nil, lambda, mu, v)
		if step > 1 {
			hv = model.HessianVector(thetas[step-1], v, minibatch(step-1))
		}
	}
	return g
}

// With exact products, the meta-gradient on a classifier equals the meta-gradient of a whole float64 unroll, up to the
// float32 rounding of five steps. With differences of float32 gradients the error is at least ten times as large.
func TestMetaGradientOfClassifier(t *testing.T) {
	net, err := lstm.Init{}.Random(lstm.Config{Hidden: 4, Inputs: lstm.Raw | lstm.LogAndSign, P: 4, Scale: 0.3}, newRand(1))
	if err != nil {
		t.Fatal(err)
	}
	phi := net.Params()
	for i := range phi {
		phi[i] *= 3 // so that updates depend on gradients strongly
	}
	for _, activation := range []string{"sigmoid", "tanh"} {
		g := newMetaGradients(t, net.With(phi), tasks.ClassifierConfig{Units: 5, Layers: 2, Activation: activation, Batch: 16, InitScale: 0.3}, []int{784, 5, 5, 10}, 5)
		exact, differences, first := distance(g.float64s, g.exact), distance(g.float64s, g.differences), distance(g.float64s, g.firstOrder)
		t.Logf("%s: exact %.2g, differences %.2g, first order %.2g", activation, exact, differences, first)
		if !(exact < 1e-5) || !(differences < 1e-2) || exact > differences/10 {
			t.Errorf("%s: exact products are %.2g from float64, differences %.2g", activation, exact, differences)
		}
		if first < 1e-2 {
			t.Errorf("%s: second derivatives change the meta-gradient by %.2g only: the test is blind", activation, first)
		}
	}
}

// With Differences set, the result on a problem that offers its Hessian equals, bit for bit, the result on the same
// problem without it.
func TestDifferencesByName(t *testing.T) {
	net, err := lstm.Init{}.Random(lstm.Config{Hidden: 4}, newRand(1))
	if err != nil {
		t.Fatal(err)
	}
	estimate := func(p optimizer.Problem, tb *metatrain.TruncatedBackprop) []float64 {
		dphi := make([]float64, len(net.Params()))
		if w, err := tb.Estimate(t.Context(), dphi, metatrain.NewEpisode(net, p), 4); err != nil || w.Diverged != nil {
			t.Fatal(err, w.Diverged)
		}
		return dphi
	}
	second, differences := &metatrain.TruncatedBackprop{SecondDerivatives: true}, &metatrain.TruncatedBackprop{SecondDerivatives: true, Differences: true}
	want := estimate(&quartic{seed: 3, n: 7}, second)
	if got := estimate(&exactQuartic{quartic{seed: 3, n: 7}}, differences); !slices.Equal(got, want) {
		t.Errorf("%v by differences, %v of a problem without a Hessian", got, want)
	}
	if slices.Equal(estimate(&exactQuartic{quartic{seed: 3, n: 7}}, second), want) {
		t.Error("exact products are differences")
	}
	if (&metatrain.TruncatedBackprop{Differences: true}).Validate() == nil {
		t.Error("differences without second derivatives are accepted")
	}
}

// A saved state names the kind of second derivatives. A state from before there was a choice fits either kind.
func TestStateKnowsDifferences(t *testing.T) {
	cfg := resumable(t)["second derivatives"]
	with := func(differences bool) metatrain.TrainConfig {
		c := cfg
		c.Estimator = &metatrain.TruncatedBackprop{SecondDerivatives: true, AdjointClip: 2, Differences: differences}
		return c
	}
	resume := func(cfg metatrain.TrainConfig, state []byte) error {
		tr, err := metatrain.NewTrainer(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer tr.Close()
		return tr.UnmarshalBinary(state)
	}
	for _, differences := range []bool{false, true} {
		state := stateOf(t, with(differences), 3)
		if err := resume(with(differences), state); err != nil {
			t.Errorf("differences %v: %v", differences, err)
		}
		if err := resume(with(!differences), state); !errors.Is(err, metatrain.ErrTrainingState) || !strings.Contains(err.Error(), "Differences") {
			t.Errorf("differences %v, then %v: error %v", differences, !differences, err)
		}
	}
	old, err := os.ReadFile("testdata/first/second.state")
	if err != nil {
		t.Fatal(err)
	}
	for _, now := range []bool{false, true} {
		if err := resume(with(now), old); err != nil {
			t.Errorf("a state of before, differences %v: %v", now, err)
		}
	}
}

// BenchmarkSecondDerivatives takes meta-steps without second derivatives, with exact products, and with differences
// of gradients: 20 inner steps of the 2×20 LSTM on MNIST's MLP (15,910 coordinates) with images drawn from fonts.
func BenchmarkSecondDerivatives(b *testing.B) {
	for _, c := range []struct {
		name      string
		estimator metatrain.TruncatedBackprop
	}{
		{"first order", metatrain.TruncatedBackprop{}},
		{"exact", metatrain.TruncatedBackprop{SecondDerivatives: true}},
		{"differences", metatrain.TruncatedBackprop{SecondDerivatives: true, Differences: true}},
	} {
		b.Run(c.name, func(b *testing.B) {
			family, err := tasks.New("digits", tasks.Options{})
			if err != nil {
				b.Fatal(err)
			}
			trainer, err := metatrain.NewTrainer(metatrain.TrainConfig{Family: family, MetaSteps: 1, Estimator: &c.estimator})
			if err != nil {
				b.Fatal(err)
			}
			defer trainer.Close()
			for b.Loop() {
				if err := trainer.Step(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMetaGradientError measures the error of a trained optimizer's meta-gradients against float64, for a window of
// 20 steps on an MLP 784-20-10. The float64 unroll takes half a minute.
func BenchmarkMetaGradientError(b *testing.B) {
	opt, err := metaopt.Pretrained("mlp")
	if err != nil {
		b.Fatal(err)
	}
	for _, activation := range []string{"sigmoid", "relu"} {
		b.Run(activation, func(b *testing.B) {
			for range b.N {
				g := newMetaGradients(b, opt.Network, tasks.ClassifierConfig{Units: 20, Activation: activation, Batch: 128}, []int{784, 20, 10}, 20)
				b.ReportMetric(distance(g.float64s, g.exact), "exact")
				b.ReportMetric(distance(g.float64s, g.differences), "differences")
				b.ReportMetric(distance(g.float64s, g.firstOrder), "first-order")
			}
		})
	}
}

// BenchmarkMetaGradientNorm measures norms of a trained optimizer's meta-gradients for windows of 20 steps: the five windows
// of each of six episodes on MLPs 784-20-10. The three figures are the median, the 90th percentile and the maximum.
func BenchmarkMetaGradientNorm(b *testing.B) {
	opt, err := metaopt.Pretrained("mlp")
	if err != nil {
		b.Fatal(err)
	}
	for _, activation := range []string{"sigmoid", "relu"} {
		family, err := tasks.New("digits", tasks.Options{Activation: activation})
		if err != nil {
			b.Fatal(err)
		}
		for kind, differences := range map[string]bool{"exact": false, "differences": true} {
			b.Run(activation+"/"+kind, func(b *testing.B) {
				for range b.N {
					var norms []float64
					for e := range uint64(6) {
						p, err := family.Sample(stream.New(1, "norms", e))
						if err != nil {
							b.Fatal(err)
						}
						ep := metatrain.NewEpisode(opt.Network, p)
						for range 5 {
							dphi := make([]float64, len(opt.Network.Params()))
							w, err := (&metatrain.TruncatedBackprop{SecondDerivatives: true, Differences: differences}).Estimate(b.Context(), dphi, ep, 20)
							if err != nil || w.Diverged != nil {
								b.Fatal(err, w.Diverged)
							}
							sum := 0.0
							for _, d := range dphi {
								sum += d * d
							}
							norms = append(norms, math.Sqrt(sum))
						}
						if err := ep.Close(); err != nil {
							b.Fatal(err)
						}
					}
					slices.Sort(norms)
					b.ReportMetric(norms[len(norms)/2], "median")
					b.ReportMetric(norms[len(norms)*9/10], "p90")
					b.ReportMetric(norms[len(norms)-1], "max")
				}
			})
		}
	}
}
