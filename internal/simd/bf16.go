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

// packedStride is the length of a row of packed weights with m columns, whole vectors.
func packedStride(m int) int { return (m + 15) &^ 15 }

// PackedLen returns the length of an m×k weight matrix as Pack packs it.
func PackedLen(m, k int) int { return (k + 1) / 2 * packedStride(m) }

// pack is Pack: the twin of the assembly.
func pack(dst []uint32, a []float32, lda, m, k int) {
	checkPack(dst, a, lda, m, k)
	for j := 0; j < k; j += 2 {
		for i := range m {
			word := math.Float32bits(BF16(a[j*lda+i])) >> 16
			if j+1 < k {
				word |= math.Float32bits(BF16(a[(j+1)*lda+i])) &^ 0xffff
			}
			dst[j/2*packedStride(m)+i] = word
		}
	}
}

// matMulPacked is MatMulPacked: the twin of the assembly.
func matMulPacked(c []float32, a []uint32, x, bias []float32, m, k int) {
	checkPacked(c, a, x, bias, m, k)
	for i := range m {
		for l := range Lanes {
			s := c[i*Lanes+l]
			if bias != nil {
				s = bias[i]
			}
			for j := range k {
				word := a[j/2*packedStride(m)+i] << 16
				if j%2 == 1 {
					word = a[j/2*packedStride(m)+i] &^ 0xffff
				}
				s += math.Float32frombits(word) * BF16(x[j*Lanes+l])
			}
			c[i*Lanes+l] = s
		}
	}
}
