package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// eachFromTwin calls f for every path, the twin first.
func eachFromTwin(f func(k *Kernels[float32])) {
	all := available()
	for p := len(all) - 1; p >= 0; p-- {
		f(all[p])
	}
}

// fresh returns a guarded copy of an input at another offset.
func (g *guard) fresh(rng *rand.Rand) *guard {
	return newGuard(len(g.before), rng.IntN(17), func(i int) float32 { return g.before[i] })
}

// set changes an input.
func (g *guard) set(i int, v float32) { g.x[i], g.before[i] = v, v }

// nines returns guarded memory for a result.
func nines(rng *rand.Rand, rows int) *guard {
	return newGuard(rows*Lanes, rng.IntN(17), func(int) float32 { return 9 })
}

// sameBits fails the test unless two slices have the same bits. Any two NaNs are the same.
func sameBits(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i, w := range want {
		if g := got[i]; math.Float32bits(g) != math.Float32bits(w) && (g == g || w == w) {
			t.Fatalf("%s: row %d, lane %d: %v, twin %v", what, i/Lanes, i%Lanes, g, w)
		}
	}
}

// strange draws mostly ordinary numbers, and sometimes a number that arithmetic treats in a special way, or one near
// the limits of gradients. No product of two of them is subnormal.
func strange(rng *rand.Rand) func(int) float32 {
	return mostly(rng, 0, float32(math.Copysign(0, -1)), float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()),
		1e18, -1.0000001e18, 3e38, -1e-15, 1e-16)
}

// scaled draws numbers of about one size, from 1e-15 to 1e15. Squares are so large that a thousandth of one is not subnormal.
func scaled(rng *rand.Rand) func(int) float32 {
	size := float32(math.Exp((rng.Float64() - 0.5) * 69))
	return func(int) float32 {
		for {
			if x := rng.NormFloat64(); math.Abs(x) > 0.02 {
				return size * float32(x)
			}
		}
	}
}

// moments draws averages: three of any sign, two that are squares.
func moments(draw func(int) float32) func(int) float32 {
	return func(i int) float32 {
		x := draw(i)
		if i >= 3*Lanes {
			return min(x*x, 1e36)
		}
		return x
	}
}

// corrections returns the factors of the averages at a random step.
func corrections(rng *rand.Rand) []float32 {
	t, corr := float64(1+rng.IntN(30)), make([]float32, Moments)
	for k, beta := range MomentBetas {
		corr[k] = float32(1 / (1 - math.Pow(beta, t)))
	}
	return corr
}

// momentaArgs are the inputs of Momenta.
type momentaArgs struct {
	grad, old *guard
	corr      []float32
	inv       float32
}

func drawMomenta(rng *rand.Rand, draw func(int) float32) momentaArgs {
	a := momentaArgs{newGuard(Lanes, rng.IntN(17), draw), newGuard(Moments*Lanes, rng.IntN(17), moments(draw)), corrections(rng), 0}
	idle := rng.IntN(Lanes) // a coordinate that never had a gradient
	a.grad.set(idle, 0)
	for k := range Moments {
		a.old.set(k*Lanes+idle, 0)
	}
	if rng.IntN(4) > 0 {
		a.inv = float32(math.Exp(rng.NormFloat64()))
	}
	return a
}

func testMomenta(t *testing.T, rng *rand.Rand, draw func(int) float32, compare func(what string, a momentaArgs, now, n, x, twin []float32)) {
	t.Helper()
	a, alias := drawMomenta(rng, draw), rng.IntN(2) == 0
	var twin [3][]float32
	eachFromTwin(func(k *Kernels[float32]) {
		what := fmt.Sprintf("%s: alias=%v", k.Path, alias)
		old, x, n := a.old.fresh(rng), nines(rng, MomentaRows), nines(rng, Directions+1)
		now := old
		if !alias {
			now = nines(rng, Moments)
		}
		k.Momenta(x.x, n.x, a.grad.x, old.x, now.x, a.corr, a.inv)
		a.grad.check(t, what, true)
		old.check(t, what, !alias)
		for _, g := range []*guard{now, x, n} {
			g.check(t, what, false)
		}
		if twin[0] == nil {
			twin = [3][]float32{now.x, n.x, x.x}
		}
		for i, got := range [][]float32{now.x, n.x, x.x} {
			compare(fmt.Sprintf("%s: %s", what, [...]string{"moments", "directions", "features"}[i]), a, now.x, n.x, got, twin[i])
		}
	})
}

