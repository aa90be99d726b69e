package learnedsolver

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"learnedopt/optimizer"
)

// A Solver is one optimization run of a rule over the nodes of a model. It belongs to one
// goroutine.
//
// The first Step, or Bind, fixes the nodes. One state of the rule spans them all: the
// coordinates are the elements of each node in row-major order, one node after the other in the
// order of the first call. Later calls must pass the same nodes; their order does not matter.
//
// After the first step a step allocates nothing, and a Solver holds three float32 a coordinate
// beside the rule's state.
type Solver struct {
	rule   optimizer.Rule
	state  optimizer.State // nil until bound
	slots  []slot          // with saved, of nodes not yet known; nil before the first step
	places map[gorgonia.ValueGrad]int
	saved  []byte // the state's binary form, until it is bound

	theta, grad, update []float32
	steps               int
	calls               uint64
}

var _ gorgonia.Solver = (*Solver)(nil)

// New returns a solver that has taken no step. It panics if rule is nil; a rule that is not
// valid is an error of the first Step.
func New(rule optimizer.Rule) *Solver {
	if rule == nil {
		panic(errRule)
	}
	return &Solver{rule: rule}
}

// Steps returns the number of steps taken, those before a save included.
func (s *Solver) Steps() int { return s.steps }

// Step implements gorgonia.Solver: it adds the rule's update to the value of each node, in
// place, and sets the gradients to 0, as Gorgonia's own solvers do.
//
//	θ ← θ + u,   (u, s) ← m(∇f(θ), s)
//
// Values are *tensor.Dense of float32 or float64 in any layout, *gorgonia.F32 or
// *gorgonia.F64. The rule computes in float32; float64 weights keep their own precision and
// have the update added to them.
//
// A gradient, an update or a weight after it that is not finite in float32 is a *DivergedError,
// and a fault of the model an error that wraps ErrModel: weights and gradients then stay
// as they were. So does the state, except that the rule has seen the gradient of a step
// whose update or weights were not finite. A rule that decides by the losses needs StepLoss.
func (s *Solver) Step(model []gorgonia.ValueGrad) error {
	if err := s.prepare(model); err != nil {
		return err
	}
	if _, ok := s.state.(optimizer.LossState); ok {
		return errNoLoss
	}
	return s.step()
}

// StepLoss is Step with the loss of the step, for rules that decide by it (optimizer.LossState), such as a
// metaopt.Guarded, which may go back to an earlier point in place of an update. loss is what gorgonia.Read delivers:
// *gorgonia.F32, *gorgonia.F64 or a tensor of one element. For other rules it is Step, and a loss that is not
// finite is an error that wraps *optimizer.DivergedError.
//
// Rules that decide by the losses set the weights themselves: with them float64 weights hold
// float32 values after the first step.
func (s *Solver) StepLoss(model []gorgonia.ValueGrad, loss gorgonia.Value) error {
	f, err := scalar(loss)
	if err != nil {
		return err
	}
	if err := s.prepare(model); err != nil {
		return err
	}
	byLoss, ok := s.state.(optimizer.LossState)
	if !ok {
		if d := optimizer.CheckLoss(s.steps, f); d != nil {
			return s.locate(d)
		}
		return s.step()
	}
	if d := byLoss.StepLoss(s.theta, s.grad, f); d != nil {
		return s.locate(d)
	}
	for i := range s.slots {
		t := &s.slots[i]
		t.weights.set(s.theta[t.at : t.at+t.size])
	}
	s.finish()
	return nil
}

func scalar(loss gorgonia.Value) (float64, error) {
	if loss == nil {
		return 0, fmt.Errorf("learnedsolver: the loss is nil; read it by gorgonia.Read and run the machine before the step")
	}
	a, err := read(loss)
	if err != nil {
		return 0, fmt.Errorf("learnedsolver: the loss is %w", err)
	}
	if a.size != 1 {
		return 0, fmt.Errorf("learnedsolver: the loss has shape %v; want a scalar", loss.Shape())
	}
	return a.element(0), nil
}

// prepare binds the solver if that is to be done and reads the model.
func (s *Solver) prepare(model []gorgonia.ValueGrad) error {
	if s.state == nil {
		if err := s.Bind(model); err != nil {
			return err
		}
	}
	return s.load(model)
}

func (s *Solver) step() error {
	if d := optimizer.Check(s.steps, "gradient", s.grad); d != nil {
		return s.locate(d)
	}
	optimizer.Update(s.state, s.update, s.theta, s.grad)
	if d := optimizer.Check(s.steps, "update", s.update); d != nil {
		return s.locate(d)
	}
	for i, u := range s.update {
		s.theta[i] += u
	}
	if d := optimizer.Check(s.steps, "parameter", s.theta); d != nil {
		return s.locate(d)
	}
	for i := range s.slots {
		t := &s.slots[i]
		t.weights.add(s.update[t.at : t.at+t.size])
	}
	s.finish()
	return nil
}

func (s *Solver) finish() {
	for i := range s.slots {
		s.slots[i].gradient.zero()
	}
	s.steps++
}

// ZeroGrads sets the gradients of a model to 0, to go on after a step that failed: dual values add
// up from run to run. The error wraps ErrModel.
func ZeroGrads(model []gorgonia.ValueGrad) error {
	for i, n := range model {
		g, err := n.Grad()
		if err == nil && g == nil {
			continue // no run has made it yet
		}
		var a array
		if err == nil {
			a, err = read(g)
		}
		if err != nil {
			return fmt.Errorf("%w: the gradient of %s: %w", ErrModel, (&slot{name: nameOf(n)}).label(i), err)
		}
		a.zero()
	}
	return nil
}
