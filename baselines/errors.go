package baselines

import (
	"errors"
	"fmt"
	"math"
)

// Panics of callers' mistakes.
const (
	errLength    = "baselines: slice length differs from the number of coordinates"
	errDimension = "baselines: number of coordinates is not positive"
	errInvalid   = "baselines: invalid rule; Validate says what is wrong"
	errGrid      = "baselines: number of learning rates a decade is not positive"
)

// ErrState is wrapped by every error of a state's UnmarshalBinary.
var ErrState = errors.New("baselines: bad state")

// inRange returns an error unless value is in [low, high) and survives the
// conversion to float32 that the rules compute in. Zero stands for the default.
func inRange(rule, field string, value, low, high float64) error {
	if !(low <= value && value < high) {
		return fmt.Errorf("baselines: %s: %s is %v; want at least %v and less than %v", rule, field, value, low, high)
	}
	if value != 0 && float32(value) == 0 {
		return fmt.Errorf("baselines: %s: %s is %v, which is zero in float32; want at least 1e-45, or 0 for the default", rule, field, value)
	}
	return nil
}

// limit is above every learning rate and epsilon: the largest float32.
const limit = math.MaxFloat32
