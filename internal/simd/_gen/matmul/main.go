// Command matmul generates the MatMul kernels.
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

// cols is the vectors of a row that a tile holds.
const cols = 2

// kernel is the function being generated: a tile of rows by cols vectors of c
// stays in registers over the whole loop in j, each weight is broadcast from
// memory. Where the tile is too small to hide the latency of an FMA, several
// sets of registers take turns in j.
type kernel struct {
	vec.ISA
	c, a, x, bias, lda, k, mode Register
	j                           struct{ a, x, k Register }
}

// Modes say where a tile starts.
const (
	fromZero = iota
	fromBias
	fromC
)

func generate(isa vec.ISA) {
	isa.Function("matMul")
	vec.FlushSubnormals()
	g := kernel{ISA: isa}
	x := vec.Arg("x")
	g.lda, g.k = vec.Arg("lda"), vec.Arg("k")
	SHLQ(Imm(2), g.lda)
	g.c, g.a, g.x, g.bias = GP64(), GP64(), x, GP64()
	g.j.a, g.j.x, g.j.k = GP64(), GP64(), GP64()

	g.mode = GP64()
	has := vec.Fresh("start")
	Load(Param("bias"), g.bias)
	MOVQ(vec.N(fromBias), g.mode)
	TESTQ(g.bias, g.bias)
	JNE(LabelRef(has))
	acc := GP64()
	MOVBQZX(NewParamAddr("acc", 56), acc)
	LEAQ(Mem{Base: acc, Index: acc, Scale: 1}, g.mode)
	Label(has)

	// A row may hold more vectors than a tile: go through it in parts.
	parts := vec.Row / (cols * isa.Bytes)
	m, part := GP64(), GP64()
	XORQ(part, part)
	again := vec.Fresh("part")
	Label(again)
	Load(Param("c"), g.c)
	ADDQ(part, g.c)
	Load(Param("a"), g.a)
	Load(Param("bias"), g.bias)
	Load(Param("m"), m)
	size := 10
	if isa.Regs == 16 {
		size = 6
	}
	vec.Split(m, size, g.tile)
	if parts > 1 {
		ADDQ(vec.N(cols*isa.Bytes), g.x)
		ADDQ(vec.N(cols*isa.Bytes), part)
		CMPQ(part, vec.N(vec.Row))
		JLT(LabelRef(again))
	}
	vec.End()
}

func (g *kernel) tile(rows int) {
	sets, unroll := 1, 2
	switch {
	case rows == 1:
		sets, unroll = 4, 4
	case rows <= 3:
		sets = 2
	}
	acc := make([][][]VecVirtual, sets)
	for s := range acc {
		acc[s] = make([][]VecVirtual, rows)
		for r := range rows {
			acc[s][r] = g.Vecs(cols)
		}
	}

	zero, sum, loop, tail, store := vec.Fresh("zero"), vec.Fresh("sum"), vec.Fresh("loop"), vec.Fresh("tail"), vec.Fresh("store")
	bias := vec.Fresh("bias")
	CMPQ(g.mode, vec.N(fromBias))
	JEQ(LabelRef(bias))
	JLT(LabelRef(zero))
	for r := range rows {
		for v, reg := range acc[0][r] {
			VMOVUPS(Mem{Base: g.c, Disp: r*vec.Row + v*g.Bytes}, reg)
		}
	}
	JMP(LabelRef(sum))
	Label(bias)
	for r := range rows {
		for _, reg := range acc[0][r] {
			VBROADCASTSS(Mem{Base: g.bias, Disp: 4 * r}, reg)
		}
	}
	JMP(LabelRef(sum))
	Label(zero)
	for r := range rows {
		vec.Zero(acc[0][r]...)
	}
	Label(sum)
	for _, set := range acc[1:] {
		for _, row := range set {
			vec.Zero(row...)
		}
	}

	MOVQ(g.a, g.j.a)
	MOVQ(g.x, g.j.x)
	MOVQ(g.k, g.j.k)
	step := func(u int) {
		a := Mem{Base: g.j.a}
		if u%2 == 1 {
			a.Index, a.Scale = g.lda, 1
		}
		if u == 2 {
			LEAQ(Mem{Base: g.j.a, Index: g.lda, Scale: 2}, g.j.a)
		}
		x := g.Vecs(cols)
		for v, reg := range x {
			VMOVUPS(Mem{Base: g.j.x, Disp: u*vec.Row + v*g.Bytes}, reg)
		}
		for r := range rows {
			w := g.New()
			VBROADCASTSS(a.Offset(4*r), w)
			for v, reg := range x {
				VFMADD231PS(w, reg, acc[u%sets][r][v])
			}
		}
	}
	SUBQ(vec.N(unroll), g.j.k)
	JLT(LabelRef(tail))
	Label(loop)
	for u := range unroll {
		step(u)
	}
	LEAQ(Mem{Base: g.j.a, Index: g.lda, Scale: 2}, g.j.a)
	ADDQ(vec.N(unroll*vec.Row), g.j.x)
	SUBQ(vec.N(unroll), g.j.k)
	JGE(LabelRef(loop))
	Label(tail)
	ADDQ(vec.N(unroll), g.j.k)
	JLE(LabelRef(store))
	rest := vec.Fresh("rest")
	Label(rest)
	step(0)
	if unroll > 2 {
		ADDQ(g.lda, g.j.a)
		ADDQ(vec.N(vec.Row), g.j.x)
		DECQ(g.j.k)
		JG(LabelRef(rest))
	}
	Label(store)
	for s := sets / 2; s > 0; s /= 2 {
		for i := range s {
			for r := range rows {
				for v, reg := range acc[i][r] {
					VADDPS(acc[i+s][r][v], reg, reg)
				}
			}
		}
	}
	for r := range rows {
		for v, reg := range acc[0][r] {
			VMOVUPS(reg, Mem{Base: g.c, Disp: r*vec.Row + v*g.Bytes})
		}
	}
	ADDQ(vec.N(rows*vec.Row), g.c)
	ADDQ(vec.N(4*rows), g.a)
	ADDQ(vec.N(4*rows), g.bias)
}