// TestMomenta holds every path to the twin's bits, and the twin to float64: each result is computed in float64 from the
// float32 numbers that it is made of, and may err by the roundings of its formula.
func TestMomenta(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 1))
	bits := func(what string, _ momentaArgs, _, _, got, twin []float32) { sameBits(t, what, got, twin) }
	for i := range 1200 {
		testMomenta(t, rng, []func(int) float32{normal(rng), scaled(rng), strange(rng)}[i%3], bits)
	}
	for i := range 400 {
		a := drawMomenta(rng, []func(int) float32{normal(rng), scaled(rng)}[i%2])
		now, n, x := make([]float32, Moments*Lanes), make([]float32, (Directions+1)*Lanes), make([]float32, MomentaRows*Lanes)
		momenta(x, n, a.grad.x, a.old.x, now, a.corr, a.inv)
		for l, g32 := range a.grad.x {
			g, inv := float64(g32), float64(a.inv)
			at := func(x []float32, row int) float64 { return float64(x[row*Lanes+l]) }
			for k, beta := range MomentBetas {
				term := g
				if k >= 3 {
					term = g * g
				}
				keep, take := beta*at(a.old.x, k), (1-beta)*term
				// Two constants, a square, two products and a sum.
				if tol := 6 * eps * (math.Abs(keep) + math.Abs(take)); !near(now[k*Lanes+l], keep+take, tol) {
					t.Fatalf("average %d: %g, want %g ± %g", k, at(now, k), keep+take, tol)
				}
			}
			c := func(k int) float64 { return at(now, k) * float64(a.corr[k]) }
			slow, fast := 1/(math.Sqrt(c(4))+tinyRoot), 1/(math.Sqrt(c(3))+tinyRoot)
			s := 1.0
			if at(now, 0) < 0 {
				s = -1
			}
			for k, want := range []float64{g * slow, c(0) * slow, c(1) * slow, c(2) * slow, c(0) * fast, c(0) * inv, s} {
				if tol := 7 * eps * math.Abs(want); !near(n[k*Lanes+l], want, tol) {
					t.Fatalf("direction %d: %g, want %g ± %g", k, at(n, k), want, tol)
				}
				if k < 5 && at(x, k) != s*at(n, k) {
					t.Fatalf("feature %d: %g, the direction is %g and the sign %g", k, at(x, k), at(n, k), s)
				}
			}
			ratio := math.Sqrt(c(4)) * inv
			if want := (ratio - 1) / (ratio + 1); !near(x[5*Lanes+l], want, 10*eps) {
				t.Fatalf("feature 5: %g, want %g", at(x, 5), want)
			}
		}
	}
}

