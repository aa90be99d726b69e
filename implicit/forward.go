package implicit

import (
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/lapack/lapack64"
)

// Newton is Newton's method with steps halved until the residual falls. The zero value holds the defaults.
type Newton struct {
	// Tolerance is the largest |F_i| of a solution; 0 means 1e-12.
	Tolerance float64
	// MaxIterations is the largest number of Jacobians; 0 means 50.
	MaxIterations int
}

// Solve moves z to a root. f writes F(z) into dst; jacobian writes ∂F_i/∂z_j to dst[i·n + j]. It returns the number of Jacobians, and
// a *SingularError or a *NotConvergedError.
func (m Newton) Solve(z []float64, f, jacobian func(dst, z []float64)) (int, error) {
	n := len(z)
	tolerance, limit := orElse(m.Tolerance, 1e-12), int(orElse(float64(m.MaxIterations), 50))
	residual, next, trial, j := make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n*n)
	f(residual, z)
	size := largest(residual)
	for k := range limit {
		if size <= tolerance {
			return k, nil
		}
		jacobian(j, z)
		var lu factorization
		if err := lu.factor(j, n); err != nil {
			return k, err
		}
		lu.solve(residual, blas.NoTrans)
		better := false
		for step := 1.0; step > 1e-10; step /= 2 {
			for i, d := range residual {
				trial[i] = z[i] - step*d
			}
			f(next, trial)
			// The least decrease that counts (Armijo).
			if s := largest(next); s <= (1-1e-4*step)*size {
				copy(z, trial)
				residual, next, size, better = next, residual, s, true
				break
			}
		}
		if !better {
			return k + 1, &NotConvergedError{"Newton", k + 1, size, "no step along Newton's direction lowers the residual: start nearer, or smooth the equation"}
		}
	}
	if size <= tolerance {
		return limit, nil
	}
	return limit, &NotConvergedError{"Newton", limit, size, "allow more iterations or start nearer"}
}

// Anderson is Anderson's acceleration of z ← f(z) (Anderson 1965; type II): the next point is the combination of
// the last images whose residuals' combination is smallest. The zero value holds the defaults.
type Anderson struct {
	// Memory is the number of differences that it combines; 0 means 5.
	Memory int
	// Tolerance is the largest |f(z)_i − z_i| of a solution; 0 means 1e-12.
	Tolerance float64
	// MaxIterations is the largest number of evaluations of f; 0 means 1,000.
	MaxIterations int
}

// Solve moves z to a fixed point of f, which writes f(z) into dst. It returns the number of evaluations and a *NotConvergedError.
func (m Anderson) Solve(z []float64, f func(dst, z []float64)) (int, error) {
	n := len(z)
	memory := min(int(orElse(float64(m.Memory), 5)), n)
	tolerance, limit := orElse(m.Tolerance, 1e-12), int(orElse(float64(m.MaxIterations), 1000))
	image, residual := make([]float64, n), make([]float64, n)
	lastImage, lastResidual := make([]float64, n), make([]float64, n)
	// Column c of each is a difference between neighbouring iterations, the oldest overwritten.
	dImage, dResidual := make([]float64, n*memory), make([]float64, n*memory)
	square, gamma := make([]float64, memory*memory), make([]float64, memory)
	best, bestSize := make([]float64, n), math.Inf(1)
	for k := range limit {
		f(image, z)
		for i := range residual {
			residual[i] = image[i] - z[i]
		}
		size := largest(residual)
		if size <= tolerance {
			return k + 1, nil
		}
		if size < bestSize {
			bestSize = size
			copy(best, z)
		}
		if math.IsNaN(size) || math.IsInf(size, 0) {
			break
		}
		if k > 0 {
			column := (k - 1) % memory
			for i := range n {
				dImage[column*n+i] = image[i] - lastImage[i]
				dResidual[column*n+i] = residual[i] - lastResidual[i]
			}
		}
		copy(lastImage, image)
		copy(lastResidual, residual)
		copy(z, image)
		if used := min(k, memory); used > 0 && combine(gamma[:used], square[:used*used], dResidual, residual, n) {
			for c, g := range gamma[:used] {
				for i := range z {
					z[i] -= g * dImage[c*n+i]
				}
			}
		}
	}
	copy(z, best)
	return limit, &NotConvergedError{"Anderson", limit, bestSize, "f is no contraction here, or not enough iterations: damp it, or use Newton"}
}

// combine finds the γ that minimizes ‖residual − Σ γ_c d_c‖ from regularized normal equations; false if they cannot be solved.
func combine(gamma, square, differences, residual []float64, n int) bool {
	used := len(gamma)
	for c := range used {
		d := differences[c*n : c*n+n]
		gamma[c] = dot(d, residual)
		for e := range used {
			square[c*used+e] = dot(d, differences[e*n:e*n+n])
		}
	}
	trace := 0.0
	for c := range used {
		trace += square[c*used+c]
	}
	for c := range used {
		square[c*used+c] += 1e-14 * trace
	}
	t, ok := lapack64.Potrf(blas64.Symmetric{N: used, Stride: used, Data: square, Uplo: blas.Upper})
	if ok {
		lapack64.Potrs(t, blas64.General{Rows: used, Cols: 1, Stride: 1, Data: gamma})
	}
	return ok
}

func orElse(v, fallback float64) float64 {
	if v == 0 {
		return fallback
	}
	return v
}

func dot(x, y []float64) float64 {
	return blas64.Dot(blas64.Vector{N: len(x), Inc: 1, Data: x}, blas64.Vector{N: len(y), Inc: 1, Data: y})
}

// largest returns the largest magnitude, NaN if there is one.
func largest(x []float64) float64 { return floats.Norm(x, math.Inf(1)) }
