// Command half generates the kernels between float32 and float16.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"learnedopt/internal/simd/_gen/twin"
	"learnedopt/internal/simd/_gen/vec"
)

func main() {
	table := vec.Table("halves", twin.Halves...)
	for _, isa := range vec.All {
		table.In(isa)
		widen(isa)
		table.In(isa)
		narrow(isa, table)
	}
	hasF16C()
	Generate()
}

// hasF16C asks the processor for the conversions of AVX2's path. Package cpu does not know them.
func hasF16C() {
	TEXT("hasF16C", NOSPLIT, "func() bool")
	Doc("hasF16C says whether the processor converts float16 to float32 and back.")
	MOVL(U32(1), EAX)
	XORL(ECX, ECX)
	CPUID()
	SHRL(Imm(29), ECX)
	ANDL(U32(1), ECX)
	Store(CL, ReturnIndex(0))
	RET()
}

// eachRow emits a loop over the vectors of some rows of lanes, of which there is at least one, and returns from the function.
// at is the offset of a vector of float32 and half that of its float16.
func eachRow(isa vec.ISA, body func(at, half Register)) {
	end, at, half, loop := vec.Arg("rows"), GP64(), GP64(), vec.Fresh("loop")
	SHLQ(Imm(7), end)
	XORQ(at, at)
	XORQ(half, half)
	Label(loop)
	body(at, half)
	ADDQ(vec.N(isa.Bytes), at)
	ADDQ(vec.N(isa.Bytes/2), half)
	CMPQ(at, end)
	JLT(LabelRef(loop))
	vec.End()
}

// widen needs no control word: the conversion does not flush subnormal numbers.
func widen(isa vec.ISA) {
	isa.Function("widen")
	x, half := vec.Arg("x"), vec.Arg("half")
	eachRow(isa, func(at, at2 Register) {
		v := isa.New()
		VCVTPH2PS(vec.In(half, at2, 0), v)
		VMOVUPS(v, vec.In(x, at, 0))
	})
}

// narrow clamps, so that no number becomes an infinity. A NaN passes the clamps, as it is the second operand. The immediate
// 0 rounds to nearest, ties to even, whatever the control word says.
func narrow(isa vec.ISA, c *vec.Constants) {
	isa.Function("narrow")
	half, x := vec.Arg("half"), vec.Arg("x")
	c.Hold("largest", "-largest")
	low, high := c.Reg("-largest", nil), c.Reg("largest", nil)
	eachRow(isa, func(at, at2 Register) {
		v := isa.New()
		VMOVUPS(vec.In(x, at, 0), v)
		VMAXPS(v, low, v)
		VMINPS(v, high, v)
		VCVTPS2PH(Imm(0), v, vec.In(half, at2, 0))
	})
}
