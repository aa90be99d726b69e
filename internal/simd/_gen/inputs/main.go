// Command inputs generates the kernels that turn gradients into features.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"learnedopt/internal/simd/_gen/twin"
	"learnedopt/internal/simd/_gen/vec"
)

func main() {
	table := vec.Table("logs", twin.Logs...)
	for _, isa := range vec.All {
		table.In(isa)
		logAndSign(isa, table)
		rnnProp(isa)
	}
	Generate()
}

func logAndSign(isa vec.ISA, c *vec.Constants) {
	isa.Function("logAndSign")
	vec.FlushSubnormals()
	x, grad := vec.Arg("x"), vec.Arg("grad")
	p, large := isa.Scalar("p"), isa.Scalar("large")
	c.Hold("1", "-1", "√½")
	one, minus := c.Reg("1", nil), c.Reg("-1", nil)
	vec.EachVector(isa, func(at Register) {
		a, s := isa.New(), isa.New()
		VMOVUPS(vec.In(grad, at, 0), a)
		VMULPS(a, large, s)
		VMAXPS(s, minus, s) // a NaN stays, as it is the second operand
		VMINPS(s, one, s)
		VMOVUPS(s, vec.In(x, at, 1))

		// |g| = 2^k·(1+m) with 1+m from √½ to √2.
		k, m := isa.New(), isa.New()
		c.Do(vec.And, "magnitude", a, a)
		VPSUBD(c.Reg("√½", nil), a, k)
		VPSRAD(Imm(23), k, k)
		VPSLLD(Imm(23), k, m)
		VPSUBD(m, a, m)
		VCVTDQ2PS(k, k)
		VSUBPS(one, m, m)
		// ln(1+m) = m - m²/2 + m³·l(m)
		y, q := isa.New(), isa.New()
		c.Set("l8", y)
		for _, name := range []string{"l7", "l6", "l5", "l4", "l3", "l2", "l1", "l0"} {
			c.Do(vec.FMA213, name, m, y)
		}
		c.Do(vec.FMA213, "-½", m, y)
		VMULPS(m, m, q)
		c.Do(vec.FMA231, "ln2lo", k, m)
		VFMADD231PS(q, y, m)
		c.Do(vec.FMA231, "ln2hi", k, m)
		// Inf and NaN are their own logarithms.
		inf := isa.New()
		c.Set("inf", inf)
		if isa.Regs == 32 {
			odd := K()
			VCMPPS(Imm(vec.NotLess), inf, a, odd)
			VBLENDMPS(a, m, odd, m)
		} else {
			VCMPPS(Imm(vec.NotLess), inf, a, inf)
			VBLENDVPS(inf, a, m, m)
		}
		VDIVPS(p, m, m)
		VMAXPS(m, minus, m)
		VMOVUPS(m, vec.In(x, at, 0))
	})
}

func rnnProp(isa vec.ISA) {
	isa.Function("rnnProp")
	vec.FlushSubnormals()
	x, grad := vec.Arg("x"), vec.Arg("grad")
	mPrev, vPrev, m, v := vec.Arg("mPrev"), vec.Arg("vPrev"), vec.Arg("m"), vec.Arg("v")
	keep, take := isa.Scalar("keep"), isa.Scalar("take")
	correction, epsilon := isa.Scalar("correction"), isa.Scalar("epsilon")
	vec.EachVector(isa, func(at Register) {
		gl, share, ml, vl, d := isa.New(), isa.New(), isa.New(), isa.New(), isa.New()
		VMOVUPS(vec.In(grad, at, 0), gl)
		VMULPS(gl, take, share)
		VMULPS(vec.In(mPrev, at, 0), keep, ml)
		VADDPS(share, ml, ml)
		VMOVUPS(ml, vec.In(m, at, 0))
		VMULPS(vec.In(vPrev, at, 0), keep, vl)
		VFMADD231PS(share, gl, vl)
		VMOVUPS(vl, vec.In(v, at, 0))
		VMULPS(correction, vl, d)
		VSQRTPS(d, d)
		VADDPS(epsilon, d, d)
		VMULPS(correction, ml, ml)
		VDIVPS(d, ml, ml)
		VMOVUPS(ml, vec.In(x, at, 0))
		VDIVPS(d, gl, gl)
		VMOVUPS(gl, vec.In(x, at, 1))
	})
}
