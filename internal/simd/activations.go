package simd

import (
	"math"
	"unsafe"
)

// tanh and sigmoid in T: math's in float64, the short forms below in float32.

func tanh[T Float](x T) T {
	if unsafe.Sizeof(x) == 4 {
		return T(Tanh32(float32(x)))
	}
	return T(math.Tanh(float64(x)))
}

func sigmoid[T Float](x T) T {
	if unsafe.Sizeof(x) == 4 {
		return T(Sigmoid32(float32(x)))
	}
	return T(1 / (1 + math.Exp(-float64(x))))
}

// Tanh32 is the hyperbolic tangent as an odd rational function of degree
// 13/6 (the minimax fit that Eigen uses), within 6 ulp of the true value;
// NaN gives NaN.
func Tanh32(x float32) float32 {
	const clamp = 7.90531110763549805
	if x > clamp {
		return 1
	}
	if x < -clamp {
		return -1
	}
	q := x * x
	p := float32(-2.76076847742355e-16)
	p = p*q + 2.00018790482477e-13
	p = p*q - 8.60467152213735e-11
	p = p*q + 5.12229709037114e-08
	p = p*q + 1.48572235717979e-05
	p = p*q + 6.37261928875436e-04
	p = p*q + 4.89352455891786e-03
	d := float32(1.19825839466702e-06)
	d = d*q + 1.18534705686654e-04
	d = d*q + 2.26843463243900e-03
	d = d*q + 4.89352518554385e-03
	return x * p / d
}

// Sigmoid32 is 1/(1+e^-x), within 3 ulp of the true value down to the
// smallest normal result; below that it gives 0. NaN gives NaN.
func Sigmoid32(x float32) float32 {
	e := expNeg32(float32(math.Abs(float64(x))))
	if x < 0 {
		return e / (1 + e)
	}
	return 1 / (1 + e)
}

// expNeg32 is e^-x for x ≥ 0: 2^n · p(r) with x = n ln 2 + r, |r| ≤ ln2/2 and
// p of degree 6 (Cephes' expf). Results under the smallest normal give 0.
func expNeg32(x float32) float32 {
	const (
		max   = 87.33654
		log2e = 1.44269504088896341
		hi    = 0.693359375
		lo    = -2.12194440e-4
	)
	if x > max {
		return 0
	}
	const shift = 3 << 22 // adding it rounds to the nearest integer
	n := float32(float32(x*-log2e)+shift) - shift
	r := -x - n*hi
	r -= n * lo
	p := float32(1.9875691500e-4)
	p = p*r + 1.3981999507e-3
	p = p*r + 8.3334519073e-3
	p = p*r + 4.1665795894e-2
	p = p*r + 1.6666665459e-1
	p = p*r + 5.0000001201e-1
	p = p*r*r + r + 1
	return p * math.Float32frombits(uint32(int32(n)+127)<<23)
}
