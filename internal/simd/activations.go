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

// Tanh32 is the hyperbolic tangent, within 7 ulp of the true value; NaN gives
// NaN. It is the odd rational function x·P(x²)/Q(x²), P and Q of degree 4, that
// is nearest to it relatively, by 2.1e-8, on |x| ≤ 9 and among those of slope 1
// at 0; beyond, the value is ±1 in float32.
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

// Sigmoid32 is 1/(1+e^-x), within 7 ulp of the true value where that is a
// normal number, within 5 for |x| < 20; below the smallest normal number it is
// wrong by less than that number, and 0 from -88.4 on. NaN gives NaN. e^-x is
// 2^n·p(t) with n an integer and t = -x - n·ln2, |t| ≤ ln2/2. p has degree 5,
// with the coefficients of XNNPACK's sigmoids. n·ln2 needs no second term: the
// float32 that is nearest to ln2 misses it by 2e-9 only.
func Sigmoid32(x float32) float32 {
	const (
		low   = -89 // from here on 2^n is +Inf, and the result 0
		high  = 87  // from here on 2^n is no normal number; the result is 1 since 17
		log2e = 0x1.715476p+0
		ln2   = 0x1.62e430p-1
		// Added to a small number, shift rounds it to an integer; with the bias
		// of the exponent added, the sum's lowest bits are 2^n's exponent.
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
