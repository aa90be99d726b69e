package qp

import (
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/lapack/lapack64"
)

// kkt solves the linear systems of an interior-point method,
//
//	⎡Q  Aᵀ  Gᵀ⎤ ⎡x⎤   ⎡r_x⎤
//	⎢A  0   0 ⎥ ⎢y⎥ = ⎢r_y⎥   with W = diag(w), w > 0,
//	⎣G  0  −W ⎦ ⎣z⎦   ⎣r_z⎦
//
// by block elimination and two Cholesky factorisations: of H = Q + GᵀW⁻¹G, and of S = A H⁻¹ Aᵀ. If Q is diagonal and no
// row of G has more than one number, then H is diagonal; if all rows of A are lists too, S is factored by disjoint. What elimination loses is won back by iterative refinement.
type kkt struct {
	q    quadratic
	a, g rows

	n, p, m int
	// diagonal says that H is diagonal; augmented that H has AᵀA added to it, for a Q + GᵀW⁻¹G that is singular.
	diagonal, augmented bool
	// δ is added to the diagonals of H and S.
	delta float64
	// proximal says that the system to be solved is the one with δ added to Q and −δ to the zero block and to −W: a step of a
	// proximal method, which stays where it is in what does not matter to the problem, say if two rows are the same.
	// Refinement otherwise takes δ out again.
	proximal bool
	// soft stands, negative, in the middle block in place of 0: equalities with a penalty of 1/soft.
	soft float64

	d       []float64 // W⁻¹ of the factorisation
	hess    []float64 // n² with U in its upper triangle, UᵀU = H; or n: H itself, if it is diagonal
	aDense  []float64 // p×n if H is diagonal, else n×p: A or Aᵀ
	y       []float64 // the same size: A·H^(−½), or U⁻ᵀAᵀ
	schur   []float64 // p² with the factor of S in its upper triangle
	gt, gtw []float64 // n×(dense rows of G), Gᵀ and Gᵀ·W^(−½)
	// apart factors S if H is diagonal and all rows of A are lists.
	apart disjoint

	u        []float64 // n
	v        []float64 // p
	dr       []float64 // m
	res, fix []float64 // n + p + m: a residual and its correction
}

const (
	// leastDelta is far below what equilibrated problems need to be told apart from singular ones, and far above rounding.
	leastDelta = 1e-10
	mostDelta  = 1e-4
	// relative times δ is the part of a diagonal number that is added to it: at first 1e-14, the rounding of some ten
	// sums, so that a matrix that is singular to rounding does not come out indefinite.
	relative = 1e-4
	// refinements of one solve; each wins several digits or is the last.
	refinements = 6
)

// reset makes ready for the matrices now in q, a and g.
func (k *kkt) reset(n, p, m int) {
	k.n, k.p, k.m = n, p, m
	k.diagonal, k.augmented, k.delta, k.soft = k.q.diagonal && k.g.single(), false, leastDelta, 0
	k.d, k.u, k.v, k.dr = grow(k.d, m), grow(k.u, n), grow(k.v, p), grow(k.dr, m)
	k.res, k.fix = grow(k.res, n+p+m), grow(k.fix, n+p+m)
	k.gt, k.gtw = grow(k.gt, n*len(k.g.dense)), grow(k.gtw, n*len(k.g.dense))
	for i := range k.g.dense {
		for j, v := range k.g.block[i*n : i*n+n] {
			k.gt[j*len(k.g.dense)+i] = v
		}
	}
	k.layA()
}

// layA lays A out as the elimination reads it.
func (k *kkt) layA() {
	n, p := k.n, k.p
	if k.diagonal {
		k.hess = grow(k.hess, n)
		if len(k.a.dense) == 0 {
			k.apart.choose(&k.a)
			return
		}
	} else {
		k.hess = grow(k.hess, n*n)
	}
	k.schur = grow(k.schur, p*p)
	k.aDense, k.y = grow(k.aDense, n*p), grow(k.y, n*p)
	clear(k.aDense)
	rowStride, columnStride := n, 1
	if !k.diagonal {
		rowStride, columnStride = 1, p
	}
	for l, i := range k.a.sparse {
		for t := k.a.start[l]; t < k.a.start[l+1]; t++ {
			k.aDense[i*rowStride+k.a.column[t]*columnStride] = k.a.value[t]
		}
	}
	for l, i := range k.a.dense {
		for j, v := range k.a.block[l*n : l*n+n] {
			k.aDense[i*rowStride+j*columnStride] = v
		}
	}
}

// factor factors the system for W = diag(w); false means that no δ makes it positive definite.
func (k *kkt) factor(w []float64) bool {
	for delta := k.delta; delta <= mostDelta; delta *= 100 {
		if k.tryFactor(w, delta) {
			return true
		}
	}
	return false
}

