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

// What else than a positive number a field may be, for inRange.
const (
	forDefault = ", or 0 for the default"
	orZero     = ", or 0"
)

// inRange returns an error unless value is in [low, high) and survives the
// conversion to float32 that the rules compute in. zero says what 0 is, if it is anything.
func inRange(rule, field string, value, low, high float64, zero string) error {
	if !(low <= value && value < high) {
		least := "at least"
		if low == 0 && zero == "" {
			least = "more than"
		}
		return fmt.Errorf("baselines: %s: %s is %v; want %s %v and less than %v", rule, field, value, least, low, high)
	}
	if value != 0 && float32(value) == 0 {
		return fmt.Errorf("baselines: %s: %s is %v, which is zero in float32; want at least 1e-45%s", rule, field, value, zero)
	}
	return nil
}

// learningRate returns an error unless a rule's learning rate is positive. It has no default: a rate of 0 that is
// computed or swept over must not move.
func learningRate(rule string, value float64) error {
	if value == 0 {
		return unset(rule, "learning rate", "would not move", fmt.Sprintf("LearningRate, torch.optim's default is %v", DefaultLearningRate(rule)))
	}
	return inRange(rule, "learning rate", value, 0, limit, "")
}

// unset is the error of a field that is 0 and has no default.
func unset(rule, field, zero, remedy string) error {
	return fmt.Errorf("baselines: %s: %s 0 %s; set %s", rule, field, zero, remedy)
}

// limit is above every learning rate and epsilon: the largest float32.
const limit = math.MaxFloat32