// TestMomentaOfSmallGradients draws gradients whose averages have subnormal terms. The assembly takes 0 for them: two terms
// of less than 1.2e-38, times a factor of up to 1000 at the first step. The root of such an average of g² is below 5e-18,
// 1/200 of what is added to it. Such an average of g changes directions by 2·1.2e-38·1000/1e-15. If it becomes 0, its sign
// may differ.
func TestMomentaOfSmallGradients(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 2))
	for i := range 800 {
		size := float32(math.Exp(-43 - rng.Float64()*60))
		draw := []func(int) float32{func(int) float32 { return size * float32(rng.NormFloat64()) }, tiny(rng)}[i%2]
		testMomenta(t, rng, draw, func(what string, a momentaArgs, now, n, got, twin []float32) {
			t.Helper()
			for j, w := range twin {
				if math.Abs(float64(n[j%Lanes+6*Lanes])) != 1 {
					t.Fatalf("%s: sign %g", what, n[j%Lanes+6*Lanes])
				}
				g := float64(got[j])
				if tol := 5e-3*math.Abs(float64(w)) + 3e-20; !(math.Abs(g-float64(w)) <= tol) && !(now[j%Lanes] == 0 && math.Abs(g+float64(w)) <= tol) {
					t.Fatalf("%s: row %d: %g, twin %g, of g %g", what, j/Lanes, g, w, a.grad.x[j%Lanes])
				}
			}
		})
	}
}

// adjointArgs are the inputs of MomentaAdjoint.
type adjointArgs struct {
	momentaArgs
	n, now, dg, dx, dn, dm *guard
}

func drawMomentaAdjoint(rng *rand.Rand, draw func(int) float32) adjointArgs {
	a := adjointArgs{momentaArgs: drawMomenta(rng, draw)}
	a.n, a.now = nines(rng, Directions+1), nines(rng, Moments)
	momenta(make([]float32, MomentaRows*Lanes), a.n.x, a.grad.x, a.old.x, a.now.x, a.corr, a.inv)
	a.n, a.now = newGuard(len(a.n.x), 3, func(i int) float32 { return a.n.x[i] }), newGuard(len(a.now.x), 5, func(i int) float32 { return a.now.x[i] })
	any := normal(rng)
	a.dg, a.dx = newGuard(Lanes, 0, any), newGuard(MomentaRows*Lanes, rng.IntN(17), any)
	a.dm = newGuard(Moments*Lanes, 0, any)
	a.dn = &guard{}
	if rng.IntN(2) == 0 {
		a.dn = newGuard(Directions*Lanes, rng.IntN(17), any)
	}
	return a
}

func wide(x []float32) []float64 {
	if x == nil {
		return nil
	}
	w := make([]float64, len(x))
	for i, v := range x {
		w[i] = float64(v)
	}
	return w
}

// TestMomentaAdjoint holds every path to the twin's bits, and the twin to its float64 form, which lstm checks against
// differences.
func TestMomentaAdjoint(t *testing.T) {
	rng := rand.New(rand.NewPCG(10, 1))
	for i := range 1200 {
		a := drawMomentaAdjoint(rng, []func(int) float32{normal(rng), scaled(rng), strange(rng)}[i%3])
		var twin [2][]float32
		eachFromTwin(func(k *Kernels[float32]) {
			what := fmt.Sprintf("%s: dn=%v", k.Path, a.dn.x != nil)
			dg, dm := a.dg.fresh(rng), a.dm.fresh(rng)
			k.MomentaAdjoint(dg.x, a.dx.x, a.dn.x, a.n.x, a.grad.x, a.now.x, dm.x, a.corr, a.inv)
			dg.check(t, what, false)
			dm.check(t, what, false)
			for _, g := range []*guard{a.dx, a.n, a.grad, a.now} {
				g.check(t, what, true)
			}
			if twin[0] == nil {
				twin = [2][]float32{dg.x, dm.x}
			}
			sameBits(t, what+": gradients", dg.x, twin[0])
			sameBits(t, what+": moments", dm.x, twin[1])
		})
		if i%3 != 2 {
			againstFloat64(t, a, twin[0], twin[1])
		}
	}
}

