package rules

import "learnedopt/optimizer"

// A block multiplies by one diagonal block of a second-order matrix: the block of one group of coordinates.
type block struct {
	from      int
	curvature optimizer.Curvature
	theta     []float32 // the parameters of all groups
	x, v      []float32 // point and vector of a product, over all groups
}

var (
	_ optimizer.Curvature = (*block)(nil)
	_ optimizer.Trier     = (*block)(nil)
)

func newBlock(from, size, n int) *block {
	return &block{from: from, x: make([]float32, n), v: make([]float32, n)}
}

// Metrics implements optimizer.Curvature.
func (b *block) Metrics() optimizer.Metric { return b.curvature.Metrics() }

// CurvatureProduct implements optimizer.Curvature. theta and v belong to the group; the parameters outside it keep their
// values, and v is 0 there.
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

// CanTry implements optimizer.Trier.
func (b *block) CanTry() bool {
	t, ok := b.curvature.(optimizer.Trier)
	return ok && t.CanTry()
}

// Try implements optimizer.Trier. theta and to belong to the group; the parameters outside it keep their values.
func (b *block) Try(theta, to []float32, step int) (optimizer.Trial, error) {
	copy(b.x, b.theta)
	copy(b.x[b.from:], theta)
	copy(b.v, b.theta)
	copy(b.v[b.from:], to)
	return b.curvature.(optimizer.Trier).Try(b.x, b.v, step)
}
