package qp

import "learnedopt/internal/fan"

// A Batch solves many problems at a time on all cores. Each has a solver of its own, so a result is, bit for bit, that
// of an InteriorPoint. After the first Solve of a size neither method allocates. The zero value is ready for use. It belongs to one goroutine.
type Batch struct {
	Options Options

	solvers []InteriorPoint
	solve   *fan.Fan
	back    *fan.Fan
	// The arguments of the call in progress.
	solutions []Solution
	problems  []Problem
	gradients []Gradient
	upstream  []Upstream
	errs      []error
}

// Solve solves problem i into solution i, with the error i, for all i. The slices are equally long: otherwise it panics.
// It reports whether all errors are nil.
func (b *Batch) Solve(solutions []Solution, problems []Problem, errs []error) bool {
	if len(solutions) != len(problems) || len(errs) != len(problems) {
		panic(errBatch)
	}
	if b.solve == nil {
		b.solve = fan.New(func(_, i int) {
			b.solvers[i].Options = b.Options
			b.errs[i] = b.solvers[i].Solve(&b.solutions[i], &b.problems[i])
		})
		b.back = fan.New(func(_, i int) { b.errs[i] = b.solvers[i].Gradient(&b.gradients[i], b.upstream[i]) })
	}
	for len(b.solvers) < len(problems) {
		b.solvers = append(b.solvers, InteriorPoint{})
	}
	b.solutions, b.problems, b.errs = solutions, problems, errs
	b.solve.Run(len(problems), fan.Workers())
	b.solutions, b.problems, b.errs = nil, nil, nil
	return none(errs)
}

// Gradient writes the derivatives of problem i of the last Solve into gradient i, with the error i, as
// InteriorPoint.Gradient does. A loss that is a sum over the batch has a parameter's derivative as the sum over the problems
// that share it. It reports whether all errors are nil, and panics if a problem was not solved.
func (b *Batch) Gradient(gradients []Gradient, upstream []Upstream, errs []error) bool {
	if len(gradients) != len(upstream) || len(errs) != len(upstream) || len(upstream) > len(b.solvers) {
		panic(errBatch)
	}
	for i := range upstream {
		if !b.solvers[i].solution {
			panic(errUnsolved)
		}
	}
	b.gradients, b.upstream, b.errs = gradients, upstream, errs
	b.back.Run(len(upstream), fan.Workers())
	b.gradients, b.upstream, b.errs = nil, nil, nil
	return none(errs)
}

func none(errs []error) bool {
	for _, err := range errs {
		if err != nil {
			return false
		}
	}
	return true
}