func (k *kkt) tryFactor(w []float64, delta float64) bool {
	for i, v := range w {
		if k.proximal {
			v += delta
		}
		k.d[i] = 1 / v
	}
	k.fillH(delta)
	if k.diagonal {
		for _, v := range k.hess {
			if !(v > 0) {
				return false
			}
		}
		if len(k.a.dense) == 0 {
			return k.apart.factor(&k.a, k.hess, k.soft, delta)
		}
		k.diagonalSchur()
	} else {
		if _, ok := lapack64.Potrf(k.symmetric(k.hess, k.n)); !ok {
			return false
		}
		if k.p > 0 {
			copy(k.y, k.aDense)
			blas64.Trsm(blas.Left, blas.Trans, 1, k.upper(k.hess, k.n), k.tall(k.y))
			blas64.Syrk(blas.Trans, 1, k.tall(k.y), 0, k.symmetric(k.schur, k.p))
		}
	}
	if k.p == 0 {
		return true
	}
	for i := range k.p {
		k.schur[i*k.p+i] += k.soft + delta + relative*delta*k.schur[i*k.p+i]
	}
	_, ok := lapack64.Potrf(k.symmetric(k.schur, k.p))
	return ok
}

// fillH writes H + δI.
func (k *kkt) fillH(delta float64) {
	n := k.n
	if k.diagonal {
		for i, v := range k.q.q {
			k.hess[i] = v + delta
		}
		for l, i := range k.g.sparse {
			for t := k.g.start[l]; t < k.g.start[l+1]; t++ {
				k.hess[k.g.column[t]] += k.g.value[t] * k.g.value[t] * k.d[i]
			}
		}
		return
	}
	if k.q.diagonal {
		clear(k.hess)
		for i, v := range k.q.q {
			k.hess[i*n+i] = v
		}
	} else {
		copy(k.hess, k.q.q)
	}
	if dense := len(k.g.dense); dense > 0 {
		// dr holds the roots of W⁻¹ of dense rows.
		roots := k.dr[:dense]
		for l, i := range k.g.dense {
			roots[l] = math.Sqrt(k.d[i])
		}
		for j := range n {
			from, to := k.gt[j*dense:j*dense+dense], k.gtw[j*dense:j*dense+dense]
			for l, v := range from {
				to[l] = v * roots[l]
			}
		}
		blas64.Syrk(blas.NoTrans, 1, blas64.General{Rows: n, Cols: dense, Stride: dense, Data: k.gtw}, 1, k.symmetric(k.hess, n))
	}
	for l, i := range k.g.sparse {
		addOuter(k.hess, n, k.g.column[k.g.start[l]:k.g.start[l+1]], k.g.value[k.g.start[l]:k.g.start[l+1]], k.d[i])
	}
	if k.augmented {
		blas64.Syrk(blas.NoTrans, 1, k.tall(k.aDense), 1, k.symmetric(k.hess, n))
	}
	for i := range n {
		k.hess[i*n+i] += delta + relative*delta*k.hess[i*n+i]
	}
}

// addOuter adds d·v·vᵀ to the upper triangle of h for a list v of numbers in ascending columns.
func addOuter(h []float64, n int, column []int, v []float64, d float64) {
	for t, vt := range v {
		f := d * vt
		row := h[column[t]*n : column[t]*n+n]
		for l := t; l < len(v); l++ {
			row[column[l]] += f * v[l]
		}
	}
}

// diagonalSchur writes S = A H⁻¹ Aᵀ for a diagonal H and an A with dense rows.
func (k *kkt) diagonalSchur() {
	for j, v := range k.hess {
		k.u[j] = 1 / math.Sqrt(v)
	}
	for i := range k.p {
		from, to := k.aDense[i*k.n:i*k.n+k.n], k.y[i*k.n:i*k.n+k.n]
		for j, v := range from {
			to[j] = v * k.u[j]
		}
	}
	blas64.Syrk(blas.NoTrans, 1, blas64.General{Rows: k.p, Cols: k.n, Stride: k.n, Data: k.y}, 0, k.symmetric(k.schur, k.p))
}

func (k *kkt) symmetric(a []float64, n int) blas64.Symmetric {
	return blas64.Symmetric{N: n, Stride: n, Data: a, Uplo: blas.Upper}
}

func (k *kkt) upper(a []float64, n int) blas64.Triangular {
	return blas64.Triangular{N: n, Stride: n, Data: a, Uplo: blas.Upper, Diag: blas.NonUnit}
}

