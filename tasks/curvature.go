package tasks

import (
	"fmt"
	"math"
	"math/bits"

	"learnedopt/internal/gemm/mlp"
	"learnedopt/optimizer"
)

// checkProduct panics unless the arguments of CurvatureProduct are what p takes.
func checkProduct(p interface {
	optimizer.Problem
	optimizer.Curvature
}, dst, theta, v []float32, metric optimizer.Metric, step int) {
	checkLengths(len(theta), p.Dim(), errTheta)
	checkLengths(len(v), p.Dim(), errVector)
	checkLengths(len(dst), p.Dim(), errVector)
	if bits.OnesCount8(uint8(metric)) != 1 || metric&p.Metrics() == 0 {
		panic(errMetric)
	}
	if step < 0 {
		panic(errStep)
	}
}

// curvatureProduct is the product of the problem that a decorator wraps.
func curvatureProduct(p optimizer.Problem, dst, theta, v []float32, metric optimizer.Metric, step int) error {
	c, ok := p.(optimizer.Curvature)
	if !ok {
		panic(errMetric)
	}
	return c.CurvatureProduct(dst, theta, v, metric, step)
}

// A curvature is a network's second-order part. It has no memory before its first product.
type curvature struct {
	widths     []int
	activation string
	batch      int

	products *mlp.Curvature
	at       int // the step of the minibatch where products stands, −1 before the first
}

// Metrics implements optimizer.Curvature.
func (p *classifier) Metrics() optimizer.Metric { return optimizer.Hessian | optimizer.Fisher }

// CurvatureProduct implements optimizer.Curvature: exact products, of package mlp. Of products at
// one θ and step, the second and those after it do not repeat the forward pass. A minibatch
// has B examples drawn with replacement; Fisher's mean is over these.
func (p *classifier) CurvatureProduct(dst, theta, v []float32, metric optimizer.Metric, step int) error {
	p.open()
	checkProduct(p, dst, theta, v, metric, step)
	products, err := p.net.moveTo(theta, step)
	if err != nil {
		return err
	}
	if metric == optimizer.Fisher {
		products.Fisher(dst, v)
	} else {
		products.Hessian(dst, v)
	}
	return nil
}

// moveTo returns the products at θ on the minibatch of a step. It shares the graph's buffers
// of the minibatch, which every LossGrad fills anew, and leaves the graph's step as it is.
func (net *network) moveTo(theta []float32, step int) (*mlp.Curvature, error) {
	c := &net.curvature
	if c.products == nil {
		activation, ok := mlp.ActivationOf(c.activation)
		if !ok {
			return nil, fmt.Errorf("tasks: no derivatives of the activation %q", c.activation)
		}
		c.products, c.at = mlp.New(c.widths, activation, c.batch), -1
	}
	if net.fed != step {
		if err := net.feed(step); err != nil {
			return nil, fmt.Errorf("tasks: data of step %d: %w", step, err)
		}
	}
	if c.at != step || !sameBits(c.products.Theta(), theta) {
		c.products.Move(theta, net.pixels, net.oneHot)
		c.at = step
	}
	return c.products, nil
}

// sameBits reports whether two slices of one length hold the same numbers, NaNs and signs of 0 included.
func sameBits(a, b []float32) bool {
	for i, x := range a {
		if math.Float32bits(x) != math.Float32bits(b[i]) {
			return false
		}
	}
	return true
}
