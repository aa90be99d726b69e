package layers

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"learnedopt/internal/operation"
)

// An Output is a node whose value is wanted after each run. The value is copied to Into;
// if *Into is nil at the end of the first run, it becomes a copy.
type Output struct {
	Node *gorgonia.Node
	Into *gorgonia.Value
}

// NewMachine compiles the part of the graph that the outputs depend on, and no more: gorgonia.Grad
// also leaves the derivatives with respect to the data in the graph, which would be a third of the arithmetic
// of a classifier of images.
//
// A graph that consists only of this package's layers runs as a list of calls on the
// caller's goroutine. Any other graph runs on Gorgonia's tape machine with an
// Engine: each of its runs starts a goroutine and locks the caller's goroutine to its
// thread, which costs two switches of threads.
func NewMachine(g *gorgonia.ExprGraph, inputs gorgonia.Nodes, outputs []Output) (gorgonia.VM, error) {
	if l := newList(g, outputs); l != nil {
		return l, nil
	}
	var reads gorgonia.Nodes
	for _, o := range outputs {
		reads = append(reads, gorgonia.Read(o.Node, o.Into))
	}
	program, locations, err := gorgonia.CompileFunction(g, inputs, reads)
	if err != nil {
		return nil, err
	}
	return gorgonia.NewTapeMachine(g, gorgonia.WithPrecompiled(program, locations), gorgonia.WithEngine(Engine{})), nil
}

// A list is a machine that runs one step after the other.
type list struct {
	steps   []step
	outputs []Output
	results []*step // the steps that compute the outputs
}

type step struct {
	op     *operation.Op
	from   []source
	values []gorgonia.Value
	result gorgonia.Value
}

// A source is the origin of an input of a step: another step, or a leaf of
// the graph.
type source struct {
	step int // -1 for a leaf
	leaf *gorgonia.Node
}

var _ gorgonia.VM = (*list)(nil)

// newList returns nil if a node is neither a layer nor a leaf.
func newList(g *gorgonia.ExprGraph, outputs []Output) *list {
	l := &list{outputs: outputs}
	at := map[*gorgonia.Node]int{}
	var visit func(node *gorgonia.Node) (source, bool)
	visit = func(node *gorgonia.Node) (source, bool) {
		if i, ok := at[node]; ok {
			return source{step: i}, true
		}
		o, ok := node.Op().(*operation.Op)
		if !ok {
			return source{step: -1, leaf: node}, g.From(node.ID()).Len() == 0
		}
		s := step{op: o, values: make([]gorgonia.Value, len(o.Inputs()))}
		for _, input := range o.Inputs() {
			from, ok := visit(input)
			if !ok {
				return source{}, false
			}
			s.from = append(s.from, from)
		}
		at[node] = len(l.steps)
		l.steps = append(l.steps, s)
		return source{step: at[node]}, true
	}
	for _, o := range outputs {
		if from, ok := visit(o.Node); !ok || from.step < 0 {
			return nil
		}
	}
	for _, o := range outputs {
		l.results = append(l.results, &l.steps[at[o.Node]])
	}
	return l
}

// RunAll implements gorgonia.VM.
func (l *list) RunAll() error {
	for i := range l.steps {
		s := &l.steps[i]
		for j, from := range s.from {
			if from.step >= 0 {
				s.values[j] = l.steps[from.step].result
			} else if s.values[j] = from.leaf.Value(); s.values[j] == nil {
				return fmt.Errorf("layers: no value bound to node %s", from.leaf.Name())
			}
		}
		var err error
		if s.result, err = s.op.Do(s.values...); err != nil {
			return err
		}
	}
	for i, o := range l.outputs {
		var err error
		if *o.Into == nil {
			*o.Into, err = gorgonia.CloneValue(l.results[i].result)
		} else {
			_, err = gorgonia.Copy(*o.Into, l.results[i].result)
		}
		if err != nil {
			return fmt.Errorf("layers: copying the value of %s: %w", o.Node.Name(), err)
		}
	}
	return nil
}

// Reset implements gorgonia.VM.
func (l *list) Reset() {}

// Close implements gorgonia.VM.
func (l *list) Close() error { return nil }
