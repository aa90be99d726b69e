package simd

import (
	"math"
	"unsafe"
)

// tanh and sigmoid in T: they use package math in float64 and the short forms below in float32.

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

// Tanh32 returns the hyperbolic tangent, within 7 ulp of the true value; NaN gives
// NaN. For |x| ≤ 9 it is a rational function x·P(x²)/Q(x²) with P and Q of degree 4 and slope 1
// at 0. Of all such functions it has the least relative error, 2.1e-8.
// For |x| > 9 the value is ±1 in float32.
func Tanh32(x float32) float32 {
	const clamp = 9
	if x > clamp {
		return 1
	}
	if x < -clamp {
		return -1
	}
	q := x * x
	p := float32(1.341983e-08)
	p = p*q + 2.0661268e-05
	p = p*q + 0.00349899639
	p = p*q + 0.133839805
	p = p*q + 1
	d := float32(7.80473255e-07)
	d = d*q + 0.00032910389
	d = d*q + 0.0258902075
	d = d*q + 0.46717302
	d = d*q + 1
	return x * p / d
}

// Sigmoid32 returns 1/(1+e^-x), within 7 ulp of the true value if that is a
// normal number, and within 5 ulp for |x| < 20. Below the smallest normal number the error
// is less than that number, and for x below -88.4 the result is 0. NaN gives NaN. e^-x is computed as
// 2^n·p(t) with n an integer and t = -x - n·ln2, |t| ≤ ln2/2. p has degree 5
// and the coefficients of XNNPACK's sigmoids. n·ln2 needs no second term, because the
// float32 nearest to ln2 differs from it by only 2e-9.
func Sigmoid32(x float32) float32 {
	const (
		low   = -89 // below it 2^n is +Inf and the result is 0
		high  = 87  // above it 2^n is no normal number; the result is 1 from 17 on
		log2e = 0x1.715476p+0
		ln2   = 0x1.62e430p-1
		// Adding shift to a small number rounds it to an integer n. Because shift also contains the bias
		// of the exponent, the lowest bits of the sum are the exponent of 2^n.
		shift = 3<<22 + 127
	)
	x = min(max(x, low), high)
	n := float32(x*-log2e) + shift
	t := float32(-float64(x) - float64(n-shift)*ln2)
	p := float32(0x1.0f9f9cp-7)
	p = p*t + 0x1.573a1ap-5
	p = p*t + 0x1.555a80p-3
	p = p*t + 0x1.fffdc6p-2
	p = p*t + 0x1.fffff6p-1
	p = p*t + 1
	return 1 / (1 + p*math.Float32frombits(math.Float32bits(n)<<23))
}
