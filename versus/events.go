package versus

// A Listener hears what happens in a comparison, one event after another; nil hears nothing.
type Listener interface {
	OnEvent(Event)
}

// An Event is one of the types of this file.
type Event interface{ event() }

// A Phase is a part of a comparison.
type Phase int

// The phases, in their order.
const (
	Tuning Phase = iota
	Evaluating
	Timing
)

// Started begins a phase of so many runs.
type Started struct {
	Phase Phase
	Runs  int
}

// Progress says how many runs of a phase are done. After the last one of Evaluating the confidence intervals of every
// step are computed, which takes a second for a few thousand of them.
type Progress struct {
	Phase       Phase
	Done, Total int
}

// Ended ends a phase, for whatever reason.
type Ended struct{ Phase Phase }

// LeftOut says that a rule is not compared with: it diverged at every learning rate from Least to Most. They are multipliers
// if Multiplier is set.
type LeftOut struct {
	Rule        string
	Least, Most float64
	Multiplier  bool
}

// AtEdge says that a rule does best at an end of the grid: a better learning rate may lie beyond. It is a multiplier if
// Multiplier is set.
type AtEdge struct {
	Rule         string
	LearningRate float64
	Multiplier   bool
}

func (Started) event()  {}
func (Progress) event() {}
func (Ended) event()    {}
func (LeftOut) event()  {}
func (AtEdge) event()   {}

func tell(l Listener, e Event) {
	if l != nil {
		l.OnEvent(e)
	}
}
