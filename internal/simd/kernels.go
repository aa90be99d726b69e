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
// there are two more forms in generated assembly, on arm64 one; generate.go says how they are made.
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
	// Path names the implementation: "avx512bf16", "avx512", "avx2", "neon" or "go".
	Path string

	// MatMul multiplies a weight matrix and a matrix of lanes:
	//
	//	c[i][l] = start + Σ_{j<k} a[j*lda+i] · x[j][l],   i < m
	//
	// where start is bias[i] if bias is not nil, c[i][l] if acc, else 0.
	// c and x must not overlap.
	MatMul func(c, a, x, bias []T, lda, m, k int, acc bool)

	// Pack and MatMulPacked are MatMul with both factors of every product rounded to BF16, for weights that are used many times. They
	// are nil on most paths: see Rounds. Pack writes PackedLen(m, k) words, pairs of weights. Then
	//
	//	c[i][l] = start + Σ_{j<k} BF16(a[j*lda+i]) · BF16(x[j][l]),   i < m
	//
	// where start is bias[i] if bias is not nil, else c[i][l]. This differs from MatMul by up to 2^-7·Σ |a·x|, beside rounding.
	Pack         func(dst []uint32, a []T, lda, m, k int)
	MatMulPacked func(c []T, packed []uint32, x, bias []T, m, k int)

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

	// ELU applies the exponential linear unit to some rows of lanes (Clevert et al. 2016):
	//
	//	x[i] = e^x[i] - 1   where x[i] < 0
	ELU func(x []T, rows int)

	// ELUAdjoint is the adjoint of ELU. out is what ELU wrote and dx the adjoint of it; dz may be dx:
	//
	//	dz[i] = dx[i]·(1 + min(out[i], 0))
	ELUAdjoint func(dz, dx, out []T, rows int)

	// Widen writes some rows of float16 (IEEE 754 binary16) as numbers: x[i] = FromHalf(half[i]). It is exact.
	Widen func(x []T, half []uint16, rows int)

	// Narrow writes some rows of numbers as float16: half[i] = ToHalf(x[i]).
	Narrow func(half []uint16, x []T, rows int)

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

	// Momenta updates the averages of a block's gradients and writes what the network makes of them. old and now hold
	// Moments rows, the averages before and after; they may be the same. corr are the factors that make the averages
	// unbiased, and inv is 1/√V, where V is the mean of v over the tensor. With g clipped to ±MaxGradient, m_0, m_1, m_2
	// the averages of g, and v', v the averages of g², each times its factor:
	//
	//	now[k] = β_k·old[k] + (1-β_k)·g     k = 0, 1, 2, and with g² for k = 3, 4
	//	n[0…5] = g/√v, m_0/√v, m_1/√v, m_2/√v, m_0/√v', m_0·inv
	//	n[6]   = s, which is -1 if m_0 < 0, else 1
	//	x[0…4] = s·n[0…4]
	//	x[5]   = 1 - 2/(1 + √v·inv)
	//
	// 1e-15 is added to each root that divides. Momenta, its adjoint, Mix and its adjoint give the same bits on every path,
	// unless they meet a subnormal number. Averages of g² may be one if gradients are below 4e-18; directions then differ by
	// up to 1/200 between paths.
	Momenta func(x, n, grad, old, now, corr []T, inv T)

	// MomentaAdjoint adds the adjoint of the gradients to dg. dx is the adjoint of the features x and dn the adjoint of the
	// directions n; a nil dn means 0. n is what Momenta wrote, and now are the averages after the step. dm holds the adjoint
	// of now, and is overwritten with the adjoint of old. s, corr and inv count as constants, and the clipping as the
	// identity.
	MomentaAdjoint func(dg, dx, dn, n, grad, now, dm, corr []T, inv T)

	// Mix mixes directions, n as Momenta writes it. z has the weights and, in row Mixed, a size, which is overwritten with E:
	//
	//	E = (z[5] + √(z[5]² + 1))²
	//	y = E·(z[0]·n[0] + z[1]·n[1] + z[2]·n[2] + z[3]·n[4] + z[4]·n[5])
	Mix func(y, z, n []T)

	// MixAdjoint writes the adjoint of z into dz, given the adjoint dy of y, and what Mix wrote. If dn is not nil, it also
	// writes the adjoint of the directions into dn.
	MixAdjoint func(dz, dn, dy, y, z, n []T)

	// Sums writes sums over the lanes of a block, which it computes in float64:
	//
	//	Σ g²,  Σ θ²,  Σ u²,  Σ g·u,  Σ m[0]²,  Σ m[1]²,     g clipped to ±MaxGradient
	//
	// m has two rows; a nil m means 0. Products of float32 are exact in float64, and the order of addition is the same on
	// every path. So the sums of normal numbers have the same bits on every path, and are exact to 6·2⁻⁵³ of Σ |terms|.
	Sums func(sum *[SumRows]float64, grad, theta, u, m []T)

	// chains runs n rounds of sixteen independent multiply-adds of vectors of
	// the given width, for Peak.
	chains func(n int)
	width  int
}

// Rounds says that the path has MatMulPacked. Such a path is taken only by its name.
func (k *Kernels[T]) Rounds() bool { return k.Pack != nil }
