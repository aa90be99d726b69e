package tasks

import (
	"errors"
	"io"
	"math/rand/v2"
	"strings"

	"learnedopt/internal/precondition"
	"learnedopt/optimizer"
)

// Joint is a family whose problems consist of one problem from each of several families, side by side in
// one θ:
//
//	f(θ^1, …, θ^K) = Σ_k s_k f^k(θ^k),   ∇_k f = s_k ∇f^k(θ^k).
//
// s_k is the GradientScale of part k, 1 if the part is not Scaled. Each part then has the gradient that
// it has alone, and the parts' gradients together are the gradient of the sum. A coordinatewise rule
// that runs on the joint problem does the same as on each part alone, and meta-training on the joint problem is
// meta-training on the sum of the parts' losses.
type Joint struct {
	// Families are the parts, at least one, sampled in this order.
	Families []optimizer.Family
}

var _ optimizer.Family = Joint{}

// Validate reports the first mistake in the configuration.
func (j Joint) Validate() error {
	if len(j.Families) == 0 {
		return errors.New("tasks: a joint problem of no families")
	}
	for _, f := range j.Families {
		if f == nil {
			return errors.New("tasks: a joint problem with a part that is nil")
		}
	}
	return nil
}

// Name implements optimizer.Family: the parts' names, joined by " + ".
func (j Joint) Name() string {
	var names []string
	for _, f := range j.Families {
		names = append(names, f.Name())
	}
	return strings.Join(names, " + ")
}

// Sample implements optimizer.Family. The problem's curvature is block diagonal, and the problem offers
// the metrics that all its parts offer.
func (j Joint) Sample(rng *rand.Rand) (optimizer.Problem, error) {
	if err := j.Validate(); err != nil {
		return nil, err
	}
	p := &joint{}
	for _, f := range j.Families {
		part, err := f.Sample(rng)
		if err != nil {
			return nil, errors.Join(err, p.Close())
		}
		p.parts = append(p.parts, part)
		p.dim += part.Dim()
	}
	return p, nil
}

type joint struct {
	parts []optimizer.Problem
	dim   int
}

var (
	_ optimizer.Problem   = (*joint)(nil)
	_ optimizer.Seeker    = (*joint)(nil)
	_ optimizer.Curvature = (*joint)(nil)
	_ io.Closer           = (*joint)(nil)
)

// Dim implements optimizer.Problem.
func (p *joint) Dim() int { return p.dim }

// Init implements optimizer.Problem.
func (p *joint) Init(theta []float32) {
	precondition.Length("tasks", "theta", theta, p.dim)
	for _, part := range p.parts {
		n := part.Dim()
		part.Init(theta[:n:n])
		theta = theta[n:]
	}
}

// LossGrad implements optimizer.Problem.
func (p *joint) LossGrad(theta, grad []float32) (float64, error) {
	precondition.Length("tasks", "theta", theta, p.dim)
	precondition.Length("tasks", "grad", grad, p.dim)
	sum := 0.0
	for _, part := range p.parts {
		n := part.Dim()
		loss, err := part.LossGrad(theta[:n:n], grad[:n:n])
		if err != nil {
			return 0, err
		}
		sum += gradientScale(part) * loss
		theta, grad = theta[n:], grad[n:]
	}
	return sum, nil
}

// Layout implements optimizer.Laid: the parts' tensors, one part after the other.
func (p *joint) Layout() optimizer.Layout {
	var tensors []optimizer.Tensor
	for _, part := range p.parts {
		tensors = append(tensors, optimizer.LayoutOf(part).Tensors()...)
	}
	layout, err := optimizer.NewLayout(tensors...)
	if err != nil {
		panic("tasks: " + err.Error()) // cannot happen: each tensor comes from a valid layout
	}
	return layout
}

// Seek implements optimizer.Seeker.
func (p *joint) Seek(t int) {
	for _, part := range p.parts {
		seekTo(part, t)
	}
}

// Close closes the parts.
func (p *joint) Close() error {
	var errs []error
	for _, part := range p.parts {
		errs = append(errs, closeProblem(part))
	}
	return errors.Join(errs...)
}

// Metrics implements optimizer.Curvature.
func (p *joint) Metrics() optimizer.Metric {
	all := optimizer.Hessian | optimizer.Fisher
	for _, part := range p.parts {
		all &= optimizer.MetricsOf(part)
	}
	return all
}

// CurvatureProduct implements optimizer.Curvature block by block. Block k has the scale s_k.
func (p *joint) CurvatureProduct(dst, theta, v []float32, metric optimizer.Metric, step int) error {
	checkProduct(p, dst, theta, v, metric, step)
	for _, part := range p.parts {
		n := part.Dim()
		if err := curvatureProduct(part, dst[:n:n], theta[:n:n], v[:n:n], metric, step); err != nil {
			return err
		}
		dst, theta, v = dst[n:], theta[n:], v[n:]
	}
	return nil
}
