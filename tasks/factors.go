package tasks

import (
	"math"

	"learnedopt/internal/gemm/mlp"
	"learnedopt/internal/precondition"
	"learnedopt/optimizer"
)

// CanFactor implements optimizer.Factorer: it is true of multilayer perceptrons.
func (p *classifier) CanFactor() bool { return p.family.conv == nil }

// Factors implements optimizer.Factorer. Fisher has one row of Out for each example and class, weighted by the class's probability.
func (p *classifier) Factors(theta []float32, metric optimizer.Metric, step int) ([]optimizer.Block, error) {
	p.open()
	checkFactors(p, theta, metric, step)
	products, err := p.net.moveTo(theta, step)
	if err != nil {
		return nil, err
	}
	net := products.(*mlp.Curvature)
	c := &p.net.curvature
	c.factors = resized(c.factors, net.Layers())
	net.Factors(c.factors, p.net.scoresOf(metric, step))
	c.blocks = c.blocks[:0]
	for _, f := range c.factors {
		c.blocks = append(c.blocks, optimizer.Block(f))
	}
	return c.blocks, nil
}

// checkFactors panics unless p can take these arguments of Factors.
func checkFactors(p interface {
	optimizer.Problem
	optimizer.Factorer
}, theta []float32, metric optimizer.Metric, step int) {
	precondition.Length("tasks", "theta", theta, p.Dim())
	if !p.CanFactor() {
		panic(errFactorer)
	}
	checkMetric(metric, optimizer.Fisher|optimizer.SampledFisher|optimizer.EmpiricalFisher, step)
}

// CanFactor implements optimizer.Factorer.
func (p *perturbed) CanFactor() bool {
	f, ok := p.problem.(optimizer.Factorer)
	return ok && f.CanFactor()
}

// Factors implements optimizer.Factorer: the rows of Out are multiplied by √s, so that their mean of ggᵀ has the scale of the products.
func (p *perturbed) Factors(theta []float32, metric optimizer.Metric, step int) ([]optimizer.Block, error) {
	checkFactors(p, theta, metric, step)
	blocks, err := p.problem.(optimizer.Factorer).Factors(theta, metric, step)
	for _, b := range blocks {
		scaleBy(b.Out, math.Sqrt(p.scale))
	}
	return blocks, err
}
