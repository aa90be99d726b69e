package simd

import "unsafe"

// native returns the assembly kernels, which every arm64 CPU can run.
func native() []*Kernels[float32] {
	return []*Kernels[float32]{{
		Path: "neon",
		MatMul: func(c, a, x, bias []float32, lda, m, k int, acc bool) {
			checkMatMul(c, a, x, bias, lda, m, k)
			matMulNEON(first(c), first(a), first(x), first(bias), lda, m, k, acc)
		},
		Cell: func(z, cPrev, c, tc, h, h2 []float32, hidden int) {
			if checkCell(z, cPrev, c, tc, h, h2, hidden); hidden > 0 {
				cellNEON(first(z), first(cPrev), first(c), first(tc), first(h), first(h2), hidden)
			}
		},
		CellAdjoint: func(z, cPrev, tc, dh, dc []float32, hidden int) {
			if checkCell(z, cPrev, tc, dh, dc, dc, hidden); hidden > 0 {
				cellAdjointNEON(first(z), first(cPrev), first(tc), first(dh), first(dc), hidden)
			}
		},
		ELU: func(x []float32, rows int) {
			if checkELU(x, x, x, rows); rows > 0 {
				eluNEON(first(x), rows)
			}
		},
		ELUAdjoint: func(dz, dx, out []float32, rows int) {
			if checkELU(dz, dx, out, rows); rows > 0 {
				eluAdjointNEON(first(dz), first(dx), first(out), rows)
			}
		},
		Widen: func(x []float32, half []uint16, rows int) {
			if checkHalf(x, half, rows); rows > 0 {
				widenNEON(first(x), unsafe.SliceData(half), rows)
			}
		},
		Narrow: func(half []uint16, x []float32, rows int) {
			if checkHalf(x, half, rows); rows > 0 {
				narrowNEON(unsafe.SliceData(half), first(x), rows)
			}
		},
		Outer: func(dw, x, z []float32, k, m, steps, stride int) {
			checkOuter(dw, x, z, k, m, steps, stride, 4)
			outerNEON(first(dw), first(x), first(z), k, m, steps, stride)
		},
		Parts: 4,
		Drain: func(sum []float64, dw []float32) {
			checkDrain(sum, dw, 4)
			drainNEON(unsafe.SliceData(sum), first(dw), len(sum))
		},
		LogAndSign: func(x, grad []float32, p, large float32) {
			checkInputs(x, grad)
			logAndSignNEON(first(x), first(grad), p, large)
		},
		RNNProp: func(x, grad, mPrev, vPrev, m, v []float32, keep, take, correction, epsilon float32) {
			checkInputs(x, grad, mPrev, vPrev, m, v)
			rnnPropNEON(first(x), first(grad), first(mPrev), first(vPrev), first(m), first(v), keep, take, correction, epsilon)
		},
		Momenta: func(x, n, grad, old, now, corr []float32, inv float32) {
			checkMomenta(x, n, grad, old, now, corr)
			momentaNEON(first(x), first(n), first(grad), first(old), first(now), first(corr), inv)
		},
		MomentaAdjoint: func(dg, dx, dn, n, grad, now, dm, corr []float32, inv float32) {
			checkMomentaAdjoint(dg, dx, dn, n, grad, now, dm, corr)
			momentaAdjointNEON(first(dg), first(dx), first(dn), first(n), first(grad), first(now), first(dm), first(corr), inv)
		},
		Mix: func(y, z, n []float32) {
			checkMix(y, z, n)
			mixNEON(first(y), first(z), first(n))
		},
		MixAdjoint: func(dz, dn, dy, y, z, n []float32) {
			checkMixAdjoint(dz, dn, dy, y, z, n)
			mixAdjointNEON(first(dz), first(dn), first(dy), first(y), first(z), first(n))
		},
		Sums: func(sum *[SumRows]float64, grad, theta, u, m []float32) {
			checkSums(grad, theta, u, m)
			sumsNEON(&sum[0], first(grad), first(theta), first(u), first(m))
		},
		chains: fmaChainsNEON,
		width:  4,
	}}
}

// rounding returns no path: none rounds the factors of products here.
func rounding([]*Kernels[float32]) []*Kernels[float32] { return nil }
