package rules

import (
	"errors"
	"fmt"

	"learnedopt/optimizer"
)

// Panic texts for callers' mistakes.
const (
	errGuard  = "rules: a rule that moves the parameters itself inside Groups; put the guard over the groups"
	errGroups = "rules: the groups have %d coordinates together, beside those of a group that takes the rest; the layout has %d"
)

// ErrState is wrapped by every error of a state's UnmarshalBinary.
var ErrState = errors.New("rules: bad state")

// validate returns an error if the rule below a wrapper is nil or not valid.
func validate(wrapper string, rule optimizer.Rule) error {
	if rule == nil {
		return fmt.Errorf("rules: %s has no rule", wrapper)
	}
	return valid(rule)
}

// valid returns the error of x's method Validate, if it has one. x is a rule or a schedule, and may be nil.
func valid(x any) error {
	if v, ok := x.(interface{ Validate() error }); ok {
		return v.Validate()
	}
	return nil
}

// positive returns an error unless 0 < x < high. zero says what 0 would do, and what to set instead.
func positive(wrapper, field string, x, high float64, zero string) error {
	if x == 0 {
		return fmt.Errorf("rules: %s: %s 0 %s", wrapper, field, zero)
	}
	return inRange(wrapper, field, x, 0, high)
}

// inRange returns an error unless low ≤ x < high.
func inRange(wrapper, field string, x, low, high float64) error {
	if !(low <= x && x < high) {
		return fmt.Errorf("rules: %s: %s is %v; want at least %v and less than %v", wrapper, field, x, low, high)
	}
	return nil
}
