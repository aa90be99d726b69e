package metaopt

import (
	"fmt"

	"learnedopt/optimizer"
)

// Panics of callers' mistakes.
const (
	errWindow = "metaopt: window of no steps"
	errGuard  = "metaopt: no rule to guard, or a guard that is not valid"
	errLength = "metaopt: slice length is not the number of coordinates"
	errPairs  = "metaopt: a rule has not one mean loss for each run"
)

// A MetaDivergedError ends a meta-training that met too many windows in a row
// in which something was not finite.
type MetaDivergedError struct {
	MetaStep int
	// Skipped is the number of windows skipped in a row.
	Skipped int
	// Last says what was not finite in the last of them.
	Last *optimizer.DivergedError
}

// Error implements error.
func (e *MetaDivergedError) Error() string {
	return fmt.Sprintf("metaopt: %d windows in a row were not finite at meta-step %d (the last: %v); lower the meta learning rate or the output scale",
		e.Skipped, e.MetaStep, e.Last)
}
