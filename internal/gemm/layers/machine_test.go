package layers

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"
)

// twoHidden builds a graph that consists only of layers, with two hidden layers of the same shape.
func twoHidden(t *testing.T, seed uint64) (g *G.ExprGraph, loss *G.Node, x *G.Node, params G.Nodes) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 0))
	g = G.NewGraph()
	x = node(g, "x", random(rng, 9*6), 9, 6)
	h := x
	for l, width := range []int{6, 5, 5, 4} {
		if l == 0 {
			continue
		}
		in := h.Shape()[1]
		w := node(g, "w"+string(rune('0'+l)), random(rng, in*width), in, width)
		b := node(g, "b"+string(rune('0'+l)), random(rng, width), width)
		params = append(params, w, b)
		var err error
		if h, err = Dense(h, w, b, []string{"", "tanh", "sigmoid", ""}[l]); err != nil {
			t.Fatal(err)
		}
	}
	y := make([]float32, 9*4)
	for i := range 9 {
		y[i*4+i%4] = 1
	}
	loss, err := CrossEntropy(h, node(g, "y", y, 9, 4))
	if err != nil {
		t.Fatal(err)
	}
	return g, loss, x, params
}

func outputsOf(t *testing.T, loss *G.Node, params G.Nodes) ([]Output, []*G.Value) {
	t.Helper()
	gradients, err := G.Grad(loss, params...)
	if err != nil {
		t.Fatal(err)
	}
	var outputs []Output
	var values []*G.Value
	for _, n := range append(G.Nodes{loss}, gradients...) {
		v := new(G.Value)
		values = append(values, v)
		outputs = append(outputs, Output{n, v})
	}
	return outputs, values
}

func numbers(v G.Value) []float32 {
	if f, ok := v.(*G.F32); ok {
		return []float32{float32(*f)}
	}
	return v.Data().([]float32)
}

