package simd

import (
	"math"
	"unsafe"
)

// The pure-Go kernels for the exponential linear unit.

func elu[T Float](x []T, rows int) {
	checkELU(x, x, x, rows)
	for i, v := range x[:rows*Lanes] {
		if v < 0 {
			x[i] = expm1(v)
		}
	}
}

// For x < 0 the slope of ELU is e^x, which is 1 + out.
func eluAdjoint[T Float](dz, dx, out []T, rows int) {
	checkELU(dz, dx, out, rows)
	n := rows * Lanes
	dz, dx, out = dz[:n], dx[:n], out[:n]
	for i, d := range dx {
		dz[i] = d * (1 + min(out[i], 0))
	}
}

// expm1 uses package math in float64 and the short form below in float32.
func expm1[T Float](x T) T {
	if unsafe.Sizeof(x) == 4 {
		return T(Expm132(float32(x)))
	}
	return T(math.Expm1(float64(x)))
}

// Expm132 returns e^x - 1 for x ≤ 0, within 2 ulp of the true value. e^x - 1 is computed as 2^n·(e^t-1) + (2^n-1) with n an
// integer and t = x - n·ln2, |t| ≤ ln2/2. The second term is exact, and the first does not cancel it. e^t-1 is a polynomial of
// degree 6 with the coefficients of XNNPACK's ELU. Below -25 the result is -1. Sigmoid32 says what shift does.
func Expm132(x float32) float32 {
	const (
		low   = -25
		log2e = 0x1.715476p+0
		ln2   = 0x1.62e430p-1
		shift = 3<<22 + 127
	)
	x = max(x, low)
	n := float32(x*log2e) + shift
	t := float32(float64(x) - float64(n-shift)*ln2)
	p := float32(0x1.6b7338p-10)
	p = p*t + 0x1.12278ep-7
	p = p*t + 0x1.555716p-5
	p = p*t + 0x1.5554b0p-3
	p = p*t + 0x1.fffffep-2
	p = t + t*(t*p)
	power := math.Float32frombits(math.Float32bits(n) << 23)
	return power*p + (power - 1)
}
