package tasks

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"learnedopt/optimizer"
)

// The gradient is s∇f + σε, and the loss is f, on the same minibatch.
func TestPerturbedGradients(t *testing.T) {
	f := smallClassifier(t)
	plain, p := sample(t, f, 3), sample(t, Perturbed{Family: f, Scale: 8, Noise: 0.5}, 3)
	theta := start(plain)
	grad, noisy, again := make([]float32, len(theta)), make([]float32, len(theta)), make([]float32, len(theta))
	var before []float64
	for _, step := range []int{0, 7, 3} {
		seek(plain, step)
		seek(p, step)
		want, got := lossGrad(t, plain, theta, grad), lossGrad(t, p, theta, noisy)
		if got != want {
			t.Errorf("step %d: loss %v, want %v as without noise", step, got, want)
		}
		noise := make([]float64, len(grad))
		for i := range grad {
			noise[i] = float64(noisy[i]) - 8*float64(grad[i])
		}
		// With 3,190 coordinates both are known to 2 %.
		if mean, deviation := stat.MeanStdDev(noise, nil); math.Abs(mean) > 0.04 || math.Abs(deviation-0.5) > 0.03 {
			t.Errorf("step %d: the noise has mean %v and deviation %v, want 0 and 0.5", step, mean, deviation)
		}
		if before != nil && math.Abs(stat.Correlation(noise, before, nil)) > 0.1 {
			t.Errorf("step %d has the noise of the step before", step)
		}
		before = noise
		seek(p, step)
		lossGrad(t, p, theta, again)
		for i := range again {
			if again[i] != noisy[i] {
				t.Fatalf("step %d is not the same a second time", step)
			}
		}
	}
	other := sample(t, Perturbed{Family: f, Scale: 8, Noise: 0.5}, 4)
	seek(other, 3)
	lossGrad(t, other, theta, again)
	same := 0
	for i := range again {
		if math.Abs(float64(again[i]-noisy[i])) < 1e-4 {
			same++
		}
	}
	if same > len(again)/100 {
		t.Errorf("%d of %d coordinates of another instance have the same noise", same, len(again))
	}
}

// Without Seek both noise and data advance by one step at each LossGrad.
func TestPerturbedMovesOn(t *testing.T) {
	f := Perturbed{Family: smallClassifier(t), Noise: 1}
	p, q := sample(t, f, 1), sample(t, f, 1)
	theta := start(p)
	a, b := make([]float32, len(theta)), make([]float32, len(theta))
	lossGrad(t, p, theta, a)
	lossGrad(t, p, theta, a)
	seek(q, 1)
	lossGrad(t, q, theta, b)
	for i := range a {
		if a[i] != b[i] {
			t.Fatalf("coordinate %d of the second gradient is %v, by Seek %v", i, a[i], b[i])
		}
	}
}

// The other methods of a classifier's problem are passed through, and Validate checks scale and noise.
func TestPerturbedPassesThrough(t *testing.T) {
	p := sample(t, Perturbed{Family: smallClassifier(t), Noise: 1}, 1)
	if _, ok := p.(evaluated); !ok {
		t.Error("a perturbed classifier has no scores")
	}
	for _, f := range []optimizer.Family{smallClassifier(t), Quadratic{Batch: 2}, Rosenbrock{Batch: 2}, GraphFamily{Label: "regression", Build: regression}} {
		want, got := optimizer.MetricsOf(sample(t, f, 1)), optimizer.MetricsOf(sample(t, Perturbed{Family: f, Noise: 1}, 1))
		if got != want {
			t.Errorf("%s offers the metrics %b, perturbed %b", f.Name(), want, got)
		}
	}
	for _, bad := range []Perturbed{{}, {Family: Quadratic{}, Scale: -1}, {Family: Quadratic{}, Noise: -1}, {Family: Quadratic{}, Scale: math.NaN()}, {Family: Quadratic{}, Noise: math.Inf(1)}} {
		if _, err := bad.Sample(rand.New(rand.NewPCG(1, 1))); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

// The Hessians 2WᵀW have the condition number that was asked for, and W keeps its norm. With its own κ, W does not change.
func TestCondition(t *testing.T) {
	const d = 5
	for _, f := range []func(condition float64) optimizer.Family{
		func(c float64) optimizer.Family { return Quadratic{Dims: d, Batch: 3, Condition: c} },
		func(c float64) optimizer.Family { return QuadraticUniform{Dims: d, Batch: 3, Condition: c} },
	} {
		plain := sample(t, f(0), 9).(*quadratic)
		for _, want := range []float64{1, 10, 1e4} {
			q := sample(t, f(want), 9).(*quadratic)
			for b := range 3 {
				var svd mat.SVD
				w, was := matrix(q, b), matrix(plain, b)
				if !svd.Factorize(w, mat.SVDFull) {
					t.Fatal("no singular values")
				}
				s := svd.Values(nil)
				if got := math.Pow(s[0]/s[d-1], 2); math.Abs(got/want-1) > 1e-3 {
					t.Errorf("%s, function %d: condition number %v", f(want).Name(), b, got)
				}
				if ratio := mat.Norm(w, 2) / mat.Norm(was, 2); math.Abs(ratio-1) > 1e-5 {
					t.Errorf("%s, function %d: %v times the norm", f(want).Name(), b, ratio)
				}
				// The polar factor UVᵀ is the same, so the singular vectors have not changed.
				var polar, wasPolar mat.Dense
				polarOf(t, &polar, w)
				polarOf(t, &wasPolar, was)
				if !mat.EqualApprox(&polar, &wasPolar, 1e-2) {
					t.Errorf("%s, function %d: other singular vectors", f(want).Name(), b)
				}
			}
		}
	}
}

func matrix(q *quadratic, b int) *mat.Dense {
	data := make([]float64, q.dims*q.dims)
	for i := range data {
		data[i] = float64(q.w[b*len(data)+i])
	}
	return mat.NewDense(q.dims, q.dims, data)
}

func polarOf(t *testing.T, dst, w *mat.Dense) {
	t.Helper()
	var (
		svd  mat.SVD
		u, v mat.Dense
	)
	if !svd.Factorize(w, mat.SVDFull) {
		t.Fatal("no singular values")
	}
	svd.UTo(&u)
	svd.VTo(&v)
	dst.Mul(&u, v.T())
}
