package optimizer

import "fmt"

// Panic texts for callers' mistakes.
const (
	errSteps = "optimizer: negative number of steps"
	errRuns  = "optimizer: negative number of runs"
	errDraws = "optimizer: Sampled: the number of labels must be 1 to 255"
)

// A DivergedError says where the first non-finite value of a run appeared.
type DivergedError struct {
	// Step is t, the step at which the loss f_t(θ_t), its gradient, the update u_t
	// or the next point θ_t + u_t was non-finite.
	Step int
	// What is "loss", "gradient", "update" or "parameter", or "curvature product" if a rule with curvature met
	// the value.
	What string
	// Coordinate is the first non-finite coordinate, -1 where What is "loss".
	Coordinate int
	// Value is the non-finite value.
	Value float64
}

// Error implements error.
func (e *DivergedError) Error() string {
	where := ""
	if e.Coordinate >= 0 {
		where = fmt.Sprintf(" at coordinate %d", e.Coordinate)
	}
	remedy := "take smaller steps or start nearer"
	if e.What == "loss" || e.What == "gradient" {
		remedy += ", or leave this minibatch out if its data are at fault"
	}
	return fmt.Sprintf("optimizer: diverged at step %d: %s is %v%s; %s", e.Step, e.What, e.Value, where, remedy)
}