// againstFloat64 allows 20 roundings of the sum of the magnitudes of all terms of a result.
func againstFloat64(t *testing.T, a adjointArgs, gotG, gotM []float32) {
	t.Helper()
	dg, dm, corr := wide(a.dg.before), wide(a.dm.before), wide(a.corr)
	momentaAdjoint(dg, wide(a.dx.x), wide(a.dn.x), wide(a.n.x), wide(a.grad.x), wide(a.now.x), dm, corr, float64(a.inv))
	for l := range Lanes {
		at := func(g *guard, row int) float64 {
			if g.x == nil {
				return 0
			}
			return math.Abs(float64(g.before[row*Lanes+l]))
		}
		var d [Directions]float64
		for k := range d {
			if d[k] = at(a.dn, k); k < 5 {
				d[k] += at(a.dx, k)
			}
		}
		rootL, rootS, inv := math.Sqrt(at(a.now, 4)*corr[4]), math.Sqrt(at(a.now, 3)*corr[3]), float64(a.inv)
		slow, fast, bend := 1/(rootL+tinyRoot), 1/(rootS+tinyRoot), 1+rootL*inv
		dRootL := at(a.dx, 5) * 2 / (bend * bend) * inv
		for k := range 4 {
			dRootL += d[k] * at(a.n, k) * slow
		}
		sizes := [Moments]float64{
			(d[1]*slow+d[4]*fast+d[5]*inv)*corr[0] + at(a.dm, 0), d[2]*slow*corr[1] + at(a.dm, 1), d[3]*slow*corr[2] + at(a.dm, 2),
			at(a.dm, 3), at(a.dm, 4),
		}
		if rootS > 0 {
			sizes[3] += d[4] * at(a.n, 4) * fast / (2 * rootS) * corr[3]
		}
		if rootL > 0 {
			sizes[4] += dRootL / (2 * rootL) * corr[4]
		}
		total := at(a.dg, 0) + d[0]*slow
		for k, size := range sizes {
			if tol := 20 * eps * MomentBetas[k] * size; !near(gotM[k*Lanes+l], dm[k*Lanes+l], tol) {
				t.Fatalf("average %d: %g, want %g ± %g", k, gotM[k*Lanes+l], dm[k*Lanes+l], tol)
			}
			share := (1 - MomentBetas[k]) * size
			if k >= 3 {
				share *= 2 * at(a.grad, 0)
			}
			total += share
		}
		if tol := 20 * eps * total; !near(gotG[l], dg[l], tol) {
			t.Fatalf("gradient: %g, want %g ± %g", gotG[l], dg[l], tol)
		}
	}
}

// TestMix holds every path to the twin's bits, and the twin to float64.
func TestMix(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 1))
	for i := range 1200 {
		draw := []func(int) float32{normal(rng), scaled(rng), strange(rng)}[i%3]
		z0, n := newGuard((Mixed+1)*Lanes, 0, normal(rng)), newGuard((Directions+1)*Lanes, rng.IntN(17), draw)
		if i%3 == 2 {
			z0 = newGuard((Mixed+1)*Lanes, 0, draw)
		}
		idle := rng.IntN(Lanes)
		for k := range Directions {
			n.set(k*Lanes+idle, 0)
		}
		var twin [2][]float32
		eachFromTwin(func(k *Kernels[float32]) {
			y, z := nines(rng, 1), z0.fresh(rng)
			k.Mix(y.x, z.x, n.x)
			n.check(t, k.Path, true)
			y.check(t, k.Path, false)
			z.check(t, k.Path, false)
			if twin[0] == nil {
				twin = [2][]float32{y.x, z.x}
			}
			sameBits(t, k.Path+": y", y.x, twin[0])
			sameBits(t, k.Path+": z", z.x, twin[1])
			sameBits(t, k.Path+": weights", z.x[:Mixed*Lanes], z0.x[:Mixed*Lanes])
		})
		if i%3 == 2 {
			continue
		}
		for l := range Lanes {
			s, e := float64(z0.x[Mixed*Lanes+l]), float64(twin[1][Mixed*Lanes+l])
			base := s + math.Sqrt(s*s+1)
			// The base cancels for s < 0. Its error, three roundings of its terms, doubles in the square.
			if tol := 6*eps*base*(math.Abs(s)+math.Sqrt(s*s+1)) + 2*eps*base*base; !near(float32(e), base*base, tol) {
				t.Fatalf("E(%g) = %g, want %g ± %g", s, e, base*base, tol)
			}
			sum, size := 0.0, 0.0
			for j, row := range []int{0, 1, 2, 4, 5} {
				p := float64(z0.x[j*Lanes+l]) * float64(n.x[row*Lanes+l])
				sum, size = sum+p, size+math.Abs(p)
			}
			if tol := 7 * eps * e * size; !near(twin[0][l], e*sum, tol) {
				t.Fatalf("y = %g, want %g ± %g", twin[0][l], e*sum, tol)
			}
		}
	}
}

