package simd

// Panics after a caller's mistake. Assembly does not see where a
// slice ends, so every kernel checks the lengths before it starts.
const (
	errMatMul = "simd: MatMul: slice too short or negative size"
	errCell   = "simd: Cell: slice too short or negative size"
	errOuter  = "simd: Outer: slice too short or negative size"
	errDrain  = "simd: Drain: slice too short"
	errInputs = "simd: LogAndSign, RNNProp: slice too short"
)

func checkMatMul[T Float](c, a, x, bias []T, lda, m, k int) {
	if m < 0 || k < 0 || len(c) < m*Lanes || len(x) < k*Lanes || (bias != nil && len(bias) < m) ||
		(m > 0 && k > 0 && (lda < m || len(a) < (k-1)*lda+m)) {
		panic(errMatMul)
	}
}

func checkCell[T Float](z, p, q, r, s, u []T, hidden int) {
	n := hidden * Lanes
	if hidden < 0 || len(z) < 4*n || len(p) < n || len(q) < n || len(r) < n || len(s) < n || len(u) < n {
		panic(errCell)
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
