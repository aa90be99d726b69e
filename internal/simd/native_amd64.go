package simd

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

// native returns the assembly kernels that this CPU and its operating system
// can run, the fastest first.
func native() []*Kernels[float32] {
	var all []*Kernels[float32]
	if cpu.X86.HasAVX512F && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VL {
		all = append(all, &Kernels[float32]{
			Path: "avx512",
			MatMul: func(c, a, x, bias []float32, lda, m, k int, acc bool) {
				checkMatMul(c, a, x, bias, lda, m, k)
				matMulAVX512(first(c), first(a), first(x), first(bias), lda, m, k, acc)
			},
			Cell: func(z, cPrev, c, tc, h, h2 []float32, hidden int) {
				if checkCell(z, cPrev, c, tc, h, h2, hidden); hidden > 0 {
					cellAVX512(first(z), first(cPrev), first(c), first(tc), first(h), first(h2), hidden)
				}
			},
			CellAdjoint: func(z, cPrev, tc, dh, dc []float32, hidden int) {
				if checkCell(z, cPrev, tc, dh, dc, dc, hidden); hidden > 0 {
					cellAdjointAVX512(first(z), first(cPrev), first(tc), first(dh), first(dc), hidden)
				}
			},
			ELU: func(x []float32, rows int) {
				if checkELU(x, x, x, rows); rows > 0 {
					eluAVX512(first(x), rows)
				}
			},
			ELUAdjoint: func(dz, dx, out []float32, rows int) {
				if checkELU(dz, dx, out, rows); rows > 0 {
					eluAdjointAVX512(first(dz), first(dx), first(out), rows)
				}
			},
			Widen: func(x []float32, half []uint16, rows int) {
				if checkHalf(x, half, rows); rows > 0 {
					widenAVX512(first(x), unsafe.SliceData(half), rows)
				}
			},
			Narrow: func(half []uint16, x []float32, rows int) {
				if checkHalf(x, half, rows); rows > 0 {
					narrowAVX512(unsafe.SliceData(half), first(x), rows)
				}
			},
			Outer: func(dw, x, z []float32, k, m, steps, stride int) {
				checkOuter(dw, x, z, k, m, steps, stride, 16)
				outerAVX512(first(dw), first(x), first(z), k, m, steps, stride)
			},
			Parts: 16,
			Drain: func(sum []float64, dw []float32) {
				checkDrain(sum, dw, 16)
				drainAVX512(unsafe.SliceData(sum), first(dw), len(sum))
			},
			LogAndSign: func(x, grad []float32, p, large float32) {
				checkInputs(x, grad)
				logAndSignAVX512(first(x), first(grad), p, large)
			},
			RNNProp: func(x, grad, mPrev, vPrev, m, v []float32, keep, take, correction, epsilon float32) {
				checkInputs(x, grad, mPrev, vPrev, m, v)
				rnnPropAVX512(first(x), first(grad), first(mPrev), first(vPrev), first(m), first(v), keep, take, correction, epsilon)
			},
			Momenta: func(x, n, grad, old, now, corr []float32, inv float32) {
				checkMomenta(x, n, grad, old, now, corr)
				momentaAVX512(first(x), first(n), first(grad), first(old), first(now), first(corr), inv)
			},
			MomentaAdjoint: func(dg, dx, dn, n, grad, now, dm, corr []float32, inv float32) {
				checkMomentaAdjoint(dg, dx, dn, n, grad, now, dm, corr)
				momentaAdjointAVX512(first(dg), first(dx), first(dn), first(n), first(grad), first(now), first(dm), first(corr), inv)
			},
			Mix: func(y, z, n []float32) {
				checkMix(y, z, n)
				mixAVX512(first(y), first(z), first(n))
			},
			MixAdjoint: func(dz, dn, dy, y, z, n []float32) {
				checkMixAdjoint(dz, dn, dy, y, z, n)
				mixAdjointAVX512(first(dz), first(dn), first(dy), first(y), first(z), first(n))
			},
			Sums: func(sum *[SumRows]float64, grad, theta, u, m []float32) {
				checkSums(grad, theta, u, m)
				sumsAVX512(&sum[0], first(grad), first(theta), first(u), first(m))
			},
			chains: fmaChainsAVX512,
			width:  16,
		})
	}
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA && hasF16C() {
		all = append(all, &Kernels[float32]{
			Path: "avx2",
			MatMul: func(c, a, x, bias []float32, lda, m, k int, acc bool) {
				checkMatMul(c, a, x, bias, lda, m, k)
				matMulAVX2(first(c), first(a), first(x), first(bias), lda, m, k, acc)
			},
			Cell: func(z, cPrev, c, tc, h, h2 []float32, hidden int) {
				if checkCell(z, cPrev, c, tc, h, h2, hidden); hidden > 0 {
					cellAVX2(first(z), first(cPrev), first(c), first(tc), first(h), first(h2), hidden)
				}
			},
			CellAdjoint: func(z, cPrev, tc, dh, dc []float32, hidden int) {
				if checkCell(z, cPrev, tc, dh, dc, dc, hidden); hidden > 0 {
					cellAdjointAVX2(first(z), first(cPrev), first(tc), first(dh), first(dc), hidden)
				}
			},
			ELU: func(x []float32, rows int) {
				if checkELU(x, x, x, rows); rows > 0 {
					eluAVX2(first(x), rows)
				}
			},
			ELUAdjoint: func(dz, dx, out []float32, rows int) {
				if checkELU(dz, dx, out, rows); rows > 0 {
					eluAdjointAVX2(first(dz), first(dx), first(out), rows)
				}
			},
			Widen: func(x []float32, half []uint16, rows int) {
				if checkHalf(x, half, rows); rows > 0 {
					widenAVX2(first(x), unsafe.SliceData(half), rows)
				}
			},
			Narrow: func(half []uint16, x []float32, rows int) {
				if checkHalf(x, half, rows); rows > 0 {
					narrowAVX2(unsafe.SliceData(half), first(x), rows)
				}
			},
			Outer: func(dw, x, z []float32, k, m, steps, stride int) {
				checkOuter(dw, x, z, k, m, steps, stride, 8)
				outerAVX2(first(dw), first(x), first(z), k, m, steps, stride)
			},
			Parts: 8,
			Drain: func(sum []float64, dw []float32) {
				checkDrain(sum, dw, 8)
				drainAVX2(unsafe.SliceData(sum), first(dw), len(sum))
			},
			LogAndSign: func(x, grad []float32, p, large float32) {
				checkInputs(x, grad)
				logAndSignAVX2(first(x), first(grad), p, large)
			},
			RNNProp: func(x, grad, mPrev, vPrev, m, v []float32, keep, take, correction, epsilon float32) {
				checkInputs(x, grad, mPrev, vPrev, m, v)
				rnnPropAVX2(first(x), first(grad), first(mPrev), first(vPrev), first(m), first(v), keep, take, correction, epsilon)
			},
			Momenta: func(x, n, grad, old, now, corr []float32, inv float32) {
				checkMomenta(x, n, grad, old, now, corr)
				momentaAVX2(first(x), first(n), first(grad), first(old), first(now), first(corr), inv)
			},
			MomentaAdjoint: func(dg, dx, dn, n, grad, now, dm, corr []float32, inv float32) {
				checkMomentaAdjoint(dg, dx, dn, n, grad, now, dm, corr)
				momentaAdjointAVX2(first(dg), first(dx), first(dn), first(n), first(grad), first(now), first(dm), first(corr), inv)
			},
			Mix: func(y, z, n []float32) {
				checkMix(y, z, n)
				mixAVX2(first(y), first(z), first(n))
			},
			MixAdjoint: func(dz, dn, dy, y, z, n []float32) {
				checkMixAdjoint(dz, dn, dy, y, z, n)
				mixAdjointAVX2(first(dz), first(dn), first(dy), first(y), first(z), first(n))
			},
			Sums: func(sum *[SumRows]float64, grad, theta, u, m []float32) {
				checkSums(grad, theta, u, m)
				sumsAVX2(&sum[0], first(grad), first(theta), first(u), first(m))
			},
			chains: fmaChainsAVX2,
			width:  8,
		})
	}
	return all
}

// rounding returns the paths that round the factors of products. All else they have of one of the exact paths, which are given.
func rounding(exact []*Kernels[float32]) []*Kernels[float32] {
	if exact[0].Path != "avx512" || !cpu.X86.HasAVX512BF16 {
		return nil
	}
	k := *exact[0]
	k.Path = "avx512bf16"
	k.Pack = func(dst []uint32, a []float32, lda, m, k int) {
		if checkPack(dst, a, lda, m, k); m > 0 && k > 0 {
			packBF16AVX512(unsafe.SliceData(dst), first(a), lda, m, k)
		}
	}
	k.MatMulPacked = func(c []float32, a []uint32, x, bias []float32, m, k int) {
		checkPacked(c, a, x, bias, m, k)
		stride := packedStride(m)
		for j := 0; j < k || j == 0; j += bf16Terms {
			matMulBF16AVX512(first(c), unsafe.SliceData(a[j/2*stride:]), first(x[j*Lanes:]), first(bias), stride, m, min(k-j, bf16Terms))
			bias = nil
		}
	}
	return []*Kernels[float32]{&k}
}
