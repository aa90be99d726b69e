package adjoint_test

import (
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/num/hyperdual"

	"learnedopt/optimizer"
)

// quartic is f_t(θ) = Σ_i a_i(t) (θ_i⁴ + θ_i²)/2 + θ_i θ_{i+1}/4 with
// a_i(t) = 1 + sin(i + 2t)/2: another function at every step, whose Hessian couples coordinates and depends on θ. It is
// written out three times.
type quartic struct {
	start []float32
	t     int
}

func scale(i, t int) float64 { return 1 + math.Sin(float64(i+2*t))/2 }

// loss is f_t in hyper-dual numbers, for the oracle.
func loss(t int, theta []hyperdual.Number) hyperdual.Number {
	var f hyperdual.Number
	for i, x := range theta {
		square := hyperdual.Mul(x, x)
		bowl := hyperdual.Add(hyperdual.Mul(square, square), square)
		f = hyperdual.Add(f, hyperdual.Scale(scale(i, t)/2, bowl))
		f = hyperdual.Add(f, hyperdual.Scale(0.25, hyperdual.Mul(x, theta[(i+1)%len(theta)])))
	}
	return f
}

// lossGrad is f_t and its gradient, differentiated by hand.
func lossGrad(t int, theta, grad []float64) float64 {
	f, n := 0.0, len(theta)
	for i, x := range theta {
		a, next, before := scale(i, t), theta[(i+1)%n], theta[(i+n-1)%n]
		f += a*(x*x*x*x+x*x)/2 + x*next/4
		grad[i] = a*(2*x*x*x+x) + (next+before)/4
	}
	return f
}

// hessianVector is ∇²f_t(θ)·v, differentiated by hand.
func hessianVector(t int, dst, theta, v []float64) {
	n := len(theta)
	for i, x := range theta {
		dst[i] = scale(i, t)*(6*x*x+1)*v[i] + (v[(i+1)%n]+v[(i+n-1)%n])/4
	}
}

var (
	_ optimizer.Problem   = (*quartic)(nil)
	_ optimizer.Seeker    = (*quartic)(nil)
	_ optimizer.Curvature = (*quartic)(nil)
)

func (q *quartic) Dim() int             { return len(q.start) }
func (q *quartic) Seek(t int)           { q.t = t }
func (q *quartic) Init(theta []float32) { copy(theta, q.start) }

func (q *quartic) LossGrad(theta, grad []float32) (float64, error) {
	g := make([]float64, len(grad))
	f := lossGrad(q.t, widen(theta), g)
	narrow(grad, g)
	q.t++
	return f, nil
}

func (q *quartic) Metrics() optimizer.Metric { return optimizer.Hessian }

func (q *quartic) CurvatureProduct(dst, theta, v []float32, _ optimizer.Metric, step int) error {
	hv := make([]float64, len(v))
	hessianVector(step, hv, widen(theta), widen(v))
	narrow(dst, hv)
	return nil
}

// quartics draws quartic functions, each with its own start.
type quartics struct{ n int }

func (quartics) Name() string { return "quartics" }
func (f quartics) Sample(rng *rand.Rand) (optimizer.Problem, error) {
	q := &quartic{start: make([]float32, f.n)}
	for i := range q.start {
		q.start[i] = float32(0.7 * rng.NormFloat64())
	}
	return q, nil
}

func widen(x []float32) []float64 {
	wide := make([]float64, len(x))
	for i, v := range x {
		wide[i] = float64(v)
	}
	return wide
}

func narrow(dst []float32, x []float64) {
	for i, v := range x {
		dst[i] = float32(v)
	}
}

// distance is ‖a−b‖/‖b‖.
func distance(a, b []float64) float64 {
	num, den := 0.0, 0.0
	for i := range a {
		num += (a[i] - b[i]) * (a[i] - b[i])
		den += b[i] * b[i]
	}
	return math.Sqrt(num / den)
}
