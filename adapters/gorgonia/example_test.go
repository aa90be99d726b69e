package gorgoniaopt_test

import (
	"fmt"
	"log"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	gorgoniaopt "learnedopt/adapters/gorgonia"
	"learnedopt/curvature"
	"learnedopt/metaopt"
)

func Example() {
	x := tensor.New(tensor.WithShape(4), tensor.WithBacking([]float32{0, 1, 2, 3}))
	y := tensor.New(tensor.WithShape(4), tensor.WithBacking([]float32{0.2, 1.3, 1.7, 2.8}))

	g := gorgonia.NewGraph()
	slope := gorgonia.NewScalar(g, tensor.Float32, gorgonia.WithName("slope"), gorgonia.WithValue(float32(0)))
	offset := gorgonia.NewScalar(g, tensor.Float32, gorgonia.WithName("offset"), gorgonia.WithValue(float32(0)))
	xs := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithName("x"), gorgonia.WithShape(4), gorgonia.WithValue(x))
	ys := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithName("y"), gorgonia.WithShape(4), gorgonia.WithValue(y))
	line := gorgonia.Must(gorgonia.Add(gorgonia.Must(gorgonia.Mul(xs, slope)), offset))
	cost := gorgonia.Must(gorgonia.Mean(gorgonia.Must(gorgonia.Square(gorgonia.Must(gorgonia.Sub(line, ys))))))
	learnables := gorgonia.Nodes{slope, offset}
	if _, err := gorgonia.Grad(cost, learnables...); err != nil {
		log.Fatal(err)
	}
	machine := gorgonia.NewTapeMachine(g, gorgonia.BindDualValues(learnables...))
	defer machine.Close()

	opt, err := metaopt.Pretrained("quadratic")
	if err != nil {
		log.Fatal(err)
	}
	solver := gorgoniaopt.New(opt.Rule()) // in place of gorgonia.NewAdamSolver()
	for range 100 {
		if err := machine.RunAll(); err != nil {
			log.Fatal(err)
		}
		if err := solver.Step(gorgonia.NodesToValueGrads(learnables)); err != nil {
			log.Fatal(err)
		}
		machine.Reset()
	}
	fmt.Printf("y = %.1f x + %.1f\n", slope.Value(), offset.Value())
	// Output: y = 0.8 x + 0.3
}

// One step without a graph: any type with a value and a gradient will do.
func ExampleSolver_Step() {
	p := &parameter{
		value: tensor.New(tensor.WithShape(2), tensor.WithBacking([]float32{1, 2})),
		grad:  tensor.New(tensor.WithShape(2), tensor.WithBacking([]float32{0.5, -0.5})),
	}
	solver := gorgoniaopt.New(sgd{rate: 0.5})
	if err := solver.Step([]gorgonia.ValueGrad{p}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(p.value.Data(), p.grad.Data())
	// Output: [0.75 2.25] [0 0]
}

// A run that continues in another program: the program saves the weights, the solver saves
// everything else.
func ExampleSolver_MarshalBinary() {
	w := &parameter{name: "w", value: gorgonia.NewF32(1), grad: gorgonia.NewF32(0.5)}
	solver := gorgoniaopt.New(sgd{rate: 0.1})
	if err := solver.Step([]gorgonia.ValueGrad{w}); err != nil {
		log.Fatal(err)
	}
	data, err := solver.MarshalBinary()
	if err != nil {
		log.Fatal(err)
	}

	again := gorgoniaopt.New(sgd{rate: 0.1})
	if err := again.UnmarshalBinary(data); err != nil {
		log.Fatal(err)
	}
	fmt.Println(again.Steps())
	// Output: 1
}

// A trust region on a classifier: every step changes the predictions on the minibatch by at most 0.05 nats.
func ExampleCurvature() {
	g := gorgonia.NewGraph()
	x := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithName("x"), gorgonia.WithShape(4, 2),
		gorgonia.WithValue(tensor.New(tensor.WithShape(4, 2), tensor.WithBacking([]float32{0, 1, 1, 0, 2, 1, 1, 3}))))
	y := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithName("y"), gorgonia.WithShape(4, 2),
		gorgonia.WithValue(tensor.New(tensor.WithShape(4, 2), tensor.WithBacking([]float32{1, 0, 0, 1, 0, 1, 1, 0}))))
	w := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithName("w"), gorgonia.WithShape(2, 2), gorgonia.WithInit(gorgonia.Zeroes()))
	logits := gorgonia.Must(gorgonia.Mul(x, w))
	terms := gorgonia.Must(gorgonia.HadamardProd(y, gorgonia.Must(gorgonia.Log(gorgonia.Must(gorgonia.SoftMax(logits))))))
	cost := gorgonia.Must(gorgonia.Neg(gorgonia.Must(gorgonia.Mean(gorgonia.Must(gorgonia.Sum(terms, 1)))))) // over examples, not classes
	if _, err := gorgonia.Grad(cost, w); err != nil {
		log.Fatal(err)
	}
	fisher, err := gorgoniaopt.NewCurvature(gorgoniaopt.Predictions{Output: logits, Targets: y, Cost: cost, Loss: gorgoniaopt.CrossEntropy}, w)
	if err != nil {
		log.Fatal(err)
	}
	solver := gorgoniaopt.New(curvature.TrustRegion{Radius: 0.05, OnStep: func(s curvature.Step) {
		fmt.Printf("changes the predictions by %.2f nats, and the loss by %.2f\n", s.Trial.KL, s.Trial.Change)
	}})
	solver.SetCurvature(fisher)
	machine := gorgonia.NewTapeMachine(g, gorgonia.BindDualValues(w))
	for range 3 {
		if err := machine.RunAll(); err != nil {
			log.Fatal(err)
		}
		if err := solver.Step(gorgonia.NodesToValueGrads(gorgonia.Nodes{w})); err != nil {
			log.Fatal(err)
		}
		machine.Reset()
	}
	// Output:
	// changes the predictions by 0.04 nats, and the loss by -0.24
	// changes the predictions by 0.04 nats, and the loss by -0.17
	// changes the predictions by 0.03 nats, and the loss by -0.12
}
