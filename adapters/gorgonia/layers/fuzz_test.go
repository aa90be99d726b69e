package layers

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"learnedopt/implicit"
	"learnedopt/qp"
)

// bytes deals the bytes of a fuzzer out, zeros at the end.
type bytes []byte

func (b *bytes) next() int {
	if len(*b) == 0 {
		return 0
	}
	v := (*b)[0]
	*b = (*b)[1:]
	return int(v)
}

// value is a small number most of the time, else a tiny, a huge or a non-finite one.
func (b *bytes) value() float32 {
	switch v := b.next(); v {
	case 255:
		return float32(math.NaN())
	case 254:
		return float32(math.Inf(1))
	case 253:
		return math.MaxFloat32
	case 252:
		return -1e-30
	default:
		return float32(int8(v)) / 16
	}
}

// node adds a node of the shape, sometimes of another one, of another type or none at all.
func (b *bytes) node(g *gorgonia.ExprGraph, name string, shape ...int) *gorgonia.Node {
	shape = append([]int(nil), shape...)
	switch b.next() {
	case 255:
		return nil
	case 254:
		return gorgonia.NewTensor(g, tensor.Float64, len(shape), gorgonia.WithShape(shape...), gorgonia.WithName(name), gorgonia.WithInit(gorgonia.Zeroes()))
	case 253:
		shape = shape[1:]
	case 252:
		shape[0]++
	case 251:
		shape = append(shape, 1)
	case 250:
		shape = append([]int{2}, shape...)
	}
	if len(shape) == 0 {
		return gorgonia.NewScalar(g, tensor.Float32, gorgonia.WithName(name), gorgonia.WithValue(b.value()))
	}
	v := make([]float32, tensor.Shape(shape).TotalSize())
	for i := range v {
		v[i] = b.value()
	}
	return node(g, name, v, shape...)
}

// typed reports whether an operation failed with an error that its users can tell from others.
func typed(err error) bool {
	var (
		input      *qp.InputError
		convex     *qp.NotConvexError
		infeasible *qp.InfeasibleError
		unbounded  *qp.UnboundedError
		not        *qp.NotConvergedError
		weak       *qp.WeaklyActiveError
		root       *implicit.NotConvergedError
		singular   *implicit.SingularError
	)
	return errors.As(err, &input) || errors.As(err, &convex) || errors.As(err, &infeasible) || errors.As(err, &unbounded) || errors.As(err, &not) ||
		errors.As(err, &weak) || errors.As(err, &root) || errors.As(err, &singular) || errors.Is(err, ErrOverflow) || errors.Is(err, qp.ErrSingular)
}

// evaluate runs an operation and its derivative: each writes finite numbers or fails with a typed error.
func evaluate(t *testing.T, g *gorgonia.ExprGraph, results, inputs gorgonia.Nodes, seed *bytes) {
	t.Helper()
	value := map[*gorgonia.Node]gorgonia.Value{}
	var at func(node *gorgonia.Node) (gorgonia.Value, error)
	at = func(node *gorgonia.Node) (gorgonia.Value, error) {
		if node.Op() == nil {
			return node.Value(), nil
		}
		if v, ok := value[node]; ok {
			return v, nil
		}
		o, ok := node.Op().(interface{ Inputs() gorgonia.Nodes })
		if !ok {
			t.Fatalf("%v is not one of our operations", node)
		}
		var values []gorgonia.Value
		for _, in := range o.Inputs() {
			v, err := at(in)
			if err != nil {
				return nil, err
			}
			values = append(values, v)
		}
		v, err := node.Op().Do(values...)
		value[node] = v
		return v, err
	}
	check := func(node *gorgonia.Node) bool {
		v, err := at(node)
		if err != nil {
			if !typed(err) {
				t.Fatalf("error of no type: %v", err)
			}
			return false
		}
		for i, x := range v.Data().([]float32) {
			if x-x != 0 {
				t.Fatalf("%v: number %d is %g", node, i, x)
			}
		}
		return true
	}
	for _, r := range results {
		if !check(r) {
			return
		}
	}
	up := make([]float32, results[0].Shape().TotalSize())
	for i := range up {
		up[i] = float32(int8(seed.next())) / 16
	}
	grads, err := gorgonia.Backpropagate(results[:1], gorgonia.Nodes{node(g, "upstream", up, results[0].Shape()...)}, inputs)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range grads {
		if !check(d) {
			return
		}
	}
}

