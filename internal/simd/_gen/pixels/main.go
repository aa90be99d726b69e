// Command pixels generates package gemm's conversion of bytes.
package main

import (
	"math"

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

// step is the bytes converted at a time.
const step = 16

func generate(isa vec.ISA) {
	isa.Function("pixels")
	dst, src, n := vec.Arg("dst"), vec.Arg("src"), vec.Arg("n")
	constant := func(x float32) VecVirtual {
		bits, v := GP32(), isa.New()
		MOVL(U32(math.Float32bits(x)), bits)
		low := XMM()
		VMOVD(bits, low)
		VBROADCASTSS(low, v)
		return v
	}
	size, inverse := constant(255), constant(1./255)
	loop, done := vec.Fresh("loop"), vec.Fresh("done")
	SUBQ(vec.N(step), n)
	JLT(LabelRef(done))
	Label(loop)
	for at := 0; at < step; at += isa.Lanes() {
		x, q, e := isa.New(), isa.New(), isa.New()
		VPMOVZXBD(Mem{Base: src, Disp: at}, x)
		VCVTDQ2PS(x, x)
		// The product is off by an ulp at most; what it leaves of x is exact,
		// and another division of that mends it.
		VMULPS(inverse, x, q)
		VMOVAPS(x, e)
		VFNMADD231PS(size, q, e)
		VFMADD231PS(inverse, e, q)
		VMOVUPS(q, Mem{Base: dst, Disp: 4 * at})
	}
	ADDQ(vec.N(step), src)
	ADDQ(vec.N(4*step), dst)
	SUBQ(vec.N(step), n)
	JGE(LabelRef(loop))
	Label(done)
	VZEROUPPER()
	RET()
}
