// Command inputs generates the kernels that turn gradients into features.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"learnedopt/internal/simd/_gen/vec"
)

func main() {
	// The logarithm's constants are those of Cephes' logf.
	table := vec.Table("logs",
		vec.Float("√½", 0x1.6a09e6p-1),
		vec.Float("1", 1),
		vec.Float("-1", -1),
		vec.Number{Name: "magnitude", Bits: 1<<31 - 1},
		vec.Number{Name: "inf", Bits: 0xff << 23},
		vec.Float("l8", 7.0376836292e-2),
		vec.Float("l7", -1.1514610310e-1),
		vec.Float("l6", 1.1676998740e-1),
		vec.Float("l5", -1.2420140846e-1),
		vec.Float("l4", 1.4249322787e-1),
		vec.Float("l3", -1.6668057665e-1),
		vec.Float("l2", 2.0000714765e-1),
		vec.Float("l1", -2.4999993993e-1),
		vec.Float("l0", 3.3333331174e-1),
		vec.Float("-½", -0.5),
		vec.Float("ln2hi", 0.693359375),
		vec.Float("ln2lo", -2.12194440e-4),
	)
	for _, isa := range vec.All {
		table.In(isa)
		logAndSign(isa, table)
		rnnProp(isa)
	}
	Generate()
}

func logAndSign(isa vec.ISA, c *vec.Constants) {
	isa.Function("logAndSign", "func(x, grad *float32, p, large float32)",
		"	for l, gl := range grad[:Lanes] {",
		"		x[l] = max(log(abs(gl))/p, -1)",
		"		x[Lanes+l] = min(max(large*gl, -1), 1)",
		"	}",
	)
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
	isa.Function("rnnProp", "func(x, grad, mPrev, vPrev, m, v *float32, keep, take, correction, epsilon float32)",
		"	for l, gl := range grad[:Lanes] {",
		"		ml := keep*mPrev[l] + take*gl",
		"		vl := keep*vPrev[l] + take*gl*gl",
		"		m[l], v[l] = ml, vl",
		"		d := sqrt(vl*correction) + epsilon",
		"		x[l], x[Lanes+l] = ml*correction/d, gl/d",
		"	}",
	)
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
