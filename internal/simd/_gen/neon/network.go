package main

import "learnedopt/internal/simd/_gen/twin"

// The kernels of the network's maps and gates.

// shapes are the tiles of matMul: rows, and vectors of a row. Sixteen sums hide the latency of a multiply-add.
var shapes = [][2]int{{8, 2}, {4, 4}, {2, 8}, {1, 8}}

// matMul keeps a tile of c in registers over the whole loop in j. The weights of a column lie side by side; each of them is an
// element of a register.
func matMul() *function {
	f := open("matMul")
	f.flushSubnormals()
	c, a, x, bias := f.arg("c"), f.arg("a"), f.arg("x"), f.arg("bias")
	lda, m, k, acc := f.arg("lda"), f.arg("m"), f.arg("k"), f.arg("acc")
	f.line("LSL $2, %v, %v", lda, lda)
	part, to, w, xs, left := f.general(), f.general(), f.general(), f.general(), f.general()
	for _, shape := range shapes {
		rows, vecs := shape[0], shape[1]
		sum := func(r, v int) int { return r*vecs + v }
		const xr, wr = 16, 24 // the registers of x and of the weights
		again, next := f.label("rows"), f.label("next")
		f.mark(again)
		f.line("CMP $%d, %v", rows, m)
		f.line("BLT %s", next)
		f.line("MOVD ZR, %v", part)
		parts := f.label("part")
		f.mark(parts)
		f.line("ADD %v, %v, %v", part, c, to)
		f.line("ADD %v, %v, %v", part, x, xs)
		biased, more, ready := f.label("bias"), f.label("more"), f.label("ready")
		f.line("CBNZ %v, %s", bias, biased)
		f.line("CBNZ %v, %s", acc, more)
		for i := range rows * vecs {
			f.do(eor, V(i), V(i), V(i))
		}
		f.line("B %s", ready)
		f.mark(biased)
		f.weights(bias, 0, rows, wr)
		for r := range rows {
			for v := range vecs {
				f.do(dup, V(sum(r, v)), V(wr+r/4), V(r%4))
			}
		}
		f.line("B %s", ready)
		f.mark(more)
		for r := range rows {
			for v := 0; v < vecs; v += 2 {
				f.line("FLDPQ %d(%v), (F%d, F%d)", r*row+v*vector, to, sum(r, v), sum(r, v)+1)
			}
		}
		f.mark(ready)
		f.line("MOVD %v, %v", a, w)
		step := func() {
			f.weights(w, lda, rows, wr)
			for v := 2; v < vecs; v += 2 {
				f.line("FLDPQ %d(%v), (F%d, F%d)", v*vector, xs, xr+v, xr+v+1)
			}
			f.line("FLDPQ.P %d(%v), (F%d, F%d)", row, xs, xr, xr+1)
			for r := range rows {
				for v := range vecs {
					f.do(by, V(sum(r, v)), V(xr+v), V(wr+r/4), V(r%4))
				}
			}
		}
		even, store := f.label("even"), f.label("store")
		f.line("LSR $1, %v, %v", k, left)
		f.line("TBZ $0, %v, %s", k, even)
		step()
		f.mark(even)
		f.line("CBZ %v, %s", left, store)
		f.loop(left, func() { step(); step() })
		f.mark(store)
		for r := range rows {
			for v := 0; v < vecs; v += 2 {
				f.line("FSTPQ (F%d, F%d), %d(%v)", sum(r, v), sum(r, v)+1, r*row+v*vector, to)
			}
		}
		if vecs < 8 {
			f.line("ADD $%d, %v", vecs*vector, part)
			f.line("CMP $%d, %v", row, part)
			f.line("BLT %s", parts)
		}
		f.line("ADD $%d, %v", rows*row, c)
		f.line("ADD $%d, %v", rows*4, a)
		none := f.label("none")
		f.line("CBZ %v, %s", bias, none)
		f.line("ADD $%d, %v", rows*4, bias)
		f.mark(none)
		f.line("SUB $%d, %v", rows, m)
		f.line("B %s", again)
		f.mark(next)
	}
	f.end()
	return f
}

// weights loads adjacent numbers for 8, 4, 2 or 1 rows into registers from first on; after them the address moves on by the
// register by, unless by is R0.
func (f *function) weights(base, by R, rows, first int) {
	op, address := "VLD1", "("+base.String()+")"
	if rows == 1 {
		op = "VLD1R"
	}
	if by != 0 {
		op, address = op+".P", address+"("+by.String()+")"
	}
	switch rows {
	case 8:
		f.line("%s %s, [V%d.S4, V%d.S4]", op, address, first, first+1)
	case 2:
		f.line("%s %s, [V%d.S2]", op, address, first)
	default:
		f.line("%s %s, [V%d.S4]", op, address, first)
	}
}

