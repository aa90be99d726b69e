package vec

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"learnedopt/internal/simd/_gen/twin"
)

// stride is the bytes of a constant in memory: a whole vector, for AVX2, which
// cannot broadcast within an instruction. The linker aligns data so far and no
// further.
const stride = 32

// Constants is a table of constants in memory, of which one function holds some
// in registers.
type Constants struct {
	isa  ISA
	base Mem
	at   map[string]int
	held map[string]VecVirtual
}

// Table emits a table of constants.
func Table(symbol string, all ...twin.Number) *Constants {
	t := &Constants{base: GLOBL(symbol, RODATA|NOPTR), at: make(map[string]int)}
	for i, c := range all {
		t.at[c.Name] = i * stride
		for at := 0; at < stride; at += 8 {
			DATA(i*stride+at, U64(uint64(c.Bits)<<32|uint64(c.Bits)))
		}
	}
	return t
}

// In starts a function that uses the table.
func (t *Constants) In(isa ISA) {
	t.isa = isa
	t.held = make(map[string]VecVirtual)
}

// Hold loads constants into registers, for the whole function.
func (t *Constants) Hold(names ...string) {
	for _, name := range names {
		r := t.isa.New()
		VBROADCASTSS(t.Mem(name), r)
		t.held[name] = r
	}
}

// Mem is where the table holds a constant, 32 bytes of it.
func (t *Constants) Mem(name string) Mem {
	at, ok := t.at[name]
	if !ok {
		panic("no constant " + name)
	}
	return t.base.Offset(at)
}

// Reg is a constant in a register: the one that holds it, or else spare.
func (t *Constants) Reg(name string, spare VecVirtual) VecVirtual {
	if r, ok := t.held[name]; ok {
		return r
	}
	VBROADCASTSS(t.Mem(name), spare)
	return spare
}

// Set makes dst a constant.
func (t *Constants) Set(name string, dst VecVirtual) {
	if r := t.Reg(name, dst); r != dst {
		VMOVAPS(r, dst)
	}
}

// A Form is an instruction in its two forms: with the first operand in a register or a
// whole vector in memory, and in memory as one float32.
type Form struct{ whole, one func(ops ...Op) }

// The instructions that take a constant x.
var (
	FMA213 = Form{VFMADD213PS, VFMADD213PS_BCST} // z = y·z + x
	FMA231 = Form{VFMADD231PS, VFMADD231PS_BCST} // z = x·y + z
	Add    = Form{VADDPS, VADDPS_BCST}           // z = y + x
	Sub    = Form{VSUBPS, VSUBPS_BCST}           // z = y - x
	Mul    = Form{VMULPS, VMULPS_BCST}           // z = y·x
	And    = Form{VANDPS, VANDPS_BCST}           // z = y & x
)

// Do emits an instruction whose operand x is a constant.
func (t *Constants) Do(i Form, name string, y, z VecVirtual) {
	r, ok := t.held[name]
	switch {
	case ok:
		i.whole(r, y, z)
	case t.isa.Regs == 32:
		i.one(t.Mem(name), y, z)
	default:
		i.whole(t.Mem(name), y, z)
	}
}
