package tasks

import (
	"fmt"
	"math/rand/v2"

	"learnedopt/internal/precondition"
	"learnedopt/optimizer"
)

// A Scaled problem's LossGrad writes a constant multiple of the gradient of the
// loss that it returns:
//
//	grad = GradientScale() · ∇loss(θ)
//
// Problems that do not implement Scaled have scale 1. Curvature products, of any metric,
// have the same scale as the gradient.
type Scaled interface {
	GradientScale() float64
}

// Quadratic is the first task of Andrychowicz et al. 2016 (section 3.1): B
// independent d-dimensional least-squares functions,
//
//	f_b(θ_b) = ‖W_b θ_b − y_b‖²,   W_b ∈ R^{d×d}, y_b ∈ R^d iid N(0, 1),
//
// laid side by side in one θ of n = B·d coordinates, function after function.
//
// The loss is the mean (1/B) Σ_b f_b(θ_b). The gradient is not the gradient of this mean: each function has
// its own gradient, 2 W_bᵀ(W_b θ_b − y_b), as if it were
// optimized alone. This is B times the gradient of the reported loss (see Scaled).
// The gradients that an optimizer receives therefore do not depend on B.
//
// The paper does not state its starting point; θ_0 = 0 is the starting point of Ecoffet's
// reproduction, and E f(θ_0) = d.
type Quadratic struct {
	// Dims is d; 0 means 10.
	Dims int
	// Batch is B; 0 means 128.
	Batch int
	// Condition, if not 0, is the condition number κ that every function's Hessian is
	// given: each W_b keeps its singular vectors and its norm, and its singular values become
	// a geometric progression with (s_1/s_d)² = κ.
	Condition float64
}

var _ optimizer.Family = Quadratic{}

// options returns the configuration with its defaults.
func (q Quadratic) options() Options {
	return Options{Dims: q.Dims, Batch: q.Batch, Condition: q.Condition}.withDefaults(quadratics)
}

// Validate reports the first mistake in the configuration.
func (q Quadratic) Validate() error { return q.options().validateQuadratic("quadratic") }

// Name implements optimizer.Family.
func (q Quadratic) Name() string { return q.options().lists().words("quadratic", quadratics) }

// Sample implements optimizer.Family.
func (q Quadratic) Sample(rng *rand.Rand) (optimizer.Problem, error) {
	if err := q.Validate(); err != nil {
		return nil, err
	}
	p := newQuadratic(q.options())
	for i := range p.w {
		p.w[i] = float32(rng.NormFloat64())
	}
	for i := range p.y {
		p.y[i] = float32(rng.NormFloat64())
	}
	p.scale = float64(p.batch)
	return p.conditioned(q.Condition)
}

// QuadraticUniform is the quadratic task of the code that DeepMind published
// with the paper (google-deepmind/learning-to-learn). It differs from the
// paper's text: W_b and y_b are iid uniform on [0, 1), θ_0 is drawn from N(0, 0.01²), and
// the gradient is the gradient of the mean loss,
//
//	f(θ) = (1/B) Σ_b ‖W_b θ_b − y_b‖²,   ∇_b f = (2/B) W_bᵀ(W_b θ_b − y_b).
type QuadraticUniform struct {
	// Dims is d; 0 means 10.
	Dims int
	// Batch is B; 0 means 128.
	Batch int
	// Condition, if not 0, is the condition number κ that every function's Hessian is
	// given: each W_b keeps its singular vectors and its norm, and its singular values become
	// a geometric progression with (s_1/s_d)² = κ.
	Condition float64
}

var _ optimizer.Family = QuadraticUniform{}

// options returns the configuration with its defaults.
func (q QuadraticUniform) options() Options {
	return Options{Dims: q.Dims, Batch: q.Batch, Condition: q.Condition}.withDefaults(quadratics)
}

// Validate reports the first mistake in the configuration.
func (q QuadraticUniform) Validate() error { return q.options().validateQuadratic("quadratic-uniform") }

// Name implements optimizer.Family.
func (q QuadraticUniform) Name() string {
	return q.options().lists().words("quadratic-uniform", quadratics)
}

// Sample implements optimizer.Family.
func (q QuadraticUniform) Sample(rng *rand.Rand) (optimizer.Problem, error) {
	if err := q.Validate(); err != nil {
		return nil, err
	}
	p := newQuadratic(q.options())
	for i := range p.w {
		p.w[i] = rng.Float32()
	}
	for i := range p.y {
		p.y[i] = rng.Float32()
	}
	for i := range p.start {
		p.start[i] = float32(startDeviation * rng.NormFloat64())
	}
	p.scale = 1
	return p.conditioned(q.Condition)
}

