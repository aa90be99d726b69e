package gemm

// Panics after a caller's mistake.
const (
	errShape  = "gemm: Mul: shapes that do not agree or exceed their data"
	errPixels = "gemm: Pixels: lengths differ"
)
