// Package tasks holds the optimizees, families of problems on which optimizers
// are meta-trained and compared.
//
//	Quadratic, QuadraticUniform   least squares in a few dimensions, many at a time
//	Rosenbrock                    the curved valley, many starting points at a time
//	Factorization                 completion of a matrix from known elements, with sparse gradients
//	Sinusoid                      a small network fitted to a smooth random function, without noise
//	Chain                         policies of small Markov decision chains, with exact gradients
//	Classifier                    a small network on images (MNIST, Fashion-MNIST, CIFAR-10, Digits, a folder
//	                              of IDX files), or on the rows of a CSV file, also as a regression
//	CharRNN                       a recurrent network that predicts the next character of a text
//	Graph, GraphFamily            any Gorgonia expression graph
//	Mixture                       one of several families, drawn at each sample
//	RandomScaling, Joint, Convex  augmentations of a family for meta-training
//
// Every problem works on one flat []float32 of n coordinates and implements
// optimizer.Problem. New makes a family from a name and Options; Parse reads both from a text:
//
//	spec, err := tasks.Parse("mnist units=8,16 activation=relu")
//	family, err := spec.Family("")
package tasks

// Gorgonia depends on this module, and the version that it requires refuses to start on a newer
// Go. The blank import makes the newer version in our go.mod a direct
// requirement, so that go mod tidy cannot drop it; TestMovingGC
// checks that version.
import _ "go4.org/unsafe/assume-no-moving-gc"
