//go:build unix

package qp

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"time"
)

// BenchmarkQPTH times a batch, solutions and gradients, on the problems of qpth's own timing script, and on those of its Sudoku. cpu-ns/op is the
// time of all cores together, which others on the machine disturb less. bench/qpth.py runs it beside qpth.
func BenchmarkQPTH(b *testing.B) {
	b.Run("dense", func(b *testing.B) {
		r := rand.New(rand.NewPCG(1, 2))
		const n = 100
		problems := make([]Problem, 128)
		for k := range problems {
			root := make([]float64, n*n)
			for i := range root {
				root[i] = r.Float64()
			}
			p := Problem{Q: make([]float64, n*n), Linear: normal(r, n), G: normal(r, n*n), H: make([]float64, n)}
			z := normal(r, n)
			for i := range n {
				for j := range n {
					p.Q[i*n+j] = dot(root[i*n:i*n+n], root[j*n:j*n+n])
				}
				p.Q[i*n+i] += 1e-3
				p.H[i] = dot(p.G[i*n:i*n+n], z) + r.Float64()
			}
			problems[k] = p
		}
		benchmarkBatch(b, r, problems)
	})
	b.Run("sudoku", func(b *testing.B) {
		r := rand.New(rand.NewPCG(3, 4))
		const n, p = 64, 40
		shared := Problem{Q: make([]float64, n), A: make([]float64, p*n), B: make([]float64, p), G: make([]float64, n*n), H: make([]float64, n)}
		for i := range shared.A {
			shared.A[i] = r.Float64()
			shared.B[i/n] += shared.A[i]
		}
		for j := range n {
			shared.Q[j], shared.G[j*n+j] = 0.1, -1
		}
		problems := make([]Problem, 150)
		for k := range problems {
			problems[k] = shared
			problems[k].Linear = make([]float64, n)
			for range 5 {
				problems[k].Linear[r.IntN(n)] = -1
			}
		}
		benchmarkBatch(b, r, problems)
	})
}

func benchmarkBatch(b *testing.B, r *rand.Rand, problems []Problem) {
	count := len(problems)
	solutions, gradients, up, errs := make([]Solution, count), make([]Gradient, count), make([]Upstream, count), make([]error, count)
	for k := range up {
		up[k].Z = normal(r, len(problems[k].Linear))
	}
	batch := Batch{Options: Options{Weak: AsInactive}}
	var forward, backward time.Duration
	iterations := 0
	run := func() {
		began := time.Now()
		if !batch.Solve(solutions, problems, errs) {
			b.Fatal(errs)
		}
		forward += time.Since(began)
		began = time.Now()
		if !batch.Gradient(gradients, up, errs) {
			b.Fatal(errs)
		}
		backward += time.Since(began)
		for _, s := range solutions {
			iterations += s.Iterations
		}
	}
	run() // the first allocates
	forward, backward, iterations = 0, 0, 0
	before := cpu(b)
	b.ResetTimer()
	for range b.N {
		run()
	}
	b.StopTimer()
	per := func(total float64, unit string) { b.ReportMetric(total/float64(b.N), unit) }
	per(float64(cpu(b)-before), "cpu-ns/op")
	per(float64(forward), "forward-ns/op")
	per(float64(backward), "backward-ns/op")
	per(float64(iterations)/float64(count), "factorisations/problem")
}

// cpu returns the time of all cores that this process has used.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
