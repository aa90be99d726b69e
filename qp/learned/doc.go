// Package learned has two solvers of quadratic programs with something learned in them, beside those of package qp:
//
//	Lagrangian   any optimizer.Rule, say a learned optimizer, on the augmented Lagrangian, whose multipliers move every few steps
//	WarmStart    a small network that guesses a point from the first iterations of ADMM; then a fixed number of ADMM's steps
//
// Both are a qp.Solver: a derivative comes from the optimality conditions at the point where they end. Neither factors more than
// ADMM does, and Lagrangian factors nothing; neither finds certificates.
//
// Subproblems is the family of optimizees on which the rule of a Lagrangian is meta-trained (package metatrain), WarmTraining the one
// whose parameters are a WarmStart's network. Both draw their programs from a Source.
package learned