// outer keeps the partial sums of a tile in registers, four of each, through all steps.
func outer() *function {
	f := open("outer")
	f.flushSubnormals()
	dw, x, z := f.arg("dw"), f.arg("x"), f.general()
	k, m, steps, stride := f.arg("k"), f.general(), f.arg("steps"), f.arg("stride")
	width := f.arg("m") // bytes of a row of dw
	f.line("LSL $4, %v, %v", width, width)
	f.line("LSL $2, %v, %v", stride, stride)
	to, at, xs, zs, left := f.general(), f.general(), f.general(), f.general(), f.general()
	tile := func(rows, cols int) {
		const zr, xr = 16, 24
		each := func(op string) {
			f.line("MOVD %v, %v", to, at)
			for r := range rows {
				list := "[V%d.S4]"
				if cols == 4 {
					list = "[V%d.S4, V%d.S4, V%d.S4, V%d.S4]"
				}
				regs := []any{r * cols, r*cols + 1, r*cols + 2, r*cols + 3}[:cols]
				operands := "%[1]s, (%[2]v)"
				if op == "VLD1" {
					operands = "(%[2]v), %[1]s"
				}
				f.line(op+" "+operands, sprintf(list, regs...), at)
				f.line("ADD %v, %v", width, at)
			}
		}
		each("VLD1")
		f.line("MOVD %v, %v", x, xs)
		f.line("MOVD %v, %v", z, zs)
		sum := f.label("sum")
		f.line("MOVD %v, %v", steps, left)
		f.line("CBZ %v, %s", left, sum)
		f.loop(left, func() {
			for offset := 0; offset < row; offset += 2 * vector {
				for c := range cols {
					f.line("FLDPQ %d(%v), (F%d, F%d)", c*row+offset, zs, zr+2*c, zr+2*c+1)
				}
				for r := range rows {
					pair := xr + 2*(r%2)
					f.line("FLDPQ %d(%v), (F%d, F%d)", r*row+offset, xs, pair, pair+1)
					for half := range 2 {
						for c := range cols {
							f.do(fmla, V(r*cols+c), V(pair+half), V(zr+2*c+half))
						}
					}
				}
			}
			f.line("ADD %v, %v", stride, xs)
			f.line("ADD %v, %v", stride, zs)
		})
		f.mark(sum)
		each("VST1")
	}
	for _, rows := range []int{4, 2, 1} {
		again, next := f.label("rows"), f.label("next")
		f.mark(again)
		f.line("CMP $%d, %v", rows, k)
		f.line("BLT %s", next)
		f.load("z", z)
		f.load("m", m)
		f.line("MOVD %v, %v", dw, to)
		for _, cols := range []int{4, 1} {
			wide, narrow := f.label("wide"), f.label("narrow")
			f.mark(wide)
			f.line("CMP $%d, %v", cols, m)
			f.line("BLT %s", narrow)
			tile(rows, cols)
			f.line("ADD $%d, %v", cols*vector, to)
			f.line("ADD $%d, %v", cols*row, z)
			f.line("SUB $%d, %v", cols, m)
			f.line("B %s", wide)
			f.mark(narrow)
		}
		f.line("ADD $%d, %v", rows*row, x)
		for range rows {
			f.line("ADD %v, %v", width, dw)
		}
		f.line("SUB $%d, %v", rows, k)
		f.line("B %s", again)
		f.mark(next)
	}
	f.end()
	return f
}

