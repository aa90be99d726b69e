package layers

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"learnedopt/internal/operation"
	"learnedopt/qp"
)

// A Problem is a batch of N quadratic programs of n variables, p equalities and m inequalities as nodes of float32:
//
//	minimize ½ zᵀQz + qᵀz  subject to  Az = b,  Gz ≤ h
//
// A node without the dimension N is shared by the batch, and its derivative is the sum over the batch.
type Problem struct {
	// Q is n (a diagonal), n×n or N×n×n; nil means 0. The symmetric part of a matrix counts.
	Q *gorgonia.Node
	// Linear is q: N×n.
	Linear *gorgonia.Node
	// A is p×n or N×p×n and B, which is b, p or N×p; nil without equalities.
	A, B *gorgonia.Node
	// G is m×n or N×m×n and H, which is h, m or N×m; nil without inequalities.
	G, H *gorgonia.Node
}

// A Solution has the solutions and their multipliers as nodes, row by row. Nu and Lambda are nil without such constraints.
type Solution struct {
	Z, Nu, Lambda *gorgonia.Node // N×n, N×p, N×m
}

// QuadraticProgram adds the solution of a batch of quadratic programs to the graph. The options are those of qp.InteriorPoint: with the
// default ones, a weakly active constraint stops the backward pass with a *qp.WeaklyActiveError.
func QuadraticProgram(p Problem, o qp.Options) (Solution, error) {
	l := &programs{}
	l.batch.Options = o
	inputs, err := l.add(p)
	if err != nil {
		return Solution{}, err
	}
	width := l.n + l.p + l.m
	forward := &operation.Op{Name: "quadratic program", Shape: tensor.Shape{l.rows, width}, Compute: l.forward}
	forward.Derive = func(in gorgonia.Nodes, output, grad *gorgonia.Node) (gorgonia.Nodes, error) {
		total := 0
		var shapes []tensor.Shape
		for _, node := range in {
			shapes = append(shapes, node.Shape())
			total += node.Shape().TotalSize()
		}
		back := &operation.Op{Name: "quadratic program's derivative", Shape: tensor.Shape{total}, Compute: l.backward}
		// The solution is an input so that the machine computes it first.
		packed, err := back.Apply(output, grad)
		if err != nil {
			return nil, err
		}
		return pieces(packed, shapes)
	}
	packed, err := forward.Apply(inputs...)
	if err != nil {
		return Solution{}, err
	}
	var s Solution
	for _, c := range []struct {
		node     **gorgonia.Node
		from, to int
	}{{&s.Z, 0, l.n}, {&s.Nu, l.n, l.n + l.p}, {&s.Lambda, l.n + l.p, width}} {
		if c.from == c.to {
			continue
		}
		if *c.node, err = columns(packed, l.rows, c.from, c.to); err != nil {
			return Solution{}, err
		}
	}
	return s, nil
}

// programs are the problems of one node.
type programs struct {
	rows, n, p, m int
	inputs        []input
	batch         qp.Batch
	problems      []qp.Problem
	solutions     []qp.Solution
	gradients     []qp.Gradient
	upstream      []qp.Upstream
	errs          []error
}

// input is one of the six parameters.
type input struct {
	size    int  // of one problem
	batched bool // has a value for each problem
	of      func(*qp.Problem) *[]float64
	grad    func(*qp.Gradient) []float64
}

