package policy

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

// A Baseline predicts returns from observations o by ridge regression on 1, the o_i and the products o_i o_j, with each o_i bounded to ±10. Its
// zero value predicts 0.
type Baseline struct {
	weights  []float64
	features []float64
}

const (
	featureBound = 10
	ridge        = 1e-5 // of the mean square of a feature
)

func (b *Baseline) write(observation []float32) []float64 {
	x := append(b.features[:0], 1)
	for _, o := range observation {
		x = append(x, float64(min(max(o, -featureBound), featureBound)))
	}
	n := len(x)
	for i := 1; i < n; i++ {
		for j := i; j < n; j++ {
			x = append(x, x[i]*x[j])
		}
	}
	b.features = x
	return x
}

// Predict returns the prediction for an observation.
func (b *Baseline) Predict(observation []float32) float64 {
	if b.weights == nil {
		return 0
	}
	sum := 0.0
	for i, x := range b.write(observation) {
		sum += x * b.weights[i]
	}
	return sum
}

// Fit fits the returns that followed N observations, N×F. If the equations have no solution in finite numbers, the baseline stays as it is.
func (b *Baseline) Fit(observations []float32, returns []float64) {
	if len(returns) == 0 || len(observations)%len(returns) != 0 {
		panic(errVector)
	}
	width := len(observations) / len(returns)
	n := len(b.write(observations[:width]))
	square, right := mat.NewSymDense(n, nil), mat.NewVecDense(n, nil)
	for i, r := range returns {
		x := mat.NewVecDense(n, b.write(observations[i*width:(i+1)*width]))
		square.SymRankOne(square, 1, x)
		right.AddScaledVec(right, r, x)
	}
	for i := range n {
		square.SetSym(i, i, square.At(i, i)+ridge*mat.Trace(square)/float64(n))
	}
	var (
		cholesky mat.Cholesky
		weights  mat.VecDense
	)
	if !cholesky.Factorize(square) || cholesky.SolveVecTo(&weights, right) != nil {
		return
	}
	if sum := mat.Sum(&weights); !math.IsNaN(sum) && !math.IsInf(sum, 0) {
		b.weights = weights.RawVector().Data
	}
}
