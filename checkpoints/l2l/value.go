package l2l

import (
	"encoding/binary"
	"fmt"
	"math"

	"learnedopt/checkpoints"
)

// A value is a value that a pickle can make here: nil, bool, int32, string, []byte,
// tuple, *dict, *array, *dtype, module, global or mark.
type value any

type (
	tuple  []value
	mark   struct{}
	module string // the name of an imported module
	// A global is one of the names in globals, by its full name.
	global string
	dict   struct {
		items map[string]value
		used  bool
	}
	dtype struct{ built bool }
	array struct {
		Array
		built, used bool
	}
)

// The names that a pickle may use. None of them runs code here.
const (
	defaultdict  global = "collections.defaultdict"
	loadType     global = "dill._dill._load_type"
	getAttr      global = "dill._dill._get_attr"
	importModule global = "dill._dill._import_module"
	ndarray      global = "numpy.ndarray"
	numpyDtype   global = "numpy.dtype"

	// reconstruct is numpy's function that makes empty arrays. It has had three
	// names.
	reconstruct global = "numpy.core.multiarray._reconstruct"

	// Protocol 5 fills an array in one call. Protocol 2 of Python 3 writes bytes as a call.
	fromBuffer global = "numpy.core.numeric._frombuffer"
	encode     global = "_codecs.encode"

	dictType global = "builtins.dict" // the result of _load_type('dict')
)

var globals = map[string]global{
	string(defaultdict): defaultdict, string(loadType): loadType, string(getAttr): getAttr,
	string(importModule): importModule, string(ndarray): ndarray, string(numpyDtype): numpyDtype,
	string(reconstruct):                   reconstruct,
	"numpy._core.multiarray._reconstruct": reconstruct,
	string(fromBuffer):                    fromBuffer, "numpy._core.numeric._frombuffer": fromBuffer, string(encode): encode,
}

// reconstructModules are the modules from which dill fetches _reconstruct, by
// _get_attr(_import_module(…), '_reconstruct').
var reconstructModules = map[string]bool{
	"numpy.core._multiarray_umath": true, "numpy.core.multiarray": true,
}

func describe(v value) string {
	switch x := v.(type) {
	case nil:
		return "None"
	case bool, int32:
		return fmt.Sprint(x)
	case string:
		return "a string"
	case []byte:
		return "a byte string"
	case tuple:
		return fmt.Sprintf("a tuple of %d", len(x))
	case *dict:
		return "a dict"
	case *array:
		return "an array"
	case *dtype:
		return "a dtype"
	case module:
		return fmt.Sprintf("module %q", string(x))
	case global:
		return string(x)
	}
	return "a mark"
}

// call returns the result of calling f on args, for the calls that these files
// hold:
//
//	_load_type('dict')                          the type dict
//	defaultdict(dict)                           an empty dict
//	_import_module('numpy.core…')               a name
//	_get_attr(module, '_reconstruct')           the name _reconstruct
//	_reconstruct(ndarray, (0,), b'b')           an array, to be filled by BUILD
//	dtype('f4', False, True)                    float32, its order set by BUILD
//	_frombuffer(bytes, dtype, shape, 'C')       an array
//	encode('…', 'latin1')                       bytes
func (m *machine) call(f global, args tuple) (value, error) {
	is := func(want ...value) bool {
		if len(args) != len(want) {
			return false
		}
		for i, w := range want {
			if !equal(args[i], w) {
				return false
			}
		}
		return true
	}
	switch f {
	case loadType:
		if is("dict") {
			return dictType, nil
		}
	case defaultdict:
		if is(dictType) {
			return &dict{items: make(map[string]value)}, nil
		}
	case importModule:
		if name, ok := one[string](args); ok && reconstructModules[name] {
			return module(name), nil
		}
	case getAttr:
		if len(args) == 2 && args[1] == value("_reconstruct") {
			if _, ok := args[0].(module); ok {
				return reconstruct, nil
			}
		}
	case reconstruct:
		if is(ndarray, tuple{int32(0)}, []byte("b")) || is(ndarray, tuple{int32(0)}, "b") {
			return &array{}, nil
		}
	case numpyDtype:
		if is("f4", int32(0), int32(1)) || is("f4", false, true) {
			return &dtype{}, nil
		}
	case fromBuffer:
		if len(args) == 4 && args[3] == value("C") {
			a := &array{}
			return a, m.fill(a, tuple{int32(1), args[2], args[1], false, args[0]})
		}
	case encode:
		if len(args) == 2 && args[1] == value("latin1") {
			if text, ok := args[0].(string); ok {
				return m.latin1(text)
			}
		}
	}
	return nil, m.failf("a call of %s that is not known", f)
}

