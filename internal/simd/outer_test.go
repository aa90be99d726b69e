package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func testOuter(t *testing.T, rng *rand.Rand, k, m, steps, stride int, draw func(int) float32) {
	t.Helper()
	off := rng.IntN(17)
	x := newGuard((steps-1)*stride+k*Lanes, rng.IntN(17), draw)
	z := newGuard((steps-1)*stride+m*Lanes, rng.IntN(17), draw)
	start := newGuard(k*m, off, draw)
	wx, wz, want := x.wide(), z.wide(), start.wide()
	size := make([]float64, k*m)
	for j := range k {
		for i := range m {
			n := math.Abs(want[j*m+i])
			for s := range steps {
				for l := range Lanes {
					p := wx[s*stride+j*Lanes+l] * wz[s*stride+i*Lanes+l]
					want[j*m+i] += p
					n += math.Abs(p)
				}
			}
			size[j*m+i] = n
		}
	}
	var twin []float32
	all := available()
	for p := len(all) - 1; p >= 0; p-- {
		what := fmt.Sprintf("%s: k=%d m=%d steps=%d stride=%d", all[p].Path, k, m, steps, stride)
		dw := newGuard(k*m, off, func(i int) float32 { return start.x[i] })
		all[p].Outer(dw.x, x.x, z.x, k, m, steps, stride)
		dw.check(t, what, false)
		x.check(t, what, true)
		z.check(t, what, true)
		if twin == nil {
			twin = dw.x
		}
		for i, got := range dw.x {
			tol := float64(steps*Lanes+2) * eps * size[i]
			if !near(got, want[i], tol) || !near(got, float64(twin[i]), 2*tol) {
				t.Fatalf("%s: dw[%d] = %g, twin %g, want %g ± %g", what, i, got, twin[i], want[i], tol)
			}
		}
	}
}

func TestOuter(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	for k := 1; k <= 20; k++ {
		for m := 1; m <= 14; m++ {
			steps := 1 + rng.IntN(3)
			testOuter(t, rng, k, m, steps, max(k, m)*Lanes+rng.IntN(9), normal(rng))
		}
	}
	for _, s := range [][2]int{{23, 80}, {25, 80}, {41, 80}, {21, 1}, {2, 20}, {129, 256}} {
		testOuter(t, rng, s[0], s[1], 20, 300*Lanes, normal(rng))
	}
	for range 20 {
		k, m := 1+rng.IntN(70), 1+rng.IntN(100)
		testOuter(t, rng, k, m, 1+rng.IntN(5), max(k, m)*Lanes+rng.IntN(99), normal(rng))
	}
}

func TestOuterSpecialValues(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 1))
	for range 200 {
		k, m := 1+rng.IntN(14), 1+rng.IntN(10)
		testOuter(t, rng, k, m, 1+rng.IntN(2), 14*Lanes, odd(rng))
	}
}

func TestOuterOfNothing(t *testing.T) {
	for _, k := range available() {
		dw := newGuard(6, 1, func(int) float32 { return 1 })
		k.Outer(dw.x, nil, nil, 2, 3, 0, 0)
		dw.check(t, k.Path, true)
		k.Outer(nil, nil, nil, 0, 0, 1, 0)
	}
}
