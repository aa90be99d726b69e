package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// naiveMatMul computes MatMul by its definition in float64, and the sum of the terms'
// magnitudes.
func naiveMatMul(c, a, x, bias []float64, lda, m, k int, acc bool) (sum, size []float64) {
	sum, size = make([]float64, m*Lanes), make([]float64, m*Lanes)
	for i := range m {
		for l := range Lanes {
			var s float64
			switch {
			case bias != nil:
				s = bias[i]
			case acc:
				s = c[i*Lanes+l]
			}
			n := math.Abs(s)
			for j := range k {
				p := a[j*lda+i] * x[j*Lanes+l]
				s += p
				n += math.Abs(p)
			}
			sum[i*Lanes+l], size[i*Lanes+l] = s, n
		}
	}
	return sum, size
}

func testMatMul(t *testing.T, rng *rand.Rand, m, k, lda int, draw func(int) float32) {
	t.Helper()
	mode, off := rng.IntN(4), rng.IntN(17)
	var bias *guard
	biasOf := func() []float32 { return nil }
	var wideBias []float64
	if mode&1 != 0 { // with a bias, acc has no effect
		bias = newGuard(m, rng.IntN(17), draw)
		biasOf = func() []float32 { return bias.x }
		wideBias = bias.wide()
	}
	acc := mode&2 != 0
	a, x := newGuard((k-1)*lda+m, rng.IntN(17), draw), newGuard(k*Lanes, rng.IntN(17), draw)
	start := newGuard(m*Lanes, off, draw)
	want, size := naiveMatMul(start.wide(), a.wide(), x.wide(), wideBias, lda, m, k, acc)
	var twin []float32
	all := available()
	for p := len(all) - 1; p >= 0; p-- {
		what := fmt.Sprintf("%s: m=%d k=%d lda=%d bias=%v acc=%v", all[p].Path, m, k, lda, bias != nil, acc)
		c := newGuard(m*Lanes, off, func(i int) float32 { return start.x[i] })
		all[p].MatMul(c.x, a.x, x.x, biasOf(), lda, m, k, acc)
		c.check(t, what, false)
		a.check(t, what, true)
		x.check(t, what, true)
		if bias != nil {
			bias.check(t, what, true)
		}
		if twin == nil {
			twin = c.x
		}
		for i, got := range c.x {
			// k products and k sums, each rounded once; the twin rounds its products too.
			tol := float64(k+2) * eps * size[i]
			if !near(got, want[i], tol) || !near(got, float64(twin[i]), 2*tol) {
				t.Fatalf("%s: c[%d] = %g, twin %g, want %g ± %g", what, i, got, twin[i], want[i], tol)
			}
		}
	}
}

func TestMatMul(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for m := 1; m <= 43; m++ {
		for k := 1; k <= 9; k++ {
			testMatMul(t, rng, m, k, m+rng.IntN(3), normal(rng))
		}
	}
	for _, s := range [][3]int{{80, 22, 80}, {80, 24, 80}, {80, 40, 80}, {20, 80, 22}, {20, 80, 40}, {2, 80, 22}, {40, 80, 40}, {1, 20, 1}, {20, 1, 20}, {256, 128, 256}} {
		testMatMul(t, rng, s[0], s[1], s[2], normal(rng))
	}
	for range 200 {
		m, k := 1+rng.IntN(100), 1+rng.IntN(100)
		testMatMul(t, rng, m, k, m+rng.IntN(50), normal(rng))
	}
}

func TestMatMulSpecialValues(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	for range 300 {
		m, k := 1+rng.IntN(30), 1+rng.IntN(12)
		testMatMul(t, rng, m, k, m+rng.IntN(3), odd(rng))
		testMatMul(t, rng, m, k, m+rng.IntN(3), tiny(rng))
	}
}

// TestMatMulLanes checks that a NaN in one lane stays there.
func TestMatMulLanes(t *testing.T) {
	for _, k := range available() {
		for m := 1; m <= 24; m++ {
			for lane := range Lanes {
				a, x, c := ramp(m*3), ramp(3*Lanes), make([]float32, m*Lanes)
				x[Lanes+lane] = float32(math.NaN())
				k.MatMul(c, a, x, nil, m, m, 3, false)
				for i, v := range c {
					if math.IsNaN(float64(v)) != (i%Lanes == lane) {
						t.Fatalf("%s: m=%d NaN in lane %d: c[%d] = %g", k.Path, m, lane, i, v)
					}
				}
			}
		}
	}
}

