package qp

import (
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
)

// rows is a matrix of constraint rows. Rows with few numbers are kept as lists of them, the others side by side.
type rows struct {
	count, n int
	// Sparse row k is row sparse[k] of the matrix; its numbers are value[start[k]:start[k+1]] in the columns column[…].
	sparse, start, column []int
	value                 []float64
	// Dense row k is row dense[k] of the matrix, block[k·n : (k+1)·n].
	dense []int
	block []float64
	// y holds what belongs to dense rows.
	y []float64
}

// set copies a matrix of count rows of n numbers.
func (r *rows) set(a []float64, count, n int) {
	r.count, r.n = count, n
	r.sparse, r.start, r.column, r.value = r.sparse[:0], append(r.start[:0], 0), r.column[:0], r.value[:0]
	r.dense, r.block = r.dense[:0], r.block[:0]
	for i := range count {
		row := a[i*n : i*n+n]
		begin, few := len(r.value), true
		for j, v := range row {
			if v == 0 {
				continue
			}
			// One number in eight is where lists stop to be faster than whole rows.
			if len(r.value)-begin > 1+n/8 {
				few = false
				break
			}
			r.value, r.column = append(r.value, v), append(r.column, j)
		}
		if few {
			r.sparse, r.start = append(r.sparse, i), append(r.start, len(r.value))
			continue
		}
		r.value, r.column = r.value[:begin], r.column[:begin]
		r.dense, r.block = append(r.dense, i), append(r.block, row...)
	}
	r.y = grow(r.y, len(r.dense))
}

// single reports whether no row has more than one number.
func (r *rows) single() bool {
	if len(r.dense) > 0 {
		return false
	}
	for k := range r.sparse {
		if r.start[k+1]-r.start[k] > 1 {
			return false
		}
	}
	return true
}

// only returns the column of the only number of sparse row k, false if there is not one number.
func (r *rows) only(k int) (column int, single bool) {
	if r.start[k+1]-r.start[k] != 1 {
		return 0, false
	}
	return r.column[r.start[k]], true
}

// dump returns the matrix row by row.
func (r *rows) dump() []float64 {
	a := make([]float64, r.count*r.n)
	for k, i := range r.sparse {
		for l := r.start[k]; l < r.start[k+1]; l++ {
			a[i*r.n+r.column[l]] = r.value[l]
		}
	}
	for k, i := range r.dense {
		copy(a[i*r.n:i*r.n+r.n], r.block[k*r.n:k*r.n+r.n])
	}
	return a
}

func (r *rows) general() blas64.General {
	return blas64.General{Rows: len(r.dense), Cols: r.n, Stride: r.n, Data: r.block}
}

// mul writes R·x into dst.
func (r *rows) mul(dst, x []float64) {
	for k, i := range r.sparse {
		sum := 0.0
		for l := r.start[k]; l < r.start[k+1]; l++ {
			sum += r.value[l] * x[r.column[l]]
		}
		dst[i] = sum
	}
	if len(r.dense) > 0 {
		blas64.Gemv(blas.NoTrans, 1, r.general(), vector(x), 0, vector(r.y))
		for k, i := range r.dense {
			dst[i] = r.y[k]
		}
	}
}

// addTransposed adds Rᵀ·y to dst.
func (r *rows) addTransposed(dst, y []float64) {
	for k, i := range r.sparse {
		yi := y[i]
		for l := r.start[k]; l < r.start[k+1]; l++ {
			dst[r.column[l]] += r.value[l] * yi
		}
	}
	if len(r.dense) > 0 {
		for k, i := range r.dense {
			r.y[k] = y[i]
		}
		blas64.Gemv(blas.Trans, 1, r.general(), vector(r.y), 1, vector(dst))
	}
}

// sums puts the mean of f over the numbers of each row that are not 0 into row, and adds each column's sum and the count of
// its numbers to column and count. A row of one number, which can be made 1 whatever its column, does not count
// for the column.
func (r *rows) sums(f measure, row, column, count []float64) {
	for k, i := range r.sparse {
		sum, several := 0.0, r.start[k+1]-r.start[k] > 1
		for l := r.start[k]; l < r.start[k+1]; l++ {
			v := f.of(r.value[l])
			sum += v
			if several {
				column[r.column[l]] += v
				count[r.column[l]]++
			}
		}
		row[i] = sum / float64(max(1, r.start[k+1]-r.start[k]))
	}
	for k, i := range r.dense {
		row[i], _ = f.row(r.block[k*r.n:k*r.n+r.n], column, count)
	}
}

