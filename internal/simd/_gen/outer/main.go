// Command outer generates the Outer and Drain kernels.
package main

import (
	"math/bits"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"learnedopt/internal/simd/_gen/vec"
)

func main() {
	for _, isa := range vec.All {
		outer(isa)
		drain(isa)
	}
	Generate()
}

// kernel is the function being generated: a tile of rows of x by rows of z
// keeps its partial sums in registers, a vector each, through all steps.
type kernel struct {
	vec.ISA
	dw, x, z, m, steps, stride Register // in bytes: m of a row of dw
	t                          struct{ x, z, left Register }
}

func outer(isa vec.ISA) {
	isa.Function("outer")
	vec.FlushSubnormals()
	g := kernel{ISA: isa, x: vec.Arg("x"), m: vec.Arg("m"), stride: vec.Arg("stride"), dw: GP64(), z: GP64()}
	SHLQ(Imm(uint64(bits.TrailingZeros(uint(isa.Bytes)))), g.m)
	SHLQ(Imm(2), g.stride)
	g.t.x, g.t.z, g.t.left = GP64(), GP64(), GP64()
	k := vec.Arg("k")
	row := vec.Arg("dw")
	height := 6
	if isa.Regs == 16 {
		height = 3
	}
	vec.Split(k, height, func(rows int) {
		MOVQ(row, g.dw)
		Load(Param("z"), g.z)
		left := vec.Arg("m")
		wide, narrow, done := vec.Fresh("wide"), vec.Fresh("narrow"), vec.Fresh("done")
		SUBQ(vec.N(4), left)
		JLT(LabelRef(narrow))
		Label(wide)
		g.tile(rows, 4)
		SUBQ(vec.N(4), left)
		JGE(LabelRef(wide))
		Label(narrow)
		ADDQ(vec.N(4), left)
		JLE(LabelRef(done))
		one := vec.Fresh("one")
		Label(one)
		g.tile(rows, 1)
		DECQ(left)
		JG(LabelRef(one))
		Label(done)
		ADDQ(vec.N(rows*vec.Row), g.x)
		for range rows {
			ADDQ(g.m, row)
		}
	})
	vec.End()
}

// tile adds rows × cols elements to dw and moves on by cols.
func (g *kernel) tile(rows, cols int) {
	acc := make([][]VecVirtual, rows)
	at := GP64()
	each := func(f func(acc VecVirtual, m Mem)) {
		MOVQ(g.dw, at)
		for r := range rows {
			for c := range cols {
				f(acc[r][c], Mem{Base: at, Disp: c * g.Bytes})
			}
			if r < rows-1 {
				ADDQ(g.m, at)
			}
		}
	}
	for r := range acc {
		acc[r] = g.Vecs(cols)
	}
	each(func(acc VecVirtual, m Mem) { VMOVUPS(m, acc) })
	loop, sum := vec.Fresh("steps"), vec.Fresh("sum")
	MOVQ(g.x, g.t.x)
	MOVQ(g.z, g.t.z)
	Load(Param("steps"), g.t.left)
	TESTQ(g.t.left, g.t.left)
	JLE(LabelRef(sum))
	Label(loop)
	for at := 0; at < vec.Row; at += g.Bytes {
		if rows < cols {
			x := g.Vecs(rows)
			for r, reg := range x {
				VMOVUPS(Mem{Base: g.t.x, Disp: r*vec.Row + at}, reg)
			}
			for c := range cols {
				v := g.New()
				VMOVUPS(Mem{Base: g.t.z, Disp: c*vec.Row + at}, v)
				for r, reg := range x {
					VFMADD231PS(v, reg, acc[r][c])
				}
			}
			continue
		}
		wide := g.Vecs(cols)
		for c, reg := range wide {
			VMOVUPS(Mem{Base: g.t.z, Disp: c*vec.Row + at}, reg)
		}
		for r := range rows {
			v := g.New()
			VMOVUPS(Mem{Base: g.t.x, Disp: r*vec.Row + at}, v)
			for c, reg := range wide {
				VFMADD231PS(v, reg, acc[r][c])
			}
		}
	}
	ADDQ(g.stride, g.t.x)
	ADDQ(g.stride, g.t.z)
	DECQ(g.t.left)
	JG(LabelRef(loop))
	Label(sum)
	each(func(acc VecVirtual, m Mem) { VMOVUPS(acc, m) })
	ADDQ(vec.N(cols*g.Bytes), g.dw)
	ADDQ(vec.N(cols*vec.Row), g.z)
}

