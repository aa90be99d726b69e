package main

import "learnedopt/internal/simd/_gen/twin"

// The kernels that turn gradients into features and directions.

const (
	signs = 6 // the row of signs, after the directions
	mixed = 5 // the row of the size, after the weights
)

func logAndSign() *function {
	f := open("logAndSign")
	f.flushSubnormals()
	x, grad := f.arg("x"), f.arg("grad")
	f.constants("logsNEON", twin.Logs)
	p, large := f.scalar("p"), f.scalar("large")
	one, minus, root, inf := f.hold("1"), f.hold("-1"), f.hold("√½"), f.hold("inf")
	low, high := f.hold("ln2lo"), f.hold("ln2hi")
	f.eachVector([]R{x, grad}, func() {
		g := f.from(grad, 0)
		f.to(f.op(fmin, f.op(fmax, f.op(fmul, g, large), minus), one), x, row)
		// |g| = 2^k·(1+m) with 1+m from √½ to √2; ln(1+m) = m - m²/2 + m³·l(m).
		a := f.op(fabs, g)
		k := f.op(sshr23, f.op(isub, a, root))
		m := f.op(fsub, f.op(isub, a, f.op(shl23, k)), one)
		k = f.op(scvtf, k)
		y := f.horner(m, "l8", "l7", "l6", "l5", "l4", "l3", "l2", "l1", "l0", "-½")
		square := f.op(fmul, m, m)
		f.set(fmla, m, k, low)
		f.set(fmla, m, square, y)
		f.set(fmla, m, k, high)
		// Inf and NaN are their own logarithms.
		usual := f.op(fcmgt, inf, a)
		f.set(bsl, usual, m, a)
		f.to(f.op(fmax, f.op(fdiv, usual, p), minus), x, 0)
	})
	f.end()
	return f
}

func rnnProp() *function {
	f := open("rnnProp")
	f.flushSubnormals()
	x, grad, mPrev, vPrev, m, v := f.arg("x"), f.arg("grad"), f.arg("mPrev"), f.arg("vPrev"), f.arg("m"), f.arg("v")
	keep, take, correction, epsilon := f.scalar("keep"), f.scalar("take"), f.scalar("correction"), f.scalar("epsilon")
	f.eachVector([]R{x}, func() {
		g := f.take(grad)
		share := f.op(fmul, g, take)
		ml := f.op(fadd, f.op(fmul, f.take(mPrev), keep), share)
		f.put(ml, m)
		vl := f.op(fmul, f.take(vPrev), keep)
		f.set(fmla, vl, share, g)
		f.put(vl, v)
		d := f.op(fadd, f.op(fsqrt, f.op(fmul, vl, correction)), epsilon)
		f.to(f.op(fdiv, f.op(fmul, ml, correction), d), x, 0)
		f.to(f.op(fdiv, g, d), x, row)
	})
	f.end()
	return f
}

// averages are a function with what the kernels of moments hold in registers.
type averages struct {
	*function
	huge, minus, tiny, one, two, inv X
	corr                             [5]X
}

func openMoments(name string, width int) (*averages, R) {
	f := open(name)
	f.width = width
	f.flushSubnormals()
	corr := f.arg("corr")
	f.constants("momentsNEON", twin.Moments())
	a := &averages{function: f, huge: f.hold("huge"), minus: f.hold("-huge"), tiny: f.hold("tiny"), one: f.hold("1"), two: f.hold("2"), inv: f.scalar("inv")}
	for i := range a.corr {
		v := f.pin()
		f.line("VLD1R.P 4(%v), [V%d.S4]", corr, v)
		a.corr[i] = f.all(v)
	}
	return a, corr
}

// gradient is the clipped gradient.
func (a *averages) gradient(base R) X {
	return a.op(fmin, a.op(fmax, a.from(base, 0), a.minus), a.huge)
}

func (a *averages) mul(x, y X) X  { return a.op(fmul, x, y) }
func (a *averages) add(x, y X) X  { return a.op(fadd, x, y) }
func (a *averages) over(x, y X) X { return a.op(fdiv, x, y) }

// root is the root of average i, corrected; inverse is 1/(root + tiny).
func (a *averages) root(v X, i int) X { return a.op(fsqrt, a.mul(v, a.corr[i])) }
func (a *averages) inverse(root X) X  { return a.over(a.one, a.add(root, a.tiny)) }

// None of these kernels fuses a product with a sum, so that they give the bits of their twins.

