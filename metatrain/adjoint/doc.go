// Package adjoint checks meta-gradients, in two ways.
//
// Assemble and System.Solve are the oracle: they write a small unroll as one
// system of equations and solve for its multipliers by dense LU, sharing no
// derivative with the engine. Leaving blocks of the matrix out gives each of the
// engine's approximations exactly.
//
// Check is for those who meta-train: on any task and network it measures how far
// the truncated meta-gradient is from the whole one.
//
// # The system
//
// Of an unroll of T steps on n coordinates with a state of S numbers a coordinate, the
// unknowns z are the gradients that the network reads, ∇_t, its parameters, θ_t, and its
// states, s_t. Each is its own variable, tied to the others by one equation of z = G(z; φ):
//
//	∇_t     = ∇f_t(θ_t)                  t = 0 … T-1
//	θ_{t+1} = θ_t + u(∇_t, s_t; φ)
//	s_{t+1} = S(∇_t, s_t; φ)
//
// θ_0 and s_0 are given. With F(z) = Σ_{t=1..T} w_t f_t(θ_t) and a multiplier Λ for every
// equation, 𝓛 = F(z) + Λᵀ(G(z; φ) − z) is stationary in z where
//
//	(I − J)ᵀ Λ = ∂F/∂z,   J = ∂G/∂z,
//
// and then the meta-gradient is dF/dφ = Λᵀ ∂G/∂φ (LeCun 1988, "A theoretical
// framework for back-propagation"). Multipliers of θ_t and s_t are the adjoints
// λ_t and μ_t of a backward pass, those of ∇_t its v_t.
//
// # The order of the unknowns
//
// Step t holds the ∇_t, θ_{t+1} and s_{t+1} that its equations define, in this order; T
// steps follow each other. s_{t+1} goes coordinate by coordinate, within one layer
// by layer, h then c, then m and v of RNNProp inputs. So J is zero but for
//
//	           ∇_t              θ_t         s_t         of the unknowns on the right
//	∇_t        0                ∇²f_t       0
//	θ_{t+1}    ∂u/∂∇_t          I           ∂u/∂s_t
//	s_{t+1}    ∂S/∂∇_t          0           ∂S/∂s_t
//
// and θ_t, s_t belong to the step before: what Mask leaves out are the blocks
// ∇²f_t, or whole rows of this table in the steps at which a window begins.
package adjoint
