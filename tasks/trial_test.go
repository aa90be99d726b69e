package tasks

import (
	"math"
	"slices"
	"testing"

	"learnedopt/internal/gemm/mlp/mlptest"
	"learnedopt/optimizer"
)

// try returns what a problem says about θ + εv.
func try(t testing.TB, p optimizer.Problem, theta, v []float32, epsilon float64, step int) optimizer.Trial {
	t.Helper()
	to := slices.Clone(theta)
	for i := range to {
		to[i] += float32(epsilon * float64(v[i]))
	}
	got, err := p.(optimizer.Trier).Try(theta, to, step)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// triers are families whose problems can try points.
func triers(t testing.TB) []optimizer.Family {
	f, err := NewClassifier(noise(t, 300, 50), ClassifierConfig{Units: 7, Layers: 2, Activation: "tanh", Batch: 16})
	if err != nil {
		t.Fatal(err)
	}
	conv, err := NewClassifier(noise(t, 200, 50), ClassifierConfig{Channels: "3-2", Activation: "tanh", Batch: 16, ImageSize: 8, WeightInit: "he"})
	if err != nil {
		t.Fatal(err)
	}
	quadratic := Quadratic{Dims: 3, Batch: 4}
	return []optimizer.Family{f, conv, quadratic, QuadraticUniform{Dims: 3, Batch: 4}, Perturbed{Family: f, Scale: 7}, RandomScaling{Family: f, Range: 1},
		Joint{[]optimizer.Family{f, quadratic}}}
}

// KL(θ ‖ θ+εv) / (½ε²vᵀFv) goes to 1 with an error of order ε, and the change of the loss over ε goes to gᵀv. A float32 θ + εv has
// a relative error of about 1e-7/ε in v, so ε is not smaller than 1e-3.
func TestTrialsFollowFisherAndGradient(t *testing.T) {
	for _, f := range triers(t) {
		p := sample(t, f, 3)
		theta, v, grad := normals(1, p.Dim(), 0.3), normals(2, p.Dim(), 1), make([]float32, p.Dim())
		const step = 2
		seek(p, step)
		before, _ := p.LossGrad(theta, grad)
		half, slope := mlptest.Dot(v, product(t, p, theta, v, optimizer.Fisher, step))/2, mlptest.Dot(grad, v)
		var far []float64
		for _, epsilon := range []float64{0.1, 0.01, 0.001} {
			got := try(t, p, theta, v, epsilon, step)
			far = append(far, math.Abs(got.KL/(epsilon*epsilon*half)-1))
			if got.KL < 0 {
				t.Errorf("%s: a divergence of %v", f.Name(), got.KL)
			}
			to := slices.Clone(theta)
			for i := range to {
				to[i] += float32(epsilon * float64(v[i]))
			}
			seek(p, step)
			after, _ := p.LossGrad(to, make([]float32, p.Dim()))
			if want := scale(p) * (after - before); !(math.Abs(got.Change-want) <= 1e-5*scale(p)*math.Abs(before)+1e-4*math.Abs(want)) {
				t.Errorf("%s, ε = %v: the loss changes by %v, want %v", f.Name(), epsilon, got.Change, want)
			}
			if epsilon == 0.001 && !(math.Abs(got.Change/(epsilon*slope)-1) < 0.05) {
				t.Errorf("%s: the loss changes by %v, the gradient says %v", f.Name(), got.Change, epsilon*slope)
			}
		}
		if !(far[0] < 2 && far[2] < 0.02 && far[2] <= 0.2*far[0]+1e-3) {
			t.Errorf("%s: KL over its second order is 1 ± %.2g for ε = 0.1, 0.01, 0.001", f.Name(), far)
		}
		if got := try(t, p, theta, v, 0, step); got != (optimizer.Trial{}) {
			t.Errorf("%s: staying is a change: %+v", f.Name(), got)
		}
	}
}

// Losses do not move on to another minibatch because of trials, and trials of another step use its data.
func TestTrialsLeaveTheStep(t *testing.T) {
	for _, f := range triers(t) {
		p, q := sample(t, f, 5), sample(t, f, 5)
		theta, v := normals(1, p.Dim(), 0.3), normals(2, p.Dim(), 0.1)
		grad, want := make([]float32, p.Dim()), make([]float32, p.Dim())
		var trials []optimizer.Trial
		for step := range 3 {
			trials = append(trials, try(t, q, theta, v, 1, 5+step))
			got := lossGrad(t, q, theta, grad)
			if loss := lossGrad(t, p, theta, want); got != loss || !slices.Equal(grad, want) {
				t.Errorf("%s: step %d has another loss after a trial", f.Name(), step)
			}
		}
		if fresh := try(t, sample(t, f, 5), theta, v, 1, 6); fresh != trials[1] {
			t.Errorf("%s: a trial of step 6 after others is %v, and %v alone", f.Name(), trials[1], fresh)
		}
		if again := try(t, q, theta, v, 1, 5); again != trials[0] {
			t.Errorf("%s: a trial is %v, and again %v", f.Name(), trials[0], again)
		}
		if _, stochastic := p.(*classifier); stochastic && trials[0] == trials[1] {
			t.Errorf("%s: the steps have the same data", f.Name())
		}
	}
}

// Divergences far from second order, and of outputs that overflow, against the definition.
func TestSoftmaxTrial(t *testing.T) {
	p, q := make([]float64, 3), make([]float64, 3)
	for _, c := range [][2][]float32{{{1, 2, 3}, {3, 2, 1}}, {{0, 0, 0}, {1e-3, 0, 0}}, {{0, 50, 0}, {0, 0, 50}}, {{-200, 0, 300}, {0, 0, 0}}, {{1000, 0, 0}, {999, 0, 0}}} {
		change, kl := softmaxTrial(p, q, c[0], c[1], []float32{0, 1, 0})
		r, before := mlptest.Softmax(mlptest.Widen(c[0]))
		_, after := mlptest.Softmax(mlptest.Widen(c[1]))
		want := 0.0
		for j := range r {
			want += r[j] * (float64(c[0][j]) - before - float64(c[1][j]) + after)
		}
		wantChange := float64(c[0][1]) - before - float64(c[1][1]) + after
		if !(math.Abs(kl-want) <= 1e-9*want+1e-15) || !(math.Abs(change-wantChange) <= 1e-9*math.Abs(wantChange)+1e-12) {
			t.Errorf("%v: change %v and divergence %v, want %v and %v", c, change, kl, wantChange, want)
		}
	}
	nan := float32(math.NaN())
	if change, kl := softmaxTrial(p, q, []float32{0, 0, 0}, []float32{nan, 0, 0}, []float32{0, 1, 0}); change <= 0 || kl <= 1e9 {
		t.Errorf("outputs of NaN change the loss by %v and have the divergence %v", change, kl)
	}
}

// Labels are drawn anew at each step, and are the same at every product of a step; labels of data are of that step.
func TestSampledProducts(t *testing.T) {
	for _, f := range triers(t)[:2] {
		p := sample(t, f, 5)
		theta, v := normals(1, p.Dim(), 0.3), normals(2, p.Dim(), 1)
		for _, metric := range []optimizer.Metric{optimizer.SampledFisher, optimizer.Sampled(5), optimizer.EmpiricalFisher} {
			first := product(t, p, theta, v, metric, 1)
			other := product(t, p, theta, v, metric, 2)
			product(t, p, theta, v, optimizer.Fisher, 1)
			if again := product(t, p, theta, v, metric, 1); !slices.Equal(again, first) || slices.Equal(other, first) {
				t.Errorf("%s, metric %b: products of a step differ, or those of two do not", f.Name(), metric)
			}
		}
		// Many labels give the exact matrix, as 1/√255 of its size.
		exact, many := product(t, p, theta, v, optimizer.Fisher, 1), product(t, p, theta, v, optimizer.Sampled(255), 1)
		if d := mlptest.Far(many, mlptest.Widen(exact)); !(d < 0.3) {
			t.Errorf("%s: 255 labels are %.2g from the exact product", f.Name(), d)
		}
	}
}

// The factors of a decorated problem have the scale of its products, and problems without dense layers say so.
func TestFactorers(t *testing.T) {
	all := triers(t)
	for i, want := range []bool{true, false, false, false, true, false, false} {
		p := sample(t, all[i], 1)
		if got := optimizer.Offers(p).Factors; got != want {
			t.Errorf("%s: factors %v", all[i].Name(), got)
		}
		if !optimizer.Offers(p).Trial {
			t.Errorf("%s: cannot try", all[i].Name())
		}
	}
	plain, scaled := sample(t, all[0], 1), sample(t, all[4], 1)
	theta := normals(1, plain.Dim(), 0.3)
	for _, metric := range []optimizer.Metric{optimizer.Fisher, optimizer.Sampled(3), optimizer.EmpiricalFisher} {
		a, err := plain.(optimizer.Factorer).Factors(theta, metric, 4)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := scaled.(optimizer.Factorer).Factors(theta, metric, 4)
		for l := range a {
			if !slices.Equal(a[l].In, b[l].In) || !(math.Abs(mlptest.Dot(b[l].Out, b[l].Out)/mlptest.Dot(a[l].Out, a[l].Out)-7) < 1e-3) {
				t.Errorf("metric %b, layer %d: other factors", metric, l)
			}
		}
	}
	conv := sample(t, all[1], 1)
	mustPanic(t, errFactorer, func() {
		_, _ = conv.(optimizer.Factorer).Factors(make([]float32, conv.Dim()), optimizer.Fisher, 0)
	})
	mustPanic(t, errMetric, func() { _, _ = plain.(optimizer.Factorer).Factors(theta, optimizer.Hessian, 0) })
	mustPanicSaying(t, "tasks: to has ", func() { _, _ = plain.(optimizer.Trier).Try(theta, theta[1:], 0) })
	mustPanic(t, errStep, func() { _, _ = plain.(optimizer.Trier).Try(theta, theta, -1) })
}
