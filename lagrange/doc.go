// Package lagrange minimizes under equality constraints with any rule, hand-designed or learned: the method of multipliers
// (Hestenes 1969, Powell 1969). An outer loop moves multipliers ν and a penalty ρ; the rule minimizes
//
//	L(x) = f(x) + νᵀc(x) + (ρ/2)‖c(x)‖²
//
// in between. At a solution c(x) = 0 and ∇f + (∂c/∂x)ᵀν = 0.
//
// Entropy is the problem of the maximum-entropy distributions (Jaynes 1957), whose multipliers are known exactly: see
// MaximumEntropy and its Dual.
package lagrange
