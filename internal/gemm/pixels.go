package gemm

// unit is px/255 for every byte.
var unit = func() (u [256]float32) {
	for i := range u {
		u[i] = float32(i) / 255
	}
	return u
}()

// Pixels scales bytes to [0, 1],
//
//	dst[i] = float32(src[i]) / 255,
//
// correctly rounded on every path. It panics unless the lengths are equal.
func (k *Kernel) Pixels(dst []float32, src []byte) {
	if len(dst) != len(src) {
		panic(errPixels)
	}
	if k.pixels != nil && len(src) >= 16 {
		k.pixels(dst, src)
		whole := len(src) &^ 15
		dst, src = dst[whole:], src[whole:]
	}
	for i, px := range src {
		dst[i] = unit[px]
	}
}
