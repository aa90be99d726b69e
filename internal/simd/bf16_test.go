package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// roundingPath returns the path that rounds. It skips the test if this CPU has none.
func roundingPath(t testing.TB) *Kernels[float32] {
	t.Helper()
	k, err := Select("avx512bf16")
	if err != nil {
		t.Skip(err)
	}
	return k
}

// TestBF16 holds BF16 to its definition: no number of 8 bits is nearer, and of two equally near ones the last bit is 0.
func TestBF16(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 100_000 {
		x := math.Float32frombits(rng.Uint32())
		if rng.IntN(4) == 0 {
			x = math.Float32frombits(rng.Uint32()&^0xffff | 0x8000) // a tie
		}
		y := BF16(x)
		bits := math.Float32bits(y)
		switch {
		case x != x:
			if y == y {
				t.Fatalf("BF16(NaN) = %v", y)
			}
			continue
		case math.Abs(float64(x)) < 0x1p-126:
			if y != 0 || math.Signbit(float64(y)) != math.Signbit(float64(x)) {
				t.Fatalf("BF16(%g) = %g, want 0 of its sign", x, y)
			}
			continue
		case bits&0xffff != 0:
			t.Fatalf("BF16(%g) = %g has more than 8 bits", x, y)
		case math.IsInf(float64(y), 0) || math.IsInf(float64(x), 0):
			if math.Abs(float64(x)) < 0x1.ffp127 || math.Signbit(float64(y)) != math.Signbit(float64(x)) {
				t.Fatalf("BF16(%g) = %g", x, y)
			}
			continue
		}
		d := math.Abs(float64(y) - float64(x))
		for _, other := range []uint32{bits - 1<<16, bits + 1<<16} {
			e := math.Abs(float64(math.Float32frombits(other)) - float64(x))
			if e < d || e == d && bits>>16&1 == 1 {
				t.Fatalf("BF16(%g) = %g, but %g is nearer, or even", x, y, math.Float32frombits(other))
			}
		}
	}
}

// TestPack expects the words of the twin, to the bit, and nothing beside them.
func TestPack(t *testing.T) {
	k, rng := roundingPath(t), rand.New(rand.NewPCG(2, 1))
	for _, draw := range []func(int) float32{normal(rng), odd(rng), tiny(rng)} {
		for range 300 {
			m, terms := 1+rng.IntN(70), 1+rng.IntN(20)
			lda := m + rng.IntN(20)
			a := newGuard((terms-1)*lda+m, rng.IntN(17), draw)
			n := PackedLen(m, terms)
			got, want := make([]uint32, n+64), make([]uint32, n)
			for i := n; i < len(got); i++ {
				got[i] = canary
			}
			k.Pack(got, a.x, lda, m, terms)
			pack(want, a.x, lda, m, terms)
			a.check(t, "Pack", true)
			for i, w := range want {
				if i%packedStride(m) >= m { // beside the matrix
					continue
				}
				for shift := 0; shift < 32; shift += 16 {
					g, x := math.Float32frombits(got[i]>>shift<<16), math.Float32frombits(w>>shift<<16)
					if g != x && (g == g || x == x) {
						t.Fatalf("m=%d k=%d: word %d is %08x, want %08x", m, terms, i, got[i], w)
					}
				}
			}
			if i := slices.IndexFunc(got[n:], func(w uint32) bool { return w != canary }); i >= 0 {
				t.Fatalf("m=%d k=%d: wrote %d words beside the slice", m, terms, i+1)
			}
		}
	}
}

func testPacked(t *testing.T, k *Kernels[float32], rng *rand.Rand, m, terms int, draw func(int) float32) {
	t.Helper()
	off := rng.IntN(17)
	a, x := newGuard(terms*m, rng.IntN(17), draw), newGuard(terms*Lanes, rng.IntN(17), draw)
	start, bias := newGuard(m*Lanes, off, draw), newGuard(m, rng.IntN(17), draw)
	round := func(all []float64) []float64 {
		for i, v := range all {
			all[i] = float64(BF16(float32(v)))
		}
		return all
	}
	packed := make([]uint32, PackedLen(m, terms))
	k.Pack(packed, a.x, m, m, terms)
	for _, with := range []bool{false, true} {
		var given []float32
		var wide []float64
		if with {
			given, wide = bias.x, bias.wide()
		}
		want, size := naiveMatMul(start.wide(), round(a.wide()), round(x.wide()), wide, m, m, terms, true)
		what := fmt.Sprintf("m=%d k=%d bias=%v", m, terms, with)
		c, twin := newGuard(m*Lanes, off, func(i int) float32 { return start.x[i] }), slices.Clone(start.x)
		k.MatMulPacked(c.x, packed, x.x, given, m, terms)
		matMulPacked(twin, packed, x.x, given, m, terms)
		c.check(t, what, false)
		x.check(t, what, true)
		bias.check(t, what, true)
		for i, got := range c.x {
			tol := float64(terms+2) * eps * size[i]
			if !near(got, want[i], tol) || !near(got, float64(twin[i]), 2*tol) {
				t.Fatalf("%s: c[%d] = %g, twin %g, want %g ± %g", what, i, got, twin[i], want[i], tol)
			}
		}
	}
}

func TestMatMulPacked(t *testing.T) {
	k, rng := roundingPath(t), rand.New(rand.NewPCG(3, 1))
	for m := 1; m <= 43; m++ {
		for terms := range 10 {
			testPacked(t, k, rng, m, terms, normal(rng))
		}
	}
	for _, s := range [][2]int{{80, 26}, {80, 40}, {1, 20}, {7, 20}, {256, 128}, {20, 129}, {33, 300}} {
		testPacked(t, k, rng, s[0], s[1], normal(rng))
	}
	for range 300 {
		m, terms := 1+rng.IntN(30), 1+rng.IntN(12)
		testPacked(t, k, rng, m, terms, odd(rng))
		testPacked(t, k, rng, m, terms, tiny(rng))
	}
	f := func(n int) []float32 { return make([]float32, n) }
	for _, s := range [][4]int{{63, 32, 96, 2}, {64, 31, 96, 2}, {64, 32, 95, 2}, {64, 32, 96, 1}} {
		mustPanic(t, errPack, func() { k.MatMulPacked(f(s[0]), make([]uint32, s[1]), f(s[2]), f(s[3]), 2, 3) })
	}
	mustPanic(t, errPack, func() { k.Pack(make([]uint32, 31), f(6), 2, 2, 3) })
	mustPanic(t, errPack, func() { k.Pack(make([]uint32, 32), f(5), 2, 2, 3) })
	mustPanic(t, errPack, func() { k.Pack(make([]uint32, 32), f(6), 1, 2, 3) })
	a, c := make([]uint32, PackedLen(7, 5)), ramp(7*Lanes)
	if n := testing.AllocsPerRun(5, func() { k.MatMulPacked(c, a, c, nil, 7, 5) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkMatMulPacked(b *testing.B) {
	k := roundingPath(b)
	for _, s := range [][2]int{{80, 22}, {80, 40}, {7, 20}} {
		b.Run(fmt.Sprintf("%dx%d", s[0], s[1]), func(b *testing.B) {
			c, x, bias, a := ramp(s[0]*Lanes), ramp(s[1]*Lanes), ramp(s[0]), make([]uint32, PackedLen(s[0], s[1]))
			k.Pack(a, ramp(s[0]*s[1]), s[0], s[0], s[1])
			for b.Loop() {
				k.MatMulPacked(c, a, x, bias, s[0], s[1])
			}
			gflops(b, 2*s[0]*s[1]*Lanes)
		})
	}
}
