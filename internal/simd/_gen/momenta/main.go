// Command momenta generates the kernels for moments of gradients: their features and directions, the mixture of
// directions, the adjoints of both, and sums over a block. They fuse no product with a sum unless the product is exact. So
// they give the bits of their twins.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"learnedopt/internal/simd/_gen/twin"
	"learnedopt/internal/simd/_gen/vec"
)

// The twins' constants.
const (
	signs = 6 // the row of signs, after the directions
	mixed = 5 // the number of directions in a mixture, and the row of their size
)

func main() {
	table := vec.Table("moments", twin.Moments()...)
	for _, isa := range vec.All {
		for _, f := range []func(kernel){momenta, momentaAdjoint, mix, mixAdjoint, sums} {
			table.In(isa)
			f(kernel{isa, table})
		}
	}
	Generate()
}

// kernel computes in registers of one instruction set.
type kernel struct {
	vec.ISA
	*vec.Constants
}

func (k kernel) load(m Mem) VecVirtual {
	v := k.New()
	VMOVUPS(m, v)
	return v
}

// with is op(v, c) in a new register, c a constant.
func (k kernel) with(op vec.Form, name string, v VecVirtual) VecVirtual {
	z := k.New()
	k.Do(op, name, v, z)
	return z
}

// mul is x·y in a new register. x may be in memory.
func (k kernel) mul(x Op, y VecVirtual) VecVirtual {
	z := k.New()
	VMULPS(x, y, z)
	return z
}

// over is x/y in a new register, and inverse is 1/y.
func (k kernel) over(x, y VecVirtual) VecVirtual {
	z := k.New()
	VDIVPS(y, x, z)
	return z
}

func (k kernel) inverse(y VecVirtual) VecVirtual { return k.over(k.Reg("1", k.New()), y) }

// gradient is the clipped gradient; NaN stays, as it is the second operand.
func (k kernel) gradient(m Mem) VecVirtual {
	g := k.load(m)
	VMAXPS(g, k.Reg("-huge", k.New()), g)
	VMINPS(g, k.Reg("huge", k.New()), g)
	return g
}

// root is the root of a corrected average.
func (k kernel) root(v VecVirtual, corr Register, i int) VecVirtual {
	r := k.broadcast(corr, i)
	VMULPS(r, v, r)
	VSQRTPS(r, r)
	return r
}

// broadcast is number i at an address, in every lane of a new register.
func (k kernel) broadcast(array Register, i int) VecVirtual {
	v := k.New()
	VBROADCASTSS(Mem{Base: array, Disp: 4 * i}, v)
	return v
}

// slope adds dRoot/(2·root)·corr to a, where root > 0.
func (k kernel) slope(a, dRoot, root VecVirtual, corr Register, i int) {
	q := k.over(dRoot, k.with(vec.Mul, "2", root))
	VMULPS(k.broadcast(corr, i), q, q)
	VADDPS(q, a, q)
	zero := k.New()
	vec.Zero(zero)
	k.Choose(vec.Less, zero, root, q, a, a)
}

func momenta(k kernel) {
	k.Function("momenta")
	vec.FlushSubnormals()
	x, n, grad, old, now, corr := vec.Arg("x"), vec.Arg("n"), vec.Arg("grad"), vec.Arg("old"), vec.Arg("now"), vec.Arg("corr")
	inv := k.Scalar("inv")
	if k.Regs == 32 {
		k.Hold("1", "huge", "-huge")
	}
	vec.EachVector(k.ISA, func(at Register) {
		g := k.gradient(vec.In(grad, at, 0))
		// average updates average i by g, or by g².
		average := func(i int, square bool) VecVirtual {
			share := k.with(vec.Mul, twin.Take[i], g)
			if square {
				VMULPS(g, share, share)
			}
			m := k.load(vec.In(old, at, i))
			k.Do(vec.Mul, twin.Keep[i], m, m)
			VADDPS(share, m, m)
			VMOVUPS(m, vec.In(now, at, i))
			return m
		}
		vl := average(4, true)
		root := k.root(vl, corr, 4)
		slow := k.inverse(k.with(vec.Add, "tiny", root))
		// 1 - 2/(1+root·inv)
		VMULPS(inv, root, root)
		k.Do(vec.Add, "1", root, root)
		VDIVPS(root, k.Reg("2", k.New()), root)
		one := k.Reg("1", k.New())
		VSUBPS(root, one, root)
		VMOVUPS(root, vec.In(x, at, 5))

		m0 := average(0, false)
		s, zero := k.New(), k.New()
		vec.Zero(zero)
		k.Choose(vec.Less, m0, zero, k.Reg("-1", k.New()), one, s)
		VMOVUPS(s, vec.In(n, at, signs))
		direction := func(i int, v VecVirtual) {
			VMOVUPS(v, vec.In(n, at, i))
			if i < 5 {
				VMULPS(s, v, v)
				VMOVUPS(v, vec.In(x, at, i))
			}
		}
		direction(0, k.mul(slow, g))
		VMULPS(k.broadcast(corr, 0), m0, m0)
		direction(1, k.mul(slow, m0))
		direction(5, k.mul(inv, m0))
		for i := 1; i <= 2; i++ {
			m := average(i, false)
			VMULPS(k.broadcast(corr, i), m, m)
			VMULPS(slow, m, m)
			direction(1+i, m)
		}
		fast := k.root(average(3, true), corr, 3)
		k.Do(vec.Add, "tiny", fast, fast)
		direction(4, k.mul(k.inverse(fast), m0))
	})
}

