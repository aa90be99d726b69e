//go:build !amd64 && !arm64

package gemm

// native returns nothing: there is no assembly for this architecture.
func native() []*Kernel { return nil }
