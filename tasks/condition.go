package tasks

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// maxCondition is the largest condition number of WᵀW at which a float32 matrix W can still be told from a singular
// one: the condition number of W itself is the square root.
const maxCondition = 1e8

// validateCondition checks a condition number κ of functions of d dimensions; 0 leaves the matrices as they are drawn.
func validateCondition(task string, condition float64, dims int) error {
	switch {
	case condition == 0:
		return nil
	case !(condition >= 1 && condition <= maxCondition):
		return fmt.Errorf("tasks: %s: condition number %v, want 1 to %v (0 leaves the matrices as they are drawn)", task, condition, maxCondition)
	case dims == 1 && condition != 1:
		return fmt.Errorf("tasks: %s: condition number %v of functions of 1 dimension; take more dimensions", task, condition)
	}
	return nil
}

// setCondition gives each of the d×d matrices W_b in w singular values in geometric
// progression with
//
//	(s_1/s_d)² = κ,   Σ s_i² = ‖W_b‖²_F as it was,
//
// and keeps its singular vectors. The Hessian 2 W_bᵀW_b then has condition number κ and the same
// trace as before, so that learning rates stay comparable. A zero matrix stays as it is.
func setCondition(w []float32, d int, condition float64) error {
	data := make([]float64, d*d)
	var (
		svd  mat.SVD
		u, v mat.Dense
	)
	for at := 0; at < len(w); at += d * d {
		block, norm := w[at:at+d*d], 0.0
		for i, x := range block {
			data[i] = float64(x)
			norm += data[i] * data[i]
		}
		if !svd.Factorize(mat.NewDense(d, d, data), mat.SVDFull) {
			return fmt.Errorf("tasks: no singular values of matrix %d; draw another seed", at/(d*d))
		}
		svd.UTo(&u)
		svd.VTo(&v)
		s, sum := make([]float64, d), 0.0
		for i := range s {
			if d > 1 {
				s[i] = math.Pow(condition, -float64(i)/float64(2*(d-1)))
			} else {
				s[i] = 1
			}
			sum += s[i] * s[i]
		}
		for i := range d {
			for j := range d {
				x := 0.0
				for k, sk := range s {
					x += u.At(i, k) * sk * v.At(j, k)
				}
				block[i*d+j] = float32(x * math.Sqrt(norm/sum))
			}
		}
	}
	return nil
}
