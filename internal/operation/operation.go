// Package operation has one type for all operations that this module adds to Gorgonia's graphs.
package operation

import (
	"fmt"
	"hash"
	"hash/fnv"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// An Op is a gorgonia.Op over float32 arrays of fixed shapes. It owns the value that it returns and overwrites it at each
// run, so it belongs to one node of one graph.
type Op struct {
	// Name says what the operation is, in errors.
	Name string
	// Shape is that of the result.
	Shape tensor.Shape
	// Compute writes the result, which has the size of Shape, from the inputs.
	Compute func(out []float32, in [][]float32) error
	// Derive returns the derivatives with respect to the inputs, nil for an input without one. If Derive is nil the operation
	// has no derivatives.
	Derive func(inputs gorgonia.Nodes, output, grad *gorgonia.Node) (gorgonia.Nodes, error)
	// Fixed is the number of inputs, counted from the last, that are not differentiable.
	Fixed int

	in      []tensor.Shape
	inputs  gorgonia.Nodes
	out     gorgonia.Value
	data    []float32
	floats  [][]float32
	scalars []float32
}

var _ gorgonia.SDOp = (*Op)(nil)

// Apply adds the operation to the graph of its inputs. It is called once.
func (o *Op) Apply(inputs ...*gorgonia.Node) (*gorgonia.Node, error) {
	for _, node := range inputs {
		if node == nil {
			return nil, fmt.Errorf("layers: %s: missing input", o.Name)
		}
		if node.Dtype() != tensor.Float32 {
			return nil, fmt.Errorf("layers: %s: input %v is of type %v, want float32", o.Name, node, node.Dtype())
		}
		o.in = append(o.in, node.Shape().Clone())
		o.inputs = append(o.inputs, node)
	}
	o.data = make([]float32, o.Shape.TotalSize())
	o.floats, o.scalars = make([][]float32, len(inputs)), make([]float32, len(inputs))
	if o.Shape.IsScalar() {
		o.out = gorgonia.NewF32(0)
	} else {
		o.out = tensor.New(tensor.WithShape(o.Shape...), tensor.WithBacking(o.data))
	}
	return gorgonia.ApplyOp(o, inputs...)
}

// Inputs returns the nodes that the operation was applied to.
func (o *Op) Inputs() gorgonia.Nodes { return o.inputs }

// Arity implements gorgonia.Op.
func (o *Op) Arity() int { return len(o.in) }

// Type implements gorgonia.Op.
func (o *Op) Type() hm.Type {
	var types []hm.Type
	for _, shape := range append(o.in[:len(o.in):len(o.in)], o.Shape) {
		if shape.IsScalar() {
			types = append(types, tensor.Float32)
		} else {
			types = append(types, gorgonia.TensorType{Dims: shape.Dims(), Of: tensor.Float32})
		}
	}
	return hm.NewFnType(types...)
}

// InferShape implements gorgonia.Op.
func (o *Op) InferShape(...gorgonia.DimSizer) (tensor.Shape, error) { return o.Shape.Clone(), nil }

// Do implements gorgonia.Op. A tensor that is not laid out row by row, a view of a transposition for instance, is copied first.
func (o *Op) Do(inputs ...gorgonia.Value) (gorgonia.Value, error) {
	if len(inputs) != len(o.in) {
		return nil, fmt.Errorf("layers: %s: %d inputs, want %d", o.Name, len(inputs), len(o.in))
	}
	for i, v := range inputs {
		switch t := v.(type) {
		case *gorgonia.F32:
			o.scalars[i] = float32(*t)
			o.floats[i] = o.scalars[i : i+1]
		case *tensor.Dense:
			if t.Dtype() != tensor.Float32 || !t.IsNativelyAccessible() {
				return nil, fmt.Errorf("layers: %s: input %d holds %v, want float32 in the program's memory", o.Name, i, t.Dtype())
			}
			if t.RequiresIterator() || !t.DataOrder().IsRowMajor() {
				t = t.Materialize().(*tensor.Dense)
			}
			o.floats[i] = t.Float32s()
		default:
			return nil, fmt.Errorf("layers: %s: input %d is a %T, want float32", o.Name, i, v)
		}
		if len(o.floats[i]) != o.in[i].TotalSize() {
			return nil, fmt.Errorf("layers: %s: input %d has shape %v, want %v", o.Name, i, v.Shape(), o.in[i])
		}
	}
	if err := o.Compute(o.data, o.floats); err != nil {
		return nil, fmt.Errorf("layers: %s: %w", o.Name, err)
	}
	if f, ok := o.out.(*gorgonia.F32); ok {
		*f = gorgonia.F32(o.data[0])
	}
	return o.out, nil
}

// ReturnsPtr implements gorgonia.Op: the result has its own register.
func (o *Op) ReturnsPtr() bool { return false }

// CallsExtern implements gorgonia.Op.
func (o *Op) CallsExtern() bool { return false }

// OverwritesInput implements gorgonia.Op.
func (o *Op) OverwritesInput() int { return -1 }

// WriteHash implements gorgonia.Op. No two operations are the same: what they compute is not only in their name.
func (o *Op) WriteHash(h hash.Hash) { fmt.Fprintf(h, "%s %v %v %p", o.Name, o.in, o.Shape, o) }

// Hashcode implements gorgonia.Op.
func (o *Op) Hashcode() uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

// String implements fmt.Stringer.
func (o *Op) String() string { return "layers." + o.Name }

// DiffWRT implements gorgonia.SDOp.
func (o *Op) DiffWRT(inputs int) []bool {
	can := make([]bool, inputs)
	for i := range can {
		can[i] = o.Derive != nil && i < inputs-o.Fixed
	}
	return can
}

// SymDiff implements gorgonia.SDOp.
func (o *Op) SymDiff(inputs gorgonia.Nodes, output, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	if o.Derive == nil {
		return nil, fmt.Errorf("layers: %s has no derivatives: the operations can be differentiated once", o.Name)
	}
	return o.Derive(inputs, output, grad)
}
