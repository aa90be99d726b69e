package sudoku

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// BenchmarkBoardsOfSize3 solves 20 boards in turn with the true rules.
func BenchmarkBoardsOfSize3(b *testing.B) {
	for _, givens := range []int{50, 34, 26} {
		r := rand.New(rand.NewPCG(1, uint64(givens)))
		puzzles := make([]Puzzle, 20)
		for i := range puzzles {
			puzzles[i] = Pluck(r, Grid(r, 3), givens)
		}
		s := NewSolver(3, 1e-3)
		b.Run(fmt.Sprintf("givens=%d", givens), func(b *testing.B) {
			iterations := 0
			for i := range b.N {
				if _, err := s.Solve(puzzles[i%len(puzzles)].Given); err != nil {
					b.Fatal(err)
				}
				iterations += s.out.Iterations
			}
			b.ReportMetric(float64(iterations)/float64(b.N), "factorisations/op")
		})
	}
}
