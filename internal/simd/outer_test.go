package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func testOuter(t *testing.T, rng *rand.Rand, k, m, steps, stride int, draw func(int) float32) {
	t.Helper()
	x := newGuard((steps-1)*stride+k*Lanes, rng.IntN(17), draw)
	z := newGuard((steps-1)*stride+m*Lanes, rng.IntN(17), draw)
	wx, wz := x.wide(), z.wide()
	before, size := make([]float64, k*m), make([]float64, k*m)
	products := make([]float64, k*m)
	for j := range k {
		for i := range m {
			var sum, n float64
			for s := range steps {
				for l := range Lanes {
					p := wx[s*stride+j*Lanes+l] * wz[s*stride+i*Lanes+l]
					sum += p
					n += math.Abs(p)
				}
			}
			products[j*m+i], size[j*m+i] = sum, n
		}
	}
	for i := range before {
		before[i] = float64(draw(i))
	}
	all := available()
	for p := len(all) - 1; p >= 0; p-- {
		parts := all[p].Parts
		what := fmt.Sprintf("%s: k=%d m=%d steps=%d stride=%d", all[p].Path, k, m, steps, stride)
		dw := newGuard(k*m*parts, rng.IntN(17), draw)
		all[p].Outer(dw.x, x.x, z.x, k, m, steps, stride)
		dw.check(t, what, false)
		x.check(t, what, true)
		z.check(t, what, true)
		sum := append([]float64(nil), before...)
		after := newGuard(k*m*parts, rng.IntN(17), func(i int) float32 { return dw.x[i] })
		all[p].Drain(sum, after.x)
		after.check(t, what, false)
		for i, got := range sum {
			want, n := products[i], size[i]
			var drained float64
			for q := range parts {
				v := float64(dw.before[i*parts+q])
				want, n = want+v, n+math.Abs(v)
				drained += float64(dw.x[i*parts+q])
				if after.x[i*parts+q] != 0 {
					t.Fatalf("%s: %g left of dw[%d]", what, after.x[i*parts+q], i)
				}
			}
			tol := float64(steps*Lanes+parts+1) * eps * n
			if !near(float32(drained), want, tol+eps*math.Abs(want)) || !nearSum(got, before[i]+drained, tol) {
				t.Fatalf("%s: dw[%d] = %g, drained %g, want %g and %g ± %g", what, i, drained, got, want, before[i]+want, tol)
			}
		}
	}
}

// nearSum is near in float64.
func nearSum(got, want, tol float64) bool {
	if math.IsNaN(want) || math.IsInf(want, 0) {
		return math.IsNaN(want) == math.IsNaN(got) && math.IsInf(want, 0) == math.IsInf(got, 0)
	}
	return math.Abs(got-want) <= tol+0x1p-149
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
		testOuter(t, rng, k, m, 1+rng.IntN(2), 14*Lanes, tiny(rng))
	}
}

func TestOuterOfNothing(t *testing.T) {
	for _, k := range available() {
		dw := newGuard(6*k.Parts, 1, func(int) float32 { return 1 })
		k.Outer(dw.x, nil, nil, 2, 3, 0, 0)
		dw.check(t, k.Path, true)
		k.Drain(nil, nil)
		k.Outer(nil, nil, nil, 0, 0, 1, 0)
	}
}
