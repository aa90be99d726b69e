package sudoku

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// Hull writes the parameters that puzzles give without training: the rows of A are an orthonormal basis of the directions in which all solutions
// are the same, and exp(w) is the mean solution. The constraints then say that z lies in the affine hull of the solutions. An error says that the
// solutions leave another number of directions than the layer has rows, or that a cell never has some digit.
func (l *Layer) Hull(theta []float32, puzzles []Puzzle) error {
	n := l.Width
	mean, z := make([]float64, n), make([]float64, n)
	for _, p := range puzzles {
		Encode(z, p.Solution)
		for j, v := range z {
			mean[j] += v / float64(len(puzzles))
		}
	}
	spread := mat.NewSymDense(n, nil)
	for _, p := range puzzles {
		Encode(z, p.Solution)
		for j := range z {
			z[j] -= mean[j]
		}
		spread.SymRankOne(spread, 1, mat.NewVecDense(n, z))
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(spread, true) {
		return fmt.Errorf("sudoku: the hull's eigenvalues were not found")
	}
	values := eigen.Values(nil) // ascending
	same := 0
	for same < n && values[same] <= 1e-9*max(values[n-1], 1) {
		same++
	}
	if same != l.Rows {
		return fmt.Errorf("sudoku: the solutions of %d puzzles agree in %d directions, the layer has %d rows; take more puzzles", len(puzzles), same, l.Rows)
	}
	var vectors mat.Dense
	eigen.VectorsTo(&vectors)
	for i := range l.Rows {
		for j := range n {
			theta[i*n+j] = float32(vectors.At(j, i))
		}
	}
	for j, v := range mean {
		if v <= 0 {
			return fmt.Errorf("sudoku: no solution of %d puzzles has number %d; take more puzzles", len(puzzles), j)
		}
		theta[l.Rows*n+j] = float32(math.Log(v))
	}
	return nil
}

// Orthonormalize replaces the rows of A by an orthonormal basis of their space. The layer computes the same, but no direction of the space has less
// weight in A than another, for which training would take longer. If the rows depend on each other it changes nothing.
func (l *Layer) Orthonormalize(theta []float32) {
	a := make([]float64, l.Rows*l.Width)
	for i := range a {
		a[i] = float64(theta[i])
	}
	if basis := Basis(a, l.Width); len(basis) == len(a) {
		for i, v := range basis {
			theta[i] = float32(v)
		}
	}
}
