package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
)

// halves are the finite float16 that are not negative, by the standard's formula, in the order of their bits.
func halves() []float64 {
	all := make([]float64, 31<<10)
	for bits := range all {
		exponent, fraction := bits>>10, float64(bits&(1<<10-1))
		if exponent == 0 {
			all[bits] = math.Ldexp(fraction, -24)
		} else {
			all[bits] = math.Ldexp(1<<10+fraction, exponent-25)
		}
	}
	return all
}

// TestFromHalf widens all float16 on every path.
func TestFromHalf(t *testing.T) {
	const rows = 1 << 16 / Lanes
	finite := halves()
	half, x := make([]uint16, 1<<16), make([]float32, 1<<16)
	for i := range half {
		half[i] = uint16(i)
	}
	for _, k := range available() {
		k.Widen(x, half, rows)
		for i, got := range x {
			magnitude := i & (1<<15 - 1)
			var want float64
			switch {
			case magnitude < len(finite):
				want = finite[magnitude]
			case magnitude == len(finite):
				want = math.Inf(1)
			default:
				want = math.NaN()
			}
			if i != magnitude {
				want = -want
			}
			if math.Float32bits(got) != math.Float32bits(float32(want)) && (got == got || want == want) {
				t.Fatalf("%s: FromHalf(%#x) = %v, want %v", k.Path, i, got, want)
			}
		}
	}
}

// nearestHalf finds the float16 nearest to x, of two equally near ones the even one, among all of them.
func nearestHalf(finite []float64, x float64) uint16 {
	sign := uint16(0)
	if math.Signbit(x) {
		sign, x = 1<<15, -x
	}
	above, found := slices.BinarySearch(finite, x)
	switch {
	case found:
	case above == len(finite):
		above--
	case x-finite[above-1] < finite[above]-x || x-finite[above-1] == finite[above]-x && above%2 == 1:
		above--
	}
	return sign | uint16(above)
}

// TestToHalf narrows the bit patterns of float32 on every path: every strideth one, fewer with -short, or all of them if
// METAOPT_LONG is set; and all numbers between two float16, with their neighbours.
func TestToHalf(t *testing.T) {
	stride := uint32(499)
	if testing.Short() {
		stride = 4999
	}
	if os.Getenv("METAOPT_LONG") != "" {
		stride = 1
	}
	finite := halves()
	var between []float32
	for i, f := range finite[1:] {
		middle := float32((finite[i] + f) / 2)
		for _, x := range []float32{middle, math.Nextafter32(middle, 0), math.Nextafter32(middle, 1e9)} {
			between = append(between, x, -x)
		}
	}
	const rows = 64
	x, half := make([]float32, rows*Lanes), make([]uint16, rows*Lanes)
	check := func() {
		for _, k := range available() {
			k.Narrow(half, x, rows)
			for i, v := range x {
				if v != v {
					if got := FromHalf(half[i]); got == got {
						t.Fatalf("%s: ToHalf(NaN) = %v", k.Path, got)
					}
				} else if want := nearestHalf(finite, float64(v)); half[i] != want {
					t.Fatalf("%s: ToHalf(%v) = %#x, want %#x", k.Path, v, half[i], want)
				}
			}
		}
	}
	for at := 0; at < len(between); at += len(x) {
		copy(x, between[at:])
		check()
	}
	for bits, done := uint32(0), false; !done; {
		for l := range x {
			x[l] = math.Float32frombits(bits)
			done = done || bits+stride < bits
			bits += stride
		}
		check()
	}
}

// TestHalfMemory looks for reads and writes beside the slices, and for changed inputs, with all numbers of rows and alignments.
func TestHalfMemory(t *testing.T) {
	const canary = 0x7e5a // a NaN
	rng := rand.New(rand.NewPCG(15, 1))
	for rows := range 40 {
		n := rows * Lanes
		for _, k := range available() {
			what := fmt.Sprintf("%s: rows=%d", k.Path, rows)
			off := rng.IntN(17)
			all := make([]uint16, off+fence+n+fence)
			for i := range all {
				all[i] = canary
			}
			half := all[off+fence:][:n:n]
			in := newGuard(n, rng.IntN(17), normal(rng))
			k.Narrow(half, in.x, rows)
			in.check(t, what, true)
			for i, h := range all {
				inside := i >= off+fence && i < off+fence+n
				if inside != (h != canary) {
					t.Fatalf("%s: Narrow left or wrote %d of %d", what, i-off-fence, n)
				}
			}
			before := slices.Clone(all)
			out := newGuard(n, rng.IntN(17), func(int) float32 { return 9 })
			k.Widen(out.x, half, rows)
			out.check(t, what, false)
			if !slices.Equal(all, before) {
				t.Fatalf("%s: Widen changed its input", what)
			}
			for i, x := range out.x {
				if math.Abs(float64(x-in.x[i])) > 0x1p-11*math.Abs(float64(in.x[i]))+0x1p-25 {
					t.Fatalf("%s: %v became %v", what, in.x[i], x)
				}
			}
		}
	}
}

func TestShortHalf(t *testing.T) {
	x, half := make([]float32, 64), make([]uint16, 64)
	for _, k := range available() {
		mustPanic(t, errHalf, func() { k.Widen(x[:63], half, 2) })
		mustPanic(t, errHalf, func() { k.Widen(x, half[:63], 2) })
		mustPanic(t, errHalf, func() { k.Narrow(half[:63], x, 2) })
		mustPanic(t, errHalf, func() { k.Narrow(half, x[:63], 2) })
		mustPanic(t, errHalf, func() { k.Narrow(half, x, -1) })
	}
}
