package gorgoniaopt_test

import (
	"math/rand/v2"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	gorgoniaopt "learnedopt/adapters/gorgonia"
	"learnedopt/internal/cputime"
	"learnedopt/optimizer"
)

// BenchmarkProduct compares, in CPU time and in turns, a Fisher product with a run of the machine that computes the loss and its gradient, at
// 784-128-10 with minibatches of 128.
func BenchmarkProduct(b *testing.B) {
	const batch, in, hidden, classes = 128, 784, 128, 10
	rng := rand.New(rand.NewPCG(1, 1))
	g := gorgonia.NewGraph()
	draw := func(name string, scale float64, shape ...int) *gorgonia.Node {
		x := make([]float64, tensor.Shape(shape).TotalSize())
		for i := range x {
			x[i] = scale * rng.NormFloat64()
		}
		return leaf(g, tensor.Float32, name, x, shape...)
	}
	x, w, v := draw("x", 1, batch, in), draw("W", 0.05, in, hidden), draw("V", 0.1, hidden, classes)
	bias, last := draw("b", 0.1, 1, hidden), draw("c", 0.1, 1, classes)
	labels := make([]float64, batch*classes)
	for i := range batch {
		labels[i*classes+rng.IntN(classes)] = 1
	}
	y := leaf(g, tensor.Float32, "y", labels, batch, classes)
	h := gorgonia.Must(gorgonia.Rectify(gorgonia.Must(gorgonia.BroadcastAdd(gorgonia.Must(gorgonia.Mul(x, w)), bias, nil, []byte{0}))))
	z := gorgonia.Must(gorgonia.BroadcastAdd(gorgonia.Must(gorgonia.Mul(h, v)), last, nil, []byte{0}))
	cost, _ := meanLoss(z, y, gorgoniaopt.CrossEntropy)
	nodes := gorgonia.Nodes{w, bias, v, last}
	made := curvatureOf(b, gorgoniaopt.Predictions{Output: z, Targets: y, Cost: cost, Loss: gorgoniaopt.CrossEntropy}, nodes...)
	if _, err := gorgonia.Grad(cost, nodes...); err != nil {
		b.Fatal(err)
	}
	machine := gorgonia.NewTapeMachine(g, gorgonia.BindDualValues(nodes...))
	defer machine.Close()
	dst, along := make([]float64, made.Len()), make([]float64, made.Len())
	for i := range along {
		along[i] = rng.NormFloat64()
	}
	var gradients, products float64
	for i := range b.N + 1 { // the first turn, which allocates and checks, does not count
		start := cputime.Used()
		if err := machine.RunAll(); err != nil {
			b.Fatal(err)
		}
		machine.Reset()
		between := cputime.Used()
		if err := made.Product(dst, along, optimizer.Fisher, 0); err != nil {
			b.Fatal(err)
		}
		if i > 0 {
			gradients += (between - start).Seconds()
			products += (cputime.Used() - between).Seconds()
		}
	}
	b.ReportMetric(products/gradients, "gradients")
}
