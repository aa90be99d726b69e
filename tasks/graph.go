package tasks

import (
	"fmt"
	"math/rand/v2"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"learnedopt/internal/gemm/layers"
	"learnedopt/internal/precondition"
	"learnedopt/optimizer"
)

// An Expression is a loss written as a Gorgonia graph.
type Expression struct {
	// Params are the variables to be optimized, all float32. Their elements,
	// row-major, one variable after the other, are the coordinates of θ.
	Params gorgonia.Nodes
	// Loss is the scalar float32 node f_t(θ).
	Loss *gorgonia.Node
	// Feed gives the graph the data of step t before it runs, by
	// gorgonia.Let or by writing into the backing of a tensor bound
	// earlier. The data must depend on t alone. nil means that f is the
	// same function at every step.
	Feed func(t int) error
	// Start writes the starting point θ_0, the same at every call. nil means
	// the values that were bound to Params when the graph was built, and 0 for a parameter without
	// a value. Do not use Gorgonia's own random initialisers: they are seeded from the clock.
	Start func(theta []float32)
	// Tensors describes each of Params (matrix, bias and so on), with the shape of its node. nil means that the
	// descriptions follow from the shapes by optimizer.InferTensor.
	Tensors []optimizer.Tensor
}

// A Graph is an optimizer.Problem whose loss is a Gorgonia expression graph
// and whose gradient is Gorgonia's reverse-mode derivative of that graph. The graph is
// compiled once. A Graph belongs to one goroutine; Close releases its machine.
type Graph struct {
	machine     gorgonia.VM
	theta, grad []float32
	start       func(theta []float32)
	layout      optimizer.Layout
	scalars     []scalarParam
	loss        gorgonia.Value
	feed        func(t int) error
	step        int
}

var (
	_ optimizer.Problem = (*Graph)(nil)
	_ optimizer.Seeker  = (*Graph)(nil)
)

// NewGraph calls build to write an expression into a new graph, differentiates the expression
// with respect to its parameters and compiles loss and gradient. An expression that
// Gorgonia cannot differentiate or compile is an error.
func NewGraph(build func(g *gorgonia.ExprGraph) (Expression, error)) (p *Graph, err error) {
	defer func() { // Gorgonia reports some faults of a graph by panicking
		if r := recover(); r != nil {
			p, err = nil, fmt.Errorf("tasks: compiling the graph: %v", r)
		}
	}()
	g := gorgonia.NewGraph()
	e, err := build(g)
	if err != nil {
		return nil, fmt.Errorf("tasks: building the graph: %w", err)
	}
	n, err := e.validate(g)
	if err != nil {
		return nil, err
	}
	gradients, err := gorgonia.Grad(e.Loss, e.Params...)
	if err != nil {
		return nil, fmt.Errorf("tasks: differentiating the graph: %w", err)
	}
	layout, err := layoutOf(e.Params, e.Tensors)
	if err != nil {
		return nil, err
	}
	p = &Graph{theta: make([]float32, n), grad: make([]float32, n), layout: layout, feed: e.Feed, start: e.Start}
	if p.start == nil {
		theta, err := boundValues(e.Params, n)
		if err != nil {
			return nil, err
		}
		p.start = func(dst []float32) { copy(dst, theta) }
	}
	outputs, err := p.lay(e.Params, gradients)
	if err != nil {
		return nil, err
	}
	outputs = append(outputs, layers.Output{Node: e.Loss, Into: &p.loss})
	p.machine, err = layers.NewMachine(g, e.Params, outputs)
	if err != nil {
		return nil, fmt.Errorf("tasks: compiling the graph: %w", err)
	}
	return p, nil
}

// A scalarParam is a parameter of shape (). Gorgonia's scalar values cannot
// alias a slice, so the value is set before each run and the gradient read after it.
type scalarParam struct {
	node  *gorgonia.Node
	index int
	grad  *gorgonia.Value
}

// lay binds the parameters to tensors over p.theta. It returns outputs that copy the gradients
// into tensors over p.grad at the end of each run. The gradients are read as
// ordinary nodes and not as dual values, because dual values add up from run to run.
func (p *Graph) lay(params, gradients gorgonia.Nodes) (outputs []layers.Output, err error) {
	at := 0
	for i, node := range params {
		shape := node.Shape()
		if shape.IsScalar() {
			s := scalarParam{node: node, index: at, grad: new(gorgonia.Value)}
			outputs = append(outputs, layers.Output{Node: gradients[i], Into: s.grad})
			p.scalars = append(p.scalars, s)
			at++
			continue
		}
		size := shape.TotalSize()
		theta := tensor.New(tensor.WithShape(shape...), tensor.WithBacking(p.theta[at:at+size:at+size]))
		var grad gorgonia.Value = tensor.New(tensor.WithShape(shape...), tensor.WithBacking(p.grad[at:at+size:at+size]))
		if err := gorgonia.Let(node, theta); err != nil {
			return nil, fmt.Errorf("tasks: parameter %s: %w", node.Name(), err)
		}
		outputs = append(outputs, layers.Output{Node: gradients[i], Into: &grad})
		at += size
	}
	return outputs, nil
}

