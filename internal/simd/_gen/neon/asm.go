package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"learnedopt/internal/simd/_gen/twin"
)

const (
	// row is the bytes of one row of a matrix of lanes.
	row = 32 * 4
	// vector is the bytes of a vector.
	vector = 16
)

// V is a vector register. 0 to 31 are the machine's. Higher numbers are names of values in straight code, which flush maps to
// free registers.
type V int

// R is a general register.
type R int

func (r R) String() string { return "R" + strconv.Itoa(int(r)) }

// An instruction is one of straight code. regs are its registers in the order in which text takes them.
type instruction struct {
	regs []V
	text func(regs []int) string
}

// An arg is an argument of a function.
type arg struct {
	typ    string
	offset int
}

// function is a kernel that is being written.
type function struct {
	name   string
	text   strings.Builder
	args   map[string]arg
	size   int // of all arguments
	table  string
	at     map[string]int // constants in the table
	base   R              // address of the table
	code   []instruction
	names  V // names given so far
	fixed  [32]bool
	nextR  R
	labels int
	ieee   R // the control register of the caller; 0 if it was not changed
	width  int
}

// open starts a kernel.
func open(name string) *function {
	f := &function{name: name + "NEON", args: make(map[string]arg), names: 32, width: 2}
	list := strings.TrimSuffix(strings.TrimPrefix(twin.Kernels[name].Signature, "func("), ")")
	var same []string
	for _, p := range strings.Split(list, ", ") {
		param, typ, typed := strings.Cut(p, " ")
		same = append(same, param)
		if !typed {
			continue
		}
		size := 8
		switch typ {
		case "float32":
			size = 4
		case "bool":
			size = 1
		}
		for _, s := range same {
			f.size = (f.size + size - 1) / size * size
			f.args[s] = arg{typ, f.size}
			f.size += size
		}
		same = nil
	}
	return f
}

// line emits a line of assembly after the straight code so far.
func (f *function) line(format string, args ...any) {
	f.flush()
	fmt.Fprintf(&f.text, "\t"+format+"\n", args...)
}

// label returns a label that the function does not have yet.
func (f *function) label(name string) string {
	f.labels++
	return name + strconv.Itoa(f.labels)
}

// mark emits a label.
func (f *function) mark(label string) {
	f.flush()
	fmt.Fprintf(&f.text, "%s:\n", label)
}

// general returns a new general register, none of those that the linker, the platform or Go reserve.
func (f *function) general() R {
	r := f.nextR
	f.nextR++
	if f.nextR == 16 {
		f.nextR = 19
	}
	if r > 24 {
		panic(f.name + ": no general register left")
	}
	return r
}

// arg loads an argument into a new general register.
func (f *function) arg(name string) R {
	r := f.general()
	f.load(name, r)
	return r
}

func (f *function) load(name string, r R) {
	op := "MOVD"
	if f.args[name].typ == "bool" {
		op = "MOVBU"
	}
	f.line("%s %s+%d(FP), %v", op, name, f.args[name].offset, r)
}

// flushSubnormals makes the function take and give 0 for subnormal numbers until end, as it is on other architectures.
func (f *function) flushSubnormals() {
	const flushToZero = 1 << 24
	f.ieee = 25
	f.line("%s", readFPCR.encode(25))
	f.line("ORR $%d, R25, R26", flushToZero)
	f.line("%s", writeFPCR.encode(26))
}

// end ends the function.
func (f *function) end() {
	if f.flush(); f.ieee != 0 {
		f.line("%s", writeFPCR.encode(int(f.ieee)))
	}
	f.line("RET")
}

// loop emits a loop that counts a register down to 0, from 1 or more.
func (f *function) loop(count R, body func()) {
	loop := f.label("loop")
	f.mark(loop)
	body()
	f.line("SUBS $1, %v, %v", count, count)
	f.line("BNE %s", loop)
}

// Vectors.

// pin takes a register for the rest of the function.
func (f *function) pin() V {
	for v := V(31); v >= 0; v-- {
		if !f.fixed[v] {
			f.fixed[v] = true
			return v
		}
	}
	panic(f.name + ": no vector register left to pin")
}

func (f *function) unpin(all ...V) {
	f.flush()
	for _, v := range all {
		f.fixed[v] = false
	}
}

func (f *function) name1() V {
	f.names++
	return f.names - 1
}

// emit adds an instruction to the straight code.
func (f *function) emit(text func(r []int) string, regs ...V) {
	f.code = append(f.code, instruction{regs, text})
}

// do emits a form.
func (f *function) do(op form, regs ...V) {
	f.emit(func(r []int) string { return op.encode(r...) }, regs...)
}

