package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"learnedopt/internal/simd/_gen/vec"
)

// The constants of sigmoid and tanh are those of the twins in activations.go.
var table = []struct {
	name  string
	value float32
}{
	{"-log2e", -0x1.715476p+0},
	{"shift", 3<<22 + 127},
	{"ln2", 0x1.62e430p-1},
	{"e5", -0x1.0f9f9cp-7},
	{"e4", 0x1.573a1ap-5},
	{"e3", -0x1.555a80p-3},
	{"e2", 0x1.fffdc6p-2},
	{"e1", -0x1.fffff6p-1},
	{"1", 1},
	{"min", -89},
	{"max", 87},
	{"-clamp", -9},
	{"clamp", 9},
	{"p4", 1.341983e-08},
	{"p3", 2.0661268e-05},
	{"p2", 0.00349899639},
	{"p1", 0.133839805},
	{"d4", 7.80473255e-07},
	{"d3", 0.00032910389},
	{"d2", 0.0258902075},
	{"d1", 0.46717302},
}

// stride is the bytes of a constant: a vector of the widest kind.
const stride = 64

var base Mem

// constants emits the table, every constant as a whole vector.
func constants() {
	base = GLOBL("gates", RODATA|NOPTR)
	for i, c := range table {
		for at := 0; at < stride; at += 8 {
			bits := uint64(math.Float32bits(c.value))
			DATA(i*stride+at, U64(bits<<32|bits))
		}
	}
}

func constant(name string) Mem {
	for i, c := range table {
		if c.name == name {
			return base.Offset(i * stride)
		}
	}
	panic(name)
}

// gates computes in registers of one instruction set.
type gates struct {
	vec.ISA
	held map[string]VecVirtual
}

// hold loads constants into registers, for the whole function.
func (g *gates) hold(names ...string) {
	g.held = make(map[string]VecVirtual)
	for _, name := range names {
		g.held[name] = g.New()
		VMOVUPS(constant(name), g.held[name])
	}
}

// c is a constant as an operand.
func (g *gates) c(name string) Op {
	if r, ok := g.held[name]; ok {
		return r
	}
	return constant(name)
}

// reg is a constant in a register that may be overwritten.
func (g *gates) reg(name string) VecVirtual {
	r := g.New()
	VMOVUPS(g.c(name), r)
	return r
}

// each runs an instruction for all of some independent values, so that their
// latencies overlap.
func each(x []VecVirtual, f func(i int, x VecVirtual)) {
	for i, r := range x {
		f(i, r)
	}
}

// sigmoid replaces every x by 1/(1+2^n·p(t)), n the integer nearest to
// -x·log2(e) and t = x + n·ln2. A NaN passes both clamps, as it is the second
// operand. One division handles what overflows: 1/(1+Inf) = 0.
func (g *gates) sigmoid(x ...VecVirtual) {
	n, p := g.Vecs(len(x)), g.Vecs(len(x))
	lo, hi := g.c("min"), g.c("max")
	each(x, func(i int, x VecVirtual) { g.clamp(lo, hi, x) })
	each(x, func(i int, x VecVirtual) {
		VMOVUPS(g.c("shift"), n[i])
		VFMADD231PS(g.c("-log2e"), x, n[i])
	})
	each(x, func(i int, x VecVirtual) {
		VSUBPS(g.c("shift"), n[i], p[i])
		VFMADD231PS(g.c("ln2"), p[i], x)
		VPSLLD(Imm(23), n[i], n[i])
		VMOVUPS(g.c("e5"), p[i])
	})
	for _, name := range []string{"e4", "e3", "e2", "e1", "1"} {
		each(x, func(i int, x VecVirtual) { VFMADD213PS(g.c(name), x, p[i]) })
	}
	each(x, func(i int, x VecVirtual) { VFMADD213PS(g.c("1"), n[i], p[i]) })
	each(x, func(i int, x VecVirtual) { g.divide(g.c("1"), p[i], x) })
}

// clamp is x = min(hi, max(lo, x)), with NaN kept.
func (g *gates) clamp(lo, hi Op, x VecVirtual) {
	VMAXPS(x, g.loaded(lo), x)
	VMINPS(x, g.loaded(hi), x)
}

// loaded is a constant in a register.
func (g *gates) loaded(c Op) VecVirtual {
	if r, ok := c.(VecVirtual); ok {
		return r
	}
	r := g.New()
	VMOVUPS(c, r)
	return r
}

// divide is dst = a/b.
func (g *gates) divide(a Op, b, dst VecVirtual) { VDIVPS(b, g.loaded(a), dst) }

// tanh replaces every x by x·p(x²)/d(x²).
func (g *gates) tanh(x ...VecVirtual) {
	q, p, d := g.Vecs(len(x)), g.Vecs(len(x)), g.Vecs(len(x))
	lo, hi := g.c("-clamp"), g.c("clamp")
	each(x, func(i int, x VecVirtual) { g.clamp(lo, hi, x) })
	each(x, func(i int, x VecVirtual) {
		VMULPS(x, x, q[i])
		VMOVUPS(g.c("p4"), p[i])
		VMOVUPS(g.c("d4"), d[i])
	})
	for _, name := range []string{"3", "2", "1", ""} {
		each(x, func(i int, x VecVirtual) {
			if name == "" {
				VFMADD213PS(g.c("1"), q[i], p[i])
				VFMADD213PS(g.c("1"), q[i], d[i])
				return
			}
			VFMADD213PS(g.c("p"+name), q[i], p[i])
			VFMADD213PS(g.c("d"+name), q[i], d[i])
		})
	}
	each(x, func(i int, x VecVirtual) { VMULPS(x, p[i], p[i]) })
	each(x, func(i int, x VecVirtual) { VDIVPS(d[i], p[i], x) })
}
