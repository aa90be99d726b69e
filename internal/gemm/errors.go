package gemm

// Panics of callers' mistakes.
const (
	errShape  = "gemm: Mul: shapes that do not agree or exceed their data"
	errPixels = "gemm: Pixels: lengths differ"
)
