package layers

import (
	"fmt"
	"hash"
	"hash/fnv"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// An op is a gorgonia.Op over float32 arrays of fixed shapes with at least one dimension. It owns the value that it returns and
// overwrites it at each run, so it belongs to one node of one graph.
type op struct {
	name  string
	in    []tensor.Shape
	shape tensor.Shape

	// do computes out, which has the size of shape, from the inputs.
	do func(out []float32, in [][]float32) error
	// diff returns the derivatives with respect to the inputs. If it is nil the op has none.
	diff func(inputs gorgonia.Nodes, output, grad *gorgonia.Node) (gorgonia.Nodes, error)

	out    *tensor.Dense
	data   []float32
	floats [][]float32
}

var _ gorgonia.SDOp = (*op)(nil)

// apply adds the operation to the graph of its inputs.
func (o *op) apply(inputs ...*gorgonia.Node) (*gorgonia.Node, error) {
	for _, node := range inputs {
		if node.Dtype() != tensor.Float32 {
			return nil, fmt.Errorf("layers: %s: input %v is of type %v, want float32", o.name, node, node.Dtype())
		}
		o.in = append(o.in, node.Shape().Clone())
	}
	o.data = make([]float32, o.shape.TotalSize())
	o.floats = make([][]float32, len(inputs))
	o.out = tensor.New(tensor.WithShape(o.shape...), tensor.WithBacking(o.data))
	return gorgonia.ApplyOp(o, inputs...)
}

// Arity implements gorgonia.Op.
func (o *op) Arity() int { return len(o.in) }

// Type implements gorgonia.Op.
func (o *op) Type() hm.Type {
	var types []hm.Type
	for _, shape := range append(o.in[:len(o.in):len(o.in)], o.shape) {
		types = append(types, gorgonia.TensorType{Dims: shape.Dims(), Of: tensor.Float32})
	}
	return hm.NewFnType(types...)
}

// InferShape implements gorgonia.Op.
func (o *op) InferShape(...gorgonia.DimSizer) (tensor.Shape, error) { return o.shape.Clone(), nil }

// Do implements gorgonia.Op.
func (o *op) Do(inputs ...gorgonia.Value) (gorgonia.Value, error) {
	if len(inputs) != len(o.in) {
		return nil, fmt.Errorf("layers: %s: %d inputs, want %d", o.name, len(inputs), len(o.in))
	}
	for i, v := range inputs {
		t, ok := v.(*tensor.Dense)
		if !ok || t.Dtype() != tensor.Float32 || !t.IsNativelyAccessible() {
			return nil, fmt.Errorf("layers: %s: input %d is a %T, want a tensor of float32", o.name, i, v)
		}
		if t.RequiresIterator() || !t.DataOrder().IsRowMajor() {
			// A view, of a transposition for instance: lay it out row by row.
			t = t.Materialize().(*tensor.Dense)
		}
		o.floats[i] = t.Float32s()
		if len(o.floats[i]) != o.in[i].TotalSize() {
			return nil, fmt.Errorf("layers: %s: input %d has shape %v, want %v", o.name, i, v.Shape(), o.in[i])
		}
	}
	if err := o.do(o.data, o.floats); err != nil {
		return nil, fmt.Errorf("layers: %s: %w", o.name, err)
	}
	return o.out, nil
}

// ReturnsPtr implements gorgonia.Op: the result has its own register.
func (o *op) ReturnsPtr() bool { return false }

// CallsExtern implements gorgonia.Op.
func (o *op) CallsExtern() bool { return false }

// OverwritesInput implements gorgonia.Op.
func (o *op) OverwritesInput() int { return -1 }

// WriteHash implements gorgonia.Op.
func (o *op) WriteHash(h hash.Hash) { fmt.Fprintf(h, "%s %v %v %p", o.name, o.in, o.shape, o) }

// Hashcode implements gorgonia.Op.
func (o *op) Hashcode() uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

// String implements fmt.Stringer.
func (o *op) String() string { return "layers." + o.name }

// DiffWRT implements gorgonia.SDOp.
func (o *op) DiffWRT(inputs int) []bool {
	can := make([]bool, inputs)
	for i := range can {
		can[i] = o.diff != nil
	}
	return can
}

// SymDiff implements gorgonia.SDOp.
func (o *op) SymDiff(inputs gorgonia.Nodes, output, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	if o.diff == nil {
		return nil, fmt.Errorf("layers: %s has no derivatives: the operations can be differentiated once", o.name)
	}
	return o.diff(inputs, output, grad)
}

// columns returns the columns from, …, to − 1 of a matrix of rows rows as a node.
func columns(packed *gorgonia.Node, rows, from, to int) (*gorgonia.Node, error) {
	width := packed.Shape()[1]
	part := &op{name: "columns", shape: tensor.Shape{rows, to - from}, do: func(out []float32, in [][]float32) error {
		for i := range rows {
			copy(out[i*(to-from):(i+1)*(to-from)], in[0][i*width+from:i*width+to])
		}
		return nil
	}}
	part.diff = func(_ gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
		back := &op{name: "columns' derivative", shape: tensor.Shape{rows, width}, do: func(out []float32, in [][]float32) error {
			clear(out)
			for i := range rows {
				copy(out[i*width+from:i*width+to], in[0][i*(to-from):(i+1)*(to-from)])
			}
			return nil
		}}
		d, err := back.apply(grad)
		return gorgonia.Nodes{d}, err
	}
	return part.apply(packed)
}

// pieces takes a vector apart into nodes of the given shapes.
func pieces(packed *gorgonia.Node, shapes []tensor.Shape) (gorgonia.Nodes, error) {
	var nodes gorgonia.Nodes
	at := 0
	for _, shape := range shapes {
		from := at
		at += shape.TotalSize()
		piece := &op{name: "piece", shape: shape.Clone(), do: func(out []float32, in [][]float32) error {
			copy(out, in[0][from:])
			return nil
		}}
		node, err := piece.apply(packed)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, node)
	}
	return nodes, nil
}
