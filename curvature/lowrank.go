package curvature

import (
	"math"

	"learnedopt/internal/gemm"
	"learnedopt/internal/stream"
)

const (
	// firstRank is the rank with which the inverse of a large factor of inputs is tried first.
	firstRank = 64
	// mostRest is the residual of a solve with a reduced inverse, relative to the right-hand side, that is good enough.
	mostRest = 0.1
	// firstRounds are the iterations from random directions; later ones start from the directions of the last inversion, since A changes slowly.
	firstRounds = 3
)

// reduce makes the inverse of A + γI of a layer with many inputs from A's leading directions alone, and returns true. Most eigenvalues of the second moment of inputs are far below
// the damping γ, and then it makes no difference whether they are there. With Y = AU of some directions U, A is replaced by
//
//	Y (UᵀAU)⁻¹ Yᵀ                                                     (Nyström)
//	(Y (UᵀAU)⁻¹ Yᵀ + γI)⁻¹ = (I − ZZᵀ)/γ,   Z = Y L⁻ᵀ,   LLᵀ = γ UᵀAU + YᵀY      (Woodbury)
//
// The columns of Z are the next U: this is a subspace iteration, in which Z is never far from orthogonal (Frangella, Tropp and Udell 2021, arXiv:2110.02820, have Nyström's approximation
// as a preconditioner). What is left out is measured by the residual of (A + γI)X = V, with V the layer's gradient: above a tenth of V the rank is doubled. reduce returns false, and makes the rank
// 0 for good, if that would be more than a quarter of the inputs, or if L is not found.
func (s *kfacState) reduce(d *dense, damping float64, v gemm.Matrix) bool {
	if d.rank == 0 {
		return false
	}
	a := gemm.Of(s.square[:d.in*d.in], d.in, d.in)
	copy(a.Data, d.a)
	mirror(a.Data, d.in)
	for ; 4*d.rank <= d.in; d.rank *= 2 {
		rounds := 1
		if len(d.z) != d.in*d.rank {
			d.z = directions(d.in, d.rank)
			rounds = firstRounds
		}
		found := true
		for range rounds {
			found = found && s.iterate(d, a, damping)
		}
		if !found {
			break
		}
		if s.rest(d, a, damping, v) <= mostRest {
			return true
		}
	}
	d.rank, d.z = 0, nil
	return false
}

// directions returns rank random directions as the columns of a matrix.
func directions(n, rank int) []float32 {
	rng, z := stream.New(0, "curvature/directions", uint64(rank)), make([]float32, n*rank)
	for i := range z {
		z[i] = float32(rng.NormFloat64())
	}
	return z
}

// iterate replaces Z by the next one. It returns false if γ UᵀAU + YᵀY is not positive definite in float32.
func (s *kfacState) iterate(d *dense, a gemm.Matrix, damping float64) bool {
	n, r := d.in, d.rank
	s.wide, s.small = resized(s.wide, n*r), resized(s.small, 2*r*max(r, d.out))
	u, y := gemm.Of(d.z, n, r), gemm.Of(s.wide, n, r)
	sum, inverse := gemm.Of(s.small[:r*r], r, r), s.small[r*r:2*r*r]
	s.kernel.Mul(y, a, u, false)
	s.kernel.Mul(sum, u.T(), y, false)
	for i := range sum.Data {
		sum.Data[i] *= float32(damping)
	}
	s.kernel.Mul(sum, y.T(), y, true)
	if !s.inverter.invert(inverse, sum.Data, r, 1e-6*trace(sum.Data, r)/float64(r)) {
		return false
	}
	s.kernel.Mul(u, y, gemm.Of(s.inverter.inverse[:r*r], r, r).T(), false)
	return true
}

// timesReduced writes (I − ZZᵀ)V into dst.
func (s *kfacState) timesReduced(dst gemm.Matrix, d *dense, v gemm.Matrix) {
	s.small = resized(s.small, 2*d.rank*max(d.rank, d.out))
	z, w := gemm.Of(d.z, d.in, d.rank), gemm.Of(s.small[:d.rank*d.out], d.rank, d.out)
	s.kernel.Mul(w, z.T(), v, false)
	for i := range w.Data {
		w.Data[i] = -w.Data[i]
	}
	copy(dst.Data[:d.in*d.out], v.Data)
	s.kernel.Mul(dst, z, w, true)
}

// rest returns ‖V − (A + γI)X‖/‖V‖ of X = (I − ZZᵀ)V/γ, 0 if V is 0.
func (s *kfacState) rest(d *dense, a gemm.Matrix, damping float64, v gemm.Matrix) float64 {
	n := d.in * d.out
	s.wide = resized(s.wide, max(n, d.in*d.rank))
	x, ax := gemm.Of(s.half[:n], d.in, d.out), gemm.Of(s.wide[:n], d.in, d.out)
	s.timesReduced(x, d, v)
	s.kernel.Mul(ax, a, x, false)
	rest, all := 0.0, 0.0
	for i, g := range v.Data[:n] {
		r := float64(g) - float64(ax.Data[i])/damping - float64(x.Data[i])
		rest += r * r
		all += float64(g) * float64(g)
	}
	if all == 0 {
		return 0
	}
	return math.Sqrt(rest / all)
}

// transpose writes the transposed matrix of rows × cols elements into dst, by squares that fit into the first-level cache.
func transpose(dst, x []float32, rows, cols int) {
	const side = 32
	for top := 0; top < rows; top += side {
		for left := 0; left < cols; left += side {
			for i := top; i < min(top+side, rows); i++ {
				for j := left; j < min(left+side, cols); j++ {
					dst[j*rows+i] = x[i*cols+j]
				}
			}
		}
	}
}

// resized returns a slice of n elements, x itself if it is large enough.
func resized(x []float32, n int) []float32 {
	if cap(x) < n {
		return make([]float32, n)
	}
	return x[:n]
}
