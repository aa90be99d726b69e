package tasks

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"

	"learnedopt/internal/gemm/mlp"
	"learnedopt/internal/precondition"
	"learnedopt/internal/stream"
	"learnedopt/optimizer"
)

// checkProduct panics unless p can take these arguments of CurvatureProduct.
func checkProduct(p interface {
	optimizer.Problem
	optimizer.Curvature
}, dst, theta, v []float32, metric optimizer.Metric, step int) {
	precondition.Length("tasks", "theta", theta, p.Dim())
	precondition.Length("tasks", "v", v, p.Dim())
	precondition.Length("tasks", "dst", dst, p.Dim())
	checkMetric(metric, p.Metrics(), step)
}

// checkMetric panics unless metric is one of a set, and step is a step.
func checkMetric(metric, set optimizer.Metric, step int) {
	kind := metric.Kind()
	if bits.OnesCount16(uint16(kind)) != 1 || kind&set == 0 || kind != metric && kind != optimizer.SampledFisher {
		panic(errMetric)
	}
	if step < 0 {
		panic(errStep)
	}
}

// curvatureProduct writes the curvature product of the problem that a decorator wraps.
func curvatureProduct(p optimizer.Problem, dst, theta, v []float32, metric optimizer.Metric, step int) error {
	c, ok := p.(optimizer.Curvature)
	if !ok {
		panic(errMetric)
	}
	return c.CurvatureProduct(dst, theta, v, metric, step)
}

// products are the curvature products of a network at a point. Scores are as in package mlp.
type products interface {
	moved
	Hessian(dst, v []float32)
	Fisher(dst, v []float32)
	Outer(dst, v, scores []float32)
	scorer
	Logits(theta, x []float32) []float32
}

// A moved is at a point: θ and a minibatch x with labels y.
type moved interface {
	Theta() []float32
	Move(theta, x, y []float32)
}

// A scorer writes the scores of labels at the point.
type scorer interface {
	SampledScores(dst []float32, rng *rand.Rand)
	EmpiricalScores(dst []float32)
}

// A curvature computes a network's curvature products. It allocates its buffers at the first product.
type curvature struct {
	make     func() products
	products products // nil before the first product
	at       int      // the step whose minibatch products uses, −1 before the first
	scores   []float32
	scored   optimizer.Metric // what scores belong to at the point, 0 for nothing
	factors  []mlp.Factor
	blocks   []optimizer.Block
	trial    trial
}

// Metrics implements optimizer.Curvature.
func (p *classifier) Metrics() optimizer.Metric {
	return optimizer.Hessian | optimizer.Fisher | optimizer.SampledFisher | optimizer.EmpiricalFisher
}

// CurvatureProduct implements optimizer.Curvature with the exact products of the packages mlp and conv. The second and later
// products at one θ and step do not repeat the forward pass. The mean of Fisher is over the B examples of the
// minibatch, which are drawn with replacement. A regression has predictions with independent errors of variance ½, whose
// log-likelihood is the loss.
func (p *classifier) CurvatureProduct(dst, theta, v []float32, metric optimizer.Metric, step int) error {
	p.open()
	checkProduct(p, dst, theta, v, metric, step)
	products, err := p.net.moveTo(theta, step)
	if err != nil {
		return err
	}
	switch metric.Kind() {
	case optimizer.Hessian:
		products.Hessian(dst, v)
	case optimizer.Fisher:
		products.Fisher(dst, v)
	default:
		products.Outer(dst, v, p.net.scoresOf(metric, step))
	}
	return nil
}

// scoresOf returns the scores of a metric at the point of the products, which is at the given step.
func (net *network) scoresOf(metric optimizer.Metric, step int) []float32 {
	c := &net.curvature
	if c.scored == metric {
		return c.scores
	}
	outputs, labels := len(net.oneHot), metric.Labels()
	if metric == optimizer.Fisher {
		labels = net.data.outputs()
	}
	c.scores = resized(c.scores, max(1, labels)*outputs)
	switch {
	case metric == optimizer.Fisher:
		c.products.(*mlp.Curvature).ExactScores(c.scores)
	case labels == 0:
		c.products.EmpiricalScores(c.scores)
	default:
		stream.Reseed(net.pcg, net.seed, "fisher labels", uint64(step))
		c.products.SampledScores(c.scores, net.rng)
	}
	c.scored = metric
	return c.scores
}

// resized returns a slice of n elements, x itself if it is large enough.
func resized[T any](x []T, n int) []T {
	if cap(x) < n {
		return make([]T, n)
	}
	return x[:n]
}

// moveTo returns the products at θ on the minibatch of a step. It writes that minibatch into the graph's buffers, which
// every LossGrad fills anew, and leaves the graph's step as it is.
func (net *network) moveTo(theta []float32, step int) (products, error) {
	c := &net.curvature
	if c.products == nil {
		c.products = c.make()
	}
	if net.fed != step {
		if err := net.feed(step); err != nil {
			return nil, fmt.Errorf("tasks: data of step %d: %w", step, err)
		}
	}
	if c.at != step || !sameBits(c.products.Theta(), theta) {
		c.products.Move(theta, net.pixels, net.oneHot)
		c.at, c.scored = step, 0
	}
	return c.products, nil
}

// sameBits reports whether two slices of the same length hold the same bits, NaNs and signs of 0 included.
func sameBits(a, b []float32) bool {
	for i, x := range a {
		if math.Float32bits(x) != math.Float32bits(b[i]) {
			return false
		}
	}
	return true
}
