package tasks

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"

	"learnedopt/internal/precondition"
	"learnedopt/internal/stream"
	"learnedopt/optimizer"
)

// RandomScaling is a family that scales the coordinates of every problem at random
// (Lv et al. 2017, section 4),
//
//	f_c(θ) = f(c ∘ θ),   ∇f_c(θ) = c ∘ ∇f(c ∘ θ),   c_i = exp(u_i), u_i ~ U[−R, R] iid.
//
// It starts from θ_0 / c, where its loss is the loss of f at θ_0. A rule that has to do well
// for all c cannot rely on the size of a gradient. RandomScaling is meant for meta-training.
//
// The problem f is the one that Family would sample from the same rng; c is
// drawn anew for each sample. The methods of Curvature, Scaled, Seeker and io.Closer are passed through, and
// EvaluateSplit and Score if f has both.
type RandomScaling struct {
	Family optimizer.Family
	// Range is R; 0 means 3.
	Range float64
	// ByTensor draws one factor for all coordinates of a tensor. A network has the same function after such a change of
	// its parameters, but its gradients and the steps that suit it differ (Metz et al. 2022, arXiv:2211.09760, section
	// 3.2.2). Default: a factor for each coordinate.
	ByTensor bool
}

var _ optimizer.Family = RandomScaling{}

// maxScalingRange keeps c in the range of float32.
const maxScalingRange = 20

// Validate reports the first mistake in the configuration.
func (s RandomScaling) Validate() error {
	switch {
	case s.Family == nil:
		return errors.New("tasks: no family to scale at random")
	case !(s.Range >= 0 && s.Range <= maxScalingRange):
		return fmt.Errorf("tasks: random scaling by exp(±%v), want above 0 and at most %d (0 means 3)", s.Range, maxScalingRange)
	}
	return nil
}

func (s RandomScaling) span() float64 {
	if s.Range == 0 {
		return 3
	}
	return s.Range
}

// Name implements optimizer.Family, for example "quadratic dims=10 batch=128 random-scaling=3".
func (s RandomScaling) Name() string {
	key := " random-scaling="
	if s.ByTensor {
		key = " tensor-scaling="
	}
	return s.Family.Name() + key + formatScale(s.span())
}

// Sample implements optimizer.Family.
func (s RandomScaling) Sample(rng *rand.Rand) (optimizer.Problem, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	p, err := s.Family.Sample(rng)
	if err != nil {
		return nil, err
	}
	n := p.Dim()
	r := &rescaled{problem: p, c: make([]float32, n), x: make([]float32, n), v: make([]float32, n)}
	draw := stream.New(rng.Uint64(), "random scaling", 0)
	factor := func() float32 { return float32(math.Exp(s.span() * (2*draw.Float64() - 1))) }
	if s.ByTensor {
		for _, t := range optimizer.LayoutOf(p).Tensors() {
			c := factor()
			for i := range t.Len() {
				r.c[t.From+i] = c
			}
		}
	} else {
		for i := range r.c {
			r.c[i] = factor()
		}
	}
	if e, ok := p.(evaluated); ok {
		return struct {
			rescaledScore
			*rescaled
		}{rescaledScore{r, e}, r}, nil
	}
	return r, nil
}

// rescaled is a problem with scaled coordinates.
type rescaled struct {
	problem optimizer.Problem
	c       []float32
	x, v    []float32 // c∘θ and c∘v
}

var (
	_ optimizer.Problem   = (*rescaled)(nil)
	_ optimizer.Seeker    = (*rescaled)(nil)
	_ optimizer.Curvature = (*rescaled)(nil)
	_ Scaled              = (*rescaled)(nil)
	_ io.Closer           = (*rescaled)(nil)
)

// Dim implements optimizer.Problem.
func (r *rescaled) Dim() int { return len(r.c) }

// Init implements optimizer.Problem.
func (r *rescaled) Init(theta []float32) {
	precondition.Length("tasks", "theta", theta, r.Dim())
	r.problem.Init(theta)
	for i, c := range r.c {
		theta[i] /= c
	}
}

// LossGrad implements optimizer.Problem.
func (r *rescaled) LossGrad(theta, grad []float32) (float64, error) {
	precondition.Length("tasks", "grad", grad, r.Dim())
	loss, err := r.problem.LossGrad(r.at(theta), grad)
	r.scale(grad)
	return loss, err
}

// Layout implements optimizer.Laid.
func (r *rescaled) Layout() optimizer.Layout { return optimizer.LayoutOf(r.problem) }

// Seek implements optimizer.Seeker.
func (r *rescaled) Seek(t int) { seekTo(r.problem, t) }

// Metrics implements optimizer.Curvature: the metrics of the wrapped problem.
func (r *rescaled) Metrics() optimizer.Metric { return optimizer.MetricsOf(r.problem) }

// CurvatureProduct implements optimizer.Curvature: c∘M_t(c∘θ)(c∘v).
func (r *rescaled) CurvatureProduct(dst, theta, v []float32, metric optimizer.Metric, step int) error {
	checkProduct(r, dst, theta, v, metric, step)
	copy(r.v, v)
	r.scale(r.v)
	err := curvatureProduct(r.problem, dst, r.at(theta), r.v, metric, step)
	r.scale(dst)
	return err
}

// GradientScale implements Scaled.
func (r *rescaled) GradientScale() float64 { return gradientScale(r.problem) }

// Close closes the wrapped problem.
func (r *rescaled) Close() error { return closeProblem(r.problem) }

// at returns c∘θ.
func (r *rescaled) at(theta []float32) []float32 {
	precondition.Length("tasks", "theta", theta, r.Dim())
	copy(r.x, theta)
	r.scale(r.x)
	return r.x
}

func (r *rescaled) scale(v []float32) {
	for i, c := range r.c {
		v[i] *= c
	}
}

// evaluated holds the evaluations that a classifier's problem offers in addition to its gradients.
type evaluated interface {
	scored
	Score(theta []float32) (validLoss, testAccuracy float64, err error)
}

// rescaledScore adds the evaluations of the wrapped problem, at c∘θ.
type rescaledScore struct {
	r       *rescaled
	problem evaluated
}

// EvaluateSplit implements scored.
func (s rescaledScore) EvaluateSplit(theta []float32, split Split) (loss, accuracy float64, err error) {
	return s.problem.EvaluateSplit(s.r.at(theta), split)
}

// Score returns the score of the wrapped problem at c∘θ.
func (s rescaledScore) Score(theta []float32) (validLoss, testAccuracy float64, err error) {
	return s.problem.Score(s.r.at(theta))
}

// seekTo moves a problem to step t if it is an optimizer.Seeker.
func seekTo(p optimizer.Problem, t int) {
	if t < 0 {
		panic(errStep)
	}
	if s, ok := p.(optimizer.Seeker); ok {
		s.Seek(t)
	}
}

func gradientScale(p optimizer.Problem) float64 {
	if s, ok := p.(Scaled); ok {
		return s.GradientScale()
	}
	return 1
}

func closeProblem(p optimizer.Problem) error {
	if c, ok := p.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
