// Package vec holds what the kernels' generators share: the two instruction
// sets, loops, and the layout of a matrix of lanes.
package vec

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"learnedopt/internal/simd/_gen/twin"
)

// Row is the bytes of one row of a matrix of lanes.
const Row = 32 * 4

// ISA is an instruction set by its vectors. The instructions that the kernels
// use have the same names in both.
type ISA struct {
	Name  string
	Bytes int // of a vector
	Regs  int // vector registers
	New   func() VecVirtual
}

// AVX2 is AVX2 with FMA, AVX512 is AVX-512 F, DQ, BW and VL.
var (
	AVX2   = ISA{"AVX2", 32, 16, YMM}
	AVX512 = ISA{"AVX512", 64, 32, ZMM}
)

// All is what every family is generated for.
var All = []ISA{AVX512, AVX2}

// Lanes is the floats in a vector.
func (s ISA) Lanes() int { return s.Bytes / 4 }

// Vecs returns n new registers.
func (s ISA) Vecs(n int) []VecVirtual {
	v := make([]VecVirtual, n)
	for i := range v {
		v[i] = s.New()
	}
	return v
}

// Zero sets registers to 0.
func Zero(v ...VecVirtual) {
	for _, r := range v {
		VXORPS(r, r, r)
	}
}

var labels int

// Fresh returns a label that the function does not have yet.
func Fresh(name string) string {
	labels++
	return fmt.Sprintf("%s%d", name, labels)
}

// Function opens a kernel for an instruction set.
func (s ISA) Function(name string) {
	labels = 0
	kernel := twin.Kernels[name]
	TEXT(name+s.Name, NOSPLIT, kernel.Signature)
	Pragma("noescape")
	Doc(twin.Doc(name, s.Name, s.Lanes())...)
}

// control is where the present function keeps the control word that it has to
// restore, if it changes it.
var control *Mem

// FlushSubnormals makes the function take and give 0 for numbers below the
// smallest normal one, 1.2e-38, until End. Gates that saturate make such numbers; on
// Intel each costs some 150 cycles otherwise. Assembly is not preempted, so
// no Go code runs in between.
func FlushSubnormals() {
	const flushToZero, denormalsAreZero = 1 << 15, 1 << 6
	old, changed := AllocLocal(4), AllocLocal(4)
	word := GP32()
	STMXCSR(old)
	MOVL(old, word)
	ORL(U32(flushToZero|denormalsAreZero), word)
	MOVL(word, changed)
	LDMXCSR(changed)
	control = &old
}

// End ends a function.
func End() {
	if control != nil {
		LDMXCSR(*control)
		control = nil
	}
	VZEROUPPER()
	RET()
}

// Arg loads an argument into a new register.
func Arg(name string) Register { return Load(Param(name), GP64()) }

// Scalar is a float32 argument in every lane of a new register.
func (s ISA) Scalar(name string) VecVirtual {
	arg, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	v := s.New()
	VBROADCASTSS(arg.Addr, v)
	return v
}

// EachVector emits a loop over the vectors of a row of lanes, and returns from the function. at is the vector's offset.
func EachVector(isa ISA, body func(at Register)) {
	at, loop := GP64(), Fresh("loop")
	XORQ(at, at)
	Label(loop)
	body(at)
	ADDQ(N(isa.Bytes), at)
	CMPQ(at, N(Row))
	JLT(LabelRef(loop))
	End()
}

// In is the vector at an offset in a row of a matrix of lanes.
func In(array, at Register, row int) Mem {
	return Mem{Base: array, Index: at, Scale: 1, Disp: row * Row}
}

// The predicates of comparisons. NotLess holds also if one of the numbers is NaN.
const (
	Less    = 1
	NotLess = 5
)

// Choose makes dst equal to yes in the lanes where the predicate holds for a and b, and no elsewhere. It needs a new
// register for the mask. dst may be any of the operands.
func (s ISA) Choose(predicate int, a, b, yes, no, dst VecVirtual) {
	if s.Regs == 32 {
		mask := K()
		VCMPPS(Imm(uint64(predicate)), b, a, mask)
		VBLENDMPS(yes, no, mask, dst)
		return
	}
	mask := s.New()
	VCMPPS(Imm(uint64(predicate)), b, a, mask)
	VBLENDVPS(mask, yes, no, dst)
}

// Split emits the choice of a tile's size: runs of left rows are cut into
// tiles of at most size rows, the last two about equal, and tile(r) is emitted
// for every r up to size. A tile must not change left; Split subtracts.
func Split(left Register, size int, tile func(rows int)) {
	next, small, done := Fresh("next"), Fresh("small"), Fresh("done")
	at := make([]string, size+1)
	for r := range at {
		at[r] = Fresh(fmt.Sprintf("rows%d_", r))
	}
	rows := GP64()
	TESTQ(left, left)
	JLE(LabelRef(done))
	Label(next)
	CMPQ(left, N(2*size))
	JGE(LabelRef(at[size]))
	MOVQ(left, rows)
	CMPQ(left, N(size))
	JLE(LabelRef(small))
	INCQ(rows)
	SHRQ(Imm(1), rows)
	Label(small)
	for r := 1; r < size; r++ {
		CMPQ(rows, N(r))
		JEQ(LabelRef(at[r]))
	}
	for r := size; r >= 1; r-- {
		Label(at[r])
		tile(r)
		SUBQ(N(r), left)
		JG(LabelRef(next))
		if r > 1 {
			JMP(LabelRef(done))
		}
	}
	Label(done)
}

// N is an integer as an immediate operand of 64-bit arithmetic.
func N(n int) Constant { return U32(n) }