// flush gives the names in the straight code so far registers, each from its first use to its last, and writes the code. The
// first use of a name defines it, so it may take the register of an operand whose last use is in the same instruction.
func (f *function) flush() {
	last, where := make(map[V]int), make(map[V]int)
	for i, in := range f.code {
		for _, v := range in.regs {
			last[v] = i
		}
	}
	used := f.fixed
	for i, in := range f.code {
		regs := make([]int, len(in.regs))
		for j, v := range in.regs {
			if v < 32 {
				regs[j] = int(v)
			} else if r, ok := where[v]; ok {
				regs[j] = r
			} else {
				regs[j] = -1
			}
		}
		for j, v := range in.regs {
			if v >= 32 && last[v] == i && regs[j] >= 0 {
				used[regs[j]] = false
			}
		}
		for j, v := range in.regs {
			if regs[j] >= 0 {
				continue
			}
			r := slices.Index(used[:], false)
			if r < 0 {
				panic(f.name + ": no vector register left")
			}
			used[r] = last[v] != i
			where[v], regs[j] = r, r
		}
		fmt.Fprintf(&f.text, "\t%s\n", in.text(regs))
	}
	f.code = nil
}

// An X is a few vectors side by side, of which the elementwise kernels compute f.width at a time.
type X []V

func (f *function) values() X {
	x := make(X, f.width)
	for i := range x {
		x[i] = f.name1()
	}
	return x
}

// op returns op(x, …), vector by vector.
func (f *function) op(op form, x ...X) X {
	d := f.values()
	f.set(op, d, x...)
	return d
}

// set makes d op(x, …). Of fmla, fmls and bsl it is the first operand too.
func (f *function) set(op form, d X, x ...X) {
	for i := range d {
		regs := []V{d[i]}
		for _, operand := range x {
			regs = append(regs, operand[i])
		}
		f.do(op, regs...)
	}
}

// move emits a load or a store of x, at an offset from an address or, if after is true, with the address moved on behind it.
func (f *function) move(store bool, x X, base R, offset int, after bool) {
	address := fmt.Sprintf("%d(%v)", offset, base)
	one, two := "FMOVQ", "FLDPQ"
	if store {
		two = "FSTPQ"
	}
	if after {
		address = fmt.Sprintf("%d(%v)", vector*len(x), base)
		one, two = one+".P", two+".P"
	}
	switch {
	case len(x) == 2:
		f.emit(func(r []int) string {
			if pair := fmt.Sprintf("(F%d, F%d)", r[0], r[1]); store {
				return two + " " + pair + ", " + address
			} else {
				return two + " " + address + ", " + pair
			}
		}, x...)
	case store:
		f.emit(func(r []int) string { return fmt.Sprintf("%s F%d, %s", one, r[0], address) }, x...)
	default:
		f.emit(func(r []int) string { return fmt.Sprintf("%s %s, F%d", one, address, r[0]) }, x...)
	}
}

// from is the numbers at an offset from an address; take is those at an address, which moves on behind them.
func (f *function) from(base R, offset int) X {
	x := f.values()
	f.move(false, x, base, offset, false)
	return x
}

func (f *function) take(base R) X {
	x := f.values()
	f.move(false, x, base, 0, true)
	return x
}

// to stores x at an offset from an address; put stores it at an address, which moves on behind it.
func (f *function) to(x X, base R, offset int) { f.move(true, x, base, offset, false) }
func (f *function) put(x X, base R)            { f.move(true, x, base, 0, true) }

// Constants.

// constants makes the function use a table.
func (f *function) constants(symbol string, all []twin.Number) {
	f.table, f.at, f.base = symbol, make(map[string]int), f.general()
	for i, c := range all {
		f.at[c.Name] = i * 2 * vector
	}
	f.line("MOVD $%s<>(SB), %v", symbol, f.base)
}

func (f *function) where(name string) int {
	at, ok := f.at[name]
	if !ok {
		panic("no constant " + name)
	}
	return at
}

// fresh is a constant in registers of its own.
func (f *function) fresh(name string) X { return f.from(f.base, f.where(name)) }

// all is a pinned register as an operand.
func (f *function) all(v V) X {
	x := make(X, f.width)
	for i := range x {
		x[i] = v
	}
	return x
}

// hold pins a constant.
func (f *function) hold(name string) X {
	v := f.pin()
	f.line("FMOVQ %d(%v), F%d", f.where(name), f.base, v)
	return f.all(v)
}

// scalar pins a float32 argument in all lanes.
func (f *function) scalar(name string) X {
	v := f.pin()
	f.line("FMOVS %s+%d(FP), F%d", name, f.args[name].offset, v)
	f.do(dup, v, v, 0)
	return f.all(v)
}

// zero pins 0.
func (f *function) zero() X {
	v := f.pin()
	f.do(eor, v, v, v)
	return f.all(v)
}

// eachVector emits a loop over a row of lanes, in which the given addresses move on.
func (f *function) eachVector(moving []R, body func()) {
	count := f.general()
	f.line("MOVD $%d, %v", row/(f.width*vector), count)
	f.loop(count, func() {
		body()
		for _, r := range moving {
			f.line("ADD $%d, %v", f.width*vector, r)
		}
	})
}

// horner is the polynomial in x of the given coefficients, the highest power's first.
func (f *function) horner(x X, names ...string) X {
	p := f.fresh(names[0])
	for _, name := range names[1:] {
		c := f.fresh(name)
		f.set(fmla, c, p, x)
		p = c
	}
	return p
}