func drain(isa vec.ISA) {
	isa.Function("drain")
	g := folder{isa}
	sum, dw, left := vec.Arg("sum"), vec.Arg("dw"), vec.Arg("n")
	zero := isa.New()
	vec.Zero(zero)
	take := func(n int) []VecVirtual {
		v := isa.Vecs(n)
		for i, r := range v {
			m := Mem{Base: dw, Disp: i * isa.Bytes}
			VMOVUPS(m, r)
			VMOVUPS(zero, m)
		}
		return v
	}
	step := func(n int) {
		ADDQ(vec.N(n*isa.Bytes), dw)
		ADDQ(vec.N(8*n), sum)
	}
	four, one, tail, done := vec.Fresh("four"), vec.Fresh("one"), vec.Fresh("tail"), vec.Fresh("done")
	SUBQ(vec.N(4), left)
	JLT(LabelRef(tail))
	Label(four)
	s, d := g.four(take(4)), YMM()
	VCVTPS2PD(s, d)
	VADDPD(Mem{Base: sum}, d, d)
	VMOVUPD(d, Mem{Base: sum})
	step(4)
	SUBQ(vec.N(4), left)
	JGE(LabelRef(four))
	Label(tail)
	ADDQ(vec.N(4), left)
	JLE(LabelRef(done))
	Label(one)
	t := g.total(take(1)[0])
	e := XMM()
	VCVTSS2SD(t, t, e)
	VADDSD(Mem{Base: sum}, e, e)
	VMOVSD(e, Mem{Base: sum})
	step(1)
	DECQ(left)
	JG(LabelRef(one))
	Label(done)
	VZEROUPPER()
	RET()
}

// folder sums lanes.
type folder struct{ vec.ISA }

// fold adds the upper halves of a vector to the lower until it is an X register.
func (g folder) fold(v VecVirtual) VecVirtual {
	if g.Bytes == 64 {
		h := YMM()
		VEXTRACTF64X4(Imm(1), v, h)
		VADDPS(v.AsY(), h, h)
		v = h
	}
	h := XMM()
	if g.Bytes == 64 {
		VEXTRACTF32X4(Imm(1), v.AsY(), h)
	} else {
		VEXTRACTF128(Imm(1), v.AsY(), h)
	}
	VADDPS(v.AsX(), h, h)
	return h
}

// total is the sum of a vector's lanes.
func (g folder) total(v VecVirtual) VecVirtual {
	s, t := g.fold(v), XMM()
	VPERMILPS(Imm(0b01_00_11_10), s, t)
	VADDPS(s, t, t)
	VPERMILPS(Imm(0b10_11_00_01), t, s)
	VADDPS(s, t, t)
	return t
}

// four is the sums of four vectors' lanes.
func (g folder) four(v []VecVirtual) VecVirtual {
	pair := func(a, b VecVirtual, lo, hi uint64) VecVirtual {
		s, t := g.New(), g.New()
		VSHUFPS(Imm(lo), b, a, s)
		VSHUFPS(Imm(hi), b, a, t)
		VADDPS(s, t, t)
		return t
	}
	ab := pair(v[0], v[1], 0b01_00_01_00, 0b11_10_11_10)
	cd := pair(v[2], v[3], 0b01_00_01_00, 0b11_10_11_10)
	return g.fold(pair(ab, cd, 0b10_00_10_00, 0b11_01_11_01))
}
