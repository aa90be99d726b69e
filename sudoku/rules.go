package sudoku

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

// Encode writes a board as a vector of N³ numbers.
func Encode(dst []float64, cells []uint8) {
	side := int(math.Round(math.Sqrt(float64(len(cells)))))
	clear(dst)
	for i, v := range cells {
		if v != 0 {
			dst[i*side+int(v)-1] = 1
		}
	}
}

// Decode returns the digit with the largest number for each cell.
func Decode(z []float64, cells int) []uint8 {
	side := len(z) / cells
	board := make([]uint8, cells)
	for i := range board {
		best := 0
		for k, v := range z[i*side : (i+1)*side] {
			if v > z[i*side+best] {
				best = k
			}
		}
		board[i] = uint8(best + 1)
	}
	return board
}

// Rules returns the 4N² constraints of a board of size n as rows of an A of N³ columns with Az = 1: each cell has one digit; each row, column and
// block has each digit once. They depend on each other: for n = 2 their rank is 40 of 64, for n = 3 it is 249 of 324.
func Rules(n int) (a []float64, rows int) {
	side := n * n
	cells := side * side
	width := cells * side
	rows = 4 * cells
	a = make([]float64, rows*width)
	for i := range cells {
		r, c := i/side, i%side
		block := r/n*n + c/n
		for v := range side {
			for _, unit := range [...]int{i, cells + r*side + v, 2*cells + c*side + v, 3*cells + block*side + v} {
				a[unit*width+i*side+v] = 1
			}
		}
	}
	return a, rows
}

// IndependentRules returns those of the Rules that do not follow from others, as many as their rank: all of the cells, those of rows
// without the last digit, those of columns without the last column too, and those of blocks also without the last row and column of blocks.
func IndependentRules(n int) (a []float64, rows int) {
	all, count := Rules(n)
	side := n * n
	cells := side * side
	width := cells * side
	for i := range count {
		unit, v := i%cells/side, i%side
		kept := true
		switch i / cells {
		case 1:
			kept = v < side-1
		case 2:
			kept = v < side-1 && unit < side-1
		case 3:
			kept = v < side-1 && unit/n < n-1 && unit%n < n-1
		}
		if kept {
			a = append(a, all[i*width:(i+1)*width]...)
			rows++
		}
	}
	return a, rows
}

// Basis returns an orthonormal basis of the row space of a matrix of rows of the given width, row by row.
func Basis(a []float64, width int) []float64 {
	m := mat.NewDense(len(a)/width, width, append([]float64(nil), a...))
	var svd mat.SVD
	if !svd.Factorize(m, mat.SVDThinV) {
		return nil
	}
	values := svd.Values(nil)
	var v mat.Dense
	svd.VTo(&v)
	var basis []float64
	for k, s := range values {
		// Below this a singular value is rounding.
		if s <= 1e-10*values[0] {
			break
		}
		for j := range width {
			basis = append(basis, v.At(j, k))
		}
	}
	return basis
}

// Angles returns the principal angles between the row spaces of two matrices of the given width, in radians, in ascending order: as many as
// the smaller space has dimensions (Björck and Golub 1973, by sines, which keep small angles exact).
func Angles(a, b []float64, width int) []float64 {
	x, y := Basis(a, width), Basis(b, width)
	if len(x) > len(y) {
		x, y = y, x
	}
	p := mat.NewDense(len(x)/width, width, x)
	q := mat.NewDense(len(y)/width, width, y)
	// The part of the smaller space outside of the larger one has the sines as singular values.
	var inside, rest mat.Dense
	inside.Mul(p, q.T())
	rest.Mul(&inside, q)
	rest.Sub(p, &rest)
	var svd mat.SVD
	if !svd.Factorize(&rest, mat.SVDNone) {
		return nil
	}
	angles := svd.Values(nil)
	for i, j := 0, len(angles)-1; i < j; i, j = i+1, j-1 {
		angles[i], angles[j] = angles[j], angles[i]
	}
	for i, s := range angles {
		angles[i] = math.Asin(min(s, 1))
	}
	return angles
}
