package tasks

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"

	"learnedopt/optimizer"
)

var (
	_ optimizer.Laid = (*Graph)(nil)
	_ optimizer.Laid = (*classifier)(nil)
	_ optimizer.Laid = (*quadratic)(nil)
	_ optimizer.Laid = (*rosenbrock)(nil)
)

// Layout implements optimizer.Laid: the parameters with their names and shapes in the graph.
func (p *Graph) Layout() optimizer.Layout { return p.layout }

// layoutOf returns the layout of a graph's parameters. If tensors is nil, the description of a parameter follows from its
// shape; else tensors must describe every parameter.
func layoutOf(params gorgonia.Nodes, tensors []optimizer.Tensor) (optimizer.Layout, error) {
	if tensors != nil && len(tensors) != len(params) {
		return optimizer.Layout{}, fmt.Errorf("tasks: the expression describes %d tensors for %d parameters; describe all of them or none", len(tensors), len(params))
	}
	var all []optimizer.Tensor
	for i, node := range params {
		t := optimizer.InferTensor(node.Name(), node.Shape())
		if tensors != nil {
			if !slices.Equal(tensors[i].Shape, t.Shape) {
				return optimizer.Layout{}, fmt.Errorf("tasks: the expression describes parameter %s with shape %v; its shape is %v", node.Name(), tensors[i].Shape, t.Shape)
			}
			t = tensors[i]
		}
		all = append(all, t)
	}
	layout, err := optimizer.NewLayout(all...)
	if err != nil {
		return layout, fmt.Errorf("tasks: %w", err)
	}
	return layout, nil
}

// Layout implements optimizer.Laid: a matrix W of inputs × outputs, or a kernel K of 3 × 3 × inputs × outputs, and a bias b for
// each layer.
func (p *classifier) Layout() optimizer.Layout { return p.family.layout }

// Layout implements optimizer.Laid: one row for each function of the batch.
func (q *quadratic) Layout() optimizer.Layout { return rows(q.batch, q.dims) }

// Layout implements optimizer.Laid: one row for each function of the batch.
func (p *rosenbrock) Layout() optimizer.Layout { return rows(p.batch, p.dims) }

func rows(batch, dims int) optimizer.Layout {
	layout, err := optimizer.NewLayout(optimizer.Tensor{Name: "theta", Shape: []int{batch, dims}})
	if err != nil {
		panic("tasks: " + err.Error()) // cannot happen: Validate has checked both sizes
	}
	return layout
}
