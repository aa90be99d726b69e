package layers

import (
	"fmt"
	"hash"
	"hash/fnv"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// An op is a gorgonia.Op over float32 arrays of fixed shapes. It owns the
// value that it returns and overwrites it at each run, so it belongs to one
// node of one graph.
type op struct {
	name  string
	in    []tensor.Shape
	shape tensor.Shape

	// do computes out, which has the size of shape, from the inputs.
	do func(out []float32, in [][]float32)
	// diff returns the derivatives with respect to the inputs, nil for an input without
	// one. If diff is nil the op has no derivatives.
	diff func(inputs gorgonia.Nodes, output, grad *gorgonia.Node) (gorgonia.Nodes, error)
	// fixed is the number of inputs, counted from the last, that are not differentiable.
	fixed int

	inputs  gorgonia.Nodes
	out     gorgonia.Value
	data    []float32
	floats  [][]float32
	scalars []float32
}

var _ gorgonia.SDOp = (*op)(nil)

// apply adds the operation to the graph of its inputs.
func (o *op) apply(inputs ...*gorgonia.Node) (*gorgonia.Node, error) {
	for _, node := range inputs {
		if node == nil {
			return nil, fmt.Errorf("layers: %s: missing input", o.name)
		}
		if node.Dtype() != tensor.Float32 {
			return nil, fmt.Errorf("layers: %s: input %v is of type %v, want float32", o.name, node, node.Dtype())
		}
		o.in = append(o.in, node.Shape().Clone())
		o.inputs = append(o.inputs, node)
	}
	o.data = make([]float32, o.shape.TotalSize())
	o.floats, o.scalars = make([][]float32, len(inputs)), make([]float32, len(inputs))
	if o.shape.IsScalar() {
		o.out = gorgonia.NewF32(0)
	} else {
		o.out = tensor.New(tensor.WithShape(o.shape...), tensor.WithBacking(o.data))
	}
	return gorgonia.ApplyOp(o, inputs...)
}

// Arity implements gorgonia.Op.
func (o *op) Arity() int { return len(o.in) }

// Type implements gorgonia.Op.
func (o *op) Type() hm.Type {
	var types []hm.Type
	for _, shape := range append(o.in[:len(o.in):len(o.in)], o.shape) {
		if shape.IsScalar() {
			types = append(types, tensor.Float32)
		} else {
			types = append(types, gorgonia.TensorType{Dims: shape.Dims(), Of: tensor.Float32})
		}
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
		switch t := v.(type) {
		case *gorgonia.F32:
			o.scalars[i] = float32(*t)
			o.floats[i] = o.scalars[i : i+1]
		case *tensor.Dense:
			if _, ok := plain(t); !ok {
				return nil, fmt.Errorf("layers: %s: input %d is not a contiguous row-major float32 tensor", o.name, i)
			}
			o.floats[i] = t.Float32s()
		default:
			return nil, fmt.Errorf("layers: %s: input %d is a %T, want float32", o.name, i, v)
		}
		if len(o.floats[i]) != o.in[i].TotalSize() {
			return nil, fmt.Errorf("layers: %s: input %d has shape %v, want %v", o.name, i, v.Shape(), o.in[i])
		}
	}
	o.do(o.data, o.floats)
	if f, ok := o.out.(*gorgonia.F32); ok {
		*f = gorgonia.F32(o.data[0])
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
func (o *op) WriteHash(h hash.Hash) { fmt.Fprint(h, o.String(), o.in, o.shape) }

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
		can[i] = o.diff != nil && i < inputs-o.fixed
	}
	return can
}

// SymDiff implements gorgonia.SDOp.
func (o *op) SymDiff(inputs gorgonia.Nodes, output, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	if o.diff == nil {
		return nil, fmt.Errorf("layers: %s has no derivative", o.name)
	}
	return o.diff(inputs, output, grad)
}
