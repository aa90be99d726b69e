// Command gemm generates the kernels of package gemm.
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

// kernel is the function being generated: a tile of rows by cols vectors of c
// stays in registers over the whole loop in p, each element of a is broadcast
// from memory, wherever its strides say that it lies. The last vector of a row
// is masked, so a panel may have any number of columns.
type kernel struct {
	vec.ISA
	a, b, c    Register      // where a tile starts; b is the loop's own
	ar, ac, br Register      // strides in bytes
	ar3        Register      // 3·ar
	low, high  Register      // element p of rows 0 and 4 of the tile
	p          Register      // what is left of k
	mask       Register      // AVX2: address of the mask
	lanes      OpmaskVirtual // AVX-512: the mask
	cols       int           // vectors of a row
}

// tiles says how many rows a tile has for each number of vectors in a row.
var tiles = map[string][]int{"AVX512": {0, 8, 8}, "AVX2": {0, 8, 6, 4}}

func generate(isa vec.ISA) {
	isa.Function("panel")
	vec.FlushSubnormals()
	g := kernel{ISA: isa}
	g.a, g.c, g.b = vec.Arg("a"), vec.Arg("c"), GP64()
	g.ar, g.ac, g.br = vec.Arg("ar"), vec.Arg("ac"), vec.Arg("br")
	for _, stride := range []Register{g.ar, g.ac, g.br} {
		SHLQ(Imm(2), stride)
	}
	g.ar3, g.low, g.high, g.p = GP64(), GP64(), GP64(), GP64()
	LEAQ(Mem{Base: g.ar, Index: g.ar, Scale: 2}, g.ar3)

	n, m := vec.Arg("n"), GP64()
	if isa.Regs == 32 {
		g.lanes = K()
	} else {
		g.mask = GP64()
	}
	rows := tiles[isa.Name]
	done := vec.Fresh("done")
	for cols := 1; cols < len(rows); cols++ {
		g.cols = cols
		wider := vec.Fresh("wider")
		if cols < len(rows)-1 {
			CMPQ(n, vec.N(cols*isa.Lanes()))
			JG(LabelRef(wider))
		}
		g.setMask(n)
		Load(Param("m"), m)
		vec.Split(m, rows[cols], g.tile)
		JMP(LabelRef(done))
		Label(wider)
	}
	Label(done)
	vec.End()
}

// setMask makes the mask of the last vector of n columns.
func (g *kernel) setMask(n Register) {
	if g.Regs == 16 {
		LEAQ(masks(), g.mask)
		last := GP64()
		MOVQ(vec.N(g.cols*g.Lanes()), last)
		SUBQ(n, last)
		LEAQ(Mem{Base: g.mask, Index: last, Scale: 4}, g.mask)
		return
	}
	count, bits := RCX, GP64()
	MOVQ(n, count)
	SUBQ(vec.N((g.cols-1)*g.Lanes()), count)
	MOVQ(vec.N(1), bits)
	SHLQ(CL, bits)
	DECQ(bits)
	KMOVW(bits.As32(), g.lanes)
}

var table *Mem

// masks is eight words of ones and eight of zeros: eight from word w on mask
// the first 8−w lanes.
func masks() Mem {
	if table == nil {
		m := GLOBL("masks", RODATA|NOPTR)
		for i := range 16 {
			var w U32
			if i < 8 {
				w = 1<<32 - 1
			}
			DATA(4*i, w)
		}
		table = &m
	}
	return *table
}

// load loads vector v of a row, whose last vector may be short; spare is
// overwritten.
func (g *kernel) load(row Mem, v int, dst, spare VecVirtual) {
	at := row.Offset(v * g.Bytes)
	switch {
	case v < g.cols-1:
		VMOVUPS(at, dst)
	case g.Regs == 32:
		VMOVUPS_Z(at, g.lanes, dst)
	default:
		VMOVUPS(Mem{Base: g.mask}, spare)
		VMASKMOVPS(at, spare, dst)
	}
}

func (g *kernel) store(src VecVirtual, row Mem, v int, spare VecVirtual) {
	at := row.Offset(v * g.Bytes)
	switch {
	case v < g.cols-1:
		VMOVUPS(src, at)
	case g.Regs == 32:
		VMOVUPS(src, g.lanes, at)
	default:
		VMOVUPS(Mem{Base: g.mask}, spare)
		VMASKMOVPS(src, spare, at)
	}
}

// element is where row r of the tile has its element p.
func (g *kernel) element(r int) Mem {
	base := g.low
	if r >= 4 {
		base = g.high
	}
	switch r % 4 {
	case 1:
		return Mem{Base: base, Index: g.ar, Scale: 1}
	case 2:
		return Mem{Base: base, Index: g.ar, Scale: 2}
	case 3:
		return Mem{Base: base, Index: g.ar3, Scale: 1}
	}
	return Mem{Base: base}
}

func (g *kernel) tile(rows int) {
	zero, sum, loop := vec.Fresh("zero"), vec.Fresh("sum"), vec.Fresh("loop")
	acc := make([][]VecVirtual, rows)
	for r := range acc {
		acc[r] = g.Vecs(g.cols)
	}
	spare := g.New()

	MOVQ(g.a, g.low)
	LEAQ(Mem{Base: g.a, Index: g.ar, Scale: 4}, g.high)
	Load(Param("b"), g.b)
	cr := g.p // free before and after the loop
	Load(Param("cr"), cr)
	start := NewParamAddr("acc", 80)
	CMPB(start, Imm(0))
	JEQ(LabelRef(zero))
	row := GP64()
	MOVQ(g.c, row)
	for r := range rows {
		for v, reg := range acc[r] {
			g.load(Mem{Base: row}, v, reg, spare)
		}
		if r < rows-1 {
			LEAQ(Mem{Base: row, Index: cr, Scale: 4}, row)
		}
	}
	JMP(LabelRef(sum))
	Label(zero)
	for r := range rows {
		vec.Zero(acc[r]...)
	}
	Label(sum)

	Load(Param("k"), g.p)
	Label(loop)
	b := g.Vecs(g.cols)
	for v := range b {
		g.load(Mem{Base: g.b}, v, b[v], spare)
	}
	for r := range rows {
		VBROADCASTSS(g.element(r), spare)
		for v := range b {
			VFMADD231PS(spare, b[v], acc[r][v])
		}
		if g.Regs == 32 {
			spare = g.New()
		}
	}
	ADDQ(g.ac, g.low)
	if rows > 4 {
		ADDQ(g.ac, g.high)
	}
	ADDQ(g.br, g.b)
	DECQ(g.p)
	JNZ(LabelRef(loop))

	Load(Param("cr"), cr)
	for r := range rows {
		for v, reg := range acc[r] {
			g.store(reg, Mem{Base: g.c}, v, spare)
		}
		LEAQ(Mem{Base: g.c, Index: cr, Scale: 4}, g.c)
	}
	for range rows / 4 {
		LEAQ(Mem{Base: g.a, Index: g.ar, Scale: 4}, g.a)
	}
	switch rows % 4 {
	case 1:
		ADDQ(g.ar, g.a)
	case 2:
		LEAQ(Mem{Base: g.a, Index: g.ar, Scale: 2}, g.a)
	case 3:
		ADDQ(g.ar3, g.a)
	}
}
