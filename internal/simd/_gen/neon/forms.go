package main

import "fmt"

// A form is an instruction of vectors: its bits, all register numbers 0, and its text in the notation of the ARM manual. The
// assembler of Go has no names for most of these instructions, so they are written as words. TestForms compares them with
// those of LLVM. The operands in the text are the registers d, n and m; element is the number of an element of m.
type form struct {
	bits uint32
	text string
}

// Instructions of four float32 (4s), four integers (4s) or two float64 (2d).
var (
	fadd  = form{0x4e20d400, "fadd v%d.4s, v%d.4s, v%d.4s"}
	fsub  = form{0x4ea0d400, "fsub v%d.4s, v%d.4s, v%d.4s"}
	fmul  = form{0x6e20dc00, "fmul v%d.4s, v%d.4s, v%d.4s"}
	fdiv  = form{0x6e20fc00, "fdiv v%d.4s, v%d.4s, v%d.4s"}
	fmax  = form{0x4e20f400, "fmax v%d.4s, v%d.4s, v%d.4s"} // NaN if one is
	fmin  = form{0x4ea0f400, "fmin v%d.4s, v%d.4s, v%d.4s"}
	fmla  = form{0x4e20cc00, "fmla v%d.4s, v%d.4s, v%d.4s"} // d += n·m
	fmls  = form{0x4ea0cc00, "fmls v%d.4s, v%d.4s, v%d.4s"} // d -= n·m
	faddp = form{0x6e20d400, "faddp v%d.4s, v%d.4s, v%d.4s"}
	fcmgt = form{0x6ea0e400, "fcmgt v%d.4s, v%d.4s, v%d.4s"}
	isub  = form{0x6ea08400, "sub v%d.4s, v%d.4s, v%d.4s"}
	eor   = form{0x6e201c00, "eor v%d.16b, v%d.16b, v%d.16b"}
	bsl   = form{0x6e601c00, "bsl v%d.16b, v%d.16b, v%d.16b"} // d = n where d is 1, else m

	fsqrt  = form{0x6ea1f800, "fsqrt v%d.4s, v%d.4s"}
	fabs   = form{0x4ea0f800, "fabs v%d.4s, v%d.4s"}
	fneg   = form{0x6ea0f800, "fneg v%d.4s, v%d.4s"}
	fcmlt0 = form{0x4ea0e800, "fcmlt v%d.4s, v%d.4s, #0.0"}
	fcmgt0 = form{0x4ea0c800, "fcmgt v%d.4s, v%d.4s, #0.0"}
	scvtf  = form{0x4e21d800, "scvtf v%d.4s, v%d.4s"}
	ucvtf  = form{0x6e21d800, "ucvtf v%d.4s, v%d.4s"}
	shl23  = form{0x4f375400, "shl v%d.4s, v%d.4s, #23"}
	sshr23 = form{0x4f290400, "sshr v%d.4s, v%d.4s, #23"}

	fcvtl   = form{0x0e617800, "fcvtl v%d.2d, v%d.2s"}
	fcvtl2  = form{0x4e617800, "fcvtl2 v%d.2d, v%d.4s"}
	fadd2d  = form{0x4e60d400, "fadd v%d.2d, v%d.2d, v%d.2d"}
	fmla2d  = form{0x4e60cc00, "fmla v%d.2d, v%d.2d, v%d.2d"}
	faddp2d = form{0x7e70d800, "faddp d%d, v%d.2d"}

	fcvtlHalf  = form{0x0e217800, "fcvtl v%d.4s, v%d.4h"}
	fcvtl2Half = form{0x4e217800, "fcvtl2 v%d.4s, v%d.8h"}
	fcvtnHalf  = form{0x0e216800, "fcvtn v%d.4h, v%d.4s"}
	fcvtn2Half = form{0x4e216800, "fcvtn2 v%d.8h, v%d.4s"} // keeps the lower half of d

	ushll8   = form{0x2f08a400, "ushll v%d.8h, v%d.8b, #0"}
	ushll28  = form{0x6f08a400, "ushll2 v%d.8h, v%d.16b, #0"}
	ushll16  = form{0x2f10a400, "ushll v%d.4s, v%d.4h, #0"}
	ushll216 = form{0x6f10a400, "ushll2 v%d.4s, v%d.8h, #0"}

	// by is d += n·m[element].
	by = form{0x4f801000, "fmla v%d.4s, v%d.4s, v%d.s[%d]"}
	// dup is d = n[element] in every lane.
	dup = form{0x4e040400, "dup v%d.4s, v%d.s[%d]"}

	// The control register of floating point from a general register, and to one.
	readFPCR  = form{0xd53b4400, "mrs x%d, FPCR"}
	writeFPCR = form{0xd51b4400, "msr FPCR, x%d"}
)

// encode returns the instruction's line with its registers: d, n and m as far as its text has them, then the element.
func (f form) encode(operands ...int) string {
	bits := f.bits
	element := func(e int) {
		if f == by {
			bits |= uint32(e&1)<<21 | uint32(e>>1)<<11
		} else {
			bits |= uint32(e) << 19
		}
	}
	args := make([]any, len(operands))
	for i, x := range operands {
		args[i] = x
		switch {
		case f == by && i == 3 || f == dup && i == 2:
			element(x)
		default:
			bits |= uint32(x) << [...]int{0, 5, 16}[i]
		}
	}
	return fmt.Sprintf("WORD $0x%08x // %s", bits, fmt.Sprintf(f.text, args...))
}