// A measure of a number that is not 0: its square, or the whole part of its binary logarithm.
type measure bool

const (
	square   measure = false
	exponent measure = true
)

func (f measure) of(v float64) float64 {
	if f == square {
		return v * v
	}
	return float64(int(math.Float64bits(v)>>52&0x7ff) - 1023)
}

// row adds what a dense row is measured as, and the counts of its numbers, and returns their mean and their number.
func (f measure) row(row, column, count []float64) (mean, n float64) {
	sum := 0.0
	for j, v := range row {
		if v == 0 {
			continue
		}
		m := f.of(v)
		sum += m
		column[j] += m
		count[j]++
		n++
	}
	return sum / max(n, 1), n
}

// scale multiplies row i by row[i] and column j by column[j].
func (r *rows) scale(row, column []float64) {
	for k, i := range r.sparse {
		for l := r.start[k]; l < r.start[k+1]; l++ {
			r.value[l] *= row[i] * column[r.column[l]]
		}
	}
	for k, i := range r.dense {
		f := row[i]
		for j, v := range r.block[k*r.n : k*r.n+r.n] {
			r.block[k*r.n+j] = v * f * column[j]
		}
	}
}

// quadratic is Q: dense, diagonal or zero.
type quadratic struct {
	n        int
	diagonal bool
	q        []float64 // n², symmetric, or n if diagonal
}

// set copies the symmetric part of Q.
func (q *quadratic) set(from []float64, n int) {
	q.n, q.diagonal = n, len(from) <= n || isDiagonal(from, n)
	if q.diagonal {
		q.q = grow(q.q, n)
		for i := range q.q {
			switch len(from) {
			case 0:
				q.q[i] = 0
			case n:
				q.q[i] = from[i]
			default:
				q.q[i] = from[i*n+i]
			}
		}
		return
	}
	q.q = grow(q.q, n*n)
	for i := range n {
		for j := range i {
			// Halves first: a sum of two large numbers could overflow.
			v := from[i*n+j]/2 + from[j*n+i]/2
			q.q[i*n+j], q.q[j*n+i] = v, v
		}
		q.q[i*n+i] = from[i*n+i]
	}
}

func isDiagonal(a []float64, n int) bool {
	for i := range n {
		for j, v := range a[i*n : i*n+n] {
			if v != 0 && j != i {
				return false
			}
		}
	}
	return true
}

// mul writes Q·x into dst.
func (q *quadratic) mul(dst, x []float64) {
	if q.diagonal {
		for i, v := range q.q {
			dst[i] = v * x[i]
		}
		return
	}
	blas64.Gemv(blas.NoTrans, 1, blas64.General{Rows: q.n, Cols: q.n, Stride: q.n, Data: q.q}, vector(x), 0, vector(dst))
}

// sums adds each column's sum of f and the count of its numbers to column and count, and returns the mean over all numbers
// that are not 0.
func (q *quadratic) sums(f measure, column, count []float64) float64 {
	sum, all := 0.0, 0.0
	if q.diagonal {
		mean, n := f.row(q.q, column, count)
		sum, all = mean*n, n
	} else {
		for i := range q.n {
			mean, n := f.row(q.q[i*q.n:i*q.n+q.n], column, count)
			sum += mean * n
			all += n
		}
	}
	return sum / max(all, 1)
}

// scale multiplies Q_ij by factor·s_i·s_j.
func (q *quadratic) scale(factor float64, s []float64) {
	if q.diagonal {
		for i := range q.q {
			q.q[i] *= factor * s[i] * s[i]
		}
		return
	}
	for i := range q.n {
		f := factor * s[i]
		row := q.q[i*q.n : i*q.n+q.n]
		for j := range row {
			row[j] *= f * s[j]
		}
	}
}

func vector(x []float64) blas64.Vector { return blas64.Vector{N: len(x), Inc: 1, Data: x} }

func dot(x, y []float64) float64 { return blas64.Dot(vector(x), vector(y)) }

// norm returns the largest magnitude, NaN if there is one.
func norm(x []float64) float64 {
	largest := 0.0
	for _, v := range x {
		v = math.Abs(v)
		if !(v <= largest) {
			largest = v
			if v != v {
				return v
			}
		}
	}
	return largest
}
