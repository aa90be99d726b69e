package l2l

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"unicode/utf8"

	"learnedopt/checkpoints"
)

// The instructions of pickle protocols 2 to 5 that these files hold, with their names in
// Python's pickletools.
const (
	opMark            = '('
	opStop            = '.'
	opBinInt          = 'J'
	opBinInt1         = 'K'
	opBinInt2         = 'M'
	opNone            = 'N'
	opReduce          = 'R'
	opBinUnicode      = 'X'
	opBinString       = 'T' // Python 2 writes its strings, and the bytes of arrays, so
	opShortBinString  = 'U'
	opShortBinUnicode = 0x8c
	opBinUnicode8     = 0x8d
	opBinBytes8       = 0x8e
	opByteArray8      = 0x96
	opStackGlobal     = 0x93
	opMemoize         = 0x94
	opFrame           = 0x95
	opBinBytes        = 'B'
	opShortBinBytes   = 'C'
	opBuild           = 'b'
	opGlobal          = 'c'
	opBinGet          = 'h'
	opLongBinGet      = 'j'
	opBinPut          = 'q'
	opLongBinPut      = 'r'
	opSetItem         = 's'
	opSetItems        = 'u'
	opTuple           = 't'
	opEmptyDict       = '}'
	opEmptyTuple      = ')'
	opProto           = 0x80
	opTuple1          = 0x85
	opTuple2          = 0x86
	opTuple3          = 0x87
	opNewTrue         = 0x88
	opNewFalse        = 0x89
)

// A machine is the pickle machine without everything that could run code. It has a
// stack of values and a memo, and it recognizes calls instead of making them.
type machine struct {
	data  []byte
	pos   int // offset of the next byte
	at    int // offset of the current instruction
	stack []value
	memo  map[uint32]value
	bytes int // number of bytes in the arrays so far
}

// run runs a whole pickle and returns its value.
func (m *machine) run() (value, error) {
	if len(m.data) < 2 || m.data[0] != opProto || m.data[1] < 2 || m.data[1] > 5 {
		return nil, m.failf("not a pickle of protocol 2 to 5")
	}
	m.pos = 2
	for steps := 0; ; steps++ {
		m.at = m.pos
		if steps == maxSteps {
			return nil, m.failf("more than %d instructions", maxSteps)
		}
		op, err := m.take(1)
		if err != nil {
			return nil, err
		}
		if op[0] == opStop {
			break
		}
		if err := m.step(op[0]); err != nil {
			return nil, err
		}
	}
	if len(m.stack) != 1 {
		return nil, m.failf("the pickle ends with %d values, want 1", len(m.stack))
	}
	if m.pos != len(m.data) {
		m.at = m.pos
		return nil, m.failf("%d bytes after the pickle", len(m.data)-m.pos)
	}
	return m.stack[0], nil
}

func (m *machine) step(op byte) error {
	switch op {
	case opMark:
		return m.push(mark{}, nil)
	case opNone:
		return m.push(nil, nil)
	case opNewTrue:
		return m.push(true, nil)
	case opNewFalse:
		return m.push(false, nil)
	case opBinInt, opBinInt1, opBinInt2:
		n, err := m.number(map[byte]int{opBinInt: 4, opBinInt1: 1, opBinInt2: 2}[op])
		return m.push(int32(n), err)
	case opBinUnicode, opShortBinUnicode, opBinUnicode8:
		b, err := m.counted(map[byte]int{opBinUnicode: 4, opShortBinUnicode: 1, opBinUnicode8: 8}[op])
		if err == nil && !utf8.Valid(b) {
			err = m.failf("a string is not UTF-8")
		}
		return m.push(string(b), err)
	case opBinString, opShortBinString:
		b, err := m.counted(map[byte]int{opBinString: 4, opShortBinString: 1}[op])
		return m.push(string(b), err)
	case opBinBytes, opShortBinBytes, opBinBytes8, opByteArray8:
		b, err := m.counted(map[byte]int{opBinBytes: 4, opShortBinBytes: 1, opBinBytes8: 8, opByteArray8: 8}[op])
		return m.push(b, err)
	case opFrame: // says how many bytes follow; nothing here needs to know
		_, err := m.take(8)
		return err
	case opMemoize:
		top, err := m.pop(1)
		if err != nil {
			return err
		}
		m.memo[uint32(len(m.memo))] = top[0]
		return m.push(top[0], nil)
	case opStackGlobal:
		pair, err := m.pop(2)
		if err != nil {
			return err
		}
		in, ok1 := pair[0].(string)
		name, ok2 := pair[1].(string)
		if !ok1 || !ok2 {
			return m.failf("a name made of %s and %s", describe(pair[0]), describe(pair[1]))
		}
		return m.push(m.known(in + "." + name))
	case opGlobal:
		return m.push(m.name())
	case opEmptyDict:
		return m.push(&dict{items: make(map[string]value)}, nil)
	case opEmptyTuple:
		return m.push(tuple{}, nil)
	case opTuple1, opTuple2, opTuple3:
		items, err := m.pop(int(op) - opTuple1 + 1)
		return m.push(tuple(items), err)
	case opTuple:
		items, err := m.popMark()
		return m.push(tuple(items), err)
	case opSetItem, opSetItems:
		return m.setItems(op)
	case opReduce:
		pair, err := m.pop(2)
		if err != nil {
			return err
		}
		args, ok := pair[1].(tuple)
		if !ok {
			return m.failf("a call on %s, want a tuple", describe(pair[1]))
		}
		// Only a global can be called. Some of the other values could not even be compared.
		f, ok := pair[0].(global)
		if !ok {
			return m.failf("a call of %s", describe(pair[0]))
		}
		return m.push(m.call(f, args))
	case opBuild:
		pair, err := m.pop(2)
		if err != nil {
			return err
		}
		return m.push(pair[0], m.build(pair[0], pair[1]))
	case opBinPut, opLongBinPut:
		n, err := m.number(map[byte]int{opBinPut: 1, opLongBinPut: 4}[op])
		if err != nil {
			return err
		}
		top, err := m.pop(1)
		if err != nil {
			return err
		}
		m.memo[n] = top[0]
		return m.push(top[0], nil)
	case opBinGet, opLongBinGet:
		n, err := m.number(map[byte]int{opBinGet: 1, opLongBinGet: 4}[op])
		if err != nil {
			return err
		}
		v, ok := m.memo[n]
		if !ok {
			return m.failf("nothing is remembered as %d", n)
		}
		return m.push(v, nil)
	}
	return m.failf("instruction %#02x is not one that these files need", op)
}

