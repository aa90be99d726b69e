package gemm

import "unsafe"

// native returns the assembly kernels, which every arm64 CPU can run.
func native() []*Kernel {
	return []*Kernel{{Path: "neon", width: 24,
		panel: func(c, a, b []float32, cr, ar, ac, br, m, n, k int, acc bool) {
			panelNEON(unsafe.SliceData(c), unsafe.SliceData(a), unsafe.SliceData(b), cr, ar, ac, br, m, n, k, acc)
		},
		pixels: func(dst []float32, src []byte) {
			pixelsNEON(unsafe.SliceData(dst), unsafe.SliceData(src), len(src))
		}}}
}
