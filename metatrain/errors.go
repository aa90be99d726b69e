package metatrain

import (
	"fmt"

	"learnedopt/optimizer"
)

// Panics of callers' mistakes.
const errWindow = "metatrain: window of no steps"

// A MetaDivergedError ends a meta-training that met non-finite values in too many meta-steps in
// a row, or one in which they are not to be skipped.
type MetaDivergedError struct {
	MetaStep int
	// Skipped is the number of meta-steps in a row of which no window was finite; 1 under
	// StopNonFinite, whatever the other windows were.
	Skipped int
	// Returns is the number of returns to one point under RollbackNonFinite; Skipped is 0 then.
	Returns int
	// Last says what was not finite in the last window.
	Last *optimizer.DivergedError
}

// Error implements error.
func (e *MetaDivergedError) Error() string {
	const remedy = "lower the meta learning rate or the output scale"
	switch {
	case e.Returns > 0:
		return fmt.Sprintf("metatrain: %d returns to the last good validation, and again non-finite values at meta-step %d (%v); %s, or raise the skip limit",
			e.Returns, e.MetaStep, e.Last, remedy)
	case e.Skipped > 1:
		return fmt.Sprintf("metatrain: %d meta-steps in a row without a finite window at meta-step %d (the last: %v); %s, or raise the skip limit",
			e.Skipped, e.MetaStep, e.Last, remedy)
	}
	return fmt.Sprintf("metatrain: non-finite values in a window at meta-step %d (%v); %s, or skip such windows", e.MetaStep, e.Last, remedy)
}
