package rules

import "learnedopt/optimizer"

// A block is the diagonal block of a second-order matrix that belongs to one group of coordinates.
type block struct {
	from      int
	curvature optimizer.Curvature
	theta     []float32 // of all coordinates
	x, v      []float32 // of all coordinates
}

var _ optimizer.Curvature = (*block)(nil)

func newBlock(from, size, n int) *block {
	return &block{from: from, x: make([]float32, n), v: make([]float32, n)}
}

// Metrics implements optimizer.Curvature.
func (b *block) Metrics() optimizer.Metric { return b.curvature.Metrics() }

// CurvatureProduct implements optimizer.Curvature: all parameters outside the group stay where they are.
func (b *block) CurvatureProduct(dst, theta, v []float32, metric optimizer.Metric, step int) error {
	to := b.from + len(v)
	copy(b.x, b.theta)
	copy(b.x[b.from:to], theta)
	clear(b.v)
	copy(b.v[b.from:to], v)
	if err := b.curvature.CurvatureProduct(b.v, b.x, b.v, metric, step); err != nil {
		return err
	}
	copy(dst, b.v[b.from:to])
	return nil
}
