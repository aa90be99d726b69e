// Package simd implements the arithmetic of the coordinatewise network as a few
// kernels over blocks of coordinates.
//
// A block is Lanes coordinates side by side. A matrix "of lanes" has one row
// for each hidden unit and one column for each coordinate of the block: row r
// is x[r*Lanes : (r+1)*Lanes]. Weights are ordinary matrices, the same for
// every lane.
//
// Every kernel has a pure-Go form, which is compiled on every platform. It is the
// definition of the kernel, and it runs in float32 and in float64. On amd64
// there are two more forms in generated assembly; generate.go says how they are made.
package simd

// Lanes is the number of coordinates in a block.
const Lanes = 32

// Float is the set of number types that the kernels compute in.
type Float interface{ float32 | float64 }

// Kernels is one implementation of the kernels. Slices may be longer than a
// kernel needs; shorter slices panic. The assembly reads and
// writes 0 in place of subnormal numbers, which are below 1.2e-38. Saturated gates
// produce them, and an operation on one would cost as much as a hundred others.
type Kernels[T Float] struct {
	// Path names the implementation: "avx512", "avx2" or "go".
	Path string

	// MatMul multiplies a weight matrix and a matrix of lanes:
	//
	//	c[i][l] = start + Σ_{j<k} a[j*lda+i] · x[j][l],   i < m
	//
	// where start is bias[i] if bias is not nil, c[i][l] if acc, else 0.
	// c and x must not overlap.
	MatMul func(c, a, x, bias []T, lda, m, k int, acc bool)

	// Cell applies the gates of an LSTM layer of the given width. z holds the
	// pre-activations of the gates i, f, g, o in this order, with hidden rows each. Cell
	// overwrites it with σ(i), σ(f), tanh(g), σ(o). It computes
	//
	//	c  = f∘cPrev + i∘g
	//	tc = tanh(c)
	//	h  = o∘tc
	//
	// and writes h to h2 too. c may be cPrev.
	Cell func(z, cPrev, c, tc, h, h2 []T, hidden int)

	// CellAdjoint is the adjoint of Cell. z holds the gates that Cell wrote and is
	// overwritten with the adjoint of the pre-activations. dh is the adjoint
	// of h. dc holds the adjoint of c and is overwritten with the adjoint of cPrev.
	CellAdjoint func(z, cPrev, tc, dh, dc []T, hidden int)

	// Outer sums the weight gradient over a whole unroll of a block, in Parts
	// partial sums for each weight:
	//
	//	Σ_p dw[(j*m+i)*Parts+p] += Σ_{t<steps} Σ_l x_t[j][l] · z_t[i][l],   j < k, i < m
	//
	// where x_t starts at x[t*stride] and z_t at z[t*stride]. The partial sum to which a lane
	// is added depends on the path.
	Outer func(dw, x, z []T, k, m, steps, stride int)
	Parts int

	// Drain adds the partial sums of Outer to the total and clears them:
	//
	//	sum[i] += Σ_p dw[i*Parts+p]
	//	dw[i*Parts+p] = 0
	Drain func(sum []float64, dw []T)

	// LogAndSign writes two features of a block's gradients into the rows of x
	// (Andrychowicz et al. 2016, Appendix A), with 0 < p ≤ 80 and large = e^p:
	//
	//	x[0][l] = max(ln|grad[l]|/p, -1)
	//	x[1][l] = min(max(large·grad[l], -1), 1)
	//
	// NaN gives NaN in both.
	LogAndSign func(x, grad []T, p, large T)

	// RNNProp writes two features of a block's gradients into the rows of x, and
	// updates the running averages that they need (Lv et al. 2017, equations 1-4):
	//
	//	m = keep·mPrev + take·grad
	//	v = keep·vPrev + take·grad²
	//	x[0] = m·correction / (√(v·correction) + epsilon)
	//	x[1] = grad         / (√(v·correction) + epsilon)
	//
	// m may be mPrev, and v vPrev.
	RNNProp func(x, grad, mPrev, vPrev, m, v []T, keep, take, correction, epsilon T)

	// chains runs n rounds of sixteen independent multiply-adds of vectors of
	// the given width, for Peak.
	chains func(n int)
	width  int
}
