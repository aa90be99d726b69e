package implicit

import "math"

// A Cell is a recurrent cell of n units with d inputs, whose state for an input x is its equilibrium:
//
//	z = tanh(W z + U x + b)
//
// There is exactly one if ‖W‖ < 1. Methods may be called at the same time.
type Cell struct {
	// N is n and D is d.
	N, D int
	// W is n×n, U n×d, row by row; B is b.
	W, U, B []float64
}

// Solve writes the equilibrium for x into z, from 0 on, by Anderson's method. The error is a *NotConvergedError.
func (c *Cell) Solve(z, x []float64) error {
	if len(z) != c.N || len(x) != c.D {
		panic(errLength)
	}
	drive := make([]float64, c.N)
	for k := range drive {
		drive[k] = c.B[k] + dot(c.U[k*c.D:(k+1)*c.D], x)
	}
	clear(z)
	_, err := Anderson{}.Solve(z, func(dst, z []float64) {
		for k := range dst {
			dst[k] = math.Tanh(drive[k] + dot(c.W[k*c.N:(k+1)*c.N], z))
		}
	})
	return err
}

// Adjoint replaces a, the derivatives ∂ℓ/∂z at an equilibrium z, by those with respect to the argument of tanh, δ. Then
// ∂ℓ/∂W = δ zᵀ, ∂ℓ/∂U = δ xᵀ, ∂ℓ/∂b = δ and ∂ℓ/∂x = Uᵀδ. The error is a *SingularError.
func (c *Cell) Adjoint(a, z []float64) error {
	if len(z) != c.N || len(a) != c.N {
		panic(errLength)
	}
	j := make([]float64, c.N*c.N)
	for k, v := range z {
		for l := range z {
			j[k*c.N+l] = -(1 - v*v) * c.W[k*c.N+l]
		}
		j[k*c.N+k]++
	}
	if err := Adjoint(a, a, Jacobian{Dense: j}); err != nil {
		return err
	}
	for k, v := range z {
		a[k] *= 1 - v*v
	}
	return nil
}
