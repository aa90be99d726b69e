package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"testing"
)

// TestMain prints which path the other packages take on this machine and
// which paths are tested here: with a silent fallback a green run would mean nothing.
func TestMain(m *testing.M) {
	fmt.Printf("simd: testing %v, in use: %s\n", Paths(), Float32().Path)
	if err := EnvError(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// A guard is a slice at some offset in its own memory, between canaries.
// The canaries are NaNs: they spoil a result if a kernel reads them, and they show if it writes them.
type guard struct {
	all, before, x []float32
}

const canary = 0x7fc0dead

const fence = 64

// newGuard returns a guarded slice of n numbers from f. It starts off floats
// after an aligned address.
func newGuard(n, off int, f func(i int) float32) *guard {
	g := &guard{all: make([]float32, n+2*fence+off)}
	for i := range g.all {
		g.all[i] = math.Float32frombits(canary)
	}
	g.x = g.all[fence+off : fence+off+n : fence+off+n]
	for i := range g.x {
		g.x[i] = f(i)
	}
	g.before = append([]float32(nil), g.x...)
	return g
}

// check fails the test if a canary was overwritten or if any bit of an input changed.
func (g *guard) check(t *testing.T, what string, input bool) {
	t.Helper()
	at := len(g.all) - len(g.x) - fence
	for i, v := range g.all {
		if inside := i >= at && i < at+len(g.x); !inside && math.Float32bits(v) != canary {
			t.Fatalf("%s: wrote %d floats beside the slice", what, i-at)
		}
	}
	for i, v := range g.x {
		if input && math.Float32bits(v) != math.Float32bits(g.before[i]) {
			t.Fatalf("%s: changed at %d", what, i)
		}
	}
}

func (g *guard) wide() []float64 {
	w := make([]float64, len(g.before))
	for i, v := range g.before {
		w[i] = float64(v)
	}
	return w
}

// eps is half a unit in the last place of 1.
const eps = 0x1p-24

// flush bounds the error of a result of up to 64 operations that comes from treating subnormal numbers
// as 0.
const flush = 64 * 0x1p-126

// near reports whether got equals want within tol and flush. If want is no finite float32,
// got must be the same infinity or a NaN too.
func near(got float32, want, tol float64) bool {
	g := float64(got)
	switch {
	case math.IsNaN(want):
		return math.IsNaN(g)
	case math.IsInf(float64(float32(want)), 0):
		return g == float64(float32(want))
	}
	return math.Abs(g-want) <= tol+flush
}

// normal draws from a normal distribution; rng may be shared by many guards.
func normal(rng *rand.Rand) func(int) float32 {
	return func(int) float32 { return float32(rng.NormFloat64()) }
}

// odd draws mostly ordinary numbers, and sometimes a number that
// arithmetic treats in a special way.
func odd(rng *rand.Rand) func(int) float32 {
	return mostly(rng, 0, float32(math.Copysign(0, -1)), float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()), 0x1p-126)
}

// tiny draws mostly ordinary numbers, and sometimes a subnormal one. It draws no infinities: an infinity times 0 is
// NaN, but times a subnormal number it is not.
func tiny(rng *rand.Rand) func(int) float32 {
	return mostly(rng, 0x1p-149, -0x1p-149, 0x1p-127, -0x1p-130, 0x1p-126)
}

func mostly(rng *rand.Rand, special ...float32) func(int) float32 {
	return func(int) float32 {
		if rng.IntN(40) == 0 {
			return special[rng.IntN(len(special))]
		}
		return float32(rng.NormFloat64())
	}
}

// mustPanic fails the test unless f panics with the text want.
func mustPanic(t *testing.T, want string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if got := recover(); got != want {
			t.Errorf("panic %v, want %q", got, want)
		}
	}()
	f()
}
