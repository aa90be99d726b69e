package qp

import (
	"math/rand/v2"
	"reflect"
	"testing"
)

// drawBatch draws problems of many sizes, some without a solution.
func drawBatch(count int) []Problem {
	r := rand.New(rand.NewPCG(11, 12))
	problems := make([]Problem, count)
	for i := range problems {
		n := 1 + r.IntN(30)
		d := draw(r, shape{n: n, p: r.IntN(n/2 + 1), m: r.IntN(40), rank: n, active: 0.3, margin: 0.1, diagonal: i%3 == 0, bounds: i%4 == 0})
		if i%7 == 6 && len(d.H) > 1 {
			copy(d.G[:n], d.G[n:2*n])
			for j := range n {
				d.G[j] *= -1
			}
			d.H[0] = -d.H[1] - 1
		}
		problems[i] = d.Problem
	}
	return problems
}

// TestBatchIsItsSingleSolves compares all bits, for two batches with the same memory.
func TestBatchIsItsSingleSolves(t *testing.T) {
	var b Batch
	failed := 0
	for _, count := range []int{40, 17} {
		problems := drawBatch(count)
		solutions, errs := make([]Solution, count), make([]error, count)
		b.Solve(solutions, problems, errs)
		gradients, upstream := make([]Gradient, count), make([]Upstream, count)
		var good []int
		for i := range problems {
			s, out := &InteriorPoint{}, &Solution{}
			err := s.Solve(out, &problems[i])
			if !reflect.DeepEqual(err, errs[i]) {
				t.Fatalf("problem %d: error %v, alone %v", i, errs[i], err)
			}
			if err != nil {
				failed++
				continue
			}
			if !reflect.DeepEqual(*out, solutions[i]) {
				t.Errorf("problem %d: %v, alone %v", i, solutions[i], *out)
			}
			good = append(good, i)
		}
		// The gradients of those that have a solution, once more as a batch.
		var ps []Problem
		for _, i := range good {
			ps = append(ps, problems[i])
		}
		solutions, errs = make([]Solution, len(ps)), make([]error, len(ps))
		if !b.Solve(solutions, ps, errs) {
			t.Fatal(errs)
		}
		gradients, upstream = gradients[:len(ps)], upstream[:len(ps)]
		for i := range ps {
			upstream[i] = Upstream{Z: ones(len(ps[i].Linear)), Value: 1}
		}
		b.Gradient(gradients, upstream, errs)
		for i := range ps {
			s, _ := mustSolve(t, &ps[i])
			var g Gradient
			err := s.Gradient(&g, upstream[i])
			if !reflect.DeepEqual(err, errs[i]) || err == nil && !reflect.DeepEqual(g, gradients[i]) {
				t.Errorf("gradient of problem %d: %v %v, alone %v %v", i, gradients[i], errs[i], g, err)
			}
		}
	}
	if failed < 3 {
		t.Errorf("only %d problems without a solution", failed)
	}
}

func TestBatchPanics(t *testing.T) {
	for name, f := range map[string]func(b *Batch){
		"lengths":  func(b *Batch) { b.Solve(make([]Solution, 2), make([]Problem, 1), make([]error, 1)) },
		"unsolved": func(b *Batch) { b.Gradient(make([]Gradient, 1), make([]Upstream, 1), make([]error, 1)) },
		"failed": func(b *Batch) {
			b.Solve(make([]Solution, 1), make([]Problem, 1), make([]error, 1))
			b.Gradient(make([]Gradient, 1), make([]Upstream, 1), make([]error, 1))
		},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f(&Batch{})
		}()
	}
}

