// Package gorgoniaopt trains the nodes of a Gorgonia graph with any rule of this library: a learned
// optimizer, a baseline, or a rule wrapped around another. A Solver is a gorgonia.Solver and replaces
// gorgonia.NewAdamSolver in a program. Unlike Gorgonia's own solvers it can be saved.
//
// A whole program, which fits a line to four points:
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
// It prints y = 0.8 x + 0.3. There is no learning rate to set. For Adam, write
// baselines.Adam{LearningRate: 0.01} instead of opt.Rule().
//
// # Differences from Gorgonia's solvers
//
// A Solver knows nodes by their identity, not by their place in the slice: in another order each node keeps its
// state. It refuses a subset of the nodes, because one state spans all of them; rules that look at all
// coordinates at once need this. If two sets of nodes take steps in turn, as in adversarial training, use two Solvers.
// To move to a graph with the same weights but other nodes, call Bind before the step.
//
// A step that fails changes nothing. Gorgonia's solvers may change some nodes and not others, and take steps with NaN.
//
// Options such as gorgonia.WithClip or WithL2Reg belong to Gorgonia's solvers; here the rule has such settings. There
// is no WithBatchSize: take the mean over the minibatch as the cost, not the sum.
//
// # Curvature
//
// NewCurvature gives a Solver's rule products with the Fisher matrix of a graph whose output the caller names: for the natural gradient and the
// trust region of package curvature, and for metaopt.KLGuard around any rule.
//
// docs/adapters/gorgonia.md compares it with Gorgonia's Adam. The package is not called gorgonia, because a program
// that needs both would have to rename one of them, and not solver, because programs use that name for their variable.
package gorgoniaopt