func momentaAdjoint(k kernel) {
	k.Function("momentaAdjoint")
	vec.FlushSubnormals()
	dg, dx, dn, n, grad := vec.Arg("dg"), vec.Arg("dx"), vec.Arg("dn"), vec.Arg("n"), vec.Arg("grad")
	now, dm, corr := vec.Arg("now"), vec.Arg("dm"), vec.Arg("corr")
	inv := k.Scalar("inv")
	vec.EachVector(k.ISA, func(at Register) {
		s := k.load(vec.In(n, at, signs))
		// adjoint is the adjoint of direction i.
		adjoint := func(i int) VecVirtual {
			d, none := k.New(), vec.Fresh("none")
			if i < 5 {
				VMULPS(vec.In(dx, at, i), s, d)
			} else {
				vec.Zero(d)
			}
			TESTQ(dn, dn)
			JZ(LabelRef(none))
			VADDPS(vec.In(dn, at, i), d, d)
			Label(none)
			return d
		}
		// pass stores what a moment's adjoint becomes, and makes it its share in the gradient.
		pass := func(i int, a VecVirtual) {
			VMOVUPS(k.with(vec.Mul, twin.Keep[i], a), vec.In(dm, at, i))
			k.Do(vec.Mul, twin.Take[i], a, a)
		}
		add := func(i int, a VecVirtual) { VADDPS(vec.In(dm, at, i), a, a) }

		root := k.root(k.load(vec.In(now, at, 3)), corr, 3)
		fast := k.inverse(k.with(vec.Add, "tiny", root))
		d4 := adjoint(4)
		down := k.New()
		VXORPS(k.Reg("sign", down), d4, down) // -d4
		VMULPS(vec.In(n, at, 4), down, down)
		VMULPS(fast, down, down)
		as := k.load(vec.In(dm, at, 3))
		k.slope(as, down, root, corr, 3)
		pass(3, as)
		VMULPS(fast, d4, d4)

		root = k.root(k.load(vec.In(now, at, 4)), corr, 4)
		slow := k.inverse(k.with(vec.Add, "tiny", root))
		bend := k.mul(inv, root)
		k.Do(vec.Add, "1", bend, bend)
		VMULPS(bend, bend, bend)
		part := k.load(vec.In(dx, at, 5))
		k.Do(vec.Mul, "2", part, part)
		VDIVPS(bend, part, part)
		VMULPS(inv, part, part)

		d0 := adjoint(0)
		sum := k.mul(vec.In(n, at, 0), d0)
		d1 := adjoint(1)
		VADDPS(k.mul(vec.In(n, at, 1), d1), sum, sum)
		d2 := adjoint(2)
		VADDPS(k.mul(vec.In(n, at, 2), d2), sum, sum)
		d3 := adjoint(3)
		VADDPS(k.mul(vec.In(n, at, 3), d3), sum, sum)
		VXORPS(k.Reg("sign", k.New()), sum, sum)
		VMULPS(slow, sum, sum)
		VADDPS(part, sum, sum)
		al := k.load(vec.In(dm, at, 4))
		k.slope(al, sum, root, corr, 4)
		pass(4, al)
		VADDPS(al, as, as)
		g := k.gradient(vec.In(grad, at, 0))
		k.Do(vec.Mul, "2", g, g)
		VMULPS(g, as, as)

		// total = d0·slow + the moments' shares
		total := k.mul(slow, d0)
		VMULPS(slow, d1, d1)
		VADDPS(d4, d1, d1)
		d5 := adjoint(5)
		VMULPS(inv, d5, d5)
		VADDPS(d5, d1, d1)
		for i, d := range []VecVirtual{d1, d2, d3} {
			if i > 0 {
				VMULPS(slow, d, d)
			}
			VMULPS(k.broadcast(corr, i), d, d)
			add(i, d)
			pass(i, d)
			VADDPS(d, total, total)
		}
		VADDPS(as, total, total)
		VADDPS(vec.In(dg, at, 0), total, total)
		VMOVUPS(total, vec.In(dg, at, 0))
	})
}

