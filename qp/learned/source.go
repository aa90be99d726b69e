package learned

import (
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"

	"learnedopt/qp"
)

// A Source draws quadratic programs.
type Source struct {
	// Name tells sources apart: two of the same name draw the same programs from the same random numbers.
	Name string
	Draw func(r *rand.Rand) *qp.Problem
}

// Random is the source of dense programs of n variables, log-uniform from least to most, with n/8 equalities and n/2 inequalities, of
// which about half are active at the solution:
//
//	Q = RRᵀ/n + 0.1 I,  R, A and G normal,  x*, ν* and λ* drawn, and q, b and h such that they are the solution
//
// The slack of an inactive row and the multiplier of an active one are at least 0.1.
func Random(least, most int) Source {
	return Source{fmt.Sprintf("random n=%d..%d", least, most), func(r *rand.Rand) *qp.Problem {
		n := int(math.Round(float64(least) * math.Pow(float64(most)/float64(least), r.Float64())))
		return random(r, n, n/8, n/2)
	}}
}

func random(r *rand.Rand, n, e, m int) *qp.Problem {
	p := &qp.Problem{Q: make([]float64, n*n), A: normal(r, e*n), B: make([]float64, e), G: normal(r, m*n), H: make([]float64, m)}
	root := normal(r, n*n)
	all := func(a []float64, rows int) blas64.General {
		return blas64.General{Rows: rows, Cols: n, Stride: max(n, 1), Data: a}
	}
	blas64.Syrk(blas.NoTrans, 1/float64(n), all(root, n), 0, blas64.Symmetric{N: n, Stride: n, Data: p.Q, Uplo: blas.Upper})
	for i := range n {
		p.Q[i*n+i] += 0.1
		for j := range i {
			p.Q[i*n+j] = p.Q[j*n+i]
		}
	}
	x, nu, lambda := normal(r, n), normal(r, e), make([]float64, m)
	p.Linear = make([]float64, n)
	vector := func(x []float64) blas64.Vector { return blas64.Vector{N: len(x), Inc: 1, Data: x} }
	blas64.Gemv(blas.NoTrans, -1, all(p.Q, n), vector(x), 0, vector(p.Linear))
	if e > 0 {
		blas64.Gemv(blas.NoTrans, 1, all(p.A, e), vector(x), 0, vector(p.B))
		blas64.Gemv(blas.Trans, -1, all(p.A, e), vector(nu), 1, vector(p.Linear))
	}
	if m > 0 {
		blas64.Gemv(blas.NoTrans, 1, all(p.G, m), vector(x), 0, vector(p.H))
		for i := range p.H {
			if v := 0.1 + r.ExpFloat64(); r.Float64() < 0.5 {
				lambda[i] = v
			} else {
				p.H[i] += v
			}
		}
		blas64.Gemv(blas.Trans, -1, all(p.G, m), vector(lambda), 1, vector(p.Linear))
	}
	return p
}

func normal(r *rand.Rand, n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = r.NormFloat64()
	}
	return x
}
