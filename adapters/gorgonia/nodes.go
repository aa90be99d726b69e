package gorgoniaopt

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"learnedopt/optimizer"
)

// A slot holds a node and the place of its coordinates: at … at+size−1 of the solver's vectors.
type slot struct {
	node     gorgonia.ValueGrad
	name     string // "" for a node without a name
	dtype    tensor.Dtype
	shape    []int
	at, size int

	weights, gradient array  // the node's values at this step
	step              uint64 // the last call that passed the node
}

// label returns the name of slot i in errors.
func (s *slot) label(i int) string {
	if s.name == "" {
		return fmt.Sprintf("node %d", i)
	}
	return s.name
}

// nameOf returns a node's name, "" if it has none.
func nameOf(n gorgonia.ValueGrad) string {
	named, ok := n.(gorgonia.Namer)
	if !ok {
		return ""
	}
	name := named.Name()
	if strings.HasPrefix(name, "%!s(<nil>)") { // Gorgonia's name for a variable without a name
		return ""
	}
	return name
}

// describe returns the slot of a node, without its place.
func describe(i int, n gorgonia.ValueGrad) (slot, error) {
	if n == nil || !reflect.TypeOf(n).Comparable() || !reflect.ValueOf(n).Comparable() {
		return slot{}, fmt.Errorf("%w: node %d is a %T, by which it is not known again; pass a *gorgonia.Node or another pointer", ErrModel, i, n)
	}
	s := slot{node: n, name: nameOf(n)}
	v := n.Value()
	if v == nil {
		return slot{}, fmt.Errorf("%w: %s has no value; give it one by gorgonia.WithInit, WithValue or Let", ErrModel, s.label(i))
	}
	a, err := read(v)
	if err != nil {
		return slot{}, fmt.Errorf("%w: %s has %w", ErrModel, s.label(i), err)
	}
	s.dtype, s.shape, s.size = v.Dtype(), slices.Clone(v.Shape()), a.size
	return s, nil
}

// Bind fixes the nodes without taking a step. The first Step calls it.
//
// A solver that is already bound, or that comes from UnmarshalBinary, moves to the given nodes. They
// must have the same names, shapes and number types, in any order. So a run can continue on a graph that
// was built anew, for instance with another minibatch size. Errors wrap ErrModel or ErrState, or say that
// the rule is not valid or needs more than a Solver provides. They leave the solver unchanged.
func (s *Solver) Bind(model []gorgonia.ValueGrad) error {
	if len(model) == 0 {
		return errEmpty
	}
	if v, ok := s.rule.(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			return fmt.Errorf("gorgoniaopt: %w", err)
		}
	}
	has := optimizer.Needs{Theta: true, Loss: true, Total: s.total > 0}
	if s.curvature != nil {
		has.Metrics, has.Trial = s.curvature.Metrics(), true
	}
	if err := s.rule.Needs().Met(has); err != nil {
		return fmt.Errorf("gorgoniaopt: %w", err)
	}
	found, places := make([]slot, len(model)), make(map[gorgonia.ValueGrad]int, len(model))
	n := 0
	for i, node := range model {
		var err error
		if found[i], err = describe(i, node); err != nil {
			return err
		}
		if first, ok := places[node]; ok {
			return fmt.Errorf("%w: %s is listed twice, as %d and %d; once is enough, its gradient is the sum over all uses",
				ErrModel, found[i].label(i), first, i)
		}
		places[node] = i
		found[i].at = n
		n += found[i].size
	}
	if n == 0 {
		return errEmpty
	}
	if s.slots != nil {
		var err error
		if found, err = match(s.slots, found); err != nil {
			return err
		}
		for i, f := range found {
			places[f.node] = i
		}
	}
	var of *view
	if s.rule.Needs().OfProblem() {
		var err error
		if of, err = s.curvature.viewOf(found); err != nil {
			return err
		}
	}
	state, known := s.state, s.known
	if state == nil {
		var err error
		if known, err = s.layout(found); err != nil {
			return err
		}
		if state, err = s.restored(known); err != nil {
			return err
		}
		s.theta, s.grad, s.update = make([]float32, n), make([]float32, n), make([]float32, n)
	}
	s.slots, s.places, s.state, s.known, s.saved, s.view = found, places, state, known, savedState{}, of
	return nil
}

// layout returns the layout of the nodes.
func (s *Solver) layout(slots []slot) (optimizer.Layout, error) {
	var tensors []optimizer.Tensor
	for i := range slots {
		t := optimizer.InferTensor(slots[i].name, slots[i].shape)
		if s.refine != nil {
			t = s.refine(t)
			t.Shape = slices.Clone(slots[i].shape)
		}
		tensors = append(tensors, t)
	}
	layout, err := optimizer.NewLayout(tensors...)
	if err != nil {
		return layout, fmt.Errorf("%w: %w", ErrModel, err)
	}
	return layout, nil
}