func mix(k kernel) {
	k.Function("mix")
	vec.FlushSubnormals()
	y, z, n := vec.Arg("y"), vec.Arg("z"), vec.Arg("n")
	k.Hold("1")
	vec.EachVector(k.ISA, func(at Register) {
		s := k.load(vec.In(z, at, mixed))
		e := k.mul(s, s)
		k.Do(vec.Add, "1", e, e)
		VSQRTPS(e, e)
		VADDPS(s, e, e)
		VMULPS(e, e, e)
		VMOVUPS(e, vec.In(z, at, mixed))
		sum := k.New() // from 0 on, so that it is not -0
		vec.Zero(sum)
		for j, row := range twin.MixRows {
			VADDPS(k.mul(vec.In(n, at, row), k.load(vec.In(z, at, j))), sum, sum)
		}
		VMULPS(e, sum, sum)
		VMOVUPS(sum, vec.In(y, at, 0))
	})
}

func mixAdjoint(k kernel) {
	k.Function("mixAdjoint")
	vec.FlushSubnormals()
	dz, dn, dy, y, z, n := vec.Arg("dz"), vec.Arg("dn"), vec.Arg("dy"), vec.Arg("y"), vec.Arg("z"), vec.Arg("n")
	k.Hold("1", "4")
	vec.EachVector(k.ISA, func(at Register) {
		e, d := k.load(vec.In(z, at, mixed)), k.load(vec.In(dy, at, 0))
		r := k.New()
		VSQRTPS(e, r)
		VADDPS(k.inverse(r), r, r)
		size := k.mul(vec.In(y, at, 0), d)
		k.Do(vec.Mul, "4", size, size)
		VDIVPS(r, size, size)
		VMOVUPS(size, vec.In(dz, at, mixed))
		VMULPS(e, d, d)
		for j, row := range twin.MixRows {
			VMOVUPS(k.mul(vec.In(n, at, row), d), vec.In(dz, at, j))
		}
		none := vec.Fresh("none")
		TESTQ(dn, dn)
		JZ(LabelRef(none))
		for j, row := range twin.MixRows {
			VMOVUPS(k.mul(vec.In(z, at, j), d), vec.In(dn, at, row))
		}
		zero := k.New()
		vec.Zero(zero)
		VMOVUPS(zero, vec.In(dn, at, 3))
		Label(none)
	})
}

// sums accumulates eight float64 sums of each kind, in one vector or two.
func sums(k kernel) {
	k.Function("sums")
	vec.FlushSubnormals()
	sum, grad, theta, u, m := vec.Arg("sum"), vec.Arg("grad"), vec.Arg("theta"), vec.Arg("u"), vec.Arg("m")
	// wide is as many floats as a vector holds float64s.
	bytes := k.Bytes / 2
	wide := func(array Register, at int) VecVirtual {
		v := k.New()
		VCVTPS2PD(Mem{Base: array, Disp: at}, v)
		return v
	}
	huge, minus := k.New(), k.New()
	VCVTPS2PD(k.Mem("huge"), huge)
	VCVTPS2PD(k.Mem("-huge"), minus)
	vectors := vec.Row / bytes
	halves := 32 / bytes // 2 vectors or 1 hold eight partial sums
	// total adds up partial sums and stores sum i.
	total := func(i int, part []VecVirtual) {
		if len(part) == 2 {
			VADDPD(part[1], part[0], part[0])
		} else {
			upper := YMM()
			VEXTRACTF64X4(Imm(1), part[0], upper)
			VADDPD(upper, part[0].AsY(), part[0].AsY())
		}
		x, upper := part[0].AsX(), XMM()
		VEXTRACTF128(Imm(1), part[0].AsY(), upper)
		VADDPD(upper, x, x)
		VPERMILPD(Imm(1), x, upper)
		VADDSD(upper, x, x)
		VMOVSD(x, Mem{Base: sum, Disp: 8 * i})
	}
	gg, tt, uu, gu := k.Vecs(halves), k.Vecs(halves), k.Vecs(halves), k.Vecs(halves)
	for _, part := range [][]VecVirtual{gg, tt, uu, gu} {
		vec.Zero(part...)
	}
	for i := range vectors {
		h, at := i%halves, i*bytes
		g := wide(grad, at)
		VMAXPD(g, minus, g)
		VMINPD(g, huge, g)
		VFMADD231PD(g, g, gg[h])
		ul := wide(u, at)
		VFMADD231PD(ul, ul, uu[h])
		VFMADD231PD(g, ul, gu[h])
		t := wide(theta, at)
		VFMADD231PD(t, t, tt[h])
	}
	for i, part := range [][]VecVirtual{gg, tt, uu, gu} {
		total(i, part)
	}
	mm := [][]VecVirtual{k.Vecs(halves), k.Vecs(halves)}
	vec.Zero(append(mm[0], mm[1]...)...)
	none := vec.Fresh("none")
	TESTQ(m, m)
	JZ(LabelRef(none))
	for i := range vectors {
		for row, part := range mm {
			v := wide(m, row*vec.Row+i*bytes)
			VFMADD231PD(v, v, part[i%halves])
		}
	}
	Label(none)
	for row, part := range mm {
		total(4+row, part)
	}
	vec.End()
}