// startDeviation is the standard deviation of starting points in the original
// code, both for quadratics and for the weights and biases of classifiers.
const startDeviation = 0.01

// quadratic is a problem of B least-squares functions. Its gradient is scale times the gradient of their mean.
type quadratic struct {
	dims, batch int
	w           []float32 // B×d×d, row-major
	y, start    []float32 // B×d
	residual    []float32 // d
	scale       float64
}

var (
	_ optimizer.Curvature = (*quadratic)(nil)
	_ Scaled              = (*quadratic)(nil)
)

func newQuadratic(o Options) *quadratic {
	dims, batch := o.Dims, o.Batch
	return &quadratic{
		dims: dims, batch: batch,
		w: make([]float32, batch*dims*dims), y: make([]float32, batch*dims),
		start: make([]float32, batch*dims), residual: make([]float32, dims),
	}
}

// conditioned returns the problem after setting the condition number of its matrices; 0 leaves them as they are.
func (q *quadratic) conditioned(condition float64) (optimizer.Problem, error) {
	if condition == 0 {
		return q, nil
	}
	if err := setCondition(q.w, q.dims, condition); err != nil {
		return nil, err
	}
	return q, nil
}

// Dim implements optimizer.Problem.
func (q *quadratic) Dim() int { return q.batch * q.dims }

// GradientScale implements Scaled.
func (q *quadratic) GradientScale() float64 { return q.scale }

// Init implements optimizer.Problem.
func (q *quadratic) Init(theta []float32) {
	precondition.Length("tasks", "theta", theta, q.Dim())
	copy(theta, q.start)
}

// LossGrad implements optimizer.Problem.
func (q *quadratic) LossGrad(theta, grad []float32) (float64, error) {
	precondition.Length("tasks", "theta", theta, q.Dim())
	precondition.Length("tasks", "grad", grad, q.Dim())
	return q.normal(grad, theta, q.y), nil
}

// Metrics implements optimizer.Curvature.
func (q *quadratic) Metrics() optimizer.Metric { return optimizer.Hessian | optimizer.Fisher }

// CurvatureProduct implements optimizer.Curvature: block b is (scale/B)·2 W_bᵀ W_b v_b, with the gradient's scale.
// The outputs z_b = W_b θ_b are linear in θ_b, so Fisher is the Hessian.
func (q *quadratic) CurvatureProduct(dst, theta, v []float32, metric optimizer.Metric, step int) error {
	checkProduct(q, dst, theta, v, metric, step)
	q.normal(dst, v, nil)
	return nil
}

// normal writes scale·(2/B) Wᵀ(W x − y) into dst, which may be x, and returns the mean
// of ‖W x − y‖². If y is nil, it stands for 0.
func (q *quadratic) normal(dst, x, y []float32) float64 {
	d, factor := q.dims, float32(2*q.scale/float64(q.batch))
	loss := 0.0
	for b := range q.batch {
		w, xb, out := q.w[b*d*d:(b+1)*d*d], x[b*d:(b+1)*d], dst[b*d:(b+1)*d]
		for i := range q.residual {
			row := w[i*d : i*d+d]
			var r float32
			for j, wij := range row {
				r += wij * xb[j]
			}
			if y != nil {
				r -= y[b*d+i]
			}
			q.residual[i] = r
			loss += float64(r) * float64(r)
		}
		clear(out)
		for i, r := range q.residual {
			r *= factor
			for j, wij := range w[i*d : i*d+d] {
				out[j] += wij * r
			}
		}
	}
	return loss / float64(q.batch)
}

// maxBatchFloats bounds the memory of one problem (1 GiB of float32).
const maxBatchFloats = 1 << 28

func orDefault(x, fallback int) int {
	if x == 0 {
		return fallback
	}
	return x
}

// validateBatch checks the two sizes of a batch of small functions.
func (o Options) validateBatch(task string, minDims int) error {
	switch {
	case o.Dims < minDims:
		return fmt.Errorf("tasks: %s: %d dimensions, want at least %d (0 means the default)", task, o.Dims, minDims)
	case o.Batch < 1:
		return fmt.Errorf("tasks: %s: batch %d, want at least 1 (0 means the default)", task, o.Batch)
	case o.Dims > 1<<14 || o.Batch > maxBatchFloats || int64(o.Dims*o.Dims)*int64(o.Batch) > maxBatchFloats:
		return fmt.Errorf("tasks: %s: %d functions of %d dimensions need over %d numbers; take a smaller batch or fewer dimensions",
			task, o.Batch, o.Dims, maxBatchFloats)
	}
	return nil
}

func (o Options) validateQuadratic(task string) error {
	if err := o.validateBatch(task, 1); err != nil {
		return err
	}
	return validateCondition(task, o.Condition, o.Dims)
}
