package layers

import (
	"errors"
	"math"
)

// ErrOverflow says that a solution or a derivative is too large for float32: choose other units.
var ErrOverflow = errors.New("a result is beyond the range of float32; choose other units")

// narrow writes v as float32 into dst, or returns ErrOverflow.
func narrow(dst []float32, v ...float64) error {
	for i, x := range v {
		if !(math.Abs(x) <= math.MaxFloat32) {
			return ErrOverflow
		}
		dst[i] = float32(x)
	}
	return nil
}
