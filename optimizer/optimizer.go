// Package optimizer holds the nouns that everything else shares: a Rule turns
// gradients into parameter updates, a Problem turns parameters into a loss and
// a gradient, a Family draws problems, and Run is the one loop that applies a
// rule to a problem.
//
// Parameters, gradients and updates are flat []float32 of n coordinates;
// losses are float64.
//
//	rule := baselines.Adam{LearningRate: 0.01}
//	problem, err := family.Sample(rng)               // dim, start, loss and gradient
//	out, err := optimizer.Run(ctx, rule, problem, T) // out.Losses: f(θ_0) … f(θ_T)
//
//	state := rule.Start(optimizer.Flat(n))           // or the loop by hand
//	state.Update(dst, optimizer.Point{Grad: grad})   // dst is the update: add it to θ
//
// A Layout tells a rule which tensors make up the parameters. A rule's Needs say which fields of a Point it reads
// besides the gradient. A Problem may also know its tensors (Laid), depend on the step (Seeker), and multiply
// second-order matrices by vectors (Curvature); LayoutOf and MetricsOf ask it. Package
// optimizertest has the test suites for rules and families.
package optimizer

import "math/rand/v2"

// A Rule is an update rule: SGD, Adam, a learned optimizer. It is immutable
// and safe for concurrent use; everything that changes is in the State of a run.
type Rule interface {
	// Needs says which fields of a Point the rule reads besides the gradient. A caller that cannot set
	// them refuses the rule before the first step: see Needs.Met.
	Needs() Needs
	// Start returns the state of a fresh run on parameters of the given layout. A rule that treats
	// coordinates one by one gives the same updates for all layouts with the same number of coordinates.
	// It panics if the layout has no coordinate.
	Start(layout Layout) State
}

// A State is a rule's memory during one run over n coordinates.
// It belongs to one goroutine.
type State interface {
	// Update writes the update at a point into dst:
	//
	//	(dst, s) ← m(p, s)
	//
	// The caller then does what the returned Move says: it adds dst to its parameters unless the Move has
	// Return, and after a Return dst holds nothing of use. dst may be p.Grad, but not p.Theta. p's slices
	// are not kept; they are not changed either, unless one of them is dst. Slices of a wrong length panic.
	//
	// An error means that there is no update and that the parameters stay as they are. It is a *DivergedError
	// if the state cannot go on in finite numbers, or the error of a curvature product. A rule whose Needs
	// are zero never returns an error.
	Update(dst []float32, p Point) (Move, error)
}

// A Problem is one optimizee: a function f_t(θ) of n parameters. It is stochastic
// if it draws minibatches; its data stream and random source are its own.
// It belongs to one goroutine. A Problem that holds resources also implements
// io.Closer, and the code that sampled it closes it.
type Problem interface {
	// Dim returns the number of coordinates n, at least 1.
	Dim() int
	// Init writes the starting point θ_0: the same one at every call.
	Init(theta []float32)
	// LossGrad returns f_t(θ), writes ∇f_t(θ) into grad and moves on to
	// the data of step t+1. Neither slice is kept, and theta is not changed. Wrong
	// lengths panic. A non-finite loss or gradient is returned unchanged;
	// an error means that no loss could be computed.
	LossGrad(theta, grad []float32) (float64, error)
}

// A Seeker is a Problem whose LossGrad depends on the step. After Seek(t) the
// next LossGrad uses the data of step t; the data depend on t alone. Problems
// that do not implement Seeker are the same function at every step.
type Seeker interface {
	Seek(t int)
}

// A Family is a distribution over problems.
type Family interface {
	// Name is the family's canonical text, parameters included: two
	// families of the same name draw the same problems from the same rng.
	Name() string
	// Sample draws one problem. The numbers that Sample reads from rng
	// determine all of the problem's randomness: its instance, its
	// starting point and its minibatches.
	Sample(rng *rand.Rand) (Problem, error)
}
