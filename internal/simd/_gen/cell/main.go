// Command cell generates the Cell and CellAdjoint kernels.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"learnedopt/internal/simd/_gen/vec"
)

func main() {
	table := constants()
	for _, isa := range vec.All {
		table.In(isa)
		cell(gates{isa, table})
		table.In(isa)
		cellAdjoint(gates{isa, table})
	}
	Generate()
}

// rows is the operands at one index of the arrays of a block, hidden rows each.
type rows struct {
	z, z3, size, at Register
	bytes           int
}

// open loads what both kernels need.
func open(isa vec.ISA) *rows {
	r := &rows{z: vec.Arg("z"), size: vec.Arg("hidden"), at: GP64(), z3: GP64(), bytes: isa.Bytes}
	SHLQ(Imm(7), r.size)
	LEAQ(Mem{Base: r.size, Index: r.size, Scale: 2}, r.z3)
	ADDQ(r.z, r.z3)
	XORQ(r.at, r.at)
	return r
}

// loop emits a loop over the rows, a vector at a time.
func (r *rows) loop(body func()) {
	loop := vec.Fresh("loop")
	Label(loop)
	body()
	step := vec.N(r.bytes)
	ADDQ(step, r.z)
	ADDQ(step, r.z3)
	ADDQ(step, r.at)
	CMPQ(r.at, r.size)
	JLT(LabelRef(loop))
}

// rewind goes back to the first row.
func (r *rows) rewind() {
	SUBQ(r.size, r.z)
	SUBQ(r.size, r.z3)
	XORQ(r.at, r.at)
}

// gate is where z keeps gate i, f, g or o.
func (r *rows) gate(i int) Mem {
	switch i {
	case 0:
		return Mem{Base: r.z}
	case 3:
		return Mem{Base: r.z3}
	}
	return Mem{Base: r.z, Index: r.size, Scale: uint8(i)}
}

// of is the operand of one of the other arrays.
func (r *rows) of(array Register) Mem { return Mem{Base: array, Index: r.at, Scale: 1} }

func cell(g gates) {
	isa := g.ISA
	isa.Function("cell")
	vec.FlushSubnormals()
	cPrev, c, tc, h, h2 := vec.Arg("cPrev"), vec.Arg("c"), vec.Arg("tc"), vec.Arg("h"), vec.Arg("h2")
	r := open(isa)
	if isa.Regs == 32 {
		g.Hold("least", "max", "shift", "-log2e", "ln2", "e5", "e4", "e3", "e2", "e1", "1", "-clamp", "clamp", "p4", "d4")
	} else {
		g.Hold("shift", "1")
	}
	// Two loops: tanh(c) needs all that the gates do, and would make them wait.
	r.loop(func() {
		gate := isa.Vecs(4)
		for k, x := range gate {
			VMOVUPS(r.gate(k), x)
		}
		weave(g.sigmoid(gate[0]), g.sigmoid(gate[1]), g.tanh(gate[2], true), g.sigmoid(gate[3]))
		i, f, t := gate[0], gate[1], gate[2]
		for k, x := range gate {
			VMOVUPS(x, r.gate(k))
		}
		VMULPS(r.of(cPrev), f, f)
		VFMADD231PS(i, t, f)
		VMOVUPS(f, r.of(c))
	})
	r.rewind()
	r.loop(func() {
		x := isa.New()
		VMOVUPS(r.of(c), x)
		weave(g.tanh(x, isa.Regs == 16))
		VMOVUPS(x, r.of(tc))
		VMULPS(r.gate(3), x, x)
		VMOVUPS(x, r.of(h))
		VMOVUPS(x, r.of(h2))
	})
	vec.End()
}

func cellAdjoint(u gates) {
	isa := u.ISA
	isa.Function("cellAdjoint")
	vec.FlushSubnormals()
	cPrev, tc, dh, dc := vec.Arg("cPrev"), vec.Arg("tc"), vec.Arg("dh"), vec.Arg("dc")
	r := open(isa)
	one := u.Reg("1", isa.New())
	r.loop(func() {
		load := func(m Mem) VecVirtual {
			v := isa.New()
			VMOVUPS(m, v)
			return v
		}
		// slope is v·(1-v), rounded once: v - v².
		slope := func(v VecVirtual) VecVirtual {
			s := isa.New()
			VMOVAPS(v, s)
			VFNMADD231PS(v, v, s)
			return s
		}
		// bend is 1 - v².
		bend := func(v VecVirtual) VecVirtual {
			s := isa.New()
			VMOVAPS(one, s)
			VFNMADD231PS(v, v, s)
			return s
		}
		o, ts := load(r.gate(3)), load(r.of(tc))
		a, d := isa.New(), load(r.of(dc))
		VMULPS(r.of(dh), o, a) // dh·o
		VFMADD231PS(bend(ts), a, d)
		VMULPS(ts, a, a)
		VSUBPS(o, one, o) // not a - a·o, which is NaN at an infinite a
		VMULPS(a, o, o)
		VMOVUPS(o, r.gate(3))

		f := load(r.gate(1))
		df := slope(f)
		VMULPS(d, f, f)
		VMOVUPS(f, r.of(dc))
		VMULPS(d, df, df)
		VMULPS(r.of(cPrev), df, df)
		VMOVUPS(df, r.gate(1))

		i, g := load(r.gate(0)), load(r.gate(2))
		di, dg := slope(i), bend(g)
		VMULPS(d, g, g)
		VMULPS(g, di, di)
		VMOVUPS(di, r.gate(0))
		VMULPS(d, i, i)
		VMULPS(i, dg, dg)
		VMOVUPS(dg, r.gate(2))
	})
	vec.End()
}
