package tasks

import (
	"fmt"
	"math/rand/v2"

	"learnedopt/internal/precondition"
	"learnedopt/optimizer"
)

// Convex is the small problem on which Lv et al. 2017 (section 4) train a rule in addition to
// another problem, so that the rule also learns to go straight downhill on a simple function:
//
//	f(x) = (1/d) Σ_i min((x_i − a_i)², 10),   a_i ~ U[−1, 1] iid,   x_0 = 0.
//
// The bound 10 keeps one very large step from dominating the loss; beyond it the
// gradient is 0. The paper scales the problem as RandomScaling does with R = 1.
type Convex struct {
	// Dims is d; 0 means 20.
	Dims int
}

var _ optimizer.Family = Convex{}

const (
	convexDims  = 20
	convexBound = 10
)

// Validate reports the first mistake in the configuration.
func (c Convex) Validate() error {
	if c.Dims < 0 || c.Dims > maxBatchFloats {
		return fmt.Errorf("tasks: convex: %d dimensions, want 1 to %d (0 means %d)", c.Dims, maxBatchFloats, convexDims)
	}
	return nil
}

// Name implements optimizer.Family.
func (c Convex) Name() string { return fmt.Sprintf("convex dims=%d", orDefault(c.Dims, convexDims)) }

// Sample implements optimizer.Family.
func (c Convex) Sample(rng *rand.Rand) (optimizer.Problem, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	p := &convex{a: make([]float32, orDefault(c.Dims, convexDims))}
	for i := range p.a {
		p.a[i] = 2*rng.Float32() - 1
	}
	return p, nil
}

type convex struct{ a []float32 }

var _ optimizer.Curvature = (*convex)(nil)

// Dim implements optimizer.Problem.
func (p *convex) Dim() int { return len(p.a) }

// Init implements optimizer.Problem.
func (p *convex) Init(x []float32) {
	precondition.Length("tasks", "theta", x, p.Dim())
	clear(x)
}

// LossGrad implements optimizer.Problem.
func (p *convex) LossGrad(x, grad []float32) (float64, error) {
	precondition.Length("tasks", "theta", x, p.Dim())
	precondition.Length("tasks", "grad", grad, p.Dim())
	n, sum := float32(p.Dim()), 0.0
	for i, a := range p.a {
		d := x[i] - a
		square := float64(d) * float64(d)
		if square > convexBound {
			square, d = convexBound, 0
		}
		sum += square
		grad[i] = 2 * d / n
	}
	return sum / float64(n), nil
}

// Metrics implements optimizer.Curvature. There is no Fisher: f is bounded, so exp(−f) is not the
// density of a distribution.
func (p *convex) Metrics() optimizer.Metric { return optimizer.Hessian }

// CurvatureProduct implements optimizer.Curvature: the Hessian is diagonal, 2/d inside the bound and 0 beyond it.
func (p *convex) CurvatureProduct(dst, x, v []float32, metric optimizer.Metric, step int) error {
	checkProduct(p, dst, x, v, metric, step)
	for i, a := range p.a {
		d := float64(x[i] - a)
		if dst[i] = 2 * v[i] / float32(p.Dim()); d*d > convexBound {
			dst[i] = 0
		}
	}
	return nil
}
