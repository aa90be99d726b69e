package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"learnedopt/internal/simd/_gen/twin"
	"learnedopt/internal/simd/_gen/vec"
)

// constants emits the constants of sigmoid and tanh, those of the twins in
// activations.go.
func constants() *vec.Constants {
	return vec.Table("gates", twin.Gates...)
}

// gates computes in registers of one instruction set.
type gates struct {
	vec.ISA
	*vec.Constants
}

// A chain is the instructions of one computation, each of which needs the one
// before.
type chain []func()

// weave emits chains side by side, in proportion to their lengths: a CPU looks
// some hundred instructions ahead, and less than that of those that wait.
func weave(chains ...chain) {
	steps := 0
	for _, c := range chains {
		steps = max(steps, len(c))
	}
	for s := range steps {
		for _, c := range chains {
			for i := s * len(c) / steps; i < (s+1)*len(c)/steps; i++ {
				c[i]()
			}
		}
	}
}

// sigmoid replaces x by 1/(1+2^n·p(t)), n the integer nearest to -x·log2(e) and
// t = x + n·ln2. A NaN passes every clamp, as it is the second operand, and every
// mask. AVX2 divides, which handles what overflows: 1/(1+Inf) = 0. AVX-512 has a
// better estimate of reciprocals to start from, and masks, so it does without
// the divider, which would take longer than all the rest.
func (g gates) sigmoid(x VecVirtual) chain {
	n, p, normal := g.New(), g.New(), K()
	c := chain{
		func() {
			if g.Regs == 32 {
				VCMPPS(Imm(vec.NotLess), g.Reg("least", n), x, normal)
			} else {
				VMAXPS(x, g.Reg("min", n), x)
			}
		},
		func() { VMINPS(x, g.Reg("max", n), x) },
		func() { g.Set("shift", n); g.Do(vec.FMA231, "-log2e", x, n) },
		func() { g.Do(vec.Sub, "shift", n, p) },
		func() { g.Do(vec.FMA231, "ln2", p, x) },
		func() { VPSLLD(Imm(23), n, n) },
	}
	c = append(c, g.horner(p, x, "e5", "e4", "e3", "e2", "e1", "1")...)
	c = append(c, func() { g.Do(vec.FMA213, "1", n, p) })
	if g.Regs == 32 {
		c = append(c, g.reciprocal(p, n, x)...)
		return append(c, func() { VFMADD213PS_Z(n, n, normal, x) })
	}
	return append(c, func() { VDIVPS(p, g.Reg("1", x), x) })
}

// horner makes p the polynomial in x of the given coefficients, the highest
// power's first.
func (g gates) horner(p, x VecVirtual, names ...string) chain {
	var c chain
	for i, name := range names[1:] {
		c = append(c, func() {
			if i == 0 {
				g.Set(names[0], p)
			}
			g.Do(vec.FMA213, name, x, p)
		})
	}
	return c
}

// reciprocal makes r about 1/d, to 14 bits, and e the remainder 1 - r·d:
// r + r·e is 1/d to 27 bits.
func (g gates) reciprocal(d, r, e VecVirtual) chain {
	return chain{
		func() { VRCP14PS(d, r) },
		func() { g.Set("1", e); VFNMADD231PS(r, d, e) },
	}
}

// tanh replaces x by x·p(x²)/d(x²). Where much else is to be done meanwhile, a
// division takes fewer instructions than a reciprocal does.
func (g gates) tanh(x VecVirtual, divide bool) chain {
	q, p, d := g.New(), g.New(), g.New()
	c := chain{
		func() { VMAXPS(x, g.Reg("-clamp", q), x) },
		func() { VMINPS(x, g.Reg("clamp", q), x) },
		func() { VMULPS(x, x, q) },
	}
	num, den := g.horner(p, q, "p4", "p3", "p2", "p1", "1"), g.horner(d, q, "d4", "d3", "d2", "d1", "1")
	for i := range num {
		c = append(c, den[i], num[i])
	}
	c = append(c, func() { VMULPS(x, p, p) })
	if divide {
		return append(c, func() { VDIVPS(d, p, x) })
	}
	e := g.New()
	c = append(c, g.reciprocal(d, q, e)...)
	return append(c,
		func() { VFMADD231PS(e, q, q) },
		func() { VMULPS(q, p, x) },
	)
}
