// Package precondition panics, with the facts, where a caller broke a contract.
package precondition

import "fmt"

// Length panics unless a slice has n elements, as with "baselines: the gradient has 3 elements; want 4, one for each coordinate".
// A nil slice that should have elements is said to be missing.
func Length[T any](in, name string, x []T, n int) {
	if len(x) != n {
		panic(wrongLength(in, name, len(x), n))
	}
}

func wrongLength(in, name string, got, want int) string {
	if got == 0 {
		return fmt.Sprintf("%s: %s is missing; want %d elements, one for each coordinate", in, name, want)
	}
	return fmt.Sprintf("%s: %s has %d elements; want %d, one for each coordinate", in, name, got, want)
}

// Valid panics with what a rule's Validate returns, unless that is nil.
func Valid(rule interface{ Validate() error }) {
	if err := rule.Validate(); err != nil {
		panic(err.Error())
	}
}
