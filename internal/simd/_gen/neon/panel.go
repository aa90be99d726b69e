package main

// The kernels of package gemm.

// panel keeps a tile of c in registers over the whole loop in p; each element of a is loaded into every lane. The columns
// are cut into whole vectors. The last of them ends with the last column, so it may overlap the one before; both then compute
// the same numbers. Where there are less than four columns, it takes two of them or one.
func panel() *function {
	f := open("panel")
	f.flushSubnormals()
	c, cr := f.arg("c"), f.arg("cr")
	ar, ac, br := f.arg("ar"), f.arg("ac"), f.arg("br")
	for _, stride := range []R{cr, ar, ac, br} {
		f.line("LSL $2, %v, %v", stride, stride)
	}
	n, m, a, b, tail, left := f.arg("n"), f.general(), f.general(), f.general(), f.general(), f.general()
	to := f.general()
	rows := [4]R{f.general(), f.general(), f.general(), f.general()}
	first := f.general()
	f.load("b", first)
	all := f.label("done")

	// each moves over the rows of c.
	each := func(count int, op func(r int)) {
		f.line("MOVD %v, %v", c, to)
		for r := range count {
			op(r)
			f.line("ADD %v, %v", cr, to)
		}
	}
	// tile computes count rows. vecs are whole vectors; if lanes is 2 or 1, there is one vector of so many.
	tile := func(count, vecs, lanes int) {
		last := vecs - 1
		const br0, ar0 = 24, 30 // the registers of b and of a
		sum := func(r, v int) int { return r*vecs + v }
		// the last vector of a row at an address, of which it begins tail bytes behind
		move := func(base R, v int, store bool) {
			op, list := "VLD1", "[V%d.S4]"
			at := to
			if lanes == 4 {
				f.line("ADD %v, %v, %v", tail, base, left)
				at = left
			}
			switch lanes {
			case 2:
				list = "[V%d.S2]"
			case 1:
				list = "V%d.S[0]"
			}
			if store {
				f.line("VST1 "+list+", (%v)", v, at)
			} else {
				f.line(op+" (%v), "+list, at, v)
			}
		}
		zero, ready := f.label("zero"), f.label("ready")
		f.line("MOVBU acc+%d(FP), %v", f.args["acc"].offset, left)
		f.line("CBZ %v, %s", left, zero)
		each(count, func(r int) {
			for v := range last {
				f.line("FMOVQ %d(%v), F%d", v*vector, to, sum(r, v))
			}
			move(to, sum(r, last), false)
		})
		f.line("B %s", ready)
		f.mark(zero)
		for i := range count * vecs {
			f.do(eor, V(i), V(i), V(i))
		}
		f.mark(ready)
		f.line("MOVD %v, %v", first, b)
		if lanes == 4 {
			f.line("ADD %v, %v, %v", tail, b, to)
		}
		for r := range count {
			if r == 0 {
				f.line("MOVD %v, %v", a, rows[0])
			} else {
				f.line("ADD %v, %v, %v", ar, rows[r-1], rows[r])
			}
		}
		f.load("k", left)
		f.loop(left, func() {
			for v := 0; v+2 <= last; v += 2 {
				f.line("FLDPQ %d(%v), (F%d, F%d)", v*vector, b, br0+v, br0+v+1)
			}
			if last%2 == 1 {
				f.line("FMOVQ %d(%v), F%d", (last-1)*vector, b, br0+last-1)
			}
			switch lanes {
			case 4:
				f.line("VLD1.P (%v)(%v), [V%d.S4]", to, br, br0+last)
			case 2:
				f.line("VLD1.P (%v)(%v), [V%d.S2]", b, br, br0)
			case 1:
				f.line("VLD1R.P (%v)(%v), [V%d.S4]", b, br, br0)
			}
			if last > 0 {
				f.line("ADD %v, %v", br, b)
			}
			for r := range count {
				x := ar0 + r%2
				f.line("VLD1R.P (%v)(%v), [V%d.S4]", rows[r], ac, x)
				for v := range vecs {
					f.do(fmla, V(sum(r, v)), V(br0+v), V(x))
				}
			}
		})
		each(count, func(r int) {
			for v := range last {
				f.line("FMOVQ F%d, %d(%v)", sum(r, v), v*vector, to)
			}
			move(to, sum(r, last), true)
		})
		f.line("MOVD %v, %v", to, c) // it went over count rows
		for range count {
			f.line("ADD %v, %v", ar, a)
		}
	}
	down := func(vecs, lanes int) {
		f.load("a", a)
		f.load("m", m)
		for _, count := range []int{4, 2, 1} {
			again, next := f.label("rows"), f.label("next")
			f.mark(again)
			f.line("CMP $%d, %v", count, m)
			f.line("BLT %s", next)
			tile(count, vecs, lanes)
			f.line("SUB $%d, %v", count, m)
			f.line("B %s", again)
			f.mark(next)
		}
	}
	narrow := f.label("narrow")
	f.line("CMP $4, %v", n)
	f.line("BLT %s", narrow)
	f.line("LSL $2, %v, %v", n, tail)
	f.line("SUB $16, %v", tail)
	for vecs := 1; vecs <= 6; vecs++ {
		wider := f.label("wider")
		if vecs < 6 {
			f.line("CMP $%d, %v", 4*vecs, n)
			f.line("BGT %s", wider)
		}
		down(vecs, 4)
		f.line("B %s", all)
		f.mark(wider)
	}
	f.mark(narrow)
	one := f.label("one")
	f.line("CMP $2, %v", n)
	f.line("BLT %s", one)
	down(1, 2)
	f.load("c", c)
	f.line("ADD $8, %v", c)
	f.line("ADD $8, %v", first)
	f.line("SUB $2, %v", n)
	f.mark(one)
	f.line("CBZ %v, %s", n, all)
	down(1, 1)
	f.mark(all)
	f.end()
	return f
}

// pixels divides sixteen bytes at a time. The product with 1/255 is off by an ulp at most; what it leaves of x is exact, and
// another division of that mends it.
func pixels() *function {
	f := open("pixels")
	dst, src, n := f.arg("dst"), f.arg("src"), f.arg("n")
	f.line("FMOVS $255.0, F16")
	f.do(dup, 16, 16, 0)
	f.line("FMOVS $%v, F17", float32(1./255))
	f.do(dup, 17, 17, 0)
	loop, done := f.label("loop"), f.label("done")
	f.mark(loop)
	f.line("SUBS $16, %v, %v", n, n)
	f.line("BLT %s", done)
	f.line("VLD1.P 16(%v), [V0.B16]", src)
	f.do(ushll8, 1, 0)
	f.do(ushll28, 2, 0)
	for i, from := range []V{1, 1, 2, 2} {
		x, q := V(4+i), V(8+i)
		f.do([]form{ushll16, ushll216}[i%2], x, from)
		f.do(ucvtf, x, x)
		f.do(fmul, q, x, 17)
		f.do(fmls, x, q, 16)
		f.do(fmla, q, x, 17)
	}
	f.line("VST1.P [V8.S4, V9.S4, V10.S4, V11.S4], 64(%v)", dst)
	f.line("B %s", loop)
	f.mark(done)
	f.end()
	return f
}
