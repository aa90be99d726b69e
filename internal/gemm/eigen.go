package gemm

import (
	"cmp"
	"math"
	"slices"
)

// mostRotated is the largest matrix whose eigenvectors are found by rotations, whose number grows with the cube of the size.
const mostRotated = 256

// LeftVectors writes the eigenvectors of X Xᵀ, the left singular vectors of the n × k matrix X, into the columns of dst, those of the largest eigenvalues first. Up to n = 256 the product is made in float64, and rotated
// (Jacobi's method, Golub and Van Loan 2013, section 8.5). Larger matrices get an orthogonal matrix near it: five steps of the power iteration with QR decompositions. It allocates memory.
func (q *QR) LeftVectors(dst []float32, x Matrix) {
	n := x.Rows
	if n < 1 || !x.Fits() || len(dst) != n*n {
		panic(errShape)
	}
	if n <= mostRotated {
		rotate(dst, gram(x), n)
		return
	}
	a, product := Of(make([]float32, n*n), n, n), make([]float32, n*n)
	Default().Mul(a, x, x.T(), false)
	copy(product, a.Data)
	q.Basis(dst, product, n, n)
	for range 4 {
		Default().Mul(Of(product, n, n), a, Of(dst, n, n), false)
		q.Basis(dst, product, n, n)
	}
}

// gram returns X Xᵀ in float64.
func gram(x Matrix) []float64 {
	n := x.Rows
	rows, a := make([][]float64, n), make([]float64, n*n)
	for i := range rows {
		rows[i] = make([]float64, x.Cols)
		for j := range rows[i] {
			rows[i][j] = float64(x.Data[i*x.RowStride+j*x.ColStride])
		}
		for k := range i + 1 {
			a[i*n+k] = inner(rows[i], rows[k])
			a[k*n+i] = a[i*n+k]
		}
	}
	return a
}

// rotate writes the eigenvectors of x, by cyclic Jacobi rotations. Non-finite matrices give what they give, after as many sweeps as others at most.
func rotate(dst []float32, x []float64, n int) {
	const sweeps = 30
	v := make([]float64, n*n) // its rows are the eigenvectors
	all := inner(x, x)
	for i := range n {
		v[i*n+i] = 1
	}
	for range sweeps {
		off := 0.0
		for p := range n {
			for r := p + 1; r < n; r++ {
				off += x[p*n+r] * x[p*n+r]
				jacobi(x, v, n, p, r)
			}
		}
		if !(off > 1e-28*all) {
			break
		}
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(x[j*n+j], x[i*n+i]) })
	for j, from := range order {
		for i := range n {
			dst[i*n+j] = float32(v[from*n+i])
		}
	}
}

// jacobi rotates the plane of p and r so that x has a zero there.
func jacobi(x, v []float64, n, p, r int) {
	between := x[p*n+r]
	if between == 0 {
		return
	}
	theta := (x[r*n+r] - x[p*n+p]) / (2 * between)
	t := 1 / (math.Abs(theta) + math.Hypot(theta, 1))
	if theta < 0 {
		t = -t
	}
	c := 1 / math.Hypot(t, 1)
	s := t * c
	for k := range n {
		xp, xr := x[k*n+p], x[k*n+r]
		x[k*n+p], x[k*n+r] = c*xp-s*xr, s*xp+c*xr
	}
	for k := range n {
		xp, xr := x[p*n+k], x[r*n+k]
		x[p*n+k], x[r*n+k] = c*xp-s*xr, s*xp+c*xr
	}
	for k := range n {
		vp, vr := v[p*n+k], v[r*n+k]
		v[p*n+k], v[r*n+k] = c*vp-s*vr, s*vp+c*vr
	}
	x[p*n+r], x[r*n+p] = 0, 0
}