// match returns the old slots with their nodes replaced by the found nodes of the same names.
func match(old, found []slot) ([]slot, error) {
	byName := make(map[string]slot, len(found))
	for i, f := range found {
		if f.name == "" {
			return nil, fmt.Errorf("%w: %s cannot be matched with the saved nodes; name it by gorgonia.WithName", ErrModel, f.label(i))
		}
		if _, ok := byName[f.name]; ok {
			return nil, fmt.Errorf("%w: two nodes are called %s; give each a name of its own", ErrModel, f.name)
		}
		byName[f.name] = f
	}
	matched := slices.Clone(old)
	for i := range matched {
		m := &matched[i]
		f, ok := byName[m.name]
		switch {
		case !ok:
			return nil, fmt.Errorf("%w: there is no node %s, which the run has a state of; pass the nodes that it was started with, or use a new Solver",
				ErrModel, m.label(i))
		case !slices.Equal(f.shape, m.shape) || f.dtype != m.dtype:
			return nil, fmt.Errorf("%w: %s is %v of shape %v, the run's is %v of shape %v; use a new Solver for another network",
				ErrModel, m.label(i), f.dtype, f.shape, m.dtype, m.shape)
		}
		m.node = f.node
		delete(byName, m.name)
	}
	for _, f := range found {
		if _, ok := byName[f.name]; ok {
			return nil, fmt.Errorf("%w: the run has no state of a node %s; use a new Solver for another network", ErrModel, f.name)
		}
	}
	return matched, nil
}

// load reads the weights and gradients of a model into the slots and vectors.
func (s *Solver) load(model []gorgonia.ValueGrad) error {
	if len(model) != len(s.slots) {
		return fmt.Errorf("%w: %d nodes, want the %d that the solver is bound to: one state spans them all; use a Solver for each set of nodes that is stepped alone",
			ErrModel, len(model), len(s.slots))
	}
	s.calls++
	for i, n := range model {
		at := i
		if s.slots[i].node != n {
			var ok bool
			if at, ok = s.place(n); !ok {
				return fmt.Errorf("%w: %s is none of the nodes that the solver is bound to; use a Solver for each network, or Bind this one to nodes of the same names",
					ErrModel, (&slot{name: nameOf(n)}).label(i))
			}
		}
		slot := &s.slots[at]
		if slot.step == s.calls {
			return fmt.Errorf("%w: %s is listed twice", ErrModel, slot.label(at))
		}
		slot.step = s.calls
		if err := slot.read(at); err != nil {
			return err
		}
		slot.weights.gather(s.theta[slot.at : slot.at+slot.size])
		slot.gradient.gather(s.grad[slot.at : slot.at+slot.size])
	}
	return nil
}

// place returns the slot of a node that is not in its usual place in the slice.
func (s *Solver) place(n gorgonia.ValueGrad) (int, bool) {
	if n == nil || !reflect.TypeOf(n).Comparable() || !reflect.ValueOf(n).Comparable() {
		return 0, false
	}
	at, ok := s.places[n]
	return at, ok
}

// read reads the current weights and gradient of the node in slot i.
func (s *slot) read(i int) error {
	weights := s.node.Value()
	if weights == nil {
		return fmt.Errorf("%w: %s has lost its value", ErrModel, s.label(i))
	}
	gradient, err := s.node.Grad()
	if err == nil && gradient == nil {
		err = fmt.Errorf("it is nil")
	}
	if err != nil {
		return fmt.Errorf("%w: %s has no gradient (%w); differentiate with gorgonia.Grad, run the machine before the step, and make it with gorgonia.BindDualValues",
			ErrModel, s.label(i), err)
	}
	if s.weights, err = read(weights); err != nil {
		return fmt.Errorf("%w: %s has %w", ErrModel, s.label(i), err)
	}
	if s.gradient, err = read(gradient); err != nil {
		return fmt.Errorf("%w: the gradient of %s is %w", ErrModel, s.label(i), err)
	}
	if t := weights.Dtype(); t != s.dtype || !slices.Equal(weights.Shape(), s.shape) {
		return fmt.Errorf("%w: %s is now %v of shape %v, at the first step it was %v of shape %v; use a new Solver for another network",
			ErrModel, s.label(i), t, weights.Shape(), s.dtype, s.shape)
	}
	if t := gradient.Dtype(); t != s.dtype || !slices.Equal(gradient.Shape(), s.shape) && (s.size != 1 || s.gradient.size != 1) {
		return fmt.Errorf("%w: %s is %v of shape %v, its gradient %v of shape %v; both must be the same",
			ErrModel, s.label(i), s.dtype, s.shape, t, gradient.Shape())
	}
	return nil
}

// locate returns the divergence of a node for a divergence in the flat vectors.
func (s *Solver) locate(d *optimizer.DivergedError) error {
	if d.Coordinate < 0 {
		return fmt.Errorf("gorgoniaopt: %w", d)
	}
	i := slices.IndexFunc(s.slots, func(t slot) bool { return d.Coordinate < t.at+t.size })
	t := &s.slots[i]
	if d.What == "gradient" { // the value before rounding: it may be finite in float64
		d.Value = t.gradient.element(d.Coordinate - t.at)
	}
	return &DivergedError{Node: t.label(i), At: index(d.Coordinate-t.at, t.shape), Diverged: d}
}