func drain() *function {
	f := open("drain")
	sum, dw, n := f.arg("sum"), f.arg("dw"), f.arg("n")
	for v := V(16); v < 20; v++ {
		f.do(eor, v, v, v)
	}
	four, one, done := f.label("four"), f.label("one"), f.label("done")
	f.mark(four)
	f.line("CMP $4, %v", n)
	f.line("BLT %s", one)
	f.line("VLD1 (%v), [V0.S4, V1.S4, V2.S4, V3.S4]", dw)
	f.line("VST1.P [V16.S4, V17.S4, V18.S4, V19.S4], 64(%v)", dw)
	f.do(faddp, 0, 0, 1)
	f.do(faddp, 2, 2, 3)
	f.do(faddp, 0, 0, 2)
	f.do(fcvtl, 4, 0)
	f.do(fcvtl2, 5, 0)
	f.line("FLDPQ (%v), (F6, F7)", sum)
	f.do(fadd2d, 4, 4, 6)
	f.do(fadd2d, 5, 5, 7)
	f.line("FSTPQ.P (F4, F5), 32(%v)", sum)
	f.line("SUB $4, %v", n)
	f.line("B %s", four)
	f.mark(one)
	f.line("CBZ %v, %s", n, done)
	f.line("VLD1 (%v), [V0.S4]", dw)
	f.line("VST1.P [V16.S4], 16(%v)", dw)
	f.do(faddp, 0, 0, 0)
	f.do(faddp, 0, 0, 0)
	f.line("FCVTSD F0, F0")
	f.line("FMOVD (%v), F1", sum)
	f.line("FADDD F0, F1, F1")
	f.line("FMOVD.P F1, 8(%v)", sum)
	f.line("SUB $1, %v", n)
	f.line("B %s", one)
	f.mark(done)
	f.end()
	return f
}

// sigmoid is 1/(1+2^n·p(t)) with n the integer nearest to -x·log2(e) and t = x + n·ln2. It clamps x. A clamp of NaN is NaN,
// and 1/(1+Inf) is 0.
func (g *gates) sigmoid(x X) X {
	x = g.op(fmin, x, g.max)
	x = g.op(fmax, x, g.min)
	n := g.fresh("shift")
	g.set(fmla, n, x, g.log2e)
	p := g.op(fsub, n, g.shift)
	g.set(fmla, x, p, g.ln2)
	n = g.op(shl23, n)
	p = g.horner(x, "e5", "e4", "e3", "e2", "e1", "1")
	d := g.fresh("1")
	g.set(fmla, d, p, n)
	return g.op(fdiv, g.one, d)
}

// tanh is x·p(x²)/d(x²).
func (g *gates) tanh(x X) X {
	x = g.op(fmax, x, g.low)
	x = g.op(fmin, x, g.high)
	q := g.op(fmul, x, x)
	p, d := g.horner(q, "p4", "p3", "p2", "p1", "1"), g.horner(q, "d4", "d3", "d2", "d1", "1")
	return g.op(fdiv, g.op(fmul, x, p), d)
}

// gates are a function with the constants of sigmoid and tanh in registers.
type gates struct {
	*function
	max, min, log2e, shift, ln2, one, low, high X
}

// openRows starts a kernel over the rows of a layer's gates. It returns the addresses of the gates and the number of rounds.
func openRows(f *function) (gate [4]R, rounds R) {
	f.flushSubnormals()
	gate[0] = f.arg("z")
	rounds = f.arg("hidden")
	size := f.general()
	f.line("LSL $7, %v, %v", rounds, size)
	for i := range 3 {
		gate[i+1] = f.general()
		f.line("ADD %v, %v, %v", size, gate[i], gate[i+1])
	}
	f.line("LSL $2, %v, %v", rounds, rounds) // of two vectors each
	return gate, rounds
}

func cell() *function {
	f := open("cell")
	cPrev, c, tc, h, h2 := f.arg("cPrev"), f.arg("c"), f.arg("tc"), f.arg("h"), f.arg("h2")
	gate, rounds := openRows(f)
	f.constants("gatesNEON", twin.Gates)
	g := &gates{function: f, max: f.hold("max"), min: f.hold("min"), log2e: f.hold("-log2e"), shift: f.hold("shift"),
		ln2: f.hold("ln2"), one: f.hold("1"), low: f.hold("-clamp"), high: f.hold("clamp")}
	f.loop(rounds, func() {
		i := g.sigmoid(f.from(gate[0], 0))
		f.put(i, gate[0])
		t := g.tanh(f.from(gate[2], 0))
		f.put(t, gate[2])
		sum := f.op(fmul, i, t)
		v := g.sigmoid(f.from(gate[1], 0))
		f.put(v, gate[1])
		f.set(fmla, sum, v, f.take(cPrev))
		f.put(sum, c)
		o := g.sigmoid(f.from(gate[3], 0))
		f.put(o, gate[3])
		t = g.tanh(sum)
		f.put(t, tc)
		out := f.op(fmul, o, t)
		f.put(out, h)
		f.put(out, h2)
	})
	f.end()
	return f
}