// TestMixAdjoint holds every path to the twin's bits, and the twin to float64.
func TestMixAdjoint(t *testing.T) {
	rng := rand.New(rand.NewPCG(12, 1))
	for i := range 1200 {
		draw := []func(int) float32{normal(rng), normal(rng), strange(rng)}[i%3]
		z, n := newGuard((Mixed+1)*Lanes, rng.IntN(17), draw), newGuard((Directions+1)*Lanes, rng.IntN(17), draw)
		y, dy := newGuard(Lanes, rng.IntN(17), draw), newGuard(Lanes, rng.IntN(17), draw)
		mix(y.x, z.x, n.x)
		z, y = newGuard(len(z.x), 3, func(i int) float32 { return z.x[i] }), newGuard(Lanes, 5, func(i int) float32 { return y.x[i] })
		withN := i%2 == 0
		var twin [2][]float32
		eachFromTwin(func(k *Kernels[float32]) {
			what := fmt.Sprintf("%s: dn=%v", k.Path, withN)
			dz, dn := nines(rng, Mixed+1), nines(rng, Directions)
			if withN {
				k.MixAdjoint(dz.x, dn.x, dy.x, y.x, z.x, n.x)
			} else {
				k.MixAdjoint(dz.x, nil, dy.x, y.x, z.x, n.x)
			}
			for _, g := range []*guard{dy, y, z, n} {
				g.check(t, what, true)
			}
			dz.check(t, what, false)
			dn.check(t, what, !withN)
			if twin[0] == nil {
				twin = [2][]float32{dz.x, dn.x}
			}
			sameBits(t, what+": weights", dz.x, twin[0])
			sameBits(t, what+": directions", dn.x, twin[1])
		})
		if i%3 == 2 {
			continue
		}
		for l := range Lanes {
			d, e, yl := float64(dy.x[l]), float64(z.x[Mixed*Lanes+l]), float64(y.x[l])
			r := math.Sqrt(e)
			hold := func(what string, got float32, want float64) {
				t.Helper()
				if !near(got, want, 8*eps*math.Abs(want)) {
					t.Fatalf("%s: %g, want %g", what, got, want)
				}
			}
			hold("size", twin[0][Mixed*Lanes+l], d*yl*4/(r+1/r))
			for j, row := range []int{0, 1, 2, 4, 5} {
				hold("weight", twin[0][j*Lanes+l], d*e*float64(n.x[row*Lanes+l]))
				if withN {
					hold("direction", twin[1][row*Lanes+l], d*e*float64(z.x[j*Lanes+l]))
				}
			}
			if withN {
				hold("direction that is not mixed", twin[1][3*Lanes+l], 0)
			}
		}
	}
}

