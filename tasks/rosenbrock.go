package tasks

import (
	"math/rand/v2"

	"learnedopt/internal/precondition"
	"learnedopt/optimizer"
)

// Rosenbrock is a batch of B independent runs on the d-dimensional Rosenbrock
// valley (Rosenbrock 1960), which differ in their starting points alone:
//
//	f_b(x) = Σ_{i<d} 100 (x_{i+1} − x_i²)² + (1 − x_i)²,   minimum 0 at x = 1,
//	x_0 uniform on [−2, 2)^d,
//
// laid side by side in one θ of n = B·d coordinates. As in Quadratic the loss
// is the mean over the batch, and each function has its own gradient:
// B times the gradient of the loss (see Scaled).
type Rosenbrock struct {
	// Dims is d; 0 means 2.
	Dims int
	// Batch is B; 0 means 128.
	Batch int
}

var _ optimizer.Family = Rosenbrock{}

// options returns the configuration with its defaults.
func (r Rosenbrock) options() Options {
	return Options{Dims: r.Dims, Batch: r.Batch}.withDefaults(rosenbrocks)
}

// Validate reports the first mistake in the configuration.
func (r Rosenbrock) Validate() error { return r.options().validateBatch("rosenbrock", 2) }

// Name implements optimizer.Family.
func (r Rosenbrock) Name() string { return r.options().lists().words("rosenbrock", rosenbrocks) }

// Sample implements optimizer.Family.
func (r Rosenbrock) Sample(rng *rand.Rand) (optimizer.Problem, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	o := r.options()
	p := &rosenbrock{dims: o.Dims, batch: o.Batch}
	p.start = make([]float32, p.Dim())
	for i := range p.start {
		p.start[i] = 4*rng.Float32() - 2
	}
	return p, nil
}

type rosenbrock struct {
	dims, batch int
	start       []float32
}

var (
	_ optimizer.Curvature = (*rosenbrock)(nil)
	_ Scaled              = (*rosenbrock)(nil)
)

// Dim implements optimizer.Problem.
func (p *rosenbrock) Dim() int { return p.batch * p.dims }

// GradientScale implements Scaled.
func (p *rosenbrock) GradientScale() float64 { return float64(p.batch) }

// Init implements optimizer.Problem.
func (p *rosenbrock) Init(theta []float32) {
	precondition.Length("tasks", "theta", theta, p.Dim())
	copy(theta, p.start)
}

// LossGrad implements optimizer.Problem. It computes in float64, because x_{i+1} − x_i² cancels
// near the valley.
func (p *rosenbrock) LossGrad(theta, grad []float32) (float64, error) {
	precondition.Length("tasks", "theta", theta, p.Dim())
	precondition.Length("tasks", "grad", grad, p.Dim())
	loss := 0.0
	for b := 0; b < len(theta); b += p.dims {
		x, g := theta[b:b+p.dims], grad[b:b+p.dims]
		carry := 0.0 // ∂/∂x_i of the term in x_{i−1} and x_i
		for i := range len(x) - 1 {
			xi := float64(x[i])
			valley, slope := float64(x[i+1])-xi*xi, 1-xi
			loss += 100*valley*valley + slope*slope
			g[i] = float32(carry - 400*xi*valley - 2*slope)
			carry = 200 * valley
		}
		g[len(g)-1] = float32(carry)
	}
	return loss / float64(p.batch), nil
}

// Metrics implements optimizer.Curvature. There is no Fisher: the function is not the loss of
// a model of data, and it can be written as a sum of squares in more ways than one.
func (p *rosenbrock) Metrics() optimizer.Metric { return optimizer.Hessian }

// CurvatureProduct implements optimizer.Curvature. The Hessian is tridiagonal:
//
//	H_{i,i} = 1200 x_i² − 400 x_{i+1} + 2 (+ 200 for i > 1),   H_{i,i+1} = −400 x_i.
func (p *rosenbrock) CurvatureProduct(dst, theta, v []float32, metric optimizer.Metric, step int) error {
	checkProduct(p, dst, theta, v, metric, step)
	for b := 0; b < len(theta); b += p.dims {
		x, u, out := theta[b:b+p.dims], v[b:b+p.dims], dst[b:b+p.dims]
		carry := 0.0
		for i := range len(x) - 1 {
			xi, ui, next := float64(x[i]), float64(u[i]), float64(u[i+1])
			diagonal := 1200*xi*xi - 400*float64(x[i+1]) + 2
			out[i] = float32(carry + diagonal*ui - 400*xi*next)
			carry = 200*next - 400*xi*ui
		}
		out[len(out)-1] = float32(carry)
	}
	return nil
}
