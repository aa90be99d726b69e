package gorgoniaopt

import (
	"errors"
	"fmt"

	"gorgonia.org/gorgonia"

	"learnedopt/optimizer"
)

// A Solver is one optimization run of a rule over the nodes of a model. It belongs to one
// goroutine.
//
// The first Step, or Bind, fixes the nodes. One state of the rule spans all of them: the
// coordinates are the elements of each node in row-major order, one node after the other in the
// order of the first call. Later calls must pass the same nodes; their order does not matter.
//
// The rule gets the nodes' names and shapes in an optimizer.Layout. The kind of a node follows from its shape
// (optimizer.InferTensor), unless SetLayout says otherwise.
//
// Steps after the first allocate nothing, unless the rule reads curvature. A Solver holds the rule's state and three float32 per
// coordinate. Under a guard it also holds a copy of the weights in float64, until the handover.
type Solver struct {
	rule   optimizer.Rule
	state  optimizer.State // nil until bound
	slots  []slot          // nil before the first step; after UnmarshalBinary without nodes until bound
	places map[gorgonia.ValueGrad]int
	known  optimizer.Layout // set when bound
	saved  savedState       // used until bound
	refine func(optimizer.Tensor) optimizer.Tensor

	curvature *Curvature
	view      *view // of curvature, set when bound; nil if the rule reads none

	theta, grad, update []float32
	kept                []float64 // the weights that a guard may go back to
	steps               int
	total               int
	calls               uint64
}

var _ gorgonia.Solver = (*Solver)(nil)

// New returns a solver that has taken no step. It panics if rule is nil. If the rule is not
// valid, the first Step returns the error.
func New(rule optimizer.Rule) *Solver {
	if rule == nil {
		panic(errRule)
	}
	return &Solver{rule: rule}
}

// SetLayout sets a function that corrects the kinds of nodes; call it before the first step. f gets the tensor that the
// solver inferred for a node, and returns it, with another Kind or OutputAxis if they are wrong. f cannot change the
// shape.
func (s *Solver) SetLayout(f func(optimizer.Tensor) optimizer.Tensor) { s.refine = f }

// SetTotal tells the rule, from the next step on, that the run will have total steps; 0 means that nobody knows. A
// schedule needs it: then call SetTotal before the first step.
func (s *Solver) SetTotal(total int) { s.total = total }

// SetCurvature gives curvature to rules that read it: NaturalGradient and TrustRegion of package curvature, and metaopt.Bounded around
// any rule. Call it before the first step, with the curvature of the nodes that Step gets, in any order; and before Bind moves the
// solver to another graph, with a Curvature of that graph. The rule works on the minibatch that the graph holds at Step.
func (s *Solver) SetCurvature(c *Curvature) { s.curvature = c }

// Steps returns the number of steps taken. A resumed run counts the steps before the save too.
func (s *Solver) Steps() int { return s.steps }

// Step implements gorgonia.Solver: it adds the rule's update to the value of each node, in
// place, and sets the gradients to 0, as Gorgonia's own solvers do.
//
//	θ ← θ + u,   (u, s) ← m(∇f(θ), s)
//
// Values are *tensor.Dense of float32 or float64 in any memory layout, *gorgonia.F32 or
// *gorgonia.F64. The rule computes in float32. The update is added to float64 weights in
// float64.
//
// If a gradient, an update or a weight after it is non-finite in float32, the error is a
// *DivergedError. A fault of the model gives an error that wraps ErrModel. After an error weights and
// gradients are unchanged, and the state too, with one exception: after a non-finite update or
// weight the rule has seen the gradient of that step. If the rule needs the loss, Step returns an
// error at once: call StepLoss.
func (s *Solver) Step(model []gorgonia.ValueGrad) error {
	if s.rule.Needs().Loss {
		return errNoLoss
	}
	if err := s.prepare(model); err != nil {
		return err
	}
	return s.step(0)
}

// StepLoss is Step with the loss of the step, for rules that need it, such as a
// metaopt.Guarded. A guard may go back to an earlier point instead of an update: it restores exactly the
// weights that it kept, in their own precision. loss is the value that gorgonia.Read delivers:
// *gorgonia.F32, *gorgonia.F64 or a tensor of one element. For other rules StepLoss works like Step, and a
// non-finite loss is an error that wraps *optimizer.DivergedError.
func (s *Solver) StepLoss(model []gorgonia.ValueGrad, loss gorgonia.Value) error {
	f, err := scalar(loss)
	if err != nil {
		return err
	}
	if err := s.prepare(model); err != nil {
		return err
	}
	return s.step(f)
}

func scalar(loss gorgonia.Value) (float64, error) {
	if loss == nil {
		return 0, fmt.Errorf("gorgoniaopt: the loss is nil; read it by gorgonia.Read and run the machine before the step")
	}
	a, err := read(loss)
	if err != nil {
		return 0, fmt.Errorf("gorgoniaopt: the loss is %w", err)
	}
	if a.size != 1 {
		return 0, fmt.Errorf("gorgoniaopt: the loss has shape %v; want a scalar", loss.Shape())
	}
	return a.element(0), nil
}

// prepare binds the solver if it is not bound yet, and reads the model.
func (s *Solver) prepare(model []gorgonia.ValueGrad) error {
	if s.state == nil {
		if err := s.Bind(model); err != nil {
			return err
		}
	}
	return s.load(model)
}

// step moves the weights; loss is 0 if it is not known.
func (s *Solver) step(loss float64) error {
	p := optimizer.Point{Grad: s.grad, Theta: s.theta, Loss: loss, Step: s.steps, Total: s.total}
	if s.view != nil {
		s.view.begin(s.steps)
		p.Curvature, p.Step = s.view, s.steps
	}
	move, err := optimizer.CheckedUpdate(s.state, s.rule.Needs(), s.steps, s.update, p)
	theta := [1][]float32{s.theta} // an array stays on the stack; a slice literal here would not
	if err == nil && move&optimizer.Return == 0 {
		if d := optimizer.CheckSum(s.steps, theta[:], s.update); d != nil {
			err = d
		}
	}
	if err != nil {
		var d *optimizer.DivergedError
		if errors.As(err, &d) {
			return s.locate(d)
		}
		if errors.Is(err, ErrModel) {
			return err
		}
		return fmt.Errorf("gorgoniaopt: %w", err)
	}
	if move&optimizer.Keep != 0 && s.kept == nil {
		s.kept = make([]float64, len(s.update))
	}
	for i := range s.slots {
		t := &s.slots[i]
		if move&optimizer.Keep != 0 {
			t.weights.copyTo(s.kept[t.at : t.at+t.size])
		}
		if move&optimizer.Return != 0 {
			t.weights.set(s.kept[t.at : t.at+t.size])
		} else {
			t.weights.add(s.update[t.at : t.at+t.size])
		}
		t.gradient.zero()
	}
	if move&optimizer.Return != 0 {
		s.kept = nil
	}
	s.steps++
	return nil
}

// ZeroGrads sets the gradients of a model to 0. Call it to continue after a step that failed: dual
// values add up from run to run. Errors wrap ErrModel.
func ZeroGrads(model []gorgonia.ValueGrad) error {
	for i, n := range model {
		g, err := n.Grad()
		if err == nil && g == nil {
			continue // no run has computed it yet
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
