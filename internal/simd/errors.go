package simd

// Panics after a caller's mistake. Assembly does not see where a
// slice ends, so every kernel checks the lengths before it starts.
const (
	errPack   = "simd: Pack or MatMulPacked: slice too short or negative size"
	errMatMul = "simd: MatMul: slice too short or negative size"
	errCell   = "simd: Cell: slice too short or negative size"
	errELU    = "simd: ELU, ELUAdjoint: slice too short or negative size"
	errHalf   = "simd: Widen, Narrow: slice too short or negative size"
	errOuter  = "simd: Outer: slice too short or negative size"
	errDrain  = "simd: Drain: slice too short"
	errInputs = "simd: LogAndSign, RNNProp: slice too short"

	errMomenta = "simd: Momenta, MomentaAdjoint: slice too short"
	errMix     = "simd: Mix, MixAdjoint: slice too short"
	errSums    = "simd: Sums: slice too short"
)

func checkMatMul[T Float](c, a, x, bias []T, lda, m, k int) {
	if m < 0 || k < 0 || len(c) < m*Lanes || len(x) < k*Lanes || (bias != nil && len(bias) < m) ||
		(m > 0 && k > 0 && (lda < m || len(a) < (k-1)*lda+m)) {
		panic(errMatMul)
	}
}

func checkPack[T Float](dst []uint32, a []T, lda, m, k int) {
	if m < 0 || k < 0 || len(dst) < PackedLen(m, k) || (m > 0 && k > 0 && (lda < m || len(a) < (k-1)*lda+m)) {
		panic(errPack)
	}
}

func checkPacked[T Float](c []T, a []uint32, x, bias []T, m, k int) {
	if m < 0 || k < 0 || len(c) < m*Lanes || len(a) < PackedLen(m, k) || len(x) < k*Lanes || (bias != nil && len(bias) < m) {
		panic(errPack)
	}
}

func checkCell[T Float](z, p, q, r, s, u []T, hidden int) {
	n := hidden * Lanes
	if hidden < 0 || len(z) < 4*n || len(p) < n || len(q) < n || len(r) < n || len(s) < n || len(u) < n {
		panic(errCell)
	}
}

func checkELU[T Float](x, y, z []T, rows int) {
	if n := rows * Lanes; rows < 0 || len(x) < n || len(y) < n || len(z) < n {
		panic(errELU)
	}
}

func checkHalf[T Float](x []T, half []uint16, rows int) {
	if n := rows * Lanes; rows < 0 || len(x) < n || len(half) < n {
		panic(errHalf)
	}
}

func checkOuter[T Float](dw, x, z []T, k, m, steps, stride, parts int) {
	if k < 0 || m < 0 || steps < 0 || len(dw) < k*m*parts ||
		(steps > 0 && (stride < 0 || len(x) < (steps-1)*stride+k*Lanes || len(z) < (steps-1)*stride+m*Lanes)) {
		panic(errOuter)
	}
}

func checkDrain[T Float](sum []float64, dw []T, parts int) {
	if len(dw) < len(sum)*parts {
		panic(errDrain)
	}
}

func checkInputs[T Float](x []T, rows ...[]T) {
	short := len(x) < 2*Lanes
	for _, r := range rows {
		short = short || len(r) < Lanes
	}
	if short {
		panic(errInputs)
	}
}

func checkMomenta[T Float](x, n, grad, old, now, corr []T) {
	if len(x) < MomentaRows*Lanes || len(n) < (Directions+1)*Lanes || len(grad) < Lanes || len(old) < Moments*Lanes ||
		len(now) < Moments*Lanes || len(corr) < Moments {
		panic(errMomenta)
	}
}

func checkMomentaAdjoint[T Float](dg, dx, dn, n, grad, now, dm, corr []T) {
	if len(dg) < Lanes || dn != nil && len(dn) < Directions*Lanes {
		panic(errMomenta)
	}
	checkMomenta(dx, n, grad, now, dm, corr)
}

func checkMix[T Float](y, z, n []T) {
	if len(y) < Lanes || len(z) < (Mixed+1)*Lanes || len(n) < Directions*Lanes {
		panic(errMix)
	}
}

func checkMixAdjoint[T Float](dz, dn, dy, y, z, n []T) {
	if len(dz) < (Mixed+1)*Lanes || len(dy) < Lanes || dn != nil && len(dn) < Directions*Lanes {
		panic(errMix)
	}
	checkMix(y, z, n)
}

func checkSums[T Float](grad, theta, u, m []T) {
	if len(grad) < Lanes || len(theta) < Lanes || len(u) < Lanes || m != nil && len(m) < 2*Lanes {
		panic(errSums)
	}
}
