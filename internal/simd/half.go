package simd

import "math"

// largestHalf is the largest finite float16.
const largestHalf = 65504

// FromHalf returns the number of a float16 (IEEE 754 binary16: a sign, 5 bits of exponent, 10 of fraction).
func FromHalf(half uint16) float32 {
	sign, exponent, fraction := uint32(half>>15)<<31, uint32(half>>10&31), uint32(half&(1<<10-1))
	switch exponent {
	case 0: // 2^-24 times the fraction
		return math.Float32frombits(math.Float32bits(float32(fraction)*0x1p-24) | sign)
	case 31:
		return math.Float32frombits(sign | 255<<23 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}

// ToHalf returns the float16 nearest to x, of two equally near ones the even one. Numbers beyond ±65504, the largest one,
// become ±65504, infinities too. A NaN remains one.
func ToHalf(x float32) uint16 {
	sign := uint16(math.Float32bits(x) >> 31 << 15)
	switch x = float32(math.Abs(float64(x))); {
	case x != x:
		return sign | 0x7e00
	case x >= largestHalf:
		return sign | 0x7bff
	case x < 0x1p-14:
		// The sum's last bit is worth 2^-24, as that of a subnormal float16.
		return sign | uint16(math.Float32bits(x+0.5)-math.Float32bits(0.5))
	}
	bits := math.Float32bits(x) - (127-15)<<23
	// Add half a unit in the last place; a tie goes up if the last bit is 1.
	return sign | uint16((bits+1<<12-1+bits>>13&1)>>13)
}

func widen[T Float](x []T, half []uint16, rows int) {
	checkHalf(x, half, rows)
	for i, h := range half[:rows*Lanes] {
		x[i] = T(FromHalf(h))
	}
}

func narrow[T Float](half []uint16, x []T, rows int) {
	checkHalf(x, half, rows)
	for i, v := range x[:rows*Lanes] {
		half[i] = ToHalf(float32(v))
	}
}