// FuzzQuadraticProgram builds and runs batches of programs of any shapes and numbers.
func FuzzQuadraticProgram(f *testing.F) {
	f.Add([]byte{1, 2, 1, 2, 0, 0, 0, 16, 16, 0, 16, 32, 48, 64, 0, 16, 32, 16, 0, 16, 0, 240, 0, 0, 240, 0, 0, 0})
	f.Add([]byte{0, 1, 0, 2, 0, 0, 1, 0, 16, 0, 16, 0, 16, 240, 0, 0, 240}) // infeasible
	f.Add([]byte{2, 1, 1, 1, 3, 1, 0, 255, 255, 255})
	f.Fuzz(quadraticProgram)
}

func quadraticProgram(t *testing.T, data []byte) {
	b := bytes(data)
	rows, n, p, m, form, options := 1+b.next()%3, 1+b.next()%4, b.next()%3, b.next()%5, b.next()%4, b.next()
	g := gorgonia.NewGraph()
	var problem Problem
	shared := func(bit int, shape ...int) []int {
		if form>>1&1 == 1 && bit%2 == 0 {
			return append([]int{rows}, shape...)
		}
		return shape
	}
	problem.Linear = b.node(g, "q", rows, n)
	switch form {
	case 1:
		problem.Q = b.node(g, "Q", n)
	case 2, 3:
		problem.Q = b.node(g, "Q", shared(0, n, n)...)
	}
	if p > 0 {
		problem.A, problem.B = b.node(g, "A", shared(1, p, n)...), b.node(g, "b", shared(0, p)...)
	}
	if m > 0 {
		problem.G, problem.H = b.node(g, "G", shared(0, m, n)...), b.node(g, "h", shared(1, m)...)
	}
	o := qp.Options{Weak: qp.Weak(options % 2)}
	if options > 200 {
		o.Smoothing = 1e-3
	}
	s, err := QuadraticProgram(problem, o)
	if err != nil {
		if !strings.HasPrefix(err.Error(), "layers: ") {
			t.Fatalf("error %v", err)
		}
		return
	}
	results := gorgonia.Nodes{s.Z}
	for _, r := range (gorgonia.Nodes{s.Nu, s.Lambda}) {
		if r != nil {
			results = append(results, r)
		}
	}
	var inputs gorgonia.Nodes
	for _, in := range (gorgonia.Nodes{problem.Q, problem.Linear, problem.A, problem.B, problem.G, problem.H}) {
		if in != nil {
			inputs = append(inputs, in)
		}
	}
	evaluate(t, g, results, inputs, &b)
}

// FuzzEquilibrium builds and runs equilibria of any shapes and numbers.
func FuzzEquilibrium(f *testing.F) {
	f.Add([]byte{1, 1, 1, 0, 4, 2, 1, 3, 0, 16, 8, 4, 2, 0, 1, 2, 0, 16, 32, 48, 64})
	f.Add([]byte{2, 0, 0, 0, 255, 0, 254, 0, 1, 0, 3})
	f.Fuzz(equilibrium)
}

func equilibrium(t *testing.T, data []byte) {
	b := bytes(data)
	rows, n, d := 1+b.next()%3, 1+b.next()%4, 1+b.next()%3
	g := gorgonia.NewGraph()
	inputs := gorgonia.Nodes{b.node(g, "W", n, n), b.node(g, "U", n, d), b.node(g, "b", n), b.node(g, "x", rows, d)}
	z, err := Equilibrium(inputs[0], inputs[1], inputs[2], inputs[3])
	if err != nil {
		if !strings.HasPrefix(err.Error(), "layers: ") {
			t.Fatalf("error %v", err)
		}
		return
	}
	evaluate(t, g, gorgonia.Nodes{z}, inputs, &b)
}

// TestRandomBytes does what the fuzz targets do, with bytes of a generator: METAOPT_ALL sets 5,000 of each.
func TestRandomBytes(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	count := 200
	if os.Getenv("METAOPT_ALL") != "" {
		count = 5000
	}
	for range count {
		data := make([]byte, 5+r.IntN(150))
		for i := range data {
			data[i] = byte(r.Uint32())
			if r.IntN(20) > 0 {
				// Most nodes and numbers are ordinary.
				data[i] %= 200
			}
		}
		quadraticProgram(t, data)
		equilibrium(t, data)
	}
}

// TestOverflow gives a program whose solution is beyond float32.
func TestOverflow(t *testing.T) {
	g := gorgonia.NewGraph()
	s, err := QuadraticProgram(Problem{Linear: node(g, "q", []float32{1}, 1, 1), A: node(g, "A", []float32{1e-30}, 1, 1), B: node(g, "b", []float32{1e20}, 1)}, qp.Options{})
	must(t, err)
	machine := gorgonia.NewTapeMachine(g)
	defer machine.Close()
	if err := machine.RunAll(); err == nil || !strings.Contains(err.Error(), ErrOverflow.Error()) {
		t.Errorf("error %v, z = %v, want %v", err, fmt.Sprint(s.Z.Value()), ErrOverflow)
	}
}
