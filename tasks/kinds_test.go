package tasks

import (
	"math"
	"testing"
)

// Elements of the matrix have mean 0 and variance 1.01, most rows of a gradient are 0, and those that a minibatch meets are not.
func TestFactorizationIsSparse(t *testing.T) {
	const dims = 300
	p := sample(t, Factorization{Dims: dims, Batch: 32}, 5).(*factorization)
	sum, squares := 0.0, 0.0
	for _, e := range p.known {
		sum += e.value / float64(len(p.known))
		squares += e.value * e.value / float64(len(p.known))
	}
	// The mean of 6,000 products of 600 rows has a standard deviation of about 0.03, and so has that of the squares, times 3.
	if math.Abs(sum) > 0.1 || math.Abs(squares-1.01) > 0.3 {
		t.Errorf("%d elements have mean %v and mean square %v", len(p.known), sum, squares)
	}
	theta, grad := make([]float32, p.Dim()), make([]float32, p.Dim())
	p.Init(theta)
	lossGrad(t, p, theta, grad)
	met := map[int]bool{}
	for _, k := range p.batch {
		met[p.known[k].row], met[p.known[k].column] = true, true
	}
	for row := 0; row < len(grad); row += rank {
		moved := false
		for _, g := range grad[row : row+rank] {
			moved = moved || g != 0
		}
		if moved != met[row] {
			t.Errorf("row %d: gradient %v, met by the minibatch: %v", row/rank, grad[row:row+rank], met[row])
		}
	}
	if len(met) > 64 {
		t.Errorf("32 elements meet %d rows", len(met))
	}
}

// All steps see the same points, targets have the variance 3/2 of three waves, and two problems have different functions.
func TestSinusoidHasNoNoise(t *testing.T) {
	f := Sinusoid{Dims: 2, Units: 6, Batch: 50}
	mean := 0.0
	for i := range uint64(100) {
		p := sample(t, f, i).(*sinusoid)
		for _, y := range p.y {
			mean += float64(y) * float64(y) / 5000
		}
	}
	if math.Abs(mean-1.5) > 0.4 {
		t.Errorf("targets have mean square %v, want about 1.5", mean)
	}
	p, q := sample(t, f, 1), sample(t, f, 2)
	theta, grad := make([]float32, p.Dim()), make([]float32, p.Dim())
	p.Init(theta)
	first := lossGrad(t, p, theta, grad)
	if second := lossGrad(t, p, theta, grad); second != first {
		t.Errorf("losses %v and %v at one point", first, second)
	}
	if other := lossGrad(t, q, theta, grad); other == first {
		t.Errorf("two problems have the loss %v", other)
	}
	if n := testing.AllocsPerRun(10, func() { lossGrad(t, p, theta, grad) }); n != 0 {
		t.Errorf("a step allocates %v times", n)
	}
}