func TestMatMulEmpty(t *testing.T) {
	for _, k := range available() {
		c := newGuard(2*Lanes, 0, func(int) float32 { return 1 })
		k.MatMul(c.x, nil, nil, nil, 1, 0, 3*0, false)
		c.check(t, k.Path, true)
		k.MatMul(c.x, nil, nil, nil, 2, 2, 0, true)
		c.check(t, k.Path, true)
		k.MatMul(c.x, nil, nil, []float32{3, 4}, 2, 2, 0, true)
		if c.x[0] != 3 || c.x[2*Lanes-1] != 4 {
			t.Errorf("%s: bias alone: %v", k.Path, c.x)
		}
	}
}

func TestShortSlicesPanic(t *testing.T) {
	f := func(n int) []float32 { return make([]float32, n) }
	for _, k := range available() {
		for _, s := range [][4]int{{127, 10, 64, 4}, {128, 9, 64, 4}, {128, 10, 63, 4}, {128, 10, 64, 3}} {
			mustPanic(t, errMatMul, func() { k.MatMul(f(s[0]), f(s[1]), f(s[2]), f(s[3]), 6, 4, 2, false) })
		}
		mustPanic(t, errMatMul, func() { k.MatMul(f(128), f(8), f(64), nil, 3, 4, 2, false) })
		mustPanic(t, errMatMul, func() { k.MatMul(f(128), f(8), f(64), nil, 4, -1, 2, false) })
		for i := range 6 {
			n := []int{256, 64, 64, 64, 64, 64}
			n[i]--
			mustPanic(t, errCell, func() { k.Cell(f(n[0]), f(n[1]), f(n[2]), f(n[3]), f(n[4]), f(n[5]), 2) })
			if i == 5 {
				break
			}
			mustPanic(t, errCell, func() { k.CellAdjoint(f(n[0]), f(n[1]), f(n[2]), f(n[3]), f(n[4]), 2) })
		}
		for i := range 3 {
			n := []int{6 * k.Parts, 200 + 96, 200 + 64}
			n[i]--
			mustPanic(t, errOuter, func() { k.Outer(f(n[0]), f(n[1]), f(n[2]), 3, 2, 2, 200) })
		}
		mustPanic(t, errOuter, func() { k.Outer(f(999), f(999), f(999), 3, 2, 2, -1) })
		mustPanic(t, errDrain, func() { k.Drain(make([]float64, 3), f(3*k.Parts-1)) })
		for i := range 6 {
			n := []int{64, 32, 32, 32, 32, 32}
			n[i]--
			mustPanic(t, errInputs, func() { k.RNNProp(f(n[0]), f(n[1]), f(n[2]), f(n[3]), f(n[4]), f(n[5]), 1, 0, 1, 1) })
			if i < 2 {
				mustPanic(t, errInputs, func() { k.LogAndSign(f(n[0]), f(n[1]), 1, 3) })
			}
		}
	}
}

func TestNoAllocations(t *testing.T) {
	for _, k := range available() {
		a := ramp(9 * Lanes * Lanes)
		b, c, d, e, f, s := ramp(len(a)), ramp(len(a)), ramp(len(a)), ramp(len(a)), ramp(len(a)), make([]float64, 15)
		if n := testing.AllocsPerRun(5, func() {
			k.MatMul(c, a, b, nil, 7, 7, 5, false)
			k.Cell(a, b, c, d, e, f, 3)
			k.CellAdjoint(a, b, c, d, e, 3)
			k.ELU(a, 3)
			k.ELUAdjoint(a, b, c, 3)
			k.Outer(c, a, b, 3, 5, 2, 9*Lanes)
			k.Drain(s, c)
			k.LogAndSign(a, b, 5, 148)
			k.RNNProp(a, b, c, d, c, d, 0.95, 0.05, 1, 1e-8)
		}); n != 0 {
			t.Errorf("%s: %g allocations", k.Path, n)
		}
	}
}
