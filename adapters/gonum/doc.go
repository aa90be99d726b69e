// Package gonumopt lets gonum's optimize.Minimize run the update rules of this module,
// learned and hand-designed.
//
// Method takes every update as it comes, which is what a stochastic objective needs:
//
//	result, err := optimize.Minimize(problem, x, settings, &gonumopt.Method{Rule: opt.Rule()})
//
// LineSearch takes it as a search direction, along which one of gonum's line searches
// looks for a decrease: for an objective that is computed exactly.
//
// The name stands beside gonum's own without shadowing it: a file that calls Minimize
// imports a package optimize already, gonum is what a reader takes for gonum's, and
// optimizer is this module's.
//
// # Precision
//
// Rules compute in float32, gonum in float64. A gradient is rounded to float32 before the
// rule reads it: below 1.4e-45 it is zero, above 3.4e38 a divergence. The update is
// exact in float64 and added there, so parameters keep float64's precision and a small
// update of a large parameter is not lost. A rule that reads the parameters reads them rounded. What a
// guard goes back to is the very x that it kept.
package gonumopt