// TestNoAllocation counts what solves and gradients of one size allocate after the first.
func TestNoAllocation(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	for name, s := range map[string]shape{
		"dense":    {n: 100, p: 10, m: 100, rank: 100, active: 0.3, margin: 0.1},
		"diagonal": {n: 64, p: 40, m: 64, rank: 64, active: 0.3, margin: 0.1, diagonal: true, bounds: true},
	} {
		problems := []Problem{draw(r, s).Problem, draw(r, s).Problem}
		var solver InteriorPoint
		var out Solution
		var g Gradient
		up := Upstream{Z: ones(s.n)}
		i := 0
		if n := testing.AllocsPerRun(10, func() {
			if err := solver.Solve(&out, &problems[i%2]); err != nil {
				t.Fatal(err)
			}
			if err := solver.Gradient(&g, up); err != nil {
				t.Fatal(err)
			}
			i++
		}); n != 0 {
			t.Errorf("%s: a solve and a gradient allocate %v times", name, n)
		}
		var b Batch
		solutions, errs, gradients := make([]Solution, 2), make([]error, 2), make([]Gradient, 2)
		ups := []Upstream{up, up}
		if n := testing.AllocsPerRun(10, func() {
			if !b.Solve(solutions, problems, errs) || !b.Gradient(gradients, ups, errs) {
				t.Fatal(errs)
			}
		}); n > 0 {
			t.Errorf("%s: a batch allocates %v times", name, n)
		}
	}
}

// TestWarmStart solves a sequence of problems nearby from scratch and from the solution before.
func TestWarmStart(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 16))
	d := draw(r, shape{n: 40, p: 5, m: 60, rank: 40, active: 0.3, margin: 0.1})
	var cold, warm InteriorPoint
	var out, from Solution
	if err := warm.Solve(&from, &d.Problem); err != nil {
		t.Fatal(err)
	}
	coldIterations, warmIterations := 0, 0
	for range 20 {
		for i := range d.Linear {
			d.Linear[i] += 1e-3 * r.NormFloat64()
		}
		if err := cold.Solve(&out, &d.Problem); err != nil {
			t.Fatal(err)
		}
		if err := warm.SolveFrom(&from, &d.Problem); err != nil {
			t.Fatal(err)
		}
		near(t, "z from a warm start", from.Z, out.Z, 1e-9)
		coldIterations += out.Iterations
		warmIterations += from.Iterations
	}
	t.Logf("%d iterations, %d from warm starts", coldIterations, warmIterations)
	if warmIterations*10 > coldIterations*9 {
		t.Errorf("warm starts take %d iterations, cold ones %d: want a tenth less", warmIterations, coldIterations)
	}
}

func BenchmarkDense(b *testing.B) {
	bench(b, shape{n: 100, m: 100, rank: 100, active: 0.3, margin: 0.1})
}
func BenchmarkSudoku(b *testing.B) {
	bench(b, shape{n: 64, p: 40, m: 64, rank: 64, active: 0.3, margin: 0.1, diagonal: true, bounds: true})
}

// bench solves a problem and differentiates its solution.
func bench(b *testing.B, s shape) {
	d := draw(rand.New(rand.NewPCG(17, 18)), s)
	var solver InteriorPoint
	var out Solution
	var g Gradient
	b.ReportAllocs()
	for b.Loop() {
		if err := solver.Solve(&out, &d.Problem); err != nil {
			b.Fatal(err)
		}
		if err := solver.Gradient(&g, Upstream{Z: out.Z}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(out.Iterations), "iterations")
}

// BenchmarkBatch is the setting of qpth's published profile: 128 problems of 100 variables and inequalities, forward and backward.
func BenchmarkBatch(b *testing.B) {
	r := rand.New(rand.NewPCG(19, 20))
	const count = 128
	problems, up := make([]Problem, count), make([]Upstream, count)
	for i := range problems {
		problems[i] = draw(r, shape{n: 100, m: 100, rank: 100, active: 0.3, margin: 0.1}).Problem
		up[i].Z = ones(100)
	}
	solutions, gradients, errs := make([]Solution, count), make([]Gradient, count), make([]error, count)
	var batch Batch
	for b.Loop() {
		if !batch.Solve(solutions, problems, errs) || !batch.Gradient(gradients, up, errs) {
			b.Fatal(errs)
		}
	}
}
