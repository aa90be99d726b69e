package baselines

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Panic texts for callers' mistakes.
const (
	errDimension = "baselines: number of coordinates is not positive"
	errTotal     = "baselines: number of steps of the run is unknown; set the rule's Steps or Point.Total"
	errGrid      = "baselines: number of learning rates a decade is not positive"
)

// ErrState is wrapped by every error of a state's UnmarshalBinary.
var ErrState = errors.New("baselines: bad state")

// Texts for inRange: what 0 means in a field that accepts it.
const (
	forDefault = ", or 0 for the default"
	orZero     = ", or 0"
)

// inRange returns an error unless value is in [low, high) and a value other than
// 0 stays so in float32, in which the rules compute. zero says what 0 means, or is empty.
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

// validBetas returns an error unless a rule's β₁ and β₂ are in [0, 1).
func validBetas(rule string, betas [2]float64) error {
	return errors.Join(inRange(rule, "beta1", betas[0], 0, 1, orZero), inRange(rule, "beta2", betas[1], 0, 1, orZero))
}

// learningRate returns an error unless a rule's learning rate is positive. It has no default: a computed or swept rate
// of 0 must not silently become another one.
func learningRate(rule string, value float64) error {
	if value == 0 {
		whose := "torch.optim's default"
		if slices.Contains(modern, rule) {
			whose = "its authors' default"
		}
		return unset(rule, "learning rate", "would not move", fmt.Sprintf("LearningRate, %s is %v", whose, DefaultLearningRate(rule)))
	}
	return inRange(rule, "learning rate", value, 0, limit, "")
}

// unset returns the error for a field that is 0 and has no default.
func unset(rule, field, zero, remedy string) error {
	return fmt.Errorf("baselines: %s: %s 0 %s; set %s", rule, field, zero, remedy)
}

// limit is the upper bound of learning rates and epsilons: the largest float32.
const limit = math.MaxFloat32
