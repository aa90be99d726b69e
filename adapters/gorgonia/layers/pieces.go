package layers

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"learnedopt/internal/operation"
)

// columns returns the columns from, …, to − 1 of a matrix of rows rows as a node.
func columns(packed *gorgonia.Node, rows, from, to int) (*gorgonia.Node, error) {
	width := packed.Shape()[1]
	part := &operation.Op{Name: "columns", Shape: tensor.Shape{rows, to - from}, Compute: func(out []float32, in [][]float32) error {
		for i := range rows {
			copy(out[i*(to-from):(i+1)*(to-from)], in[0][i*width+from:i*width+to])
		}
		return nil
	}}
	part.Derive = func(_ gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
		back := &operation.Op{Name: "columns' derivative", Shape: tensor.Shape{rows, width}, Compute: func(out []float32, in [][]float32) error {
			clear(out)
			for i := range rows {
				copy(out[i*width+from:i*width+to], in[0][i*(to-from):(i+1)*(to-from)])
			}
			return nil
		}}
		d, err := back.Apply(grad)
		return gorgonia.Nodes{d}, err
	}
	return part.Apply(packed)
}

// pieces takes a vector apart into nodes of the given shapes.
func pieces(packed *gorgonia.Node, shapes []tensor.Shape) (gorgonia.Nodes, error) {
	var nodes gorgonia.Nodes
	at := 0
	for _, shape := range shapes {
		from := at
		at += shape.TotalSize()
		piece := &operation.Op{Name: "piece", Shape: shape.Clone(), Compute: func(out []float32, in [][]float32) error {
			copy(out, in[0][from:])
			return nil
		}}
		node, err := piece.Apply(packed)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, node)
	}
	return nodes, nil
}
