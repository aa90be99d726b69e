// Command outer generates the Outer kernels.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"learnedopt/internal/simd/_gen/vec"
)

func main() {
	for _, isa := range vec.All {
		generate(isa)
	}
	Generate()
}

// kernel is the function being generated: a tile of rows of x by rows of z
// keeps its products in registers, a vector each, through all steps; they are
// summed over lanes at the end.
type kernel struct {
	vec.ISA
	dw, x, z, m, steps, stride Register // m, stride in bytes
	t                          struct{ x, z, left Register }
}

func generate(isa vec.ISA) {
	isa.Function("outer", "func(dw, x, z *float32, k, m, steps, stride int)",
		"	for j := range k {",
		"		for i := range m {",
		"			var s float32",
		"			for t := range steps {",
		"				for l := range Lanes {",
		"					s += x[t*stride+j*Lanes+l] * z[t*stride+i*Lanes+l]",
		"				}",
		"			}",
		"			dw[j*m+i] += s",
		"		}",
		"	}",
	)
	g := kernel{ISA: isa, x: vec.Arg("x"), m: vec.Arg("m"), stride: vec.Arg("stride"), dw: GP64(), z: GP64()}
	SHLQ(Imm(2), g.m)
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
	VZEROUPPER()
	RET()
}

// tile adds rows × cols elements to dw and moves on by cols.
func (g *kernel) tile(rows, cols int) {
	acc := make([][]VecVirtual, rows)
	for r := range acc {
		acc[r] = g.Vecs(cols)
		vec.Zero(acc[r]...)
	}
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

	// dw advances row by row; t.x is free now.
	at := g.t.x
	MOVQ(g.dw, at)
	if cols == 1 {
		for r := range rows {
			s := g.total(acc[r][0])
			VADDSS(Mem{Base: at}, s, s)
			VMOVSS(s, Mem{Base: at})
			ADDQ(g.m, at)
		}
	} else {
		for r := range rows {
			s := g.four(acc[r])
			VADDPS(Mem{Base: at}, s, s)
			VMOVUPS(s, Mem{Base: at})
			ADDQ(g.m, at)
		}
	}
	ADDQ(vec.N(4*cols), g.dw)
	ADDQ(vec.N(cols*vec.Row), g.z)
}

// fold adds the upper halves of a vector to the lower until it is an X register.
func (g *kernel) fold(v VecVirtual) VecVirtual {
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
func (g *kernel) total(v VecVirtual) VecVirtual {
	s, t := g.fold(v), XMM()
	VPERMILPS(Imm(0b01_00_11_10), s, t)
	VADDPS(s, t, t)
	VPERMILPS(Imm(0b10_11_00_01), t, s)
	VADDPS(s, t, t)
	return t
}

// four is the sums of four vectors' lanes.
func (g *kernel) four(v []VecVirtual) VecVirtual {
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
