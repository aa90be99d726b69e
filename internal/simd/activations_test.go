package simd

import (
	"math"
	"os"
	"testing"
)

// The bounds that activations.go states, in units in the last place.
const (
	tanhULP         = 7
	sigmoidULP      = 7
	sigmoidULPNear0 = 5 // for |x| < 20
)

// ulps returns the distance of got from want in units of the last place of want.
func ulps(got float32, want float64) float64 {
	if math.IsNaN(want) || math.IsNaN(float64(got)) {
		if math.IsNaN(want) && math.IsNaN(float64(got)) {
			return 0
		}
		return math.Inf(1)
	}
	_, e := math.Frexp(want)
	return math.Abs(float64(got)-want) / math.Ldexp(1, max(e-24, -149))
}

// TestActivations sends the bit patterns of float32 through the gates
// of every path's Cell. It takes every strideth pattern, fewer with -short, or all of them if METAOPT_LONG is
// set (a quarter of an hour).
func TestActivations(t *testing.T) {
	stride := uint64(1999)
	if testing.Short() {
		stride = 4999
	}
	if os.Getenv("METAOPT_LONG") != "" {
		stride = 1
	}
	const hidden, n = 64, 64 * Lanes
	x, z, c, tc, h := make([]float32, n), make([]float32, 4*n), make([]float32, n), make([]float32, n), make([]float32, n)
	h2 := make([]float32, n)
	sig, tan := make([]float64, n), make([]float64, n)
	type worst struct {
		tanh, sigmoid, near, atTanh, atSigmoid float64
	}
	found := make([]worst, len(available()))
	note := func(w, at *float64, x, u float64) {
		if u > *w {
			*w, *at = u, x
		}
	}
	for bits := uint64(0); bits < 1<<32; {
		for l := range x {
			x[l] = math.Float32frombits(uint32(min(bits, 1<<32-1)))
			bits += stride
			v := float64(x[l])
			sig[l], tan[l] = 1/(1+math.Exp(-v)), math.Tanh(v)
		}
		for p, k := range available() {
			for i := range 4 {
				copy(z[i*n:], x)
			}
			clear(c)
			k.Cell(z, c, c, tc, h, h2, hidden)
			w := &found[p]
			for l := range x {
				v := float64(x[l])
				us := 0.0
				for _, i := range []int{0, 1, 3} {
					u := ulps(z[i*n+l], sig[l])
					// Around the smallest normal number, up to 1.007 times it, a result may be 0: gates.sigmoid compares with -87.33.
					if sig[l] < 1.007*0x1p-126 && math.Abs(float64(z[i*n+l])-sig[l]) < 1.007*0x1p-126 {
						u = 0
					}
					us = max(us, u)
				}
				note(&w.sigmoid, &w.atSigmoid, v, us)
				if math.Abs(v) < 20 {
					w.near = max(w.near, us)
				}
				us = ulps(z[2*n+l], tan[l])
				if math.Abs(v) < 0x1p-126 && z[2*n+l] == 0 {
					us = 0 // see TestSubnormals
				}
				note(&w.tanh, &w.atTanh, v, us)
			}
		}
	}
	for p, k := range available() {
		w := found[p]
		t.Logf("%s: tanh within %.2f ulp (at %g), sigmoid within %.2f (at %g), %.2f for |x| < 20",
			k.Path, w.tanh, w.atTanh, w.sigmoid, w.atSigmoid, w.near)
		if !(w.tanh <= tanhULP && w.sigmoid <= sigmoidULP && w.near <= sigmoidULPNear0) {
			t.Errorf("%s: want at most %v, %v and %v", k.Path, tanhULP, sigmoidULP, sigmoidULPNear0)
		}
	}
}

// TestSaturation checks the values that must be exact on every path.
func TestSaturation(t *testing.T) {
	inf := math.Inf(1)
	for _, k := range available() {
		for _, v := range []struct{ x, sigmoid, tanh float64 }{
			{inf, 1, 1}, {-inf, 0, -1}, {0, 0.5, 0}, {math.Copysign(0, -1), 0.5, math.Copysign(0, -1)},
			{9.5, math.NaN(), 1}, {-9.5, math.NaN(), -1}, {1e30, 1, 1}, {-1e30, 0, -1}, {20, 1, 1},
			{math.MaxFloat32, 1, 1}, {-math.MaxFloat32, 0, -1},
			{0x1p-126, 0.5, 0x1p-126},
		} {
			z, s := make([]float32, 4*Lanes), make([]float32, 4*Lanes)
			for i := range z {
				z[i] = float32(v.x)
			}
			k.Cell(z, s, s, s[Lanes:], s[2*Lanes:], s[3*Lanes:], 1)
			for l := range Lanes {
				if got := float64(z[l]); got != v.sigmoid && !math.IsNaN(v.sigmoid) {
					t.Fatalf("%s: sigmoid(%g) = %g", k.Path, v.x, got)
				}
				if got := float64(z[2*Lanes+l]); math.Float64bits(got) != math.Float64bits(v.tanh) {
					t.Fatalf("%s: tanh(%g) = %g", k.Path, v.x, got)
				}
			}
		}
	}
}

