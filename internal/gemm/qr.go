package gemm

import "math"

// panelWidth is the number of columns that a QR eliminates at a time.
const panelWidth = 32

// A QR makes orthonormal bases by Householder reflections in blocks (Schreiber and Van Loan 1989: I − V T Vᵀ is the product of a block's reflections). A block's columns are eliminated in
// float64, and everything else consists of products of matrices. It has scratch space, and belongs to one goroutine at a time. The zero value is ready for use.
type QR struct {
	panel  []float64 // one block, column by column
	v, t   []float32 // V of all blocks, n × cols, and T of each
	w, w2  []float32 // products with Vᵀ
	taus   [panelWidth]float64
	square [panelWidth * panelWidth]float64
}

// Basis writes an orthogonal n × n matrix into dst whose first k columns span the first k columns of a, an n × cols matrix with cols ≤ n, for every k; where those are dependent, it has
// others in their place. Both are row-major; a is overwritten.
func (q *QR) Basis(dst, a []float32, n, cols int) {
	if n < 1 || cols < 1 || cols > n || len(a) != n*cols || len(dst) != n*n {
		panic(errShape)
	}
	q.v, q.t = atLeast(q.v, n*cols), atLeast(q.t, (cols+panelWidth)*panelWidth)
	q.w, q.w2 = atLeast(q.w, panelWidth*n), atLeast(q.w2, panelWidth*n)
	q.panel = atLeast(q.panel, panelWidth*n)
	clear(q.v[:n*cols])
	for k := 0; k < cols; k += panelWidth {
		width := min(panelWidth, cols-k)
		q.eliminate(a, n, cols, k, width)
		if rest := cols - k - width; rest > 0 {
			q.reflect(Matrix{Data: a[k*cols+k+width:], Rows: n - k, Cols: rest, RowStride: cols, ColStride: 1}, cols, k, width, true)
		}
	}
	clear(dst)
	for i := range n {
		dst[i*n+i] = 1
	}
	for k := (cols - 1) / panelWidth * panelWidth; k >= 0; k -= panelWidth {
		q.reflect(Matrix{Data: dst[k*n+k:], Rows: n - k, Cols: n - k, RowStride: n, ColStride: 1}, cols, k, min(panelWidth, cols-k), false)
	}
}

// reflect multiplies c by a block's reflections, or by their transpose.
func (q *QR) reflect(c Matrix, cols, k, width int, transposed bool) {
	v := Matrix{Data: q.v[k*cols+k:], Rows: c.Rows, Cols: width, RowStride: cols, ColStride: 1}
	t := Of(q.t[k*panelWidth:][:width*width], width, width)
	if transposed {
		t = t.T()
	}
	w, w2 := Of(q.w[:width*c.Cols], width, c.Cols), Of(q.w2[:width*c.Cols], width, c.Cols)
	Default().Mul(w, v.T(), c, false)
	Default().Mul(w2, t, w, false)
	for i := range w2.Data {
		w2.Data[i] = -w2.Data[i]
	}
	Default().Mul(c, v, w2, true)
}

// eliminate computes the reflections of the block of columns from k on, in the rows from k on.
func (q *QR) eliminate(a []float32, n, cols, k, width int) {
	rows := n - k
	column := func(j int) []float64 { return q.panel[j*rows : (j+1)*rows] }
	for j := range width {
		to := column(j)
		for i := range to {
			to[i] = float64(a[(k+i)*cols+k+j])
		}
	}
	for j := range width {
		x := column(j)[j:]
		q.taus[j] = householder(x)
		for l := j + 1; l < width; l++ {
			y := column(l)[j:]
			by := q.taus[j] * inner(x, y)
			for i, v := range x {
				y[i] -= by * v
			}
		}
		clear(column(j)[:j])
	}
	t := q.square[:width*width]
	clear(t)
	for j := range width {
		for i := range j { // T[:j, j] = −τ_j T[:j, :j] V[:, :j]ᵀ v_j
			sum := 0.0
			for l := i; l < j; l++ {
				sum += t[i*width+l] * inner(column(l), column(j))
			}
			t[i*width+j] = -q.taus[j] * sum
		}
		t[j*width+j] = q.taus[j]
	}
	for i, x := range t {
		q.t[k*panelWidth+i] = float32(x)
	}
	for j := range width {
		for i, x := range column(j) {
			q.v[(k+i)*cols+k+j] = float32(x)
		}
	}
}

// householder replaces x by the v, with v_0 = 1, and returns the τ for which (I − τ v vᵀ)x has zeros from its second element on.
func householder(x []float64) float64 {
	norm := math.Sqrt(inner(x, x))
	alpha := x[0]
	x[0] = 1
	if norm == 0 {
		return 0
	}
	beta := -math.Copysign(norm, alpha)
	for i := range x[1:] {
		x[1+i] /= alpha - beta
	}
	return (beta - alpha) / beta
}

func inner(a, b []float64) (sum float64) {
	b = b[:len(a)]
	for i, x := range a {
		sum += x * b[i]
	}
	return sum
}