// add checks the shapes and returns the nodes that are there.
func (l *programs) add(p Problem) (gorgonia.Nodes, error) {
	if p.Linear == nil || !p.Linear.IsMatrix() {
		return nil, fmt.Errorf("layers: quadratic program: Linear has to be a matrix, a row for each problem of the batch")
	}
	l.rows, l.n = p.Linear.Shape()[0], p.Linear.Shape()[1]
	if (p.A == nil) != (p.B == nil) || (p.G == nil) != (p.H == nil) {
		return nil, fmt.Errorf("layers: quadratic program: A goes with B and G with H: give both or neither")
	}
	last := func(node *gorgonia.Node) int {
		if node == nil || node.Dims() == 0 {
			return 0
		}
		return node.Shape()[node.Dims()-1]
	}
	l.p, l.m = last(p.B), last(p.H)
	var nodes gorgonia.Nodes
	for _, c := range []struct {
		name  string
		node  *gorgonia.Node
		shape tensor.Shape // of one problem
		of    func(*qp.Problem) *[]float64
		grad  func(*qp.Gradient) []float64
	}{
		{"Q", p.Q, tensor.Shape{l.n, l.n}, func(p *qp.Problem) *[]float64 { return &p.Q }, func(g *qp.Gradient) []float64 { return g.Q }},
		{"Linear", p.Linear, tensor.Shape{l.n}, func(p *qp.Problem) *[]float64 { return &p.Linear }, func(g *qp.Gradient) []float64 { return g.Linear }},
		{"A", p.A, tensor.Shape{l.p, l.n}, func(p *qp.Problem) *[]float64 { return &p.A }, func(g *qp.Gradient) []float64 { return g.A }},
		{"B", p.B, tensor.Shape{l.p}, func(p *qp.Problem) *[]float64 { return &p.B }, func(g *qp.Gradient) []float64 { return g.B }},
		{"G", p.G, tensor.Shape{l.m, l.n}, func(p *qp.Problem) *[]float64 { return &p.G }, func(g *qp.Gradient) []float64 { return g.G }},
		{"H", p.H, tensor.Shape{l.m}, func(p *qp.Problem) *[]float64 { return &p.H }, func(g *qp.Gradient) []float64 { return g.H }},
	} {
		if c.node == nil {
			continue
		}
		got := c.node.Shape()
		batched := append(tensor.Shape{l.rows}, c.shape...)
		switch {
		case got.Eq(c.shape):
		case c.name == "Q" && got.Eq(tensor.Shape{l.n}):
			c.shape = got
		case got.Eq(batched):
		default:
			return nil, fmt.Errorf("layers: quadratic program: %s has shape %v, want %v, or %v with one for each problem", c.name, got, c.shape, batched)
		}
		nodes = append(nodes, c.node)
		l.inputs = append(l.inputs, input{c.shape.TotalSize(), got.Eq(batched), c.of, c.grad})
	}
	l.problems, l.solutions = make([]qp.Problem, l.rows), make([]qp.Solution, l.rows)
	l.gradients, l.upstream, l.errs = make([]qp.Gradient, l.rows), make([]qp.Upstream, l.rows), make([]error, l.rows)
	for _, in := range l.inputs {
		for i := range l.problems {
			*in.of(&l.problems[i]) = make([]float64, in.size)
		}
	}
	for i := range l.upstream {
		l.upstream[i] = qp.Upstream{Z: make([]float64, l.n), Nu: make([]float64, l.p), Lambda: make([]float64, l.m)}
	}
	return nodes, nil
}

func (l *programs) forward(out []float32, in [][]float32) error {
	for k, input := range l.inputs {
		for i := range l.problems {
			from := in[k]
			if input.batched {
				from = from[i*input.size : (i+1)*input.size]
			}
			for j, v := range from {
				(*input.of(&l.problems[i]))[j] = float64(v)
			}
		}
	}
	if !l.batch.Solve(l.solutions, l.problems, l.errs) {
		return l.first()
	}
	at := 0
	for i := range l.solutions {
		s := &l.solutions[i]
		for _, x := range [...][]float64{s.Z, s.Nu, s.Lambda} {
			if err := narrow(out[at:], x...); err != nil {
				return fmt.Errorf("row %d of the batch: %w", i, err)
			}
			at += len(x)
		}
	}
	return nil
}

// first returns the first error of the batch.
func (l *programs) first() error {
	for i, err := range l.errs {
		if err != nil {
			return fmt.Errorf("row %d of the batch: %w", i, err)
		}
	}
	return nil
}

// backward computes from the solutions and the derivatives with respect to them the derivatives with respect to all inputs.
func (l *programs) backward(out []float32, in [][]float32) error {
	at := 0
	for i := range l.upstream {
		u := &l.upstream[i]
		for _, x := range [...][]float64{u.Z, u.Nu, u.Lambda} {
			for j := range x {
				x[j] = float64(in[1][at])
				at++
			}
		}
	}
	if !l.batch.Gradient(l.gradients, l.upstream, l.errs) {
		return l.first()
	}
	clear(out)
	at = 0
	for _, input := range l.inputs {
		if input.batched {
			for i := range l.gradients {
				d := input.grad(&l.gradients[i])
				if err := narrow(out[at:], d...); err != nil {
					return fmt.Errorf("row %d of the batch: %w", i, err)
				}
				at += len(d)
			}
			continue
		}
		for j := range input.size {
			sum := 0.0
			for i := range l.gradients {
				sum += input.grad(&l.gradients[i])[j]
			}
			if err := narrow(out[at:], sum); err != nil {
				return err
			}
			at++
		}
	}
	return nil
}
