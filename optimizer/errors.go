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

	// Group is the index of the slice or tensor that holds the coordinate, of Groups ones, and Element the coordinate's index
	// in it. Name is the tensor's name, "" if it has none. In sets them; Groups is 0 before.
	Group, Groups, Element int
	Name                   string
}

// In sets Group, Groups, Element and Name by the layout of the parameters, and returns e.
func (e *DivergedError) In(l Layout) *DivergedError {
	if e.Coordinate < 0 || e.Coordinate >= l.Len() {
		return e
	}
	e.Groups = len(l.tensors)
	for k, t := range l.tensors {
		if i := e.Coordinate - t.From; i >= 0 && i < t.Len() {
			e.Group, e.Element, e.Name = k, i, t.Name
		}
	}
	return e
}

// Error implements error.
func (e *DivergedError) Error() string {
	where := ""
	if e.Coordinate >= 0 {
		where = fmt.Sprintf(" at coordinate %d", e.Coordinate)
	}
	if e.Groups > 1 {
		name := e.Name
		if name == "" {
			name = fmt.Sprintf("slice %d of %d, counted from 0", e.Group, e.Groups)
		}
		where += fmt.Sprintf(", element %d of %s", e.Element, name)
	}
	remedy := "take smaller steps or start nearer"
	if e.What == "loss" || e.What == "gradient" {
		remedy += ", or leave this minibatch out if its data are at fault"
	}
	return fmt.Sprintf("optimizer: diverged at step %d: %s is %v%s; %s", e.Step, e.What, e.Value, where, remedy)
}
