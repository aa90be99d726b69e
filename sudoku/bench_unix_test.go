//go:build unix

package sudoku

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
)

// BenchmarkBoardsOfSize3 solves 20 boards in turn with the true rules. cpu-ns/op is the time of all cores, which others on the machine disturb less.
func BenchmarkBoardsOfSize3(b *testing.B) {
	cpu := func() int64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	for _, givens := range []int{50, 34, 26} {
		r := rand.New(rand.NewPCG(1, uint64(givens)))
		puzzles := make([]Puzzle, 20)
		for i := range puzzles {
			puzzles[i] = Pluck(r, Grid(r, 3), givens)
		}
		s := NewSolver(3, 1e-3)
		b.Run(fmt.Sprintf("givens=%d", givens), func(b *testing.B) {
			iterations, before := 0, cpu()
			for i := range b.N {
				if _, err := s.Solve(puzzles[i%len(puzzles)].Given); err != nil {
					b.Fatal(err)
				}
				iterations += s.Iterations()
			}
			b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/op")
			b.ReportMetric(float64(iterations)/float64(b.N), "factorisations/op")
		})
	}
}
