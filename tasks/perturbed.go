package tasks

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"

	"learnedopt/internal/stream"
	"learnedopt/optimizer"
)

// Perturbed is a family whose losses are scaled and whose gradients are noisy. An
// optimizer receives the gradient
//
//	g_t = s ∇f_t(θ_t) + σ ε_t,   ε_t ~ N(0, 1) iid for each coordinate and step,
//
// which is the gradient of the loss s·f plus noise. The reported loss stays
// f_t(θ_t), without the factor s and without noise, so that losses can be compared between
// scales and noises; s is the problem's GradientScale.
//
// The problem f is the one that Family would sample from the same rng; the noise ε comes from a
// seed that is drawn after it. The methods of Curvature, Seeker and io.Closer are passed through, and
// EvaluateSplit and Score if f has both. Curvature products are multiplied by s and have no noise.
type Perturbed struct {
	Family optimizer.Family
	// Scale is s; 0 means 1.
	Scale float64
	// Noise is σ; 0 means no noise.
	Noise float64
}

var _ optimizer.Family = Perturbed{}

// maxPerturbation keeps s∇f and σε inside float32 for gradients of any reasonable size.
const maxPerturbation = 1e12

// Validate reports the first mistake in the configuration.
func (p Perturbed) Validate() error {
	switch {
	case p.Family == nil:
		return errors.New("tasks: no family to perturb")
	case p.Scale != 0 && !(p.Scale >= 1/maxPerturbation && p.Scale <= maxPerturbation):
		return fmt.Errorf("tasks: loss scale %v, want %v to %v (0 means 1)", p.Scale, 1/maxPerturbation, maxPerturbation)
	case !(p.Noise >= 0 && p.Noise <= maxPerturbation):
		return fmt.Errorf("tasks: gradient noise of standard deviation %v, want 0 to %v", p.Noise, maxPerturbation)
	}
	return nil
}

func (p Perturbed) scale() float64 {
	if p.Scale == 0 {
		return 1
	}
	return p.Scale
}

// Name implements optimizer.Family, for example
// "quadratic dims=10 batch=128 loss-scale=100 gradient-noise=0.1". The name leaves out a scale of 1 and a
// noise of 0.
func (p Perturbed) Name() string {
	return Options{LossScale: p.Scale, GradientNoise: p.Noise}.lists().words(p.Family.Name(), losses)
}

// Sample implements optimizer.Family.
func (p Perturbed) Sample(rng *rand.Rand) (optimizer.Problem, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	inner, err := p.Family.Sample(rng)
	if err != nil {
		return nil, err
	}
	q := &perturbed{problem: inner, scale: p.scale(), noise: p.Noise, pcg: &rand.PCG{}, seed: rng.Uint64()}
	q.rng = rand.New(q.pcg)
	if e, ok := inner.(evaluated); ok {
		return struct {
			evaluated
			*perturbed
		}{e, q}, nil
	}
	return q, nil
}

// perturbed is a problem with a scaled and noisy gradient.
type perturbed struct {
	problem      optimizer.Problem
	scale, noise float64
	seed         uint64
	pcg          *rand.PCG
	rng          *rand.Rand // over pcg
	step         int
}

var (
	_ optimizer.Problem   = (*perturbed)(nil)
	_ optimizer.Seeker    = (*perturbed)(nil)
	_ optimizer.Curvature = (*perturbed)(nil)
	_ Scaled              = (*perturbed)(nil)
	_ io.Closer           = (*perturbed)(nil)
)

// Dim implements optimizer.Problem.
func (p *perturbed) Dim() int { return p.problem.Dim() }

// Init implements optimizer.Problem.
func (p *perturbed) Init(theta []float32) { p.problem.Init(theta) }

// LossGrad implements optimizer.Problem.
func (p *perturbed) LossGrad(theta, grad []float32) (float64, error) {
	loss, err := p.problem.LossGrad(theta, grad)
	if err != nil {
		return loss, err
	}
	scaleBy(grad, p.scale)
	if p.noise != 0 {
		// The stream has the step as its index: the noise of step t does not depend on the steps before it.
		stream.Reseed(p.pcg, p.seed, "gradient noise", uint64(p.step))
		for i := range grad {
			grad[i] += float32(p.noise * p.rng.NormFloat64())
		}
	}
	p.step++
	return loss, nil
}

// Layout implements optimizer.Laid.
func (p *perturbed) Layout() optimizer.Layout { return optimizer.LayoutOf(p.problem) }

// Seek implements optimizer.Seeker.
func (p *perturbed) Seek(t int) {
	seekTo(p.problem, t)
	p.step = t
}

// Metrics implements optimizer.Curvature: the metrics of the wrapped problem.
func (p *perturbed) Metrics() optimizer.Metric { return optimizer.MetricsOf(p.problem) }

// CurvatureProduct implements optimizer.Curvature: s M_t(θ)·v.
func (p *perturbed) CurvatureProduct(dst, theta, v []float32, metric optimizer.Metric, step int) error {
	err := curvatureProduct(p.problem, dst, theta, v, metric, step)
	scaleBy(dst, p.scale)
	return err
}

// GradientScale implements Scaled.
func (p *perturbed) GradientScale() float64 { return p.scale * gradientScale(p.problem) }

// Close closes the wrapped problem.
func (p *perturbed) Close() error { return closeProblem(p.problem) }

// scaleBy multiplies x by scale in float64 and rounds each product once.
func scaleBy(x []float32, scale float64) {
	if scale == 1 {
		return
	}
	for i, v := range x {
		x[i] = float32(scale * float64(v))
	}
}
