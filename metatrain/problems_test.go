package metatrain_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"learnedopt/optimizer"
)

// square is f(θ) = θ² in one dimension, from θ_0 = 1.
type square struct{}

func (square) Dim() int             { return 1 }
func (square) Init(theta []float32) { theta[0] = 1 }
func (square) LossGrad(theta, grad []float32) (float64, error) {
	grad[0] = 2 * theta[0]
	return float64(theta[0]) * float64(theta[0]), nil
}

// quartic is f_t(θ) = Σ_i a_i(t) (θ_i⁴ + θ_i²)/2 + θ_i θ_{i+1}/4, with a fresh a(t) at every step: a stochastic problem
// whose Hessian depends on θ and t.
type quartic struct {
	seed uint64
	n, t int
}

func (q *quartic) Dim() int   { return q.n }
func (q *quartic) Seek(t int) { q.t = t }
func (q *quartic) Init(theta []float32) {
	rng := rand.New(rand.NewPCG(q.seed, 0))
	for i := range theta {
		theta[i] = float32(rng.NormFloat64())
	}
}

func (q *quartic) scales() []float64 {
	rng := rand.New(rand.NewPCG(q.seed, uint64(q.t)+1))
	a := make([]float64, q.n)
	for i := range a {
		a[i] = rng.Float64()
	}
	return a
}

func (q *quartic) LossGrad(theta, grad []float32) (float64, error) {
	f, n := 0.0, q.n
	for i, a := range q.scales() {
		x, next, before := float64(theta[i]), float64(theta[(i+1)%n]), float64(theta[(i+n-1)%n])
		f += a*(x*x*x*x+x*x)/2 + x*next/4
		grad[i] = float32(a*(2*x*x*x+x) + (next+before)/4)
	}
	q.t++
	return f, nil
}

// exactQuartic is a quartic that offers its Hessian.
type exactQuartic struct{ quartic }

func (q *exactQuartic) Metrics() optimizer.Metric { return optimizer.Hessian }

func (q *exactQuartic) CurvatureProduct(dst, theta, v []float32, _ optimizer.Metric, step int) error {
	n, at := q.n, quartic{q.seed, q.n, step}
	for i, a := range at.scales() {
		x := float64(theta[i])
		dst[i] = float32(a*(6*x*x+1)*float64(v[i]) + float64(v[(i+1)%n]+v[(i+n-1)%n])/4)
	}
	return nil
}

// leastSquares is f(θ) = mean_b ‖W_b θ_b - y_b‖², the problem of the PyTorch
// fixture.
type leastSquares struct {
	Batch, Dims  int
	W, Y, Theta0 []float64
}

func (q *leastSquares) Dim() int { return q.Batch * q.Dims }
func (q *leastSquares) Init(theta []float32) {
	for i, x := range q.Theta0 {
		theta[i] = float32(x)
	}
}

func (q *leastSquares) LossGrad(theta, grad []float32) (float64, error) {
	f := 0.0
	sum := make([]float64, len(grad))
	for r, y := range q.Y {
		row, b := q.W[r*q.Dims:][:q.Dims], r/q.Dims*q.Dims
		d := -y
		for j, w := range row {
			d += w * float64(theta[b+j])
		}
		f += d * d / float64(q.Batch)
		for j, w := range row {
			sum[b+j] += 2 * d * w / float64(q.Batch)
		}
	}
	for i, s := range sum {
		grad[i] = float32(s)
	}
	return f, nil
}

func (q *leastSquares) Metrics() optimizer.Metric { return optimizer.Hessian }

func (q *leastSquares) CurvatureProduct(dst, _, v []float32, _ optimizer.Metric, _ int) error {
	zero, at0 := make([]float32, len(v)), make([]float32, len(v))
	if _, err := q.LossGrad(zero, at0); err != nil {
		return err
	}
	_, err := q.LossGrad(v, dst)
	for i := range dst {
		dst[i] -= at0[i]
	}
	return err
}

// family is a function as a family.
type family func(rng *rand.Rand) (optimizer.Problem, error)

func (f family) Name() string                                     { return "test" }
func (f family) Sample(rng *rand.Rand) (optimizer.Problem, error) { return f(rng) }

// only is a family of a single problem.
func only(p optimizer.Problem) family {
	return func(*rand.Rand) (optimizer.Problem, error) { return p, nil }
}

// bowls draws f(θ) = ½‖θ - y‖² in ten dimensions.
func bowls(rng *rand.Rand) (optimizer.Problem, error) {
	b := &bowl{y: make([]float32, 10)}
	for i := range b.y {
		b.y[i] = float32(rng.NormFloat64())
	}
	return b, nil
}

type bowl struct{ y []float32 }

func (b *bowl) Dim() int             { return len(b.y) }
func (b *bowl) Init(theta []float32) { clear(theta) }
func (b *bowl) LossGrad(theta, grad []float32) (float64, error) {
	f := 0.0
	for i, y := range b.y {
		grad[i] = theta[i] - y
		f += float64(grad[i]) * float64(grad[i]) / 2
	}
	return f, nil
}

func near(a, b, tol float64) bool { return math.Abs(a-b) <= tol*(1+math.Abs(b)) }

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 99)) }
