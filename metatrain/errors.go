package metatrain

import (
	"fmt"

	"learnedopt/optimizer"
)

// Panics of callers' mistakes.
const errWindow = "metatrain: window of no steps"

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
	if e.Skipped == 1 {
		return fmt.Sprintf("metatrain: a window was not finite at meta-step %d (%v); lower the meta learning rate or the output scale, or skip such windows",
			e.MetaStep, e.Last)
	}
	return fmt.Sprintf("metatrain: %d windows in a row were not finite at meta-step %d (the last: %v); lower the meta learning rate or the output scale",
		e.Skipped, e.MetaStep, e.Last)
}
