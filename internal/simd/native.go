//go:build amd64 || arm64

package simd

import "unsafe"

// first returns the address of a slice's first element, nil if the slice is nil.
func first(x []float32) *float32 { return unsafe.SliceData(x) }
