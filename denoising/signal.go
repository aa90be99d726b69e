package denoising

import "math/rand/v2"

// A Signal is a piecewise constant signal and what is measured of it.
type Signal struct {
	Clean, Noisy []float64
}

// Draw returns a signal of n numbers as in the paper's code: one to nine pieces, each number of them as likely as another, with heights uniform
// between 10 and 100, measured with normal noise of standard deviation 10. n is at least 1; short signals have fewer pieces.
func Draw(r *rand.Rand, n int) Signal {
	s := Signal{make([]float64, n), make([]float64, n)}
	jump := make([]bool, n)
	for left := min(r.IntN(9), n-1); left > 0; {
		if i := 1 + r.IntN(n-1); !jump[i] {
			jump[i] = true
			left--
		}
	}
	height := 0.0
	for i := range n {
		if i == 0 || jump[i] {
			height = 10 + 90*r.Float64()
		}
		s.Clean[i] = height
		s.Noisy[i] = height + 10*r.NormFloat64()
	}
	return s
}

// MeanSquare returns the mean of (x_i − y_i)².
func MeanSquare(x, y []float64) float64 {
	sum := 0.0
	for i, v := range x {
		sum += (v - y[i]) * (v - y[i])
	}
	return sum / float64(len(x))
}
