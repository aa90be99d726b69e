package divergence

import (
	"math"
	"testing"
)

// Divergences of softmaxes by their definition, near each other to second order, and of logits whose exponentials overflow.
func TestOf(t *testing.T) {
	of := func(z, w []float64) float64 {
		p, q := make([]float64, len(z)), make([]float64, len(z))
		LogSoftmax(p, z)
		LogSoftmax(q, w)
		return Of(p, q)
	}
	// Logarithms have errors of 1e-16, a 1e-8th of the differences of the third case.
	for _, c := range []struct {
		z, w []float64
		want float64
	}{
		{[]float64{0, 0}, []float64{math.Log(3), 0}, 0.5*math.Log(0.5/0.75) + 0.5*math.Log(0.5/0.25)},
		{[]float64{math.Log(2), 0, 0}, []float64{0, 0, 0}, 0.5*math.Log(0.5*3) + 0.5*math.Log(0.25*3)},
		{[]float64{0, 0}, []float64{1e-7, 0}, 1e-14 / 8},                  // ½ u²p(1−p)
		{[]float64{1000, 0}, []float64{1000, 2000}, 1000},                 // p = (1, 0)
		{[]float64{-1000, 1000}, []float64{-1000, 1000}, 0},               // a probability of 0
		{[]float64{0, -1e4}, []float64{math.Log(3), 0}, math.Log(4. / 3)}, // an unused class
	} {
		if got := of(c.z, c.w); !(math.Abs(got-c.want) <= 1e-8*c.want) {
			t.Errorf("KL(%v ‖ %v) = %v, want %v", c.z, c.w, got, c.want)
		}
	}
}