func momenta() *function {
	k, _ := openMoments("momenta", 2)
	x, n, grad, old, now := k.arg("x"), k.arg("n"), k.arg("grad"), k.arg("old"), k.arg("now")
	k.eachVector([]R{x, n, grad, old, now}, func() {
		g := k.gradient(grad)
		average := func(i int, square bool) X {
			share := k.mul(g, k.fresh(twin.Take[i]))
			if square {
				share = k.mul(share, g)
			}
			m := k.add(k.mul(k.from(old, i*row), k.fresh(twin.Keep[i])), share)
			k.to(m, now, i*row)
			return m
		}
		root := k.root(average(4, true), 4)
		slow := k.inverse(root)
		k.to(k.op(fsub, k.one, k.over(k.two, k.add(k.mul(root, k.inv), k.one))), x, 5*row)

		m0 := average(0, false)
		s := k.op(fcmlt0, m0)
		k.set(bsl, s, k.fresh("-1"), k.one)
		k.to(s, n, signs*row)
		direction := func(i int, v X) {
			k.to(v, n, i*row)
			if i < 5 {
				k.to(k.mul(v, s), x, i*row)
			}
		}
		direction(0, k.mul(g, slow))
		m0 = k.mul(m0, k.corr[0])
		direction(1, k.mul(m0, slow))
		direction(5, k.mul(m0, k.inv))
		for i := 1; i <= 2; i++ {
			direction(1+i, k.mul(k.mul(average(i, false), k.corr[i]), slow))
		}
		direction(4, k.mul(m0, k.inverse(k.root(average(3, true), 3))))
	})
	k.end()
	return k.function
}

func momentaAdjoint() *function {
	k, dn := openMoments("momentaAdjoint", 1) // with two vectors at a time, registers run out
	dg, dx, n, grad, now, dm := k.arg("dg"), k.arg("dx"), k.arg("n"), k.arg("grad"), k.arg("now"), k.arg("dm")
	k.load("dn", dn)
	without, done := k.label("without"), k.label("done")
	k.line("CBZ %v, %s", dn, without)
	k.eachVector([]R{dg, dx, n, grad, now, dm, dn}, func() { k.momentaAdjoint(dg, dx, dn, n, grad, now, dm, true) })
	k.line("B %s", done)
	k.mark(without)
	k.eachVector([]R{dg, dx, n, grad, now, dm}, func() { k.momentaAdjoint(dg, dx, dn, n, grad, now, dm, false) })
	k.mark(done)
	k.end()
	return k.function
}

func (k *averages) momentaAdjoint(dg, dx, dn, n, grad, now, dm R, withN bool) {
	// adjoint is the adjoint of direction i.
	adjoint := func(i int) X {
		switch {
		case i < 5 && withN:
			return k.add(k.mul(k.from(dx, i*row), k.from(n, signs*row)), k.from(dn, i*row))
		case i < 5:
			return k.mul(k.from(dx, i*row), k.from(n, signs*row))
		}
		return k.from(dn, i*row)
	}
	// pass stores what a moment's adjoint becomes; it returns its share in the gradient.
	pass := func(i int, a X) X {
		k.to(k.mul(a, k.fresh(twin.Keep[i])), dm, i*row)
		return k.mul(a, k.fresh(twin.Take[i]))
	}
	// slope is a + dRoot/(2·root)·corr where root > 0, else a.
	slope := func(a, dRoot, root X, i int) X {
		sum := k.add(k.mul(k.over(dRoot, k.mul(root, k.two)), k.corr[i]), a)
		positive := k.op(fcmgt0, root)
		k.set(bsl, positive, sum, a)
		return positive
	}

	root := k.root(k.from(now, 3*row), 3)
	fast := k.inverse(root)
	d4 := adjoint(4)
	down := k.mul(k.mul(k.op(fneg, d4), k.from(n, 4*row)), fast)
	as := pass(3, slope(k.from(dm, 3*row), down, root, 3))
	d4 = k.mul(d4, fast)

	root = k.root(k.from(now, 4*row), 4)
	slow := k.inverse(root)
	bend := k.add(k.mul(root, k.inv), k.one)
	part := k.mul(k.over(k.mul(k.from(dx, 5*row), k.two), k.mul(bend, bend)), k.inv)
	d0 := adjoint(0)
	sum := k.mul(d0, k.from(n, 0))
	d1 := adjoint(1)
	sum = k.add(sum, k.mul(d1, k.from(n, row)))
	d2 := adjoint(2)
	sum = k.add(sum, k.mul(d2, k.from(n, 2*row)))
	d3 := adjoint(3)
	sum = k.add(sum, k.mul(d3, k.from(n, 3*row)))
	sum = k.add(k.mul(k.op(fneg, sum), slow), part)
	al := pass(4, slope(k.from(dm, 4*row), sum, root, 4))
	as = k.mul(k.add(as, al), k.mul(k.gradient(grad), k.two))

	total := k.mul(d0, slow)
	d1 = k.add(k.mul(d1, slow), d4)
	if withN {
		d1 = k.add(d1, k.mul(adjoint(5), k.inv))
	}
	for i, d := range []X{d1, d2, d3} {
		if i > 0 {
			d = k.mul(d, slow)
		}
		total = k.add(total, pass(i, k.add(k.mul(d, k.corr[i]), k.from(dm, i*row))))
	}
	k.to(k.add(k.add(total, as), k.from(dg, 0)), dg, 0)
}

