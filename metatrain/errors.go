package metatrain

import (
	"fmt"

	"learnedopt/optimizer"
)

// Panic values for mistakes of the caller.
const errWindow = "metatrain: window of no steps"

// A MetaDivergedError ends a meta-training that met non-finite values in too many meta-steps in a row, or in any
// meta-step if OnNonFinite is StopNonFinite.
type MetaDivergedError struct {
	// MetaStep is the number of meta-steps taken before the error.
	MetaStep int
	// Skipped is the number of meta-steps in a row in which every window had non-finite values. Under
	// StopNonFinite it is 1, even if other windows were finite.
	Skipped int
	// Returns is the number of rollbacks to the same point under RollbackNonFinite. Skipped is then 0.
	Returns int
	// Last says which value was not finite in the last window.
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
