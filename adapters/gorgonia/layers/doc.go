// Package layers has optimization problems as operations of a Gorgonia graph: the solution of a quadratic program (OptNet, Amos
// and Kolter 2017) and the equilibrium of a recurrent cell (Bai, Kolter and Koltun 2019). Every parameter may be an input of
// the graph, a learned weight or the output of another layer; each gets its exact derivative.
//
// Values are float32 outside and float64 inside. An operation keeps its problem's factorisations between the forward and the
// backward pass, so it belongs to one node of one graph, run by one machine. The rows of a batch are computed on all cores.
//
//	z, err := layers.QuadraticProgram(layers.Problem{
//		Q: q, Linear: linear, A: a, B: b, G: g, H: h, // nodes; nil where there is nothing
//	}, qp.Options{})
//	loss := gorgonia.Must(gorgonia.Mean(gorgonia.Must(gorgonia.Square(gorgonia.Must(gorgonia.Sub(z.Z, target))))))
//	_, err = gorgonia.Grad(loss, a, b)
//
// A problem without a solution stops the machine with package qp's error, which says which row of the batch it is about.
package layers
