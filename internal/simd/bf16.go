package simd

import "math"

// BF16 returns the bfloat16 nearest to x, of two equally near ones the even one: a float32 with 8 bits of precision, the leading
// one included. Subnormal numbers become 0, as in the kernels. A NaN remains one.
func BF16(x float32) float32 {
	bits := math.Float32bits(x)
	switch {
	case x != x:
		return x
	case bits<<1 < 1<<24:
		return math.Float32frombits(bits & (1 << 31))
	}
	return math.Float32frombits((bits + 0x7fff + bits>>16&1) &^ 0xffff)
}

// matMulBF16 is MatMul with both factors of every product rounded to bfloat16.
func matMulBF16(c, a, x, bias []float32, lda, m, k int, acc bool) {
	checkMatMul(c, a, x, bias, lda, m, k)
	for i := range m {
		for l := range Lanes {
			var s float32
			switch {
			case bias != nil:
				s = bias[i]
			case acc:
				s = c[i*Lanes+l]
			}
			for j := range k {
				s += BF16(a[j*lda+i]) * BF16(x[j*Lanes+l])
			}
			c[i*Lanes+l] = s
		}
	}
}
