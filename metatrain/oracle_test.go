package metatrain_test

import (
	"context"
	"math"
	"testing"

	"learnedopt/lstm"
	"learnedopt/metatrain"
	"learnedopt/optimizer"
)

// TestOriginalTrace is the test of DeepMind's own code (meta_test.py, testSimple):
// f = x², x_0 = 1, a linear rule w·g + b that starts at zero, unroll 5, two
// unrolls, meta-Adam with learning rate 0.01. It ends with cost 0.7325327 at
// x = 0.8559.
func TestOriginalTrace(t *testing.T) {
	linear := lstm.Config{Inputs: lstm.Raw, NoLSTM: true, Scale: 1}
	zero, err := lstm.NewNetwork(linear, make([]float32, 2))
	if err != nil {
		t.Fatal(err)
	}
	trainer, err := metatrain.NewTrainer(metatrain.TrainConfig{
		Family: only(square{}), Initial: zero, Steps: 10, Unroll: 5, MetaSteps: 2, MetaLearningRate: 0.01, Clip: math.Inf(1),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := trainer.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	// In the first unroll x does not move. After it, x falls by the new rule.
	phi := trainer.Network().Params()
	x := 1.0
	for range 5 {
		x += float64(phi[0])*2*x + float64(phi[1])
	}
	if !near(x, 0.8559, 5e-5) || !near(x*x, 0.7325327, 1e-6) {
		t.Errorf("the second unroll ends at x = %.7f, cost %.7f; the original at 0.8559, 0.7325327", x, x*x)
	}
	ep := metatrain.NewEpisode(trainer.Network(), square{})
	grads := make([][]float32, 6)
	for i := range grads {
		grads[i] = make([]float32, 1)
	}
	w, err := ep.Unroll(context.Background(), grads, nil)
	if err != nil || w.Diverged != nil {
		t.Fatal(err, w.Diverged)
	}
	if cost := w.Losses[5]; !near(cost, 0.7325327, 1e-6) {
		t.Errorf("cost %.7f, the original has 0.7325327", cost)
	}
}

// TestMetaTrainingAgainstTorch repeats a meta-training by PyTorch in float64: 25 meta-steps in five episodes, with and
// without second derivatives. Ours is in float32. Adam divides each component by its own size. So rounding errors in
// components near zero change φ by up to the learning rate, 0.003, per step. Everywhere else φ and losses agree to a few
// parts in 1e5.
func TestMetaTrainingAgainstTorch(t *testing.T) {
	var fixture struct {
		Problem struct {
			Batch  int       `json:"batch"`
			Dim    int       `json:"dim"`
			W      []float64 `json:"W"`
			Y      []float64 `json:"y"`
			Theta0 []float64 `json:"theta0"`
		}
		Training struct {
			Network struct {
				LogSign float64
				Hidden  int
				Layers  int
				Scale   float64
			}
			Steps   int
			Windows int       `json:"windows_per_episode"`
			MetaLR  float64   `json:"meta_lr"`
			Phi     []float64 `json:"phi"`
			Runs    map[string]struct {
				Losses []float64
				Phi    map[string][]float64
			}
		}
	}
	readJSON(t, "../lstm/testdata/torch_meta.json", &fixture)
	p, tr := fixture.Problem, fixture.Training
	problem := &leastSquares{Batch: p.Batch, Dims: p.Dim, W: p.W, Y: p.Y, Theta0: p.Theta0}
	phi := make([]float32, len(tr.Phi))
	for i, x := range tr.Phi {
		phi[i] = float32(x)
	}
	cfg := lstm.Config{P: tr.Network.LogSign, Hidden: tr.Network.Hidden, Layers: tr.Network.Layers, Scale: tr.Network.Scale}
	net, err := lstm.NewNetwork(cfg, phi)
	if err != nil {
		t.Fatal(err)
	}
	for mode, second := range map[string]bool{"first": false, "second": true} {
		t.Run(mode, func(t *testing.T) {
			var losses []float64
			trainer, err := metatrain.NewTrainer(metatrain.TrainConfig{
				Family: only(problem), Initial: net, Steps: tr.Steps * tr.Windows, Unroll: tr.Steps, MetaSteps: 25,
				MetaLearningRate: tr.MetaLR, Clip: math.Inf(1),
				Estimator: &recorder{TruncatedBackprop: metatrain.TruncatedBackprop{SecondDerivatives: second}, losses: &losses},
			})
			if err != nil {
				t.Fatal(err)
			}
			run := tr.Runs[mode]
			for step := 1; step <= 25; step++ {
				if err := trainer.Step(t.Context()); err != nil {
					t.Fatal(err)
				}
				want, ok := run.Phi[map[int]string{1: "1", 5: "5", 20: "20", 25: "25"}[step]]
				if !ok {
					continue
				}
				got, far := trainer.Network().Params(), 0
				for i := range got {
					if !near(float64(got[i]), want[i], 5e-5) {
						far++
					}
				}
				if far > len(got)/50 {
					t.Errorf("meta-step %d: %d of %d parameters are not PyTorch's", step, far, len(got))
				}
			}
			for i, want := range run.Losses {
				if !near(losses[i], want, 1e-4) {
					t.Fatalf("loss %d is %v, PyTorch has %v", i, losses[i], want)
				}
			}
		})
	}
}

// recorder is truncated backprop that keeps the losses.
type recorder struct {
	metatrain.TruncatedBackprop
	losses *[]float64
}

func (r *recorder) Estimate(ctx context.Context, dphi []float64, ep *metatrain.Episode, k int) (metatrain.Window, error) {
	w, err := r.TruncatedBackprop.Estimate(ctx, dphi, ep, k)
	*r.losses = append(*r.losses, w.Losses...)
	return w, err
}

// TestCentralDifferencesStandInForHessian compares two meta-gradients with second derivatives: on a problem that offers
// its Hessian, and on the same problem without it. It uses two windows, on data that change at every step. Central
// differences of float32 gradients have a relative error of about 1e-4 (see hessianVector).
func TestCentralDifferencesStandInForHessian(t *testing.T) {
	net, err := lstm.Init{}.Random(lstm.Config{Hidden: 5, Inputs: lstm.Raw | lstm.LogAndSign, P: 2, Scale: 0.5}, newRand(1))
	if err != nil {
		t.Fatal(err)
	}
	phi := net.Params()
	for i := range phi {
		phi[i] *= 8 // so that updates depend on gradients strongly
	}
	net = net.With(phi)
	gradient := func(second, exact bool) [2][]float64 {
		var ep *metatrain.Episode
		if exact {
			ep = metatrain.NewEpisode(net, &exactQuartic{quartic{seed: 3, n: 7}})
		} else {
			ep = metatrain.NewEpisode(net, &quartic{seed: 3, n: 7})
		}
		tb := &metatrain.TruncatedBackprop{SecondDerivatives: second, Objective: weighted{1, 2, 0.5, 1}}
		var d [2][]float64
		for k := range d {
			d[k] = make([]float64, len(phi))
			if w, err := tb.Estimate(t.Context(), d[k], ep, 4); err != nil || w.Diverged != nil {
				t.Fatal(err, w.Diverged)
			}
		}
		return d
	}
	exact, differences, first := gradient(true, true), gradient(true, false), gradient(false, true)
	for k := range exact {
		if d := distance(exact[k], differences[k]); d > 1e-3 {
			t.Errorf("window %d: differences are %.2g from the exact meta-gradient", k, d)
		}
		if d := distance(exact[k], first[k]); d < 1e-2 {
			t.Errorf("window %d: second derivatives change the meta-gradient by %.2g only: the test is blind", k, d)
		}
	}
}

// remoteBowl is f_t(θ) = Σ_i a_i(t) (θ_i − centre)²/2, from θ_0i normal around start with deviation spread;
// exactRemoteBowl has its Hessian, the diagonal of a.
type remoteBowl struct {
	quartic
	centre, start, spread float64
}

func (r *remoteBowl) Init(theta []float32) {
	r.quartic.Init(theta)
	for i, x := range theta {
		theta[i] = float32(r.start + r.spread*float64(x))
	}
}

func (r *remoteBowl) LossGrad(theta, grad []float32) (float64, error) {
	f := 0.0
	for i, a := range r.scales() {
		x := float64(theta[i]) - r.centre
		f += a * x * x / 2
		grad[i] = float32(a * x)
	}
	r.t++
	return f, nil
}

type exactRemoteBowl struct{ remoteBowl }

func (r *exactRemoteBowl) Metrics() optimizer.Metric { return optimizer.Hessian }

func (r *exactRemoteBowl) CurvatureProduct(dst, _, v []float32, _ optimizer.Metric, step int) error {
	at := quartic{r.seed, r.n, step}
	for i, a := range at.scales() {
		dst[i] = float32(a * float64(v[i]))
	}
	return nil
}

// The step of a central difference grows with θ, but not below 1. Far from the origin, around 1000, where float32 numbers
// are 6e-5 apart, a step of 4e-3 is 66 of them, and rounding makes 1 % of the products wrong; a step of 4 does a
// thousandth of that. Near the origin, at 1e-4, gradients of size 1 are rounded by 6e-8, which is 15 % of what a step of
// 4e-7 changes them by. Far from the origin second derivatives are 0.23 of the
// meta-gradient, which was seen to be off by 6e-7, and by 1.5e-3 with the smaller step; near it they are 5e-6, and the error
// was 0, and 3e-8 with the smaller step.
func TestCentralDifferencesAtAnyScale(t *testing.T) {
	for name, at := range map[string]remoteBowl{
		"far":  {quartic{seed: 3, n: 7}, 1000, 1000, 1},
		"near": {quartic{seed: 3, n: 7}, 1, 0, 1e-4},
	} {
		// Near the origin θ stays there: the rule hardly moves.
		w := float32(-0.5)
		if name == "near" {
			w = -1e-5
		}
		net, err := lstm.NewNetwork(lstm.Config{Inputs: lstm.Raw, NoLSTM: true, Scale: 1}, []float32{w, 0})
		if err != nil {
			t.Fatal(err)
		}
		gradient := func(second bool, problem optimizer.Problem) []float64 {
			d := make([]float64, 2)
			tb := metatrain.TruncatedBackprop{SecondDerivatives: second}
			if w, err := tb.Estimate(t.Context(), d, metatrain.NewEpisode(net, problem), 4); err != nil || w.Diverged != nil {
				t.Fatal(err, w.Diverged)
			}
			return d
		}
		exact, differences, first := &exactRemoteBowl{at}, at, at
		whole := gradient(true, exact)
		second := distance(whole, gradient(false, &first))
		if d := distance(whole, gradient(true, &differences)); d > 1e-4*second {
			t.Errorf("%s: differences are %.2g from the exact meta-gradient, of which second derivatives are %.2g", name, d, second)
		}
		if second < 1e-6 {
			t.Errorf("%s: second derivatives change the meta-gradient by %.2g only: the test is blind", name, second)
		}
	}
}

// distance is ‖a-b‖/‖a‖.
func distance(a, b []float64) float64 {
	num, den := 0.0, 0.0
	for i := range a {
		num += (a[i] - b[i]) * (a[i] - b[i])
		den += a[i] * a[i]
	}
	return math.Sqrt(num / den)
}
