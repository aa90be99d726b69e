package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// naiveSigmoid is the definition, in float64.
func naiveSigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// gateError bounds the relative error of a gate. The bound in ulp is the one in activations.go, and
// half an ulp is at most eps.
const gateError = 2 * 7 * eps

func testCell(t *testing.T, rng *rand.Rand, hidden int, alias bool, draw func(int) float32) {
	t.Helper()
	n := hidden * Lanes
	wide := func(i int) float32 { return 3 * draw(i) }
	z0, prev := newGuard(4*n, rng.IntN(17), wide), newGuard(n, rng.IntN(17), draw)
	nine := func(int) float32 { return 9 }
	var twin [5][]float32
	all := available()
	for p := len(all) - 1; p >= 0; p-- {
		what := fmt.Sprintf("%s: hidden=%d alias=%v", all[p].Path, hidden, alias)
		z := newGuard(4*n, rng.IntN(17), func(i int) float32 { return z0.x[i] })
		from := newGuard(n, rng.IntN(17), func(i int) float32 { return prev.x[i] })
		c, tc := newGuard(n, rng.IntN(17), nine), newGuard(n, rng.IntN(17), nine)
		h, h2 := newGuard(n, rng.IntN(17), nine), newGuard(n, rng.IntN(17), nine)
		if alias {
			c = from
		}
		all[p].Cell(z.x, from.x, c.x, tc.x, h.x, h2.x, hidden)
		for _, g := range []*guard{z, c, tc, h, h2} {
			g.check(t, what, false)
		}
		from.check(t, what, !alias)
		if twin[0] == nil {
			twin = [5][]float32{z.x, c.x, tc.x, h.x}
		}
		for j := range n {
			fail := func(name string, got float32, want, tol float64) {
				t.Helper()
				if !near(got, want, tol) {
					t.Fatalf("%s: %s[%d] = %g, want %g ± %g", what, name, j, got, want, tol)
				}
			}
			gate := func(i int) float64 { return float64(z.x[i*n+j]) }
			for i := range 4 {
				v := float64(z0.x[i*n+j])
				want := naiveSigmoid(v)
				if i == 2 {
					want = math.Tanh(v)
				}
				fail("z", z.x[i*n+j], want, gateError*math.Abs(want)+0x1p-126)
				fail("z against twin", z.x[i*n+j], float64(twin[0][i*n+j]), 2*gateError*math.Abs(want)+0x1p-126)
			}
			// The expected results follow from the computed gates. Each has one or two
			// more roundings, and the error of tanh.
			fc, ig := gate(1)*float64(prev.x[j]), gate(0)*gate(2)
			fail("c", c.x[j], fc+ig, 3*eps*(math.Abs(fc)+math.Abs(ig)))
			tanh := math.Tanh(float64(c.x[j]))
			fail("tc", tc.x[j], tanh, gateError*math.Abs(tanh))
			fail("h", h.x[j], gate(3)*float64(tc.x[j]), 2*eps)
			if math.Float32bits(h2.x[j]) != math.Float32bits(h.x[j]) {
				t.Fatalf("%s: h2[%d] = %g, h is %g", what, j, h2.x[j], h.x[j])
			}
			size := math.Abs(fc) + math.Abs(ig)
			fail("c against twin", c.x[j], float64(twin[1][j]), 5*gateError*size)
			fail("tc against twin", tc.x[j], float64(twin[2][j]), 6*gateError*size+2*gateError*math.Abs(tanh))
			fail("h against twin", h.x[j], float64(twin[3][j]), 6*gateError*size+5*gateError)
		}
	}
}

func TestCell(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 1))
	for hidden := 1; hidden <= 67; hidden++ {
		testCell(t, rng, hidden, hidden%2 == 0, normal(rng))
	}
	for range 50 {
		testCell(t, rng, 1+rng.IntN(8), rng.IntN(2) == 0, odd(rng))
		testCell(t, rng, 1+rng.IntN(8), rng.IntN(2) == 0, tiny(rng))
	}
}

func testCellAdjoint(t *testing.T, rng *rand.Rand, hidden int, draw func(int) float32) {
	t.Helper()
	n := hidden * Lanes
	gates := func(i int) float32 {
		if i/n == 2 {
			return Tanh32(2 * draw(i))
		}
		return Sigmoid32(3 * draw(i))
	}
	z0, dc0 := newGuard(4*n, 0, gates), newGuard(n, 0, draw)
	tc := newGuard(n, rng.IntN(17), func(i int) float32 { return Tanh32(2 * draw(i)) })
	prev, dh := newGuard(n, rng.IntN(17), draw), newGuard(n, rng.IntN(17), draw)
	var twin [2][]float32
	all := available()
	for p := len(all) - 1; p >= 0; p-- {
		what := fmt.Sprintf("%s: hidden=%d", all[p].Path, hidden)
		z := newGuard(4*n, rng.IntN(17), func(i int) float32 { return z0.x[i] })
		dc := newGuard(n, rng.IntN(17), func(i int) float32 { return dc0.x[i] })
		all[p].CellAdjoint(z.x, prev.x, tc.x, dh.x, dc.x, hidden)
		z.check(t, what, false)
		dc.check(t, what, false)
		for _, g := range []*guard{prev, tc, dh} {
			g.check(t, what, true)
		}
		if twin[0] == nil {
			twin = [2][]float32{z.x, dc.x}
		}
		for j := range n {
			i, f, g, o := float64(z0.x[j]), float64(z0.x[n+j]), float64(z0.x[2*n+j]), float64(z0.x[3*n+j])
			ts, cp, vh, vc := float64(tc.x[j]), float64(prev.x[j]), float64(dh.x[j]), float64(dc0.x[j])
			d, size := vc+vh*o*(1-ts*ts), math.Abs(vc)+math.Abs(vh*o)*(1+ts*ts)
			// want is the result, size the sum of the magnitudes of all products in it.
			for _, v := range []struct {
				got, twin  float32
				want, size float64
			}{
				{z.x[j], twin[0][j], d * g * i * (1 - i), size * math.Abs(g) * i * (1 + i)},
				{z.x[n+j], twin[0][n+j], d * cp * f * (1 - f), size * math.Abs(cp) * f * (1 + f)},
				{z.x[2*n+j], twin[0][2*n+j], d * i * (1 - g*g), size * i * (1 + g*g)},
				{z.x[3*n+j], twin[0][3*n+j], vh * ts * o * (1 - o), math.Abs(vh*ts) * o * (1 + o)},
				{dc.x[j], twin[1][j], d * f, size * f},
			} {
				tol := 8*eps*v.size + 0x1p-140 // products may underflow on the way
				if !near(v.got, v.want, tol) || !near(v.got, float64(v.twin), 2*tol) {
					t.Fatalf("%s: at %d: %g, twin %g, want %g ± %g", what, j, v.got, v.twin, v.want, tol)
				}
			}
		}
	}
}

func TestCellAdjoint(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 1))
	for hidden := 1; hidden <= 67; hidden++ {
		testCellAdjoint(t, rng, hidden, normal(rng))
	}
	for range 50 {
		testCellAdjoint(t, rng, 1+rng.IntN(8), odd(rng))
		testCellAdjoint(t, rng, 1+rng.IntN(8), tiny(rng))
	}
}
