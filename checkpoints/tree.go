package checkpoints

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"

	"github.com/vmihailenco/msgpack/v5"
)

// A tree is a decoded msgpack value: nil, bool, uint64, int64 (negative only),
// float32, float64, string, []byte, []any or map[string]any.

// toTree encodes v by msgpack's rules and parses the result.
func toTree(v any) (any, error) {
	var b bytes.Buffer
	if err := msgpack.NewEncoder(&b).Encode(v); err != nil {
		return nil, err
	}
	return parse(b.Bytes())
}

// parse reads data as one plain value and nothing after it.
func parse(data []byte) (any, error) {
	p := newParser(data, 0)
	tree, err := p.tree()
	if err != nil {
		return nil, err
	}
	if p.left() != 0 {
		return nil, p.failf(p.offset(), "%d bytes after the value", p.left())
	}
	return tree, nil
}

// writeTree appends a tree in its canonical form. It cannot fail: a bytes.Buffer accepts every
// write, and msgpack can encode these types.
func writeTree(b *bytes.Buffer, tree any) {
	if err := encodeTree(msgpack.NewEncoder(b), tree); err != nil {
		panic("checkpoints: " + err.Error())
	}
}

func encodeTree(e *msgpack.Encoder, tree any) error {
	switch x := tree.(type) {
	case nil:
		return e.EncodeNil()
	case bool:
		return e.EncodeBool(x)
	case uint64:
		return e.EncodeUint(x)
	case int64:
		return e.EncodeInt(x)
	case float32:
		return e.EncodeFloat32(x)
	case float64:
		return e.EncodeFloat64(x)
	case string:
		return e.EncodeString(x)
	case []byte:
		return e.EncodeBytes(x)
	case []any:
		if err := e.EncodeArrayLen(len(x)); err != nil {
			return err
		}
		for _, item := range x {
			if err := encodeTree(e, item); err != nil {
				return err
			}
		}
		return nil
	case map[string]any:
		if err := e.EncodeMapLen(len(x)); err != nil {
			return err
		}
		for _, key := range slices.Sorted(maps.Keys(x)) {
			if err := e.EncodeString(key); err != nil {
				return err
			}
			if err := encodeTree(e, x[key]); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("%T in a tree", tree)
}

// decodeStrict decodes tree into the value that v points to. The msgpack package ignores
// missing keys, truncates integers and turns nil into zero. The
// result is therefore encoded again and compared with the tree.
func decodeStrict(path string, tree, v any) error {
	target := pointee(v)
	fresh := reflect.New(target.Type())
	var b bytes.Buffer
	writeTree(&b, tree)
	d := msgpack.NewDecoder(&b)
	d.DisallowUnknownFields(true)
	if err := d.Decode(fresh.Interface()); err != nil {
		return content("%s: %v", path, err)
	}
	back, err := toTree(fresh.Interface())
	if err != nil {
		return content("%s: %v", path, err)
	}
	if wrong := differ(path, tree, back); wrong != "" {
		return content("%s", wrong)
	}
	target.Set(fresh.Elem())
	return nil
}

// differ compares a value of a file with the decoded value, encoded
// again. It returns the first difference in words, "" if there is none.
func differ(path string, file, back any) string {
	switch f := file.(type) {
	case map[string]any:
		b, ok := back.(map[string]any)
		if !ok {
			return path + " is a map in the file"
		}
		for _, key := range slices.Sorted(maps.Keys(f)) {
			if _, ok := b[key]; !ok {
				if zero(f[key]) { // encoding left it out because of omitempty
					continue
				}
				return fmt.Sprintf("%s.%s does not survive decoding", path, key)
			}
			if wrong := differ(path+"."+key, f[key], b[key]); wrong != "" {
				return wrong
			}
		}
		for _, key := range slices.Sorted(maps.Keys(b)) {
			if _, ok := f[key]; !ok {
				return fmt.Sprintf("%s.%s is missing", path, key)
			}
		}
		return ""
	case []any:
		b, ok := back.([]any)
		if !ok || len(b) != len(f) {
			return fmt.Sprintf("%s is an array of length %d in the file", path, len(f))
		}
		for i := range f {
			if wrong := differ(fmt.Sprintf("%s[%d]", path, i), f[i], b[i]); wrong != "" {
				return wrong
			}
		}
		return ""
	case []byte:
		if b, ok := back.([]byte); !ok || !bytes.Equal(f, b) {
			return path + " is a byte string in the file"
		}
		return ""
	}
	switch back.(type) {
	case map[string]any, []any, []byte: // not comparable with ==
		return fmt.Sprintf("%s is %v in the file", path, file)
	}
	if !sameScalar(file, back) {
		return fmt.Sprintf("%s is %v in the file, which does not fit", path, file)
	}
	return ""
}

// sameScalar compares scalars by their exact values: an integer equals a float of the same
// value, and a float64 equals a float32 of the same value.
func sameScalar(a, b any) bool {
	if a == b {
		return true
	}
	x, okx := number(a)
	y, oky := number(b)
	const exact = 1 << 53 // float64 is exact for integers up to here
	if !okx || !oky || x != y || whole(a) && whole(b) {
		return false
	}
	return !whole(a) && !whole(b) || math.Abs(x) <= exact
}

func whole(v any) bool {
	switch v.(type) {
	case uint64, int64:
		return true
	}
	return false
}

func number(v any) (float64, bool) {
	switch x := v.(type) {
	case uint64:
		return float64(x), true
	case int64:
		return float64(x), true
	case float32:
		return float64(x), true
	case float64:
		return x, true
	}
	return 0, false
}

func zero(tree any) bool {
	switch x := tree.(type) {
	case nil:
		return true
	case bool:
		return !x
	case string:
		return x == ""
	case []byte:
		return len(x) == 0
	case []any:
		return len(x) == 0
	case map[string]any:
		return len(x) == 0
	}
	x, _ := number(tree)
	return x == 0
}
