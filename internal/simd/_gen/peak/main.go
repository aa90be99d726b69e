// Command peak generates the kernels that measure the machine's FMA peak.
package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"

	"learnedopt/internal/simd/_gen/vec"
)

// chains is enough to hide the latency of an FMA on any machine: no more than
// five cycles at two a cycle.
const chains = 16

func main() {
	for _, isa := range vec.All {
		isa.Function("fmaChains")
		n := vec.Arg("n")
		// From -1/2 the chains go to 0 like -1/n: no number gets special.
		start, x := GP32(), XMM()
		MOVL(U32(math.Float32bits(-0.5)), start)
		VMOVD(start, x)
		acc := isa.Vecs(chains)
		VBROADCASTSS(x, acc[0])
		for _, r := range acc[1:] {
			VMOVAPS(acc[0], r)
		}
		loop := vec.Fresh("loop")
		Label(loop)
		// Each chain multiplies by itself: with sixteen registers there is none
		// left for a factor.
		for _, r := range acc {
			VFMADD231PS(r, r, r)
		}
		DECQ(n)
		JNZ(LabelRef(loop))
		VZEROUPPER()
		RET()
	}
	Generate()
}
