package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"testing"
)

// expm1ULP is the bound that elu.go states.
const expm1ULP = 2

// TestExpm1 sends the bit patterns of float32 through ELU on every path: every strideth pattern, fewer with -short, or all of them if
// METAOPT_LONG is set. Other numbers must stay.
func TestExpm1(t *testing.T) {
	stride := uint64(1999)
	if testing.Short() {
		stride = 4999
	}
	if os.Getenv("METAOPT_LONG") != "" {
		stride = 1
	}
	const rows = 64
	x, y := make([]float32, rows*Lanes), make([]float32, rows*Lanes)
	worst, at := make([]float64, len(available())), make([]float32, len(available()))
	for bits := uint64(0); bits < 1<<32; {
		for l := range x {
			x[l] = math.Float32frombits(uint32(min(bits, 1<<32-1)))
			bits += stride
		}
		for p, k := range available() {
			copy(y, x)
			k.ELU(y, rows)
			for l, v := range x {
				if !(v < 0) {
					if flushed := v < 0x1p-126 && y[l] == 0 && k.Path != "go"; !flushed && y[l] != v && (v == v || y[l] == y[l]) {
						t.Fatalf("%s: ELU(%g) = %g", k.Path, v, y[l])
					}
					continue
				}
				if v > -0x1p-126 && y[l] == 0 && k.Path != "go" {
					continue // see TestSubnormals
				}
				if u := ulps(y[l], math.Expm1(float64(v))); u > worst[p] {
					worst[p], at[p] = u, v
				}
			}
		}
	}
	for p, k := range available() {
		t.Logf("%s: ELU within %.2f ulp (at %g)", k.Path, worst[p], at[p])
		if !(worst[p] <= expm1ULP) {
			t.Errorf("%s: want at most %v", k.Path, expm1ULP)
		}
	}
}

func testELU(t *testing.T, rng *rand.Rand, rows int, alias bool, draw func(int) float32) {
	t.Helper()
	n := rows * Lanes
	wide := func(i int) float32 { return 4 * draw(i) }
	x0, dx0 := newGuard(n, 0, wide), newGuard(n, 0, draw)
	var twin [2][]float32
	eachFromTwin(func(k *Kernels[float32]) {
		what := fmt.Sprintf("%s: rows=%d alias=%v", k.Path, rows, alias)
		x := x0.fresh(rng)
		k.ELU(x.x, rows)
		x.check(t, what, false)
		out, dx := newGuard(n, rng.IntN(17), func(i int) float32 { return x.x[i] }), dx0.fresh(rng)
		dz := dx
		if !alias {
			dz = nines(rng, rows)
		}
		k.ELUAdjoint(dz.x, dx.x, out.x, rows)
		dz.check(t, what, false)
		dx.check(t, what, !alias)
		out.check(t, what, true)
		if twin[0] == nil {
			twin = [2][]float32{x.x, dz.x}
		}
		for i, got := range x.x {
			want, v := float64(x0.x[i]), float64(x0.x[i])
			if v < 0 {
				want = math.Expm1(v)
			}
			if tol := 2 * expm1ULP * eps * math.Abs(want); !near(got, want, tol) || !near(got, float64(twin[0][i]), 2*tol) {
				t.Fatalf("%s: ELU(%g) = %g, twin %g, want %g ± %g", what, v, got, twin[0][i], want, tol)
			}
			// A sum and a product; out, the twin's too, errs by expm1ULP.
			d, slope := float64(dx0.x[i]), 1+math.Min(float64(got), 0)
			tol := 2 * eps * math.Abs(d) * slope
			if twinTol := 2*tol + 4*expm1ULP*eps*math.Abs(d); !near(dz.x[i], d*slope, tol) || !near(dz.x[i], float64(twin[1][i]), twinTol) {
				t.Fatalf("%s: adjoint at %g of %g: %g, twin %g, want %g", what, got, d, dz.x[i], twin[1][i], d*slope)
			}
		}
	})
}

func TestELU(t *testing.T) {
	rng := rand.New(rand.NewPCG(14, 1))
	for rows := range 68 {
		testELU(t, rng, rows, rows%2 == 0, normal(rng))
	}
	for range 50 {
		testELU(t, rng, 1+rng.IntN(4), rng.IntN(2) == 0, odd(rng))
		testELU(t, rng, 1+rng.IntN(4), rng.IntN(2) == 0, tiny(rng))
	}
}

func TestShortELU(t *testing.T) {
	f := func(n int) []float32 { return make([]float32, n) }
	for _, k := range available() {
		mustPanic(t, errELU, func() { k.ELU(f(63), 2) })
		mustPanic(t, errELU, func() { k.ELU(f(64), -1) })
		for i := range 3 {
			n := [3]int{64, 64, 64}
			n[i]--
			mustPanic(t, errELU, func() { k.ELUAdjoint(f(n[0]), f(n[1]), f(n[2]), 2) })
		}
	}
}
