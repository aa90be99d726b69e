package implicit

import (
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/lapack"
	"gonum.org/v1/gonum/lapack/lapack64"
)

// A Jacobian is ∂F/∂z at a solution: its numbers, or what its transpose does to a vector.
type Jacobian struct {
	// Dense has ∂F_i/∂z_j at i·n + j.
	Dense []float64
	// Transposed writes (∂F/∂z)ᵀ·v into dst. It is used if Dense is nil.
	Transposed func(dst, v []float64)
}

// Adjoint writes the w with (∂F/∂z)ᵀ w = v into dst, by an LU factorisation of a dense Jacobian or by GMRES. dst may be v. The
// error is a *SingularError or a *NotConvergedError.
func Adjoint(dst, v []float64, j Jacobian) error {
	n := len(v)
	if len(dst) != n {
		panic(errLength)
	}
	if j.Dense == nil && j.Transposed == nil {
		panic(errNothing)
	}
	if j.Dense == nil {
		right := append([]float64(nil), v...)
		clear(dst)
		_, err := GMRES{}.Solve(dst, right, j.Transposed)
		return err
	}
	if len(j.Dense) != n*n {
		panic(errMatrix)
	}
	var lu factorization
	if err := lu.factor(append([]float64(nil), j.Dense...), n); err != nil {
		return err
	}
	copy(dst, v)
	lu.solve(dst, blas.Trans)
	return nil
}

// factorization is P·L·U of a matrix.
type factorization struct {
	lu     blas64.General
	pivots []int
}

// factor overwrites a with its factors.
func (f *factorization) factor(a []float64, n int) error {
	f.lu = blas64.General{Rows: n, Cols: n, Stride: n, Data: a}
	f.pivots = make([]int, n)
	work, ints := make([]float64, 4*n), make([]int, n)
	norm := lapack64.Lange(lapack.MaxColumnSum, f.lu, work)
	ok := lapack64.Getrf(f.lu, f.pivots)
	condition := math.Inf(1)
	if ok && !math.IsNaN(norm) && !math.IsInf(norm, 0) {
		condition = 1 / lapack64.Gecon(lapack.MaxColumnSum, f.lu, norm, work, ints)
	}
	// A NaN is singular, too.
	if !(condition < 1e15) {
		return &SingularError{condition}
	}
	return nil
}

// solve replaces b by the solution.
func (f *factorization) solve(b []float64, transposed blas.Transpose) {
	lapack64.Getrs(transposed, f.lu, blas64.General{Rows: len(b), Cols: 1, Stride: 1, Data: b}, f.pivots)
}

// GMRES solves linear systems from products alone (Saad and Schultz 1986), restarted. The zero value holds the defaults.
type GMRES struct {
	// Restart is the number of products before a restart; 0 means 30.
	Restart int
	// Tolerance is the norm of the residual relative to the right-hand side; 0 means 1e-12.
	Tolerance float64
	// MaxIterations is the largest number of products; 0 means 1,000.
	MaxIterations int
}

// Solve moves x to the solution of A·x = b, where product writes A·v into dst. It returns the number of products and a
// *NotConvergedError.
func (m GMRES) Solve(x, b []float64, product func(dst, v []float64)) (int, error) {
	n := len(b)
	if len(x) != n {
		panic(errLength)
	}
	restart := min(int(orElse(float64(m.Restart), 30)), n)
	tolerance, limit := orElse(m.Tolerance, 1e-12), int(orElse(float64(m.MaxIterations), 1000))
	goal := math.Sqrt(dot(b, b))
	if goal == 0 {
		clear(x)
		return 0, nil
	}
	basis := make([]float64, (restart+1)*n)
	at := func(k int) []float64 { return basis[k*n : k*n+n] }
	// h is the upper triangle of Hessenberg's matrix after rotations, column by column; right the rotated right-hand side.
	h, cos, sin, right := make([]float64, (restart+1)*restart), make([]float64, restart), make([]float64, restart), make([]float64, restart+1)
	products, last := 0, math.Inf(1)
	for {
		product(at(0), x)
		products++
		for i, v := range b {
			at(0)[i] = v - at(0)[i]
		}
		norm := math.Sqrt(dot(at(0), at(0)))
		// A restart that wins nothing will not do so the next time.
		if norm <= tolerance*goal {
			return products, nil
		}
		if products >= limit || !(norm < last*0.999) {
			return products, &NotConvergedError{"GMRES", products, norm / goal, "the system may be singular: use a dense Jacobian, or regularize the equation"}
		}
		last = norm
		scale(at(0), 1/norm)
		clear(right)
		right[0] = norm
		used := 0
		for k := range restart {
			product(at(k+1), at(k))
			products++
			column := h[k*(restart+1) : (k+1)*(restart+1)]
			for i := range k + 1 { // modified Gram–Schmidt
				column[i] = dot(at(k+1), at(i))
				for l, v := range at(i) {
					at(k + 1)[l] -= column[i] * v
				}
			}
			below := math.Sqrt(dot(at(k+1), at(k+1)))
			if below > 0 {
				scale(at(k+1), 1/below)
			}
			for i := range k {
				column[i], column[i+1] = cos[i]*column[i]+sin[i]*column[i+1], cos[i]*column[i+1]-sin[i]*column[i]
			}
			r := math.Hypot(column[k], below)
			if r == 0 {
				break
			}
			cos[k], sin[k] = column[k]/r, below/r
			column[k] = r
			right[k], right[k+1] = cos[k]*right[k], -sin[k]*right[k]
			used = k + 1
			if math.Abs(right[k+1]) <= tolerance*goal/2 {
				break
			}
		}
		for k := used - 1; k >= 0; k-- {
			for l := k + 1; l < used; l++ {
				right[k] -= h[l*(restart+1)+k] * right[l]
			}
			right[k] /= h[k*(restart+1)+k]
			for i, v := range at(k) {
				x[i] += right[k] * v
			}
		}
	}
}

func scale(x []float64, f float64) {
	for i := range x {
		x[i] *= f
	}
}