// latin1 returns the characters of a text as bytes.
func (m *machine) latin1(text string) (value, error) {
	b := make([]byte, 0, len(text))
	for _, r := range text {
		if r > 255 {
			return nil, m.failf("the character %q is not a byte", r)
		}
		b = append(b, byte(r))
	}
	return b, nil
}

func one[T any](args tuple) (x T, ok bool) {
	if len(args) != 1 {
		return x, false
	}
	x, ok = args[0].(T)
	return x, ok
}

// equal reports whether got equals want, which is a scalar, a byte string or a tuple of
// scalars.
func equal(got, want value) bool {
	switch w := want.(type) {
	case []byte:
		g, ok := got.([]byte)
		return ok && string(g) == string(w)
	case tuple:
		g, ok := got.(tuple)
		if !ok || len(g) != len(w) {
			return false
		}
		for i := range w {
			if !equal(g[i], w[i]) {
				return false
			}
		}
		return true
	}
	return got == want // does not panic: if got cannot be compared, the types differ
}

// build sets the state of a dtype or an array.
func (m *machine) build(v, state value) error {
	switch x := v.(type) {
	case *dtype:
		// version, byte order, no fields, names or subtype, size and
		// alignment of the type itself, flags
		if !equal(state, tuple{int32(3), "<", nil, nil, nil, int32(-1), int32(-1), int32(0)}) {
			return m.failf("a dtype that is not little-endian float32")
		}
		x.built = true
		return nil
	case *array:
		return m.fill(x, state)
	}
	return m.failf("a state for %s", describe(v))
}

// fill sets an array from (version, shape, dtype, Fortran order, bytes).
func (m *machine) fill(a *array, state value) error {
	s, ok := state.(tuple)
	if !ok || len(s) != 5 || s[0] != value(int32(1)) {
		return m.failf("an array's state is not known")
	}
	shape, ok := s[1].(tuple)
	if !ok || len(shape) > maxRank {
		return m.failf("an array's shape is %s, want a tuple of at most %d", describe(s[1]), maxRank)
	}
	if t, ok := s[2].(*dtype); !ok || !t.built {
		return m.failf("an array's dtype is %s, want little-endian float32", describe(s[2]))
	}
	if s[3] != value(false) {
		return m.failf("an array in Fortran order")
	}
	raw, ok := s[4].([]byte)
	if text, old := s[4].(string); old {
		raw, ok = []byte(text), true
	}
	if !ok {
		return m.failf("an array's data is %s, want a byte string", describe(s[4]))
	}
	if a.built {
		return m.failf("an array gets its state twice")
	}
	n := int64(1)
	for _, v := range shape {
		d, ok := v.(int32)
		if !ok || d < 1 {
			return m.failf("an array's dimension is %s, want an integer of at least 1", describe(v))
		}
		if n *= int64(d); n > maxFile { // no overflow: d < 2^31
			return m.failf("an array is larger than any file")
		}
		a.Shape = append(a.Shape, int(d))
	}
	if int64(len(raw)) != 4*n {
		return m.failf("an array of shape %v has %d bytes, want %d", a.Shape, len(raw), 4*n)
	}
	// The memo allows a pickle to give one byte string to many arrays.
	if m.bytes += len(raw); m.bytes > len(m.data) {
		return m.failf("the arrays are larger than the file: they share data")
	}
	a.Data = make([]float32, n)
	for i := range a.Data {
		x := math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		if x-x != 0 {
			return m.failf("an array's element %d is %v", i, x)
		}
		a.Data[i] = x
	}
	a.built = true
	return nil
}

func (m *machine) failf(format string, args ...any) error {
	return &checkpoints.FormatError{Offset: int64(m.at), Reason: fmt.Sprintf(format, args...)}
}
