package saved

import (
	"fmt"
	"hash"
	"hash/fnv"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Define returns the text that defines a value, such as a rule with all its settings: a line
//
//	path = value
//
// for each of its exported fields and, recursively, for the fields in them, in a fixed order. The text is the same in every
// process: floats have all their digits, maps are sorted, and a pointer is written as the value that it points to. A value in
// an interface is written with its type.
//
//   - Zero values are left out, so that a field that a later version adds changes nothing as long as it is not used.
//   - If a type has a method WithDefaults that returns the same type, the value with its defaults is written.
//   - If a type has a method Definition() any, its result is written: this is for settings that are not exported.
//   - Unexported fields, functions, channels and unsafe pointers are left out.
//   - For a long text or a long slice of numbers a checksum is written, and one checksum for all lines after the first 32 KiB.
//
// Values that are nested deeper than 64 levels are left out, and so are all values after the first 65,536.
func Define(name string, x any) string {
	var d definer
	if v := reflect.ValueOf(x); v.IsValid() {
		d.held(name, v, 0)
	}
	return d.finish()
}

const (
	maxDefinition = 32 << 10
	maxDepth      = 64
	maxValues     = 1 << 16
	maxText       = 256 // bytes in a text, or elements in a slice of numbers
)

// A definer writes lines.
type definer struct {
	text   strings.Builder
	sum    hash.Hash64 // checksum of the lines that are not in text
	more   int         // number of lines that are not in text
	values int
	path   []uintptr // the pointers on the way to the current value
}

func (d *definer) line(path, value string) {
	line := path + " = " + value + "\n"
	if d.more == 0 && d.text.Len()+len(line) <= maxDefinition {
		d.text.WriteString(line)
		return
	}
	if d.more == 0 {
		d.sum = fnv.New64a()
	}
	d.more++
	d.sum.Write([]byte(line))
}

func (d *definer) finish() string {
	if d.more > 0 {
		fmt.Fprintf(&d.text, "%d more lines = checksum %016x\n", d.more, d.sum.Sum64())
	}
	return d.text.String()
}

// held writes a value with its type, because the type does not follow from the field that holds it.
func (d *definer) held(path string, v reflect.Value, depth int) {
	name := v.Type().String()
	v = resolve(v)
	if !v.IsValid() {
		d.line(path, name)
		return
	}
	if s := scalar(v); s != "" {
		d.line(path, name+" "+s)
		return
	}
	d.line(path, name)
	if v.Kind() == reflect.Pointer {
		d.follow(path, v, depth)
		return
	}
	d.value(path, v, depth)
}

// value writes a value.
func (d *definer) value(path string, v reflect.Value, depth int) {
	if d.values++; depth > maxDepth || d.values > maxValues {
		return
	}
	switch v = resolve(v); v.Kind() {
	case reflect.Invalid:
	case reflect.Interface:
		if !v.IsNil() {
			d.held(path, v.Elem(), depth+1)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			d.line(path, "set")
			d.follow(path, v, depth)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() || f.Anonymous && f.Type.Kind() == reflect.Struct {
				d.value(path+"."+f.Name, v.Field(i), depth+1)
			}
		}
	case reflect.Slice, reflect.Array:
		d.list(path, v, depth)
	case reflect.Map:
		d.mapped(path, v, depth)
	default:
		if s := scalar(v); s != "" && !v.IsZero() {
			d.line(path, s)
		}
	}
}

// follow writes the value that a pointer points to, unless the pointer is itself part of that value.
func (d *definer) follow(path string, v reflect.Value, depth int) {
	if v.IsNil() || slices.Contains(d.path, v.Pointer()) {
		return
	}
	d.path = append(d.path, v.Pointer())
	d.value(path, v.Elem(), depth+1)
	d.path = d.path[:len(d.path)-1]
}

// list writes the length of a slice and its elements, or a checksum of the elements if they are many scalars.
func (d *definer) list(path string, v reflect.Value, depth int) {
	n := v.Len()
	if n > maxText && scalar(reflect.Zero(v.Type().Elem())) != "" {
		sum := fnv.New64a()
		for i := range n {
			fmt.Fprintln(sum, scalar(v.Index(i)))
		}
		d.line(path, fmt.Sprintf("%d elements, checksum %016x", n, sum.Sum64()))
		return
	}
	if v.Kind() == reflect.Slice && n > 0 {
		d.line(path+".len", strconv.Itoa(n))
	}
	for i := range n {
		d.value(fmt.Sprintf("%s[%d]", path, i), v.Index(i), depth+1)
	}
}

// mapped writes the entries of a map, sorted by their text.
func (d *definer) mapped(path string, v reflect.Value, depth int) {
	var entries []string
	for it := v.MapRange(); it.Next(); {
		name := scalar(it.Key())
		if name == "" {
			key := definer{path: d.path, values: d.values}
			key.value("", it.Key(), depth+1)
			name = strings.NewReplacer("\n", ", ", " = ", ": ").Replace(strings.TrimSpace(key.finish()))
		}
		// Each entry begins with the same count of values, so that its text does not depend on the order of the entries.
		entry := definer{path: d.path, values: d.values}
		entry.line(path+"["+name+"]", "there")
		entry.value(path+"["+name+"]", it.Value(), depth+1)
		entries = append(entries, entry.finish())
	}
	d.values += len(entries)
	slices.Sort(entries)
	for line := range strings.Lines(strings.Join(entries, "")) {
		at, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " = ")
		d.line(at, value)
	}
}

type defined interface{ Definition() any }

// resolve returns the result of a value's method Definition or WithDefaults, or the value itself if it has neither.
func resolve(v reflect.Value) reflect.Value {
	if v.Kind() == reflect.Interface || !v.IsValid() || !v.CanInterface() || v.Kind() == reflect.Pointer && v.IsNil() {
		return v
	}
	if x, ok := v.Interface().(defined); ok && !embeds(v.Type()) {
		return reflect.ValueOf(x.Definition())
	}
	if m := v.MethodByName("WithDefaults"); m.IsValid() && m.Type().NumIn() == 0 && m.Type().NumOut() == 1 && m.Type().Out(0) == v.Type() {
		return m.Call(nil)[0]
	}
	return v
}

// embeds reports whether a type may have the method Definition from an embedded field. Such a method does not know the type's
// other fields.
func embeds(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return false
	}
	for i := range t.NumField() {
		if f := t.Field(i); f.Anonymous && f.Type.Implements(reflect.TypeFor[defined]()) {
			return true
		}
	}
	return false
}

// scalar returns the text of a value without parts, "" for other values.
func scalar(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.FormatUint(v.Uint(), 10)
	case reflect.Float32, reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'g', -1, v.Type().Bits())
	case reflect.Complex64, reflect.Complex128:
		return strconv.FormatComplex(v.Complex(), 'g', -1, v.Type().Bits())
	case reflect.String:
		s := v.String()
		if len(s) <= maxText {
			return strconv.Quote(s)
		}
		sum := fnv.New64a()
		sum.Write([]byte(s))
		return fmt.Sprintf("%d bytes, checksum %016x", len(s), sum.Sum64())
	}
	return ""
}
