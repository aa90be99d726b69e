package gorgoniaopt_test

import (
	"fmt"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	gorgoniaopt "learnedopt/adapters/gorgonia"
	"learnedopt/optimizer"
)

// convnetNodes are the nodes of a small convnet as Gorgonia's examples write it: a kernel (output channels, input channels,
// rows, columns) without a bias, two layers x·W + b with biases (1, n) and (n), and a scalar. convnetLayout is what they
// are, written by hand.
func convnetNodes(t *testing.T) ([]gorgonia.ValueGrad, optimizer.Layout) {
	t.Helper()
	rng := source("convnet")
	shapes := [][]int{{4, 2, 3, 3}, {36, 10}, {1, 10}, {10, 5}, {5}}
	var nodes []gorgonia.ValueGrad
	for i, shape := range shapes {
		n := tensor.Shape(shape).TotalSize()
		nodes = append(nodes, &parameter{fmt.Sprint("node", i), dense(normal(rng, n), shape...), dense(make([]float32, n), shape...)})
	}
	nodes = append(nodes, &parameter{"scale", gorgonia.NewF32(1), gorgonia.NewF32(0)})
	layout, err := optimizer.NewLayout(
		optimizer.Tensor{Name: "node0", Shape: shapes[0], Kind: optimizer.Convolution, OutputAxis: 0},
		optimizer.Tensor{Name: "node1", Shape: shapes[1], Kind: optimizer.Matrix, OutputAxis: 1},
		optimizer.Tensor{Name: "node2", Shape: shapes[2], Kind: optimizer.Bias},
		optimizer.Tensor{Name: "node3", Shape: shapes[3], Kind: optimizer.Matrix, OutputAxis: 1},
		optimizer.Tensor{Name: "node4", Shape: shapes[4], Kind: optimizer.Bias},
		optimizer.Tensor{Name: "scale"},
	)
	if err != nil {
		t.Fatal(err)
	}
	return nodes, layout
}

// general reads what tensors there are. Under a Solver it takes the steps that metaopt.Run takes on the layout of the nodes,
// bit for bit: inferred kinds, fan-in, biases of layers, and the length of the run if the caller knows it. On one flat vector,
// or with another length, it takes other steps.
func TestGeneralSeesTheNodes(t *testing.T) {
	opt := pretrained(t, "general")
	for _, total := range []int{0, 40} {
		nodes, layout := convnetNodes(t)
		theta := weights(nodes)
		solver, run := gorgoniaopt.New(opt.Rule()), opt.Start(layout)
		others := map[string]*flat{}
		for name, l := range map[string]optimizer.Layout{"one vector": optimizer.Flat(layout.Len()), "its own layout without the length": layout} {
			others[name] = &flat{opt.Rule().Start(l), slices.Clone(theta), make([]float32, len(theta))}
		}
		solver.SetTotal(total)
		run.SetTotal(total)
		rng := source("general")
		for step := range runSteps {
			grad := normal(rng, len(theta))
			feed(nodes, grad)
			if err := solver.Step(nodes); err != nil {
				t.Fatal(err)
			}
			if err := run.Step(theta, grad); err != nil {
				t.Fatal(err)
			}
			for _, f := range others {
				f.step(grad)
			}
			same(t, weights(nodes), theta, fmt.Sprintf("total %d, step %d", total, step))
		}
		for name, f := range others {
			if blind := slices.Equal(f.theta, theta); blind != (total == 0 && name != "one vector") {
				t.Errorf("total %d: the same steps on %s: %v", total, name, blind)
			}
		}
	}
}

// layersGraph is a graph y = relu(x W + b) V + c with a squared error, as a program builds it.
func layersGraph(t *testing.T) (gorgonia.VM, gorgonia.Nodes, optimizer.Layout) {
	t.Helper()
	const batch, in, hidden, out = 8, 5, 7, 3
	rng, g := source("layers"), gorgonia.NewGraph()
	node := func(name string, rows, cols int) *gorgonia.Node {
		return gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithName(name), gorgonia.WithShape(rows, cols), gorgonia.WithValue(dense(normal(rng, rows*cols), rows, cols)))
	}
	layer := func(x, w, b *gorgonia.Node) *gorgonia.Node {
		return gorgonia.Must(gorgonia.BroadcastAdd(gorgonia.Must(gorgonia.Mul(x, w)), b, nil, []byte{0}))
	}
	nodes := gorgonia.Nodes{node("W", in, hidden), node("b", 1, hidden), node("V", hidden, out), node("c", 1, out)}
	h := gorgonia.Must(gorgonia.Rectify(layer(node("x", batch, in), nodes[0], nodes[1])))
	cost := gorgonia.Must(gorgonia.Mean(gorgonia.Must(gorgonia.Square(gorgonia.Must(gorgonia.Sub(layer(h, nodes[2], nodes[3]), node("y", batch, out)))))))
	if _, err := gorgonia.Grad(cost, nodes...); err != nil {
		t.Fatal(err)
	}
	machine := gorgonia.NewTapeMachine(g, gorgonia.BindDualValues(nodes...))
	t.Cleanup(func() { machine.Close() })
	layout, err := optimizer.NewLayout(
		optimizer.Tensor{Shape: []int{in, hidden}, Kind: optimizer.Matrix, OutputAxis: 1}, optimizer.Tensor{Shape: []int{hidden}, Kind: optimizer.Bias},
		optimizer.Tensor{Shape: []int{hidden, out}, Kind: optimizer.Matrix, OutputAxis: 1}, optimizer.Tensor{Shape: []int{out}, Kind: optimizer.Bias},
	)
	if err != nil {
		t.Fatal(err)
	}
	return machine, nodes, layout
}

// On a graph, general takes the steps of metaopt.Run on the gradients that Gorgonia computes.
func TestGeneralTrainsAGraph(t *testing.T) {
	opt := pretrained(t, "general")
	machine, nodes, layout := layersGraph(t)
	values := func(of func(*gorgonia.Node) (gorgonia.Value, error)) (x []float32) {
		for _, n := range nodes {
			v, err := of(n)
			if err != nil {
				t.Fatal(err)
			}
			x = append(x, floats(v)...)
		}
		return x
	}
	value := func(n *gorgonia.Node) (gorgonia.Value, error) { return n.Value(), nil }
	solver, run, theta := gorgoniaopt.New(opt.Rule()), opt.Start(layout), values(value)
	for step := range runSteps {
		if err := machine.RunAll(); err != nil {
			t.Fatal(err)
		}
		grad := values((*gorgonia.Node).Grad)
		if err := solver.Step(gorgonia.NodesToValueGrads(nodes)); err != nil {
			t.Fatal(err)
		}
		machine.Reset()
		if err := run.Step(theta, grad); err != nil {
			t.Fatal(err)
		}
		same(t, values(value), theta, fmt.Sprint("step ", step))
	}
}