// tall is an n×p matrix.
func (k *kkt) tall(a []float64) blas64.General {
	return blas64.General{Rows: k.n, Cols: k.p, Stride: k.p, Data: a}
}

// eliminate solves the factored system once; x, y, z are written into dst, one after the other.
func (k *kkt) eliminate(dst, r []float64) {
	n, p := k.n, k.p
	rx, ry, rz := r[:n], r[n:n+p], r[n+p:]
	x, y, z := dst[:n], dst[n:n+p], dst[n+p:]
	copy(x, rx)
	for i, v := range rz {
		k.dr[i] = k.d[i] * v
	}
	k.g.addTransposed(x, k.dr)
	if k.augmented {
		k.a.addTransposed(x, ry)
	}
	if k.diagonal {
		if p > 0 {
			for j, v := range x {
				k.u[j] = v / k.hess[j]
			}
			k.a.mul(y, k.u)
			k.schurSolve(y, ry)
			for i, v := range y {
				k.v[i] = -v
			}
			k.a.addTransposed(x, k.v)
		}
		for j := range x {
			x[j] /= k.hess[j]
		}
	} else {
		factor := k.upper(k.hess, n)
		blas64.Trsv(blas.Trans, factor, vector(x))
		if p > 0 {
			blas64.Gemv(blas.Trans, 1, k.tall(k.y), vector(x), 0, vector(y))
			k.schurSolve(y, ry)
			blas64.Gemv(blas.NoTrans, -1, k.tall(k.y), vector(y), 1, vector(x))
		}
		blas64.Trsv(blas.NoTrans, factor, vector(x))
	}
	k.g.mul(z, x)
	for i := range z {
		z[i] = k.d[i] * (z[i] - rz[i])
	}
}

// schurSolve replaces y by S⁻¹(y − r).
func (k *kkt) schurSolve(y, r []float64) {
	for i, v := range r {
		y[i] -= v
	}
	if k.diagonal && len(k.a.dense) == 0 {
		k.apart.solve(y)
		return
	}
	factor := k.upper(k.schur, k.p)
	blas64.Trsv(blas.Trans, factor, vector(y))
	blas64.Trsv(blas.NoTrans, factor, vector(y))
}

// residual writes r − K·v into k.res and returns its largest magnitude.
func (k *kkt) residual(v, r, w []float64) float64 {
	n, p := k.n, k.p
	x, y, z := v[:n], v[n:n+p], v[n+p:]
	k.q.mul(k.res[:n], x)
	k.a.addTransposed(k.res[:n], y)
	k.g.addTransposed(k.res[:n], z)
	k.a.mul(k.res[n:n+p], x)
	k.g.mul(k.res[n+p:], x)
	for i, wi := range w {
		k.res[n+p+i] -= wi * z[i]
	}
	if k.proximal {
		for i, xi := range x {
			k.res[i] += k.delta * xi
		}
		for i, yi := range y {
			k.res[n+i] -= k.delta * yi
		}
		for i, zi := range z {
			k.res[n+p+i] -= k.delta * zi
		}
	}
	for i, ri := range r {
		k.res[i] = ri - k.res[i]
	}
	return norm(k.res)
}

// solve writes the solution of the system for W = diag(w) into dst. The factorisation may be for a w nearby. It returns the
// largest residual relative to the largest number of r.
func (k *kkt) solve(dst, r, w []float64) float64 {
	size := norm(r)
	if size == 0 {
		clear(dst)
		return 0
	}
	k.eliminate(dst, r)
	best := k.residual(dst, r, w)
	for range refinements {
		if best <= 1e-15*size || math.IsNaN(best) {
			break
		}
		k.eliminate(k.fix, k.res)
		for i, f := range k.fix {
			dst[i] += f
		}
		now := k.residual(dst, r, w)
		if !(now < best) {
			for i, f := range k.fix {
				dst[i] -= f
			}
			break
		}
		enough := now > best/4
		best = now
		if enough {
			break
		}
	}
	return best / size
}

// sound solves as solve does. If that is not exact enough for want of curvature, it adds AᵀA to H, then larger δ, factors
// again and solves again.
func (k *kkt) sound(dst, r, w []float64) float64 {
	const enough = 1e-8
	got := k.solve(dst, r, w)
	for !(got <= enough) {
		switch {
		case k.p > 0 && !k.augmented:
			wasDiagonal := k.diagonal
			k.diagonal, k.augmented = false, true
			if wasDiagonal {
				k.layA()
			}
		case k.delta < 1e-6:
			k.delta *= 100
		default:
			return got
		}
		if !k.factor(w) {
			return math.Inf(1)
		}
		got = k.solve(dst, r, w)
	}
	return got
}
