// Package tasks holds the optimizees: families of problems on which optimizers
// are meta-trained and compared.
//
//	Quadratic, QuadraticUniform   least squares in a few dimensions, many at a time
//	Rosenbrock                    the curved valley, many starts at a time
//	Classifier                    a small MLP on images (MNIST, Fashion-MNIST, Digits)
//	Graph, GraphFamily            any Gorgonia expression graph
//	Mixture                       one of several families at each sample
//	RandomScaling, Joint, Convex  what meta-training on a family may add to it
//
// Every problem works on one flat []float32 of n coordinates and satisfies
// optimizer.Problem. New makes a family of a name and Options, Parse reads both from a text:
//
//	spec, err := tasks.Parse("mnist units=8,16 activation=relu")
//	family, err := spec.Family("")
package tasks

// Gorgonia's dependencies refuse to start on a Go newer than the version of
// this module that they ask for. The blank import keeps our own, newer
// requirement a direct one, so that go mod tidy cannot drop it; TestMovingGC
// guards the version.
import _ "go4.org/unsafe/assume-no-moving-gc"
