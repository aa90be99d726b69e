// Package gorgoniaopt steps the nodes of a Gorgonia graph by any rule of this library: a learned
// optimizer, a baseline, a rule wrapped around another. A Solver is a gorgonia.Solver and takes the place
// of gorgonia.NewAdamSolver in a program; unlike Gorgonia's own it can be saved.
//
// A whole program, which fits a line through four points:
//
//	package main
//
//	import (
//		"fmt"
//		"log"
//
//		"gorgonia.org/gorgonia"
//		"gorgonia.org/tensor"
//
//		gorgoniaopt "learnedopt/adapters/gorgonia"
//		"learnedopt/metaopt"
//	)
//
//	func main() {
//		x := tensor.New(tensor.WithShape(4), tensor.WithBacking([]float32{0, 1, 2, 3}))
//		y := tensor.New(tensor.WithShape(4), tensor.WithBacking([]float32{0.2, 1.3, 1.7, 2.8}))
//
//		g := gorgonia.NewGraph()
//		slope := gorgonia.NewScalar(g, tensor.Float32, gorgonia.WithName("slope"), gorgonia.WithValue(float32(0)))
//		offset := gorgonia.NewScalar(g, tensor.Float32, gorgonia.WithName("offset"), gorgonia.WithValue(float32(0)))
//		xs := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithName("x"), gorgonia.WithShape(4), gorgonia.WithValue(x))
//		ys := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithName("y"), gorgonia.WithShape(4), gorgonia.WithValue(y))
//		line := gorgonia.Must(gorgonia.Add(gorgonia.Must(gorgonia.Mul(xs, slope)), offset))
//		cost := gorgonia.Must(gorgonia.Mean(gorgonia.Must(gorgonia.Square(gorgonia.Must(gorgonia.Sub(line, ys))))))
//		learnables := gorgonia.Nodes{slope, offset}
//		if _, err := gorgonia.Grad(cost, learnables...); err != nil {
//			log.Fatal(err)
//		}
//		machine := gorgonia.NewTapeMachine(g, gorgonia.BindDualValues(learnables...))
//		defer machine.Close()
//
//		opt, err := metaopt.Pretrained("quadratic")
//		if err != nil {
//			log.Fatal(err)
//		}
//		solver := gorgoniaopt.New(opt.Rule()) // in place of gorgonia.NewAdamSolver()
//		for range 100 {
//			if err := machine.RunAll(); err != nil {
//				log.Fatal(err)
//			}
//			if err := solver.Step(gorgonia.NodesToValueGrads(learnables)); err != nil {
//				log.Fatal(err)
//			}
//			machine.Reset()
//		}
//		fmt.Printf("y = %.1f x + %.1f\n", slope.Value(), offset.Value())
//	}
//
// It prints y = 0.8 x + 0.3. There is no learning rate to set; baselines.Adam{LearningRate: 0.01} in place of
// opt.Rule() would be Adam.
//
// # What differs from Gorgonia's solvers
//
// Nodes are known by their identity, not by their place in the slice: in another order each keeps its
// state. A subset is refused, because one state spans all nodes, as rules ask for that look at all
// coordinates at once; two sets of nodes that are stepped in turn, as in adversarial training, take two Solvers.
// Graphs that share their weights but have nodes of their own take Bind before the step.
//
// A step that fails changes nothing. Gorgonia's solvers may leave some nodes stepped and others not, and step on NaN.
//
// Options such as gorgonia.WithClip or WithL2Reg belong to Gorgonia's solvers; here the rule does it. There is no
// WithBatchSize: take the mean over the minibatch as the cost, not the sum.
//
// docs/adapters/gorgonia.md has figures beside Gorgonia's Adam. The name is that of what the package holds; calling it
// gorgonia would have every program that needs both rename one, and the programs call their variable solver.
package gorgoniaopt