// TestSums holds every path to the twin's bits, and the twin to a plain sum in float64, which may itself err by 32 roundings.
func TestSums(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 1))
	for i := range 1200 {
		draw := []func(int) float32{normal(rng), scaled(rng), strange(rng)}[i%3]
		g, theta, u := newGuard(Lanes, rng.IntN(17), draw), newGuard(Lanes, rng.IntN(17), draw), newGuard(Lanes, rng.IntN(17), draw)
		m := newGuard(2*Lanes, rng.IntN(17), draw)
		inputs := []*guard{g, theta, u, m}
		if i%2 == 0 {
			m = &guard{}
			inputs = inputs[:3]
		}
		var twin *[SumRows]float64
		eachFromTwin(func(k *Kernels[float32]) {
			all := [SumRows + 2]float64{7, 0, 0, 0, 0, 0, 0, 7}
			k.Sums((*[SumRows]float64)(all[1:]), g.x, theta.x, u.x, m.x)
			for _, in := range inputs {
				in.check(t, k.Path, true)
			}
			if all[0] != 7 || all[SumRows+1] != 7 {
				t.Fatalf("%s: wrote beside the sums", k.Path)
			}
			if twin == nil {
				twin = (*[SumRows]float64)(all[1:])
			}
			for i, s := range all[1 : SumRows+1] {
				if math.Float64bits(s) != math.Float64bits(twin[i]) && (s == s || twin[i] == twin[i]) {
					t.Fatalf("%s: sum %d is %v, twin %v", k.Path, i, s, twin[i])
				}
			}
		})
		var want, size [SumRows]float64
		for l := range Lanes {
			gl := float64(min(max(g.x[l], -1e18), 1e18))
			terms := [SumRows]float64{gl * gl, math.Pow(float64(theta.x[l]), 2), math.Pow(float64(u.x[l]), 2), gl * float64(u.x[l])}
			if m.x != nil {
				terms[4], terms[5] = math.Pow(float64(m.x[l]), 2), math.Pow(float64(m.x[Lanes+l]), 2)
			}
			for i, x := range terms {
				want[i] += x
				size[i] += math.Abs(x)
			}
		}
		for i, w := range want {
			if s := twin[i]; s != w && !(math.Abs(s-w) <= 38*0x1p-53*size[i]) && !(math.IsNaN(s) && math.IsNaN(w)) {
				t.Fatalf("sum %d is %v, want %v", i, s, w)
			}
		}
	}
}

// TestShortMoments expects a panic for every slice that is an element too short.
func TestShortMoments(t *testing.T) {
	rows := func(n int) []float32 { return make([]float32, n*Lanes) }
	short := func(n int) []float32 { return make([]float32, n*Lanes-1) }
	for _, k := range available() {
		corr := make([]float32, Moments)
		for i := range 6 {
			a := [][]float32{rows(6), rows(7), rows(1), rows(5), rows(5), corr}
			a[i] = a[i][:len(a[i])-1]
			mustPanic(t, errMomenta, func() { k.Momenta(a[0], a[1], a[2], a[3], a[4], a[5], 1) })
		}
		for i := range 8 {
			a := [][]float32{rows(1), rows(6), rows(6), rows(7), rows(1), rows(5), rows(5), corr}
			a[i] = a[i][:len(a[i])-1]
			mustPanic(t, errMomenta, func() { k.MomentaAdjoint(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], 1) })
		}
		mustPanic(t, errMix, func() { k.Mix(short(1), rows(6), rows(6)) })
		mustPanic(t, errMix, func() { k.Mix(rows(1), short(6), rows(6)) })
		mustPanic(t, errMix, func() { k.Mix(rows(1), rows(6), short(6)) })
		for i := range 6 {
			a := [][]float32{rows(6), rows(6), rows(1), rows(1), rows(6), rows(6)}
			a[i] = a[i][:len(a[i])-1]
			mustPanic(t, errMix, func() { k.MixAdjoint(a[0], a[1], a[2], a[3], a[4], a[5]) })
		}
		for i := range 4 {
			a := [][]float32{rows(1), rows(1), rows(1), rows(2)}
			a[i] = a[i][:len(a[i])-1]
			mustPanic(t, errSums, func() { k.Sums(new([SumRows]float64), a[0], a[1], a[2], a[3]) })
		}
	}
}
