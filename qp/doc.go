// Package qp solves convex quadratic programs and differentiates their solutions, so that a quadratic program can be a
// layer of a model (OptNet, Amos and Kolter 2017, arXiv:1703.00443):
//
//	minimize    ½ zᵀQz + qᵀz
//	subject to  Az = b,  Gz ≤ h
//
// with n variables, p equalities and m inequalities. At a solution there are duals ν (p) and λ ≥ 0 (m) and slacks
// s = h − Gz ≥ 0 with
//
//	Qz + q + Aᵀν + Gᵀλ = 0,   λ_i s_i = 0   (Karush, Kuhn, Tucker).
//
// An InteriorPoint solver solves one problem and then answers what a loss of z, ν, λ and the optimal value
// says about Q, q, A, b, G and h; a Batch does so for many problems on all cores, with the same bits as one by one.
// An answer is a Solution, or an error that says which other answer it is: *InfeasibleError and *UnboundedError carry a certificate,
// *NotConvergedError the best point that was found, *InputError the place of a mistake.
//
// Everything is float64 and dense: up to some 2,000 variables and constraints. A diagonal or zero Q, and constraint rows
// with few numbers in them, bounds above all, are found and made use of.
package qp
