package tasks

import (
	"math"
	"testing"

	"learnedopt/optimizer"
)

// Loss and gradient of both quadratics agree with the formula in float64, computed from the
// drawn W and y.
func TestQuadraticValues(t *testing.T) {
	for _, c := range []struct {
		family optimizer.Family
		factor float64 // the gradient is factor·W_bᵀ(W_b θ_b − y_b)
	}{{Quadratic{Dims: 3, Batch: 4}, 2}, {QuadraticUniform{Dims: 3, Batch: 4}, 2. / 4}} {
		q := sample(t, c.family, 9).(*quadratic)
		theta, grad := make([]float32, 12), make([]float32, 12)
		for i := range theta {
			theta[i] = float32(i)/10 - 0.5
		}
		loss, err := q.LossGrad(theta, grad)
		if err != nil {
			t.Fatal(err)
		}
		want, wantGrad := 0.0, make([]float64, 12)
		for b := range 4 {
			for i := range 3 {
				r := -float64(q.y[3*b+i])
				for j := range 3 {
					r += float64(q.w[9*b+3*i+j]) * float64(theta[3*b+j])
				}
				want += r * r / 4
				for j := range 3 {
					wantGrad[3*b+j] += c.factor * float64(q.w[9*b+3*i+j]) * r
				}
			}
		}
		if math.Abs(loss-want) > 1e-6*want {
			t.Errorf("%s: loss %v, want %v", c.family.Name(), loss, want)
		}
		for i := range grad {
			if math.Abs(float64(grad[i])-wantGrad[i]) > 1e-5 {
				t.Errorf("%s: gradient %d is %v, want %v", c.family.Name(), i, grad[i], wantGrad[i])
			}
		}
	}
}

// Means and variances of the drawn numbers. For the 1,280 values of y the standard
// errors are 0.03 of a standard deviation and 0.04 of a normal variance; the bounds are
// four standard errors or more.
func TestQuadraticDistributions(t *testing.T) {
	moments := func(x []float32) (mean, variance float64) {
		for _, v := range x {
			mean += float64(v) / float64(len(x))
		}
		for _, v := range x {
			variance += (float64(v) - mean) * (float64(v) - mean) / float64(len(x))
		}
		return mean, variance
	}
	for _, c := range []struct {
		family                    optimizer.Family
		mean, variance, start, f0 float64
	}{{Quadratic{}, 0, 1, 0, 10}, {QuadraticUniform{}, 0.5, 1. / 12, 0.01, 10. / 3}} {
		q := sample(t, c.family, 1).(*quadratic)
		if q.Dim() != 1280 {
			t.Errorf("%s: %d coordinates", c.family.Name(), q.Dim())
		}
		for what, x := range map[string][]float32{"W": q.w, "y": q.y} {
			mean, variance := moments(x)
			if math.Abs(mean-c.mean) > 0.15*math.Sqrt(c.variance) || math.Abs(variance/c.variance-1) > 0.15 {
				t.Errorf("%s: %s has mean %v and variance %v", c.family.Name(), what, mean, variance)
			}
		}
		if _, variance := moments(q.start); math.Abs(math.Sqrt(variance)-c.start) > 0.1*c.start {
			t.Errorf("%s: starting points deviate by %v, want %v", c.family.Name(), math.Sqrt(variance), c.start)
		}
		theta := make([]float32, q.Dim())
		q.Init(theta)
		loss, _ := q.LossGrad(theta, make([]float32, q.Dim()))
		if math.Abs(loss-c.f0) > 0.2*c.f0 {
			t.Errorf("%s: loss at the start is %v, want about %v", c.family.Name(), loss, c.f0)
		}
	}
}

// The classical starting point of Rosenbrock's function.
func TestRosenbrockValues(t *testing.T) {
	p := &rosenbrock{dims: 2, batch: 1}
	theta, grad, hv := []float32{-1.2, 1}, make([]float32, 2), make([]float32, 2)
	loss, _ := p.LossGrad(theta, grad)
	if math.Abs(loss-24.2) > 1e-4 || math.Abs(float64(grad[0])+215.6) > 1e-3 || math.Abs(float64(grad[1])+88) > 1e-3 {
		t.Errorf("f = %v, ∇f = %v, want 24.2, (−215.6, −88)", loss, grad)
	}
	if err := p.CurvatureProduct(hv, theta, []float32{1, -1}, optimizer.Hessian, 0); err != nil || math.Abs(float64(hv[0])-850) > 1e-2 || math.Abs(float64(hv[1])-280) > 1e-2 {
		t.Errorf("H·(1, −1) = %v, want (850, 280)", hv)
	}
	if loss, _ := p.LossGrad([]float32{1, 1}, grad); loss != 0 || grad[0] != 0 || grad[1] != 0 {
		t.Errorf("at the minimum f = %v, ∇f = %v", loss, grad)
	}
}

func TestQuadraticAllocates(t *testing.T) {
	for _, f := range []optimizer.Family{Quadratic{}, Rosenbrock{}} {
		p := sample(t, f, 1)
		theta, grad := make([]float32, p.Dim()), make([]float32, p.Dim())
		if n := testing.AllocsPerRun(10, func() { _, _ = p.LossGrad(theta, grad) }); n != 0 {
			t.Errorf("%s: %v allocations a step", f.Name(), n)
		}
	}
}

func TestSmallFamiliesReject(t *testing.T) {
	for _, f := range []optimizer.Family{
		Quadratic{Dims: -1}, Quadratic{Batch: -1}, QuadraticUniform{Dims: 1 << 20}, Quadratic{Dims: 1 << 14, Batch: 2},
		Rosenbrock{Dims: 1}, Rosenbrock{Batch: 1 << 30},
	} {
		if _, err := f.Sample(nil); err == nil {
			t.Errorf("%#v is accepted", f)
		}
	}
}