// TestSubnormals checks that the assembly treats subnormal numbers, which would be slow, as 0,
// that the twins do not, and that each kernel leaves arithmetic in Go
// unchanged.
func TestSubnormals(t *testing.T) {
	for _, k := range available() {
		one, small := make([]float32, 64*Lanes), make([]float32, 64*Lanes)
		for i := range one {
			one[i], small[i] = 1, 3e-40
		}
		out := make([]float32, 64*Lanes)
		want := float32(3e-40)
		if k.Path != "go" {
			want = 0
		}
		after := func(kernel string) {
			t.Helper()
			if x := small[0] * one[1]; x != 3e-40 {
				t.Errorf("%s: after %s, 3e-40 is %g in Go", k.Path, kernel, x)
			}
		}
		k.MatMul(out, one, small, nil, 1, 1, 1, false)
		if out[0] != want {
			t.Errorf("%s: MatMul gives %g, want %g", k.Path, out[0], want)
		}
		after("MatMul")
		dw, sum := make([]float32, k.Parts), float32(0)
		k.Outer(dw, small, one, 1, 1, 1, Lanes)
		for _, part := range dw {
			sum += part
		}
		if math.Abs(float64(sum-want*Lanes)) > 1e-43 {
			t.Errorf("%s: Outer gives %g, want %g", k.Path, sum, want*Lanes)
		}
		after("Outer")
		z := append([]float32(nil), small...)
		k.Cell(z, small, out, out[Lanes:], out[2*Lanes:], out[3*Lanes:], 1)
		if z[2*Lanes] != want {
			t.Errorf("%s: Cell's tanh gives %g, want %g", k.Path, z[2*Lanes], want)
		}
		after("Cell")
		z, dc := append([]float32(nil), one...), append([]float32(nil), small...)
		k.CellAdjoint(z, one, one, make([]float32, Lanes), dc, 1)
		if dc[0] != want {
			t.Errorf("%s: CellAdjoint gives %g, want %g", k.Path, dc[0], want)
		}
		after("CellAdjoint")
		minus := append([]float32(nil), small...)
		for i := range minus {
			minus[i] = -3e-40
		}
		k.ELU(minus, 1)
		if minus[0] != -want {
			t.Errorf("%s: ELU gives %g, want %g", k.Path, minus[0], -want)
		}
		after("ELU")
		k.ELUAdjoint(out, small, one, 1)
		if out[0] != want {
			t.Errorf("%s: ELUAdjoint gives %g, want %g", k.Path, out[0], want)
		}
		after("ELUAdjoint")
		k.LogAndSign(out, small, 80, 1)
		if out[Lanes] != want {
			t.Errorf("%s: LogAndSign gives %g, want %g", k.Path, out[Lanes], want)
		}
		after("LogAndSign")
		m, v := make([]float32, Lanes), make([]float32, Lanes)
		k.RNNProp(out, small, m, v, m, v, 0, 1, 1, 1)
		if m[0] != want {
			t.Errorf("%s: RNNProp's average is %g, want %g", k.Path, m[0], want)
		}
		after("RNNProp")
		averages, n, corr := make([]float32, Moments*Lanes), make([]float32, (Directions+1)*Lanes), []float32{1, 1, 1, 1, 1}
		k.Momenta(out, n, small, averages, averages, corr, 1)
		if got := averages[0] != 0; got != (want != 0) {
			t.Errorf("%s: Momenta's average is %g", k.Path, averages[0])
		}
		after("Momenta")
		dg := make([]float32, Lanes)
		clear(n)
		k.MomentaAdjoint(dg, small, nil, n, one, one, append([]float32(nil), small...), corr, 1)
		if got := dg[0] != 0; got != (want != 0) {
			t.Errorf("%s: MomentaAdjoint gives %g", k.Path, dg[0])
		}
		after("MomentaAdjoint")
		k.Mix(out, append([]float32(nil), small...), one)
		if got := out[0] != 0; got != (want != 0) {
			t.Errorf("%s: Mix gives %g", k.Path, out[0])
		}
		after("Mix")
		k.MixAdjoint(out, nil, small, one, one, one)
		if out[0] != want {
			t.Errorf("%s: MixAdjoint gives %g, want %g", k.Path, out[0], want)
		}
		after("MixAdjoint")
		var sums [SumRows]float64
		k.Sums(&sums, small, one, one, nil)
		if w := float64(want) * Lanes; math.Abs(sums[3]-w) > 1e-43 {
			t.Errorf("%s: Sums gives %g, want %g", k.Path, sums[3], w)
		}
		after("Sums")
	}
}
