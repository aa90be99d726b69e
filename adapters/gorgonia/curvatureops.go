package gorgoniaopt

import (
	"cmp"
	"fmt"
	"hash"
	"hash/fnv"
	"slices"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Gorgonia has no derivatives, or wrong ones, of the derivatives of some operations. Those of the operations here are linear in the
// cotangent, so that the derivative with respect to it is the operation's own tangent.

// tangents says how an operation's tangent is computed, by the name of its type.
var tangents = map[string]func(d *derivative, inputs gorgonia.Nodes, along *gorgonia.Node) (*gorgonia.Node, error){
	"gorgonia.im2colOp":   linearTangent, // of convolutions
	"*gorgonia.avgPoolOp": linearTangent,
	"*gorgonia.maxPoolOp": func(d *derivative, inputs gorgonia.Nodes, along *gorgonia.Node) (*gorgonia.Node, error) {
		return gorgonia.ApplyOp(&selection{pool: d.of}, inputs[0], along)
	},
}

func linearTangent(d *derivative, _ gorgonia.Nodes, along *gorgonia.Node) (*gorgonia.Node, error) {
	return gorgonia.ApplyOp(d.of, along)
}

// A traced is an operation of tangents. It tells its replica which node is its derivative.
type traced struct {
	gorgonia.SDOp
	replica *replica
}

// SymDiff implements gorgonia.SDOp.
func (t *traced) SymDiff(inputs gorgonia.Nodes, output, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	nodes, err := t.SDOp.SymDiff(inputs, output, grad)
	if err == nil {
		t.replica.derivatives[nodes[0]] = t.SDOp
	}
	return nodes, err
}

// A derivative is the derivative of an operation, whose last input is the cotangent.
type derivative struct {
	gorgonia.Op
	of gorgonia.SDOp
}

// DiffWRT implements gorgonia.SDOp.
func (d *derivative) DiffWRT(inputs int) []bool {
	which := make([]bool, inputs)
	which[inputs-1] = true
	return which
}

// SymDiff implements gorgonia.SDOp.
func (d *derivative) SymDiff(inputs gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	tangent, err := tangents[typeName(d.of)](d, inputs, grad)
	nodes := make(gorgonia.Nodes, len(inputs))
	nodes[len(inputs)-1] = tangent
	return nodes, err
}

// twice returns an *OpError if the derivative of an operation is one that Gorgonia cannot differentiate: it then has the methods of the
// operation itself, for another number of inputs.
func twice(op gorgonia.Op, inputs int) (err error) {
	differentiable, ok := op.(gorgonia.SDOp)
	if !ok {
		return nil
	}
	refused := &OpError{Op: op, Why: "Gorgonia cannot differentiate this derivative"}
	defer func() {
		if recover() != nil {
			err = refused
		}
	}()
	if len(differentiable.DiffWRT(inputs)) != inputs {
		return refused
	}
	return nil
}

func typeName(op gorgonia.Op) string { return fmt.Sprintf("%T", op) }

// A selection is the tangent of a max pooling: of inputs x and w it returns the elements of w where x has the windows' maxima.
type selection struct {
	pool gorgonia.Op
	x    []float64
	at   []int // for each window the place of its maximum, for x
}

// Do implements gorgonia.Op. The pooling itself says where the maxima are: it pools the ranks of x.
func (s *selection) Do(inputs ...gorgonia.Value) (gorgonia.Value, error) {
	x, w, flat, along, err := s.read(inputs)
	if err != nil {
		return nil, err
	}
	if !slices.Equal(flat, s.x) {
		order := make([]int, len(flat))
		for i := range order {
			order[i] = i
		}
		// Of equal elements a pooling takes the first: it ranks highest.
		slices.SortFunc(order, func(i, j int) int { return cmp.Or(cmp.Compare(flat[i], flat[j]), j-i) })
		ranks := make([]float64, len(flat))
		for rank, i := range order {
			ranks[i] = float64(rank)
		}
		pooled, err := s.pool.Do(tensor.New(tensor.WithShape(x.Shape()...), tensor.WithBacking(ranks)))
		if err != nil {
			return nil, err
		}
		s.at = s.at[:0]
		for _, rank := range pooled.Data().([]float64) {
			s.at = append(s.at, order[int(rank)])
		}
		s.x = flat
	}
	shape, err := s.InferShape(x.Shape())
	if err != nil {
		return nil, err
	}
	out := tensor.New(tensor.WithShape(shape...), tensor.Of(w.Dtype()))
	a, err := read(out)
	if err != nil {
		return nil, err
	}
	picked := make([]float64, len(s.at))
	for k, i := range s.at {
		picked[k] = along[i]
	}
	a.set(picked)
	return out, nil
}

func (s *selection) read(inputs []gorgonia.Value) (x, w gorgonia.Value, flat, along []float64, err error) {
	if len(inputs) != 2 {
		return nil, nil, nil, nil, fmt.Errorf("%v: %d inputs, want 2", s, len(inputs))
	}
	var both [2][]float64
	for i, v := range inputs {
		a, err := read(v)
		if err != nil {
			return nil, nil, nil, nil, fmt.Errorf("%v: %w", s, err)
		}
		both[i] = make([]float64, a.size)
		a.copyTo(both[i])
	}
	return inputs[0], inputs[1], both[0], both[1], nil
}

// Arity implements gorgonia.Op.
func (s *selection) Arity() int { return 2 }

// Type implements gorgonia.Op.
func (s *selection) Type() hm.Type {
	t := gorgonia.TensorType{Dims: 4, Of: hm.TypeVariable('a')}
	return hm.NewFnType(t, t, t)
}

// InferShape implements gorgonia.Op.
func (s *selection) InferShape(inputs ...gorgonia.DimSizer) (tensor.Shape, error) {
	return s.pool.InferShape(inputs[0])
}

// ReturnsPtr implements gorgonia.Op.
func (s *selection) ReturnsPtr() bool { return false }

// CallsExtern implements gorgonia.Op.
func (s *selection) CallsExtern() bool { return false }

// OverwritesInput implements gorgonia.Op.
func (s *selection) OverwritesInput() int { return -1 }

// WriteHash implements gorgonia.Op.
func (s *selection) WriteHash(h hash.Hash) { fmt.Fprintf(h, "%v", s) }

// Hashcode implements gorgonia.Op.
func (s *selection) Hashcode() uint32 {
	h := fnv.New32a()
	s.WriteHash(h)
	return h.Sum32()
}

// String implements fmt.Stringer.
func (s *selection) String() string { return fmt.Sprintf("selection of %v", s.pool) }
