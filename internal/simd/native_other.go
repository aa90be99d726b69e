//go:build !amd64 && !arm64

package simd

// native returns nothing: there is no assembly for this architecture.
func native() []*Kernels[float32] { return nil }

// rounding returns no path: none rounds the factors of products here.
func rounding([]*Kernels[float32]) []*Kernels[float32] { return nil }
