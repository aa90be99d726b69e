// Package gonumopt lets gonum's optimize.Minimize run the update rules of this module,
// learned and hand-designed.
//
// Method takes every update unchanged, for stochastic objectives:
//
//	result, err := optimize.Minimize(problem, x, settings, &gonumopt.Method{Rule: opt.Rule()})
//
// LineSearch takes an update as a search direction, along which one of gonum's line
// searches looks for a decrease. It is for objectives that are computed exactly.
//
// The package name does not collide with others in a file that calls Minimize: that file
// already imports gonum's package optimize, a package gonum would look like gonum's own, and
// optimizer is this module's.
//
// # Precision
//
// Rules compute in float32, gonum in float64. A gradient is rounded to float32 before the
// rule reads it: a value below 1.4e-45 becomes zero, and a value above 3.4e38 is a divergence.
// The update is added in float64, where it is exact. So parameters keep float64's precision,
// and a small update of a large parameter is not lost. A rule that reads the parameters sees
// them rounded. A guard goes back to the exact x that it kept.
package gonumopt