func mix() *function {
	f := open("mix")
	f.flushSubnormals()
	y, z, n := f.arg("y"), f.arg("z"), f.arg("n")
	f.constants("momentsNEON", twin.Moments())
	one, zero := f.hold("1"), f.zero()
	f.eachVector([]R{z, n}, func() {
		s := f.from(z, mixed*row)
		e := f.op(fadd, f.op(fsqrt, f.op(fadd, f.op(fmul, s, s), one)), s)
		e = f.op(fmul, e, e)
		f.to(e, z, mixed*row)
		sum := zero // from 0 on, so that it is not -0
		for j, r := range twin.MixRows {
			sum = f.op(fadd, sum, f.op(fmul, f.from(n, r*row), f.from(z, j*row)))
		}
		f.put(f.op(fmul, sum, e), y)
	})
	f.end()
	return f
}

func mixAdjoint() *function {
	f := open("mixAdjoint")
	f.flushSubnormals()
	dz, dn, dy, y, z, n := f.arg("dz"), f.arg("dn"), f.arg("dy"), f.arg("y"), f.arg("z"), f.arg("n")
	f.constants("momentsNEON", twin.Moments())
	one, four, zero := f.hold("1"), f.hold("4"), f.zero()
	body := func(withN bool) func() {
		return func() {
			e, d := f.from(z, mixed*row), f.take(dy)
			r := f.op(fsqrt, e)
			r = f.op(fadd, r, f.op(fdiv, one, r))
			f.to(f.op(fdiv, f.op(fmul, f.op(fmul, d, f.take(y)), four), r), dz, mixed*row)
			d = f.op(fmul, d, e)
			for j, r := range twin.MixRows {
				f.to(f.op(fmul, d, f.from(n, r*row)), dz, j*row)
				if withN {
					f.to(f.op(fmul, d, f.from(z, j*row)), dn, r*row)
				}
			}
			if withN {
				f.to(zero, dn, 3*row)
			}
		}
	}
	without, done := f.label("without"), f.label("done")
	f.line("CBZ %v, %s", dn, without)
	f.eachVector([]R{dz, z, n, dn}, body(true))
	f.line("B %s", done)
	f.mark(without)
	f.eachVector([]R{dz, z, n}, body(false))
	f.mark(done)
	f.end()
	return f
}

// sums accumulates eight float64 sums of each kind, in four vectors.
func sums() *function {
	f := open("sums")
	f.flushSubnormals()
	sum, grad, theta, u, m := f.arg("sum"), f.arg("grad"), f.arg("theta"), f.arg("u"), f.arg("m")
	f.constants("momentsNEON", twin.Moments())
	pins := func(n int) []V {
		all := make([]V, n)
		for i := range all {
			all[i] = f.pin()
			f.do(eor, all[i], all[i], all[i])
		}
		return all
	}
	// wide is eight float32 as float64.
	wide := func(x X) []V {
		w := make([]V, 4)
		for i := range w {
			w[i] = f.name1()
			f.do([]form{fcvtl, fcvtl2}[i%2], w[i], x[i/2])
		}
		return w
	}
	multiply := func(sum, x, y []V) {
		for i := range sum {
			f.do(fmla2d, sum[i], x[i], y[i])
		}
	}
	// total adds up partial sums and stores them.
	total := func(sums ...[]V) {
		for _, s := range sums {
			f.do(fadd2d, s[0], s[0], s[2])
			f.do(fadd2d, s[1], s[1], s[3])
			f.do(fadd2d, s[0], s[0], s[1])
			f.do(faddp2d, s[0], s[0])
			f.line("FMOVD.P F%d, 8(%v)", s[0], sum)
			f.unpin(s...)
		}
	}
	gg, tt, uu, gu := pins(4), pins(4), pins(4), pins(4)
	huge, minus := f.hold("huge"), f.hold("-huge")
	f.eachVector(nil, func() {
		g := wide(f.op(fmin, f.op(fmax, f.take(grad), minus), huge))
		multiply(gg, g, g)
		v := wide(f.take(u))
		multiply(uu, v, v)
		multiply(gu, g, v)
		v = wide(f.take(theta))
		multiply(tt, v, v)
	})
	total(gg, tt, uu, gu)
	first, second, none := pins(4), pins(4), f.label("none")
	f.line("CBZ %v, %s", m, none)
	f.eachVector([]R{m}, func() {
		v := wide(f.from(m, 0))
		multiply(first, v, v)
		v = wide(f.from(m, row))
		multiply(second, v, v)
	})
	f.mark(none)
	total(first, second)
	f.end()
	return f
}

// fmaChains is for the peak: sixteen chains that need nothing but themselves. From -1/2 they go to 0 like -1/n.
func fmaChains() *function {
	f := open("fmaChains")
	n := f.arg("n")
	f.line("FMOVS $-0.5, F0")
	for v := V(15); ; v-- {
		f.do(dup, v, 0, 0)
		if v == 0 {
			break
		}
	}
	f.loop(n, func() {
		for v := range V(16) {
			f.do(fmla, v, v, v)
		}
	})
	f.end()
	return f
}
