package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// logULP bounds the first feature's error in units in the last place. It is the sum of two for the
// logarithm, a half for the quotient, the error of the twin, and the cancellation of
// -0.69 and 0.35 in the logarithm of a number just below √½.
const logULP = 6

func testLogAndSign(t *testing.T, rng *rand.Rand, p float32, draw func(int) float32) {
	t.Helper()
	g := newGuard(Lanes, rng.IntN(17), draw)
	large := float32(math.Exp(float64(p)))
	var twin []float32
	all := available()
	for q := len(all) - 1; q >= 0; q-- {
		what := fmt.Sprintf("%s: p=%g", all[q].Path, p)
		x := newGuard(2*Lanes, rng.IntN(17), func(int) float32 { return 9 })
		all[q].LogAndSign(x.x, g.x, p, large)
		x.check(t, what, false)
		g.check(t, what, true)
		if twin == nil {
			twin = x.x
		}
		for l, v := range g.x {
			if math.Abs(float64(v)) < 0x1p-126 {
				continue // TestSubnormals
			}
			first := max(math.Log(math.Abs(float64(v)))/float64(p), -1)
			second := min(max(float64(v)*float64(large), -1), 1)
			if !near(x.x[l], first, 2*logULP*eps*math.Abs(first)) || !near(x.x[l], float64(twin[l]), 4*logULP*eps*math.Abs(first)) {
				t.Fatalf("%s: log of %g: %g, twin %g, want %g", what, v, x.x[l], twin[l], first)
			}
			if !near(x.x[Lanes+l], second, eps*math.Abs(second)) || !near(x.x[Lanes+l], float64(twin[Lanes+l]), 0) {
				t.Fatalf("%s: sign of %g: %g, twin %g, want %g", what, v, x.x[Lanes+l], twin[Lanes+l], second)
			}
		}
	}
}

func TestLogAndSign(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 1))
	for i := range 5000 {
		p := []float32{5, 10, 1, 0.01, 80}[i%5]
		testLogAndSign(t, rng, p, func(int) float32 { return math.Float32frombits(rng.Uint32()) })
		testLogAndSign(t, rng, p, func(int) float32 { return float32(1 + 0.1*rng.NormFloat64()) })
		testLogAndSign(t, rng, p, odd(rng))
	}
}

func testRNNProp(t *testing.T, rng *rand.Rand, alias bool, draw func(int) float32) {
	t.Helper()
	const keep, take, epsilon = 0.95, 0.05, 1e-8
	correction := 1 / (1 - float32(math.Pow(keep, float64(1+rng.IntN(30)))))
	g, mPrev := newGuard(Lanes, rng.IntN(17), draw), newGuard(Lanes, rng.IntN(17), draw)
	vPrev := newGuard(Lanes, rng.IntN(17), func(i int) float32 { v := draw(i); return v * v })
	var twin [4][]float32
	all := available()
	for p := len(all) - 1; p >= 0; p-- {
		what := fmt.Sprintf("%s: alias=%v", all[p].Path, alias)
		copied := func(g *guard) *guard {
			return newGuard(Lanes, rng.IntN(17), func(i int) float32 { return g.before[i] })
		}
		m0, v0 := copied(mPrev), copied(vPrev)
		m, v, x := m0, v0, newGuard(2*Lanes, rng.IntN(17), func(int) float32 { return 9 })
		if !alias {
			m, v = copied(mPrev), copied(vPrev)
		}
		all[p].RNNProp(x.x, g.x, m0.x, v0.x, m.x, v.x, keep, take, correction, epsilon)
		x.check(t, what, false)
		m.check(t, what, false)
		v.check(t, what, false)
		g.check(t, what, true)
		m0.check(t, what, !alias)
		v0.check(t, what, !alias)
		if twin[0] == nil {
			twin = [4][]float32{m.x, v.x, x.x[:Lanes], x.x[Lanes:]}
		}
		for l := range Lanes {
			gl, ml, vl, c := float64(g.x[l]), float64(mPrev.x[l]), float64(vPrev.x[l]), float64(correction)
			wm, wv := float64(float32(keep))*ml+float64(float32(take))*gl, float64(float32(keep))*vl+float64(float32(take))*gl*gl
			sm := math.Abs(keep*ml) + math.Abs(take*gl)
			d := math.Sqrt(float64(v.x[l])*c) + epsilon
			for i, r := range []struct {
				got       float32
				want, tol float64
			}{
				{m.x[l], wm, 3 * eps * sm},
				{v.x[l], wv, 4 * eps * wv},
				{x.x[l], float64(m.x[l]) * c / d, 6 * eps * math.Abs(float64(m.x[l])*c/d)},
				{x.x[Lanes+l], gl / d, 6 * eps * math.Abs(gl/d)},
			} {
				// In the comparison with the twin the features also contain the differences in m and v.
				tol := 2*r.tol + 0x1p-140
				if i == 2 {
					tol += 6 * eps * sm * c / d
				}
				if i >= 2 {
					tol += 8 * eps * math.Abs(r.want)
				}
				if !near(r.got, r.want, r.tol+0x1p-140) || !near(r.got, float64(twin[i][l]), tol) {
					t.Fatalf("%s: result %d of g %g, m %g, v %g: %g, twin %g, want %g", what, i, gl, ml, vl, r.got, twin[i][l], r.want)
				}
			}
		}
	}
}

func TestRNNProp(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 1))
	for i := range 2000 {
		testRNNProp(t, rng, i%2 == 0, normal(rng))
		scale := float32(math.Exp(rng.Float64()*40 - 30))
		testRNNProp(t, rng, i%2 == 0, func(int) float32 { return scale * float32(rng.NormFloat64()) })
	}
}
