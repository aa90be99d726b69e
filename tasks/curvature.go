package tasks

import (
	"fmt"
	"math"
	"math/bits"

	"learnedopt/internal/gemm/mlp"
	"learnedopt/optimizer"
)

// checkProduct panics unless p can take these arguments of CurvatureProduct.
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

// curvatureProduct writes the curvature product of the problem that a decorator wraps.
func curvatureProduct(p optimizer.Problem, dst, theta, v []float32, metric optimizer.Metric, step int) error {
	c, ok := p.(optimizer.Curvature)
	if !ok {
		panic(errMetric)
	}
	return c.CurvatureProduct(dst, theta, v, metric, step)
}

// A curvature computes a network's curvature products. It allocates its buffers at the first product.
type curvature struct {
	widths     []int
	activation string
	batch      int

	products *mlp.Curvature
	at       int // the step whose minibatch products uses, −1 before the first
}

// Metrics implements optimizer.Curvature.
func (p *classifier) Metrics() optimizer.Metric { return optimizer.Hessian | optimizer.Fisher }

// CurvatureProduct implements optimizer.Curvature with the exact products of package mlp. The second and later
// products at one θ and step do not repeat the forward pass. The mean of Fisher is over the B examples of the
// minibatch, which are drawn with replacement.
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

// moveTo returns the products at θ on the minibatch of a step. It writes that minibatch into the graph's buffers, which
// every LossGrad fills anew, and leaves the graph's step as it is.
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

// sameBits reports whether two slices of the same length hold the same bits, NaNs and signs of 0 included.
func sameBits(a, b []float32) bool {
	for i, x := range a {
		if math.Float32bits(x) != math.Float32bits(b[i]) {
			return false
		}
	}
	return true
}