func (m *machine) push(v value, err error) error {
	if err == nil {
		m.stack = append(m.stack, v)
	}
	return err
}

// pop takes n values off the stack, in the order in which they were pushed. A
// mark is not a value.
func (m *machine) pop(n int) ([]value, error) {
	at := len(m.stack) - n
	if at < 0 {
		return nil, m.failf("%d values are wanted, %d are there", n, len(m.stack))
	}
	for _, v := range m.stack[at:] {
		if v == value(mark{}) {
			return nil, m.failf("a mark where a value is wanted")
		}
	}
	items := append([]value(nil), m.stack[at:]...)
	m.stack = m.stack[:at]
	return items, nil
}

// popMark takes the values above the last mark, and the mark.
func (m *machine) popMark() ([]value, error) {
	for at := len(m.stack) - 1; at >= 0; at-- {
		if _, ok := m.stack[at].(mark); ok {
			items, err := m.pop(len(m.stack) - at - 1)
			m.stack = m.stack[:at]
			return items, err
		}
	}
	return nil, m.failf("no mark")
}

func (m *machine) setItems(op byte) error {
	var items []value
	var err error
	if op == opSetItem {
		items, err = m.pop(2)
	} else {
		items, err = m.popMark()
	}
	if err != nil {
		return err
	}
	target, err := m.pop(1)
	if err != nil {
		return err
	}
	d, ok := target[0].(*dict)
	if !ok || len(items)%2 != 0 {
		return m.failf("%d keys and values for %s", len(items), describe(target[0]))
	}
	for i := 0; i < len(items); i += 2 {
		key, ok := items[i].(string)
		if !ok || !utf8.ValidString(key) {
			return m.failf("a key is %s, want a string in UTF-8", describe(items[i]))
		}
		if _, ok := d.items[key]; ok {
			return m.failf("the key %q comes twice", key)
		}
		d.items[key] = items[i+1]
	}
	return m.push(d, nil)
}

// name reads the two lines of a global.
func (m *machine) name() (value, error) {
	const longest = 64
	rest := m.data[m.pos:min(len(m.data), m.pos+longest)]
	lines := bytes.SplitN(rest, []byte("\n"), 3)
	if len(lines) < 3 {
		return nil, m.failf("a name is too long or cut off")
	}
	g, err := m.known(string(lines[0]) + "." + string(lines[1]))
	m.pos += len(lines[0]) + len(lines[1]) + 2
	return g, err
}

// known returns the global of a full name.
func (m *machine) known(full string) (value, error) {
	g, ok := globals[full]
	if !ok {
		return nil, m.failf("the name %.80q is not one that these files need", full)
	}
	return g, nil
}

// number reads a little-endian number of 1, 2 or 4 bytes.
func (m *machine) number(size int) (uint32, error) {
	n, err := m.wide(size)
	return uint32(n), err
}

// wide reads a little-endian number of at most 8 bytes.
func (m *machine) wide(size int) (uint64, error) {
	b, err := m.take(size)
	if err != nil {
		return 0, err
	}
	var wide [8]byte
	copy(wide[:], b)
	return binary.LittleEndian.Uint64(wide[:]), nil
}

// counted reads a number n of the given size and then n bytes; the bytes alias
// the input.
func (m *machine) counted(size int) ([]byte, error) {
	n, err := m.wide(size)
	if err != nil {
		return nil, err
	}
	if n > uint64(len(m.data)-m.pos) {
		return nil, m.truncated(n)
	}
	return m.take(int(n))
}

func (m *machine) take(n int) ([]byte, error) {
	if n > len(m.data)-m.pos {
		return nil, m.truncated(uint64(n))
	}
	b := m.data[m.pos : m.pos+n : m.pos+n]
	m.pos += n
	return b, nil
}

func (m *machine) truncated(n uint64) error {
	return &checkpoints.FormatError{
		Offset: int64(m.at), Err: io.ErrUnexpectedEOF,
		Reason: fmt.Sprintf("%d bytes are wanted, %d are left", n, len(m.data)-m.pos),
	}
}