// validate checks the expression and returns the number of coordinates.
func (e Expression) validate(g *gorgonia.ExprGraph) (int, error) {
	if len(e.Params) == 0 {
		return 0, fmt.Errorf("tasks: the expression has no parameters")
	}
	if e.Loss == nil || e.Loss.Graph() != g || !e.Loss.IsScalar() || e.Loss.Dtype() != tensor.Float32 {
		return 0, fmt.Errorf("tasks: the expression's loss is %v, want a float32 scalar of the graph that was passed in", e.Loss)
	}
	n, seen := 0, map[*gorgonia.Node]bool{}
	for _, node := range e.Params {
		switch {
		case node == nil || node.Graph() != g || !node.IsVar():
			return 0, fmt.Errorf("tasks: parameter %v is not a variable of the graph that was passed in", node)
		case node.Dtype() != tensor.Float32:
			return 0, fmt.Errorf("tasks: parameter %s is of type %v, want float32", node.Name(), node.Dtype())
		case seen[node]:
			return 0, fmt.Errorf("tasks: parameter %s is listed twice", node.Name())
		}
		seen[node] = true
		n += node.Shape().TotalSize()
	}
	return n, nil
}

// boundValues copies the values bound to the parameters.
func boundValues(params gorgonia.Nodes, n int) ([]float32, error) {
	theta, at := make([]float32, n), 0
	for _, node := range params {
		size := node.Shape().TotalSize()
		if node.Value() != nil {
			switch data := node.Value().Data().(type) {
			case []float32:
				copy(theta[at:at+size], data)
			case float32:
				theta[at] = data
			default:
				return nil, fmt.Errorf("tasks: parameter %s is bound to %T, want float32", node.Name(), data)
			}
		}
		at += size
	}
	return theta, nil
}

// Dim implements optimizer.Problem.
func (p *Graph) Dim() int { return len(p.theta) }

// Init implements optimizer.Problem.
func (p *Graph) Init(theta []float32) {
	precondition.Length("tasks", "theta", theta, p.Dim())
	p.start(theta)
}

// Seek implements optimizer.Seeker.
func (p *Graph) Seek(t int) {
	if t < 0 {
		panic(errStep)
	}
	p.step = t
}

// LossGrad implements optimizer.Problem.
func (p *Graph) LossGrad(theta, grad []float32) (float64, error) {
	precondition.Length("tasks", "theta", theta, p.Dim())
	precondition.Length("tasks", "grad", grad, p.Dim())
	if p.machine == nil {
		panic(errClosed)
	}
	if p.feed != nil {
		if err := p.feed(p.step); err != nil {
			return 0, fmt.Errorf("tasks: data of step %d: %w", p.step, err)
		}
	}
	copy(p.theta, theta)
	for _, s := range p.scalars {
		if err := gorgonia.Let(s.node, theta[s.index]); err != nil {
			return 0, fmt.Errorf("tasks: parameter %s: %w", s.node.Name(), err)
		}
	}
	err := p.machine.RunAll()
	p.machine.Reset()
	if err != nil {
		return 0, fmt.Errorf("tasks: running the graph at step %d: %w", p.step, err)
	}
	copy(grad, p.grad)
	for _, s := range p.scalars {
		grad[s.index] = (*s.grad).Data().(float32)
	}
	p.step++
	if f, ok := p.loss.(*gorgonia.F32); ok { // without Data, which allocates
		return float64(*f), nil
	}
	return float64(p.loss.Data().(float32)), nil
}

// Close releases the machine. The Graph cannot be used afterwards.
func (p *Graph) Close() error {
	if p.machine == nil {
		return nil
	}
	err := p.machine.Close()
	p.machine = nil
	return err
}

// A GraphFamily is a family of problems written as Gorgonia graphs.
type GraphFamily struct {
	// Label is the family's name. It must name everything that a problem depends on besides
	// Build's random source.
	Label string
	// Build writes one problem into g, as for NewGraph. All randomness
	// of the problem must come from rng, which must not be used after Build
	// returns; draw a seed from rng for the data of later steps.
	Build func(g *gorgonia.ExprGraph, rng *rand.Rand) (Expression, error)
}

var _ optimizer.Family = GraphFamily{}

// Name implements optimizer.Family.
func (f GraphFamily) Name() string { return f.Label }

// Sample implements optimizer.Family. It compiles a graph each time.
func (f GraphFamily) Sample(rng *rand.Rand) (optimizer.Problem, error) {
	p, err := NewGraph(func(g *gorgonia.ExprGraph) (Expression, error) { return f.Build(g, rng) })
	if err != nil {
		return nil, err
	}
	return p, nil
}
