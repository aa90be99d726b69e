package qp

import (
	"slices"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/lapack/lapack64"
)

// disjoint factors S = A H⁻¹ Aᵀ, p×p, for a diagonal H and an A whose rows are all lists. It chooses rows of A of which no two share a column:
// their block of S is diagonal and is eliminated first, so that only the block of the other rows is factored as a dense
// matrix. In Sudoku these are the rules of the cells: 81 of 249 rows.
type disjoint struct {
	// first are the disjoint rows of A, rest the others, number the place of each row in one of the two.
	first, rest, number []int
	isFirst             []bool
	taken               []bool // n: columns of the first rows
	// The columns of the other rows as lists: column j has colValue in the rows rest[colRow], ascending.
	colStart, colRow []int
	colValue         []float64
	// Row first[k] meets rest[near[t]] in S with value[t], for start[k] ≤ t < start[k+1].
	start, near []int
	value       []float64
	diagonal    []float64 // of S in the rows of first
	schur       []float64 // r² for r other rows: the factor of their Schur complement, in its upper triangle
	row         []float64 // r: 0 between uses
}

// choose takes the disjoint rows of a in their order, each that shares no column with one before it, and lays out what factor reads.
func (d *disjoint) choose(a *rows) {
	n, p := a.n, a.count
	d.first, d.rest, d.number = d.first[:0], d.rest[:0], growInts(d.number, p)
	d.isFirst, d.taken = growBools(d.isFirst, p), growBools(d.taken, n)
	clear(d.taken)
	for i := range p {
		columns := a.column[a.start[i]:a.start[i+1]]
		free := true
		for _, j := range columns {
			free = free && !d.taken[j]
		}
		d.isFirst[i] = free
		if !free {
			d.number[i] = len(d.rest)
			d.rest = append(d.rest, i)
			continue
		}
		d.number[i] = len(d.first)
		d.first = append(d.first, i)
		for _, j := range columns {
			d.taken[j] = true
		}
	}
	d.diagonal, d.row = grow(d.diagonal, len(d.first)), grow(d.row, len(d.rest))
	clear(d.row)
	d.schur = grow(d.schur, len(d.rest)*len(d.rest))
	d.columns(a)
	d.neighbours(a)
}

// columns turns the lists of the other rows into lists of their columns.
func (d *disjoint) columns(a *rows) {
	d.colStart = growInts(d.colStart, a.n+1)
	clear(d.colStart)
	for _, i := range d.rest {
		for _, j := range a.column[a.start[i]:a.start[i+1]] {
			d.colStart[j+1]++
		}
	}
	for j := range a.n {
		d.colStart[j+1] += d.colStart[j]
	}
	count := d.colStart[a.n]
	d.colRow, d.colValue = growInts(d.colRow, count), grow(d.colValue, count)
	for k, i := range d.rest {
		for t := a.start[i]; t < a.start[i+1]; t++ {
			at := d.colStart[a.column[t]]
			d.colRow[at], d.colValue[at] = k, a.value[t]
			d.colStart[a.column[t]]++
		}
	}
	copy(d.colStart[1:], d.colStart[:a.n])
	d.colStart[0] = 0
}

// neighbours finds the other rows that each disjoint row shares a column with.
func (d *disjoint) neighbours(a *rows) {
	d.start, d.near = append(d.start[:0], 0), d.near[:0]
	for _, i := range d.first {
		begin := len(d.near)
		for _, j := range a.column[a.start[i]:a.start[i+1]] {
			d.near = append(d.near, d.colRow[d.colStart[j]:d.colStart[j+1]]...)
		}
		own := d.near[begin:]
		slices.Sort(own)
		d.near = d.near[:begin+len(slices.Compact(own))]
		d.start = append(d.start, len(d.near))
	}
	d.value = grow(d.value, len(d.near))
}

// factor factors S + (soft + δ)I + relative·δ·diag(S) for H = diag(h) and reports whether it is positive definite.
func (d *disjoint) factor(a *rows, h []float64, soft, delta float64) bool {
	r := len(d.rest)
	clear(d.schur)
	for j, v := range h {
		from, to := d.colStart[j], d.colStart[j+1]
		addOuter(d.schur, r, d.colRow[from:to], d.colValue[from:to], 1/v)
	}
	for i := range r {
		d.schur[i*r+i] += soft + delta + relative*delta*d.schur[i*r+i]
	}
	for k, i := range d.first {
		sum := 0.0
		for t := a.start[i]; t < a.start[i+1]; t++ {
			j := a.column[t]
			f := a.value[t] / h[j]
			sum += a.value[t] * f
			for u := d.colStart[j]; u < d.colStart[j+1]; u++ {
				d.row[d.colRow[u]] += f * d.colValue[u]
			}
		}
		sum += soft + delta + relative*delta*sum
		if !(sum > 0) {
			return false
		}
		d.diagonal[k] = sum
		from, to := d.start[k], d.start[k+1]
		for t := from; t < to; t++ {
			d.value[t], d.row[d.near[t]] = d.row[d.near[t]], 0
		}
		addOuter(d.schur, r, d.near[from:to], d.value[from:to], -1/sum)
	}
	if r == 0 {
		return true
	}
	_, ok := lapack64.Potrf(blas64.Symmetric{N: r, Stride: r, Data: d.schur, Uplo: blas.Upper})
	return ok
}

// solve replaces y by S⁻¹y.
func (d *disjoint) solve(y []float64) {
	r := len(d.rest)
	for k, i := range d.rest {
		d.row[k] = y[i]
	}
	for k, i := range d.first {
		v := y[i] / d.diagonal[k]
		for t := d.start[k]; t < d.start[k+1]; t++ {
			d.row[d.near[t]] -= d.value[t] * v
		}
	}
	if r > 0 {
		factor := blas64.Triangular{N: r, Stride: r, Data: d.schur, Uplo: blas.Upper, Diag: blas.NonUnit}
		blas64.Trsv(blas.Trans, factor, vector(d.row))
		blas64.Trsv(blas.NoTrans, factor, vector(d.row))
	}
	for k, i := range d.first {
		v := y[i]
		for t := d.start[k]; t < d.start[k+1]; t++ {
			v -= d.value[t] * d.row[d.near[t]]
		}
		y[i] = v / d.diagonal[k]
	}
	for k, i := range d.rest {
		y[i] = d.row[k]
	}
	clear(d.row)
}

func growInts(x []int, n int) []int {
	if cap(x) >= n {
		return x[:n]
	}
	return make([]int, n)
}

func growBools(x []bool, n int) []bool {
	if cap(x) >= n {
		return x[:n]
	}
	return make([]bool, n)
}
