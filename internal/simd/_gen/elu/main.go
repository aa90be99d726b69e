// Command elu generates the ELU and ELUAdjoint kernels.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"learnedopt/internal/simd/_gen/twin"
	"learnedopt/internal/simd/_gen/vec"
)

func main() {
	table := vec.Table("expm1", twin.Expm1...)
	for _, isa := range vec.All {
		table.In(isa)
		elu(isa, table)
		table.In(isa)
		eluAdjoint(isa, table)
	}
	Generate()
}

// eachRow emits a loop over the vectors of some rows of lanes, of which there is at least one, and returns from the function.
func eachRow(isa vec.ISA, body func(at Register)) {
	end, at, loop := vec.Arg("rows"), GP64(), vec.Fresh("loop")
	SHLQ(Imm(7), end)
	XORQ(at, at)
	Label(loop)
	body(at)
	ADDQ(vec.N(isa.Bytes), at)
	CMPQ(at, end)
	JLT(LabelRef(loop))
	vec.End()
}

// elu computes max(x, 0) + e^y-1 with y = min(x, 0), of which one term is 0, and e^y-1 as 2^n·(e^t-1) + (2^n-1), n the integer
// nearest to y·log2(e) and t = y - n·ln2. A NaN passes every clamp, as it is the second operand.
func elu(isa vec.ISA, c *vec.Constants) {
	isa.Function("elu")
	vec.FlushSubnormals()
	x := vec.Arg("x")
	if isa.Regs == 32 {
		c.Hold("low", "log2e", "shift", "-ln2", "m6", "m5", "m4", "m3", "m2", "1")
	} else {
		c.Hold("shift", "1")
	}
	zero := isa.New()
	vec.Zero(zero)
	eachRow(isa, func(at Register) {
		from, t, n, p, whole := isa.New(), isa.New(), isa.New(), isa.New(), isa.New()
		VMOVUPS(vec.In(x, at, 0), from)
		VMINPS(from, zero, t)
		VMAXPS(t, c.Reg("low", n), t)
		c.Set("shift", n)
		c.Do(vec.FMA231, "log2e", t, n)
		c.Do(vec.Sub, "shift", n, p)
		c.Do(vec.FMA231, "-ln2", p, t)
		VPSLLD(Imm(23), n, n)
		c.Do(vec.Sub, "1", n, whole)
		c.Set("m6", p)
		for _, name := range []string{"m5", "m4", "m3", "m2"} {
			c.Do(vec.FMA213, name, t, p)
		}
		VMULPS(t, p, p)
		VFMADD213PS(t, t, p) // p = t·p + t
		VFMADD231PS(n, p, whole)
		VMAXPS(from, zero, from)
		VADDPS(whole, from, from)
		VMOVUPS(from, vec.In(x, at, 0))
	})
}

func eluAdjoint(isa vec.ISA, c *vec.Constants) {
	isa.Function("eluAdjoint")
	vec.FlushSubnormals()
	dz, dx, out := vec.Arg("dz"), vec.Arg("dx"), vec.Arg("out")
	c.Hold("1")
	zero := isa.New()
	vec.Zero(zero)
	eachRow(isa, func(at Register) {
		slope := isa.New()
		VMOVUPS(vec.In(out, at, 0), slope)
		VMINPS(slope, zero, slope)
		c.Do(vec.Add, "1", slope, slope)
		VMULPS(vec.In(dx, at, 0), slope, slope)
		VMOVUPS(slope, vec.In(dz, at, 0))
	})
}
