// Package adjoint checks meta-gradients, in two ways.
//
// Assemble and System.Solve are the oracle. They write a small unroll as one system of equations and solve for its
// multipliers by dense LU. They share no derivative with metatrain's estimators. Leaving out blocks of the matrix gives
// each approximation of the estimators exactly.
//
// Check is for users who meta-train. On any task and network it measures how much the truncated meta-gradient differs
// from the whole meta-gradient.
//
// # The system
//
// Take an unroll of T steps on n coordinates, with a state of S numbers per coordinate. The unknowns z are the gradients
// ∇_t that the network reads, the parameters θ_t of the problem, and the states s_t of the network. Each is a variable of
// its own, defined by one equation of z = G(z; φ):
//
//	∇_t     = ∇f_t(θ_t)                  t = 0 … T-1
//	θ_{t+1} = θ_t + u(∇_t, s_t; φ)
//	s_{t+1} = S(∇_t, s_t; φ)
//
// θ_0 and s_0 are constants. With F(z) = Σ_{t=1..T} w_t f_t(θ_t) and a multiplier Λ for every equation,
// 𝓛 = F(z) + Λᵀ(G(z; φ) − z) is stationary in z if
//
//	(I − J)ᵀ Λ = ∂F/∂z,   J = ∂G/∂z,
//
// Then the meta-gradient is dF/dφ = Λᵀ ∂G/∂φ (LeCun 1988, "A theoretical framework for back-propagation"). The
// multipliers of θ_t, s_t and ∇_t are the adjoints λ_t, μ_t and v_t of a backward pass.
//
// # The order of the unknowns
//
// The T steps follow each other. Step t holds the unknowns that its equations define, in the order ∇_t, θ_{t+1}, s_{t+1}.
// s_{t+1} is ordered by coordinate, then by layer, and within a layer h comes before c. After the layers of a coordinate
// come m and v of RNNProp inputs. So J is zero except for these blocks:
//
//	           ∇_t              θ_t         s_t
//	∇_t        0                ∇²f_t       0
//	θ_{t+1}    ∂u/∂∇_t          I           ∂u/∂s_t
//	s_{t+1}    ∂S/∂∇_t          0           ∂S/∂s_t
//
// θ_t and s_t belong to step t-1. Mask leaves out the blocks ∇²f_t, or, at the steps where a window begins, all blocks in
// the columns θ_t and s_t.
package adjoint
