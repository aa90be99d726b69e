// Package implicit solves equations and differentiates their solutions: roots F(z, x) = 0 and fixed points z = f(z, x), of n
// unknowns z that depend on parameters x.
//
// In the Lagrangian view of backpropagation (LeCun 1988) every variable has a multiplier, and without cycles the multipliers follow one
// after the other, backward. A cycle makes the forward pass a system of equations, which Newton and Anderson solve, and the
// backward pass a linear one, which Adjoint solves:
//
//	(∂F/∂z)ᵀ w = ∂ℓ/∂z,   dℓ/dx = −(∂F/∂x)ᵀ w   (implicit function theorem)
//
// For a fixed point F = z − f, so that (I − ∂f/∂z)ᵀ w = ∂ℓ/∂z and dℓ/dx = (∂f/∂x)ᵀ w.
package implicit