// The list and Gorgonia's tape machine give the same bits.
func TestListMatchesTapeMachine(t *testing.T) {
	g, loss, x, params := twoHidden(t, 1)
	outputs, values := outputsOf(t, loss, params)
	machine, err := NewMachine(g, params, outputs)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := machine.(*list); !ok {
		t.Fatalf("a graph of layers runs on a %T", machine)
	}
	g2, loss2, x2, params2 := twoHidden(t, 1)
	derivatives, err := G.Grad(loss2, params2...)
	if err != nil {
		t.Fatal(err)
	}
	reads, want := G.Nodes{}, make([]G.Value, 1+len(params))
	for i, n := range append(G.Nodes{loss2}, derivatives...) {
		reads = append(reads, G.Read(n, &want[i]))
	}
	code, locations, err := G.CompileFunction(g2, params2, reads)
	if err != nil {
		t.Fatal(err)
	}
	tape := G.NewTapeMachine(g2, G.WithPrecompiled(code, locations))
	defer tape.Close()
	rng := rand.New(rand.NewPCG(2, 2))
	for step := range 3 {
		if err := machine.RunAll(); err != nil {
			t.Fatal(err)
		}
		machine.Reset()
		if err := tape.RunAll(); err != nil {
			t.Fatal(err)
		}
		tape.Reset()
		for i, v := range values {
			if *v == machine.(*list).results[i].result {
				t.Fatalf("output %d is the memory of a layer", i)
			}
			if got, want := numbers(*v), numbers(want[i]); !slices.Equal(got, want) {
				t.Fatalf("step %d: output %d is %v, want %v", step, i, got, want)
			}
		}
		// Other data: written into the tensor, then a new tensor.
		data := random(rng, 9*6)
		if step == 0 {
			copy(x.Value().Data().([]float32), data)
			copy(x2.Value().Data().([]float32), data)
			continue
		}
		for _, n := range []*G.Node{x, x2} {
			if err := G.Let(n, dense(data, 9, 6)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := machine.Close(); err != nil {
		t.Error(err)
	}
}

// The derivative with respect to the images is in the graph, but no output needs it.
func TestListLeavesOutWhatNobodyWants(t *testing.T) {
	g, loss, _, params := twoHidden(t, 3)
	outputs, _ := outputsOf(t, loss, params)
	machine, err := NewMachine(g, params, outputs)
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, s := range machine.(*list).steps {
		count[s.op.Name]++
	}
	for name, want := range map[string]int{"dense inputs": 2, "dense weights": 3, "dense biases": 3, "cross-entropy": 1, "slope tanh": 1} {
		if count[name] != want {
			t.Errorf("%d steps %q, want %d (all: %v)", count[name], name, want, count)
		}
	}
}

func TestListAllocatesNothing(t *testing.T) {
	g, loss, _, params := twoHidden(t, 4)
	outputs, _ := outputsOf(t, loss, params)
	machine, err := NewMachine(g, params, outputs)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(20, func() {
		if err := machine.RunAll(); err != nil {
			t.Fatal(err)
		}
		machine.Reset()
	}); n != 0 {
		t.Errorf("%v allocations a run", n)
	}
}

// A graph with a node that is not a layer runs on the tape machine: an operation in the middle, a
// leaf as an output, a sum of gradients.
func TestOtherGraphsRunOnTheTapeMachine(t *testing.T) {
	run := func(name string, g *G.ExprGraph, inputs G.Nodes, outputs []Output) {
		t.Helper()
		machine, err := NewMachine(g, inputs, outputs)
		if err != nil {
			t.Fatal(name, err)
		}
		defer machine.Close()
		if _, ok := machine.(*list); ok {
			t.Errorf("%s: a graph with other operations runs as a list", name)
		}
		if err := machine.RunAll(); err != nil {
			t.Fatal(name, err)
		}
	}
	g, loss, _, params := twoHidden(t, 5)
	twice := G.Must(G.Mul(loss, G.NewConstant(float32(2))))
	outputs, values := outputsOf(t, twice, params)
	run("product", g, params, outputs)
	if v := numbers(*values[0])[0]; !(v > 0) || math.IsInf(float64(v), 0) {
		t.Errorf("loss %v", v)
	}

	g = G.NewGraph()
	data := node(g, "data", []float32{1, -2, 3, 4}, 2, 2)
	before, err := CrossEntropy(G.Must(G.Square(data)), node(g, "y", []float32{1, 0, 0, 1}, 2, 2))
	if err != nil {
		t.Fatal(err)
	}
	var v, u G.Value
	run("square before", g, G.Nodes{data}, []Output{{before, &v}})

	g, loss, x, params := twoHidden(t, 6)
	v = nil
	run("leaf", g, params, []Output{{loss, &v}, {x, &u}})
	if !slices.Equal(numbers(u), numbers(x.Value())) {
		t.Errorf("the leaf's value is %v", u)
	}

	rng := rand.New(rand.NewPCG(7, 7))
	g = G.NewGraph()
	a, w, b := node(g, "a", random(rng, 9), 3, 3), node(g, "w", random(rng, 9), 3, 3), node(g, "b", random(rng, 3), 3)
	h, err := Dense(a, w, b, "tanh")
	if err != nil {
		t.Fatal(err)
	}
	if h, err = Dense(h, w, b, "tanh"); err != nil { // the weights are shared
		t.Fatal(err)
	}
	loss, err = CrossEntropy(h, node(g, "y", []float32{1, 0, 0, 0, 1, 0, 0, 0, 1}, 3, 3))
	if err != nil {
		t.Fatal(err)
	}
	outputs, _ = outputsOf(t, loss, G.Nodes{w, b})
	run("shared weights", g, G.Nodes{w, b}, outputs)
}

func TestListErrors(t *testing.T) {
	g := G.NewGraph()
	z := G.NewMatrix(g, G.Float32, G.WithName("nothing"), G.WithShape(2, 2))
	loss, err := CrossEntropy(z, node(g, "y", []float32{1, 0, 0, 1}, 2, 2))
	if err != nil {
		t.Fatal(err)
	}
	var v G.Value
	machine, err := NewMachine(g, G.Nodes{z}, []Output{{loss, &v}})
	if err != nil {
		t.Fatal(err)
	}
	if err := machine.RunAll(); err == nil || !strings.Contains(err.Error(), "nothing") {
		t.Errorf("unbound leaf: error %v", err)
	}
	v = dense(make([]float32, 5), 5)
	if err := G.Let(z, dense(make([]float32, 4), 2, 2)); err != nil {
		t.Fatal(err)
	}
	if err := machine.RunAll(); err == nil {
		t.Error("a scalar was copied into a vector")
	}
}
