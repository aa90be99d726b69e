package gorgoniaopt

import (
	"errors"
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// A replica is a copy of the part of a graph that some of its nodes depend on. It has nodes and values of its own, so that it
// can be differentiated again and run elsewhere than at the model's weights: gorgonia.Backpropagate takes a node that has a
// derivative already for done.
type replica struct {
	graph  *gorgonia.ExprGraph
	copies map[*gorgonia.Node]*gorgonia.Node
	leaves gorgonia.Nodes // of the original graph: weights and data
	// derivatives are the nodes of the replica that are the derivative of an operation of tangents.
	derivatives map[*gorgonia.Node]gorgonia.SDOp
	source      *replica // that the graph is of, nil for a graph of the caller
}

// replicate copies what the roots depend on, nodes of a caller's graph or of the replica source.
func replicate(source *replica, roots ...*gorgonia.Node) (*replica, error) {
	r := &replica{graph: gorgonia.NewGraph(), copies: map[*gorgonia.Node]*gorgonia.Node{}, derivatives: map[*gorgonia.Node]gorgonia.SDOp{}, source: source}
	for _, root := range roots {
		if _, err := r.copy(root); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// copy returns the copy of a node, after those of the nodes that it depends on.
func (r *replica) copy(n *gorgonia.Node) (*gorgonia.Node, error) {
	if known, ok := r.copies[n]; ok {
		return known, nil
	}
	var made *gorgonia.Node
	var children gorgonia.Nodes
	for from := n.Graph().From(n.ID()); from != nil && from.Next(); {
		child, err := r.copy(from.Node().(*gorgonia.Node))
		if err != nil {
			return nil, err
		}
		children = append(children, child)
	}
	switch op := n.Op().(type) {
	case nil:
		made = gorgonia.NewUniqueNode(gorgonia.WithType(n.Type()), gorgonia.WithShape(n.Shape()...), gorgonia.In(r.graph),
			gorgonia.WithName(fmt.Sprint("leaf ", len(r.leaves)))) // Gorgonia takes leaves of one name and shape for one
		r.leaves = append(r.leaves, n)
	case interface{ Value() gorgonia.Value }: // a constant
		made = r.graph.AddNode(gorgonia.NewConstant(op.Value(), gorgonia.WithName(fmt.Sprint("constant ", len(r.copies)))))
	case gorgonia.TrainModeOp:
		return nil, &OpError{Op: op.(gorgonia.Op), Why: "it does not compute the same function at every run"}
	default:
		if len(children) == 0 {
			return nil, &OpError{Op: op, Why: "it draws new numbers at every run"}
		}
		var err error
		if made, err = r.apply(n, children); err != nil {
			if errors.Is(err, ErrModel) {
				return nil, err
			}
			return nil, fmt.Errorf("%w: copying %v: %w", ErrModel, op, err)
		}
	}
	r.copies[n] = made
	return made, nil
}

// apply adds the operation of a node to the graph.
func (r *replica) apply(n *gorgonia.Node, children gorgonia.Nodes) (*gorgonia.Node, error) {
	op := n.Op()
	if r.source != nil {
		if of, ok := r.source.derivatives[n]; ok {
			return gorgonia.ApplyOp(&derivative{op, of}, children...)
		}
		if err := twice(op, len(children)); err != nil {
			return nil, err
		}
	}
	switch {
	case tangents[typeName(op)] != nil:
		op = &traced{op.(gorgonia.SDOp), r}
	case op.String() == outerProduct:
		// Gorgonia's derivative of an outer product is wrong: dz/dx = Mul(x, dz).
		column, err := gorgonia.Reshape(children[0], tensor.Shape{children[0].Shape()[0], 1})
		if err != nil {
			return nil, err
		}
		row, err := gorgonia.Reshape(children[1], tensor.Shape{1, children[1].Shape()[0]})
		if err != nil {
			return nil, err
		}
		return gorgonia.Mul(column, row)
	}
	return gorgonia.ApplyOp(op, children...)
}

// outerProduct is what Gorgonia calls the operation of OuterProd.
const outerProduct = "a ⊗ b"

// backpropagate is gorgonia.Backpropagate of one output. Gorgonia panics at some operations.
func backpropagate(output, cotangent *gorgonia.Node, wrt gorgonia.Nodes) (grads gorgonia.Nodes, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("gorgonia: %v", p)
		}
		if err == nil {
			return
		}
		var failed gorgonia.SymDiffError
		if errors.As(err, &failed) && failed.Node() != nil && failed.Node().Op() != nil {
			err = &OpError{Op: failed.Node().Op(), Why: "Gorgonia cannot differentiate it", Err: err}
		} else {
			err = fmt.Errorf("%w: %w", ErrModel, err)
		}
	}()
	return gorgonia.Backpropagate(gorgonia.Nodes{output}, gorgonia.Nodes{cotangent}, wrt)
}

// like adds a leaf of the type and shape of another node.
func like(n *gorgonia.Node, name string) *gorgonia.Node {
	return gorgonia.NewUniqueNode(gorgonia.WithType(n.Type()), gorgonia.WithShape(n.Shape()...), gorgonia.In(n.Graph()), gorgonia.WithName(name))
}

// zeros returns a value of zeros for a node, and the access to its elements.
func zeros(n *gorgonia.Node) (gorgonia.Value, array, error) {
	var v gorgonia.Value
	switch {
	case !n.IsScalar():
		v = tensor.New(tensor.WithShape(n.Shape()...), tensor.Of(n.Dtype()))
	case n.Dtype() == tensor.Float64:
		v = gorgonia.NewF64(0)
	default:
		v = gorgonia.NewF32(0)
	}
	a, err := read(v)
	return v, a, err
}

// unit adds the constant 1 to the graph of a scalar, in its type.
func unit(n *gorgonia.Node) *gorgonia.Node {
	if n.Dtype() == tensor.Float64 {
		return n.Graph().AddNode(gorgonia.NewConstant(1.0))
	}
	return n.Graph().AddNode(gorgonia.NewConstant(float32(1)))
}

// A program computes some nodes of a replica.
type program struct {
	machine gorgonia.VM
	results []gorgonia.Value
}

// compile returns the program that computes the nodes, and nothing else.
func compile(nodes ...*gorgonia.Node) (p *program, err error) {
	defer func() {
		if failed := recover(); failed != nil {
			err = fmt.Errorf("%w: %v", ErrModel, failed)
		}
	}()
	p = &program{results: make([]gorgonia.Value, len(nodes))}
	var roots gorgonia.Nodes
	for i, n := range nodes {
		roots = append(roots, gorgonia.Read(n, &p.results[i]))
	}
	inputs := nodes[0].Graph().ExactSubgraphRoots(roots...).Inputs()
	code, places, err := gorgonia.CompileFunction(nodes[0].Graph(), inputs, roots)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrModel, err)
	}
	p.machine = gorgonia.NewTapeMachine(nodes[0].Graph(), gorgonia.WithPrecompiled(code, places))
	return p, nil
}

// run computes the nodes at the values of the leaves.
func (p *program) run() (err error) {
	defer p.machine.Reset()
	if err := p.machine.RunAll(); err != nil {
		return fmt.Errorf("%w: %w", ErrModel, err)
	}
	return nil
}

// result writes node i of the last run.
func (p *program) result(i int, dst []float64) error {
	a, err := read(p.results[i])
	if err != nil {
		return fmt.Errorf("%w: a result is %w", ErrModel, err)
	}
	if a.size != len(dst) {
		return fmt.Errorf("%w: a result has shape %v, want %d elements", ErrModel, a.shape, len(dst))
	}
	a.copyTo(dst)
	return nil
}
