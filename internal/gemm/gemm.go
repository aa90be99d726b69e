// Package gemm multiplies float32 matrices of the sizes of small neural
// networks, which are tall and thin. Matrices are given by strides, so that a transposed operand
// is read in place.
//
// A product is computed on one goroutine, and each of its elements is one sum
// in the order of the inner index. The bits therefore depend on the path alone.
package gemm

import (
	"sync"

	"learnedopt/internal/simd"
)

// A Matrix is a view of numbers in memory: element (i, j) is
// Data[i*RowStride + j*ColStride].
type Matrix struct {
	Data                 []float32
	Rows, Cols           int
	RowStride, ColStride int
}

// Of returns the row-major matrix over data.
func Of(data []float32, rows, cols int) Matrix {
	return Matrix{Data: data, Rows: rows, Cols: cols, RowStride: cols, ColStride: 1}
}

// T returns the transposed view of the same numbers.
func (x Matrix) T() Matrix {
	return Matrix{Data: x.Data, Rows: x.Cols, Cols: x.Rows, RowStride: x.ColStride, ColStride: x.RowStride}
}

// Fits reports whether all elements lie within Data.
func (x Matrix) Fits() bool {
	if x.Rows < 0 || x.Cols < 0 || x.RowStride < 0 || x.ColStride < 0 {
		return false
	}
	return x.Rows == 0 || x.Cols == 0 || len(x.Data) > (x.Rows-1)*x.RowStride+(x.Cols-1)*x.ColStride
}

// A Kernel is one implementation of the product.
type Kernel struct {
	// Path names the implementation as package simd does.
	Path string

	// panel multiplies with b and c of n adjacent columns, n from 1 to width, and k
	// at least 1:
	//
	//	c[i*cr+j] = start + Σ_{p<k} a[i*ar+p*ac] · b[p*br+j],   i < m, j < n
	//
	// where start is c[i*cr+j] if acc, else 0. Nothing is checked.
	panel func(c, a, b []float32, cr, ar, ac, br, m, n, k int, acc bool)
	width int

	// pixels converts all bytes except the last len(src)%16; nil means that there
	// is no assembly for it.
	pixels func(dst []float32, src []byte)
}

// Select returns the kernel of one of simd.Paths.
func Select(path string) *Kernel {
	for _, k := range native() {
		if k.Path == path {
			return k
		}
	}
	return &Kernel{Path: "go", panel: panel, width: 32}
}

// Default returns the kernel of the path that simd.Float32 takes.
var Default = sync.OnceValue(func() *Kernel { return Select(simd.Float32().Path) })

const (
	// depth is the largest number of rows of a panel of b that are used at a time, so that
	// a panel stays in the first-level cache.
	depth = 320
	// packedStride is the least row stride, in floats, at which a panel is copied
	// before it is used: its rows would otherwise lie in too many pages.
	packedStride = 512
)

// A Scratch is memory for one product at a time.
type Scratch [depth * 32]float32

// spare holds memory that Mul has used. A sync.Pool would be emptied by the garbage collector, and at random by the race
// detector: a step that allocates nothing would now and then allocate.
var spare = make(chan *Scratch, 64)

// borrow returns memory for one product, lent until it is given to back.
func borrow() *Scratch {
	select {
	case s := <-spare:
		return s
	default:
		return new(Scratch)
	}
}

func back(s *Scratch) {
	select {
	case spare <- s:
	default:
	}
}

// Mul computes
//
//	C = A·B, or C += A·B if acc,
//
// with A of m×k, B of k×n and C of m×n elements. The columns of C must be adjacent in memory. Mul
// panics if sizes do not agree or an operand is shorter than its shape
// says. C must not overlap A or B.
func (k *Kernel) Mul(c, a, b Matrix, acc bool) {
	if !packs(c, b) {
		k.MulIn(nil, c, a, b, acc)
		return
	}
	memory := borrow()
	defer back(memory)
	k.MulIn(memory, c, a, b, acc)
}

// packs says whether Mul copies the panels of b.
func packs(c, b Matrix) bool { return b.ColStride != 1 || b.RowStride >= packedStride && c.Rows > 8 }

// MulIn is Mul with the caller's scratch memory. Mul borrows its own, and allocates it where none is spare.
func (k *Kernel) MulIn(memory *Scratch, c, a, b Matrix, acc bool) {
	if a.Rows != c.Rows || b.Cols != c.Cols || a.Cols != b.Rows || !a.Fits() || !b.Fits() || !c.Fits() || c.ColStride != 1 && c.Cols > 1 {
		panic(errShape)
	}
	if c.Rows == 0 || c.Cols == 0 {
		return
	}
	if a.Cols == 0 {
		for i := range c.Rows {
			if !acc {
				clear(c.Data[i*c.RowStride:][:c.Cols])
			}
		}
		return
	}
	blocks := (a.Cols + depth - 1) / depth
	size := (a.Cols + blocks - 1) / blocks
	pack := packs(c, b)
	for j := 0; j < c.Cols; j += k.width {
		n := min(k.width, c.Cols-j)
		for block := range blocks {
			p := block * size
			q := min(p+size, a.Cols)
			rows, br := b.Data[p*b.RowStride+j*b.ColStride:], b.RowStride
			if pack {
				copyPanel(memory[:(q-p)*n], rows, n, b.RowStride, b.ColStride)
				rows, br = memory[:], n
			}
			k.panel(c.Data[j:], a.Data[p*a.ColStride:], rows, c.RowStride, a.RowStride, a.ColStride, br, c.Rows, n, q-p, acc || block > 0)
		}
	}
}

// copyPanel writes rows of n elements of a matrix with the strides r and s into dst, one row
// after the other.
func copyPanel(dst, src []float32, n, r, s int) {
	for at := 0; len(dst) > 0; at += r {
		row := dst[:n]
		if s == 1 {
			copy(row, src[at:at+n])
		} else {
			for j := range row {
				row[j] = src[at+j*s]
			}
		}
		dst = dst[n:]
	}
}
