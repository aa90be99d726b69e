package curvature

import (
	"math"
	"math/rand/v2"
	"testing"

	"learnedopt/internal/gemm"
)

// reducible returns a K-FAC state with one layer of n inputs and m outputs, whose factor A has eigenvalues of about j^−power, and a gradient V = A·N of normal numbers N.
func reducible(t *testing.T, n, m int, power float64) (*kfacState, []float32) {
	t.Helper()
	s := &kfacState{n: n * m, kernel: gemm.Default()}
	if err := s.lay([][3]int{{0, n, m}}); err != nil {
		t.Fatal(err)
	}
	rng, rows := rand.New(rand.NewPCG(7, 7)), 4*n
	x, grad := make([]float32, rows*n), make([]float32, n*m)
	for i := range x {
		x[i] = float32(rng.NormFloat64() * math.Pow(float64(i%n+1), -power/2))
	}
	s.half = make([]float32, n*n)
	s.gram(x, n)
	mix(s.layers[0].a, n, s.half, n, 0, rows)
	full, normal := make([]float32, n*n), make([]float32, n*m)
	copy(full, s.layers[0].a)
	mirror(full, n)
	for i := range normal {
		normal[i] = float32(rng.NormFloat64())
	}
	s.kernel.Mul(gemm.Of(grad, n, m), gemm.Of(full, n, n), gemm.Of(normal, n, m), false)
	return s, grad
}

// Where eigenvalues fall quickly below the damping, the reduced inverse gives nearly what the whole one does. Where they do not, there is none.
func TestReducedInverse(t *testing.T) {
	const n, m, damping = 300, 5, 0.01
	for _, c := range []struct {
		power float64
		rank  int
		error float64
	}{
		{3, 64, 0.01}, // λ_64 = 4e-6 of 0.01
		{1, 0, 0},     // λ_64 = 0.016
		{0, 0, 0},
	} {
		s, grad := reducible(t, n, m, c.power)
		d := &s.layers[0]
		v := d.matrix(grad)
		for range 2 { // from random directions, and from those of the first time
			if s.reduce(d, damping, v) != (c.rank > 0) || d.rank != c.rank || (d.z == nil) != (c.rank == 0) {
				t.Fatalf("power %v: rank %d, want %d", c.power, d.rank, c.rank)
			}
		}
		if c.rank == 0 {
			continue
		}
		whole, want := make([]float32, n*n), make([]float32, n*m)
		if !s.inverter.invert(whole, d.a, n, damping) {
			t.Fatal("not positive definite")
		}
		s.kernel.Mul(gemm.Of(want, n, m), gemm.Of(whole, n, n), v, false)
		got := gemm.Of(make([]float32, n*m), n, m)
		s.timesReduced(got, d, v)
		off, all := 0.0, 0.0
		for i, w := range want {
			diff := float64(got.Data[i])/damping - float64(w)
			off, all = off+diff*diff, all+float64(w)*float64(w)
		}
		if e := math.Sqrt(off / all); !(e < c.error) {
			t.Errorf("power %v: the reduced inverse is %.2g from the whole one, want below %v", c.power, e, c.error)
		}
	}
}

// A rank that is too small is doubled: A has 100 large directions here.
func TestRankIsDoubled(t *testing.T) {
	const n, m = 600, 3
	s, grad := reducible(t, n, m, 0)
	d := &s.layers[0]
	for i := range n {
		for j := range i + 1 {
			if i >= 100 {
				d.a[i*n+j] *= 1e-3
			}
			if j >= 100 {
				d.a[i*n+j] *= 1e-3
			}
		}
	}
	if !s.reduce(d, 0.1, d.matrix(grad)) || d.rank != 128 {
		t.Errorf("rank %d, want 128", d.rank)
	}
}

func TestTranspose(t *testing.T) {
	for _, c := range [][2]int{{1, 1}, {3, 70}, {65, 33}} {
		rows, cols := c[0], c[1]
		x, dst := make([]float32, rows*cols), make([]float32, rows*cols)
		for i := range x {
			x[i] = float32(i)
		}
		transpose(dst, x, rows, cols)
		for i := range rows {
			for j := range cols {
				if dst[j*rows+i] != x[i*cols+j] {
					t.Fatalf("%d × %d: element %d, %d is %v", rows, cols, j, i, dst[j*rows+i])
				}
			}
		}
	}
}
