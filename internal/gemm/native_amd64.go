package gemm

import (
	"slices"
	"unsafe"

	"learnedopt/internal/simd"
)

// native returns the assembly kernels of the paths that this CPU has.
func native() []*Kernel {
	paths := simd.Paths()
	var all []*Kernel
	if slices.Contains(paths, "avx512") {
		all = append(all, &Kernel{Path: "avx512", width: 32,
			panel: func(c, a, b []float32, cr, ar, ac, br, m, n, k int, acc bool) {
				panelAVX512(unsafe.SliceData(c), unsafe.SliceData(a), unsafe.SliceData(b), cr, ar, ac, br, m, n, k, acc)
			},
			pixels: func(dst []float32, src []byte) {
				pixelsAVX512(unsafe.SliceData(dst), unsafe.SliceData(src), len(src))
			}})
	}
	if slices.Contains(paths, "avx512bf16") { // nothing is rounded here
		k := *all[0]
		k.Path = "avx512bf16"
		all = append(all, &k)
	}
	if slices.Contains(paths, "avx2") {
		all = append(all, &Kernel{Path: "avx2", width: 24,
			panel: func(c, a, b []float32, cr, ar, ac, br, m, n, k int, acc bool) {
				panelAVX2(unsafe.SliceData(c), unsafe.SliceData(a), unsafe.SliceData(b), cr, ar, ac, br, m, n, k, acc)
			},
			pixels: func(dst []float32, src []byte) {
				pixelsAVX2(unsafe.SliceData(dst), unsafe.SliceData(src), len(src))
			}})
	}
	return all
}