func cellAdjoint() *function {
	f := open("cellAdjoint")
	cPrev, tc, dh, dc := f.arg("cPrev"), f.arg("tc"), f.arg("dh"), f.arg("dc")
	gate, rounds := openRows(f)
	f.constants("gatesNEON", twin.Gates)
	one := f.hold("1")
	// bend is 1 - v².
	bend := func(v X) X {
		s := f.fresh("1")
		f.set(fmls, s, v, v)
		return s
	}
	f.loop(rounds, func() {
		o, t := f.from(gate[3], 0), f.take(tc)
		a, d := f.op(fmul, o, f.take(dh)), f.from(dc, 0)
		f.set(fmla, d, a, bend(t))
		f.put(f.op(fmul, f.op(fmul, a, t), f.op(fsub, one, o)), gate[3])
		v := f.from(gate[1], 0)
		f.put(f.op(fmul, d, v), dc)
		v = f.op(fmul, v, f.op(fsub, one, v))
		f.put(f.op(fmul, f.op(fmul, d, v), f.take(cPrev)), gate[1])
		i, g := f.from(gate[0], 0), f.from(gate[2], 0)
		di := f.op(fmul, i, f.op(fsub, one, i))
		f.put(f.op(fmul, f.op(fmul, d, g), di), gate[0])
		f.put(f.op(fmul, f.op(fmul, d, i), bend(g)), gate[2])
	})
	f.end()
	return f
}

// elu is max(x, 0) + e^y-1 with y = min(x, 0), of which one term is 0; e^y-1 = 2^n·(e^t-1) + (2^n-1), t = y - n·ln2.
func elu() *function {
	f := open("elu")
	f.flushSubnormals()
	x, rounds := f.arg("x"), f.arg("rows")
	f.line("LSL $2, %v, %v", rounds, rounds)
	f.constants("expm1NEON", twin.Expm1)
	zero, low, log2e, shift, ln2, one := f.zero(), f.hold("low"), f.hold("log2e"), f.hold("shift"), f.hold("-ln2"), f.hold("1")
	f.loop(rounds, func() {
		v := f.from(x, 0)
		t := f.op(fmax, f.op(fmin, v, zero), low)
		n := f.fresh("shift")
		f.set(fmla, n, t, log2e)
		f.set(fmla, t, f.op(fsub, n, shift), ln2)
		n = f.op(shl23, n)
		sum := f.op(fsub, n, one)
		p := f.op(fmul, f.horner(t, "m6", "m5", "m4", "m3", "m2"), t)
		f.set(fmla, t, p, t)
		f.set(fmla, sum, n, t)
		f.put(f.op(fadd, sum, f.op(fmax, v, zero)), x)
	})
	f.end()
	return f
}

func eluAdjoint() *function {
	f := open("eluAdjoint")
	f.flushSubnormals()
	dz, dx, out, rounds := f.arg("dz"), f.arg("dx"), f.arg("out"), f.arg("rows")
	f.line("LSL $2, %v, %v", rounds, rounds)
	f.constants("expm1NEON", twin.Expm1)
	zero, one := f.zero(), f.hold("1")
	f.loop(rounds, func() {
		slope := f.op(fadd, f.op(fmin, f.take(out), zero), one)
		f.put(f.op(fmul, f.take(dx), slope), dz)
	})
	f.end()
	return f
}

func widen() *function {
	f := open("widen")
	x, half, rounds := f.arg("x"), f.arg("half"), f.arg("rows")
	f.line("LSL $2, %v, %v", rounds, rounds)
	f.loop(rounds, func() {
		h, v := f.name1(), f.values()
		f.move(false, X{h}, half, 0, true)
		f.do(fcvtlHalf, v[0], h)
		f.do(fcvtl2Half, v[1], h)
		f.put(v, x)
	})
	f.end()
	return f
}

// narrow clamps, so that no number becomes an infinity; a clamp of NaN is NaN.
func narrow() *function {
	f := open("narrow")
	half, x, rounds := f.arg("half"), f.arg("x"), f.arg("rows")
	f.line("LSL $2, %v, %v", rounds, rounds)
	f.constants("halvesNEON", twin.Halves)
	low, high := f.hold("-largest"), f.hold("largest")
	f.loop(rounds, func() {
		v := f.op(fmin, f.op(fmax, f.take(x), low), high)
		h := f.name1()
		f.do(fcvtnHalf, h, v[0])
		f.do(fcvtn2Half, h, v[1])
		f.move(true, X{h}, half, 0, true)
	})
	f.end()
	return f
}
