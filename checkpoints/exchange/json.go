package exchange

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"learnedopt/checkpoints"
)

// Limits on JSON. The depth counts objects and arrays inside each other.
const (
	maxDepth  = 40
	maxValues = 1 << 17
)

// metadataJSON returns everything in f except its tensors as JSON.
func metadataJSON(f *checkpoints.File) ([]byte, error) {
	m, err := f.Metadata()
	if err != nil {
		return nil, err
	}
	data, err := appendJSON(nil, "", m)
	if err != nil {
		return nil, err
	}
	if len(data) > maxMetadata {
		return nil, fmt.Errorf("config and provenance take %d bytes of JSON, at most %d are allowed", len(data), maxMetadata)
	}
	return data, nil
}

// setMetadata is the inverse of metadataJSON.
func setMetadata(f *checkpoints.File, text []byte) error {
	if len(text) > maxMetadata {
		return fmt.Errorf("%d bytes of JSON, at most %d are allowed", len(text), maxMetadata)
	}
	value, err := parseJSON(text)
	if err != nil {
		return err
	}
	m, ok := value.(map[string]any)
	if !ok {
		return fmt.Errorf("the JSON is %T, want an object", value)
	}
	return f.SetMetadata(m)
}

// appendJSON appends a value of File.Metadata. Keys are sorted. Floats have a point or
// an exponent, which distinguishes them from integers.
func appendJSON(b []byte, path string, value any) ([]byte, error) {
	switch x := value.(type) {
	case nil:
		return append(b, "null"...), nil
	case bool:
		return strconv.AppendBool(b, x), nil
	case uint64:
		return strconv.AppendUint(b, x, 10), nil
	case int64:
		return strconv.AppendInt(b, x, 10), nil
	case float64:
		if math.IsInf(x, 0) {
			break
		}
		text := strconv.FormatFloat(x, 'g', -1, 64)
		if !strings.ContainsAny(text, ".e") {
			text += ".0"
		}
		return append(b, text...), nil
	case string:
		text, err := json.Marshal(x)
		return append(b, text...), err
	case []any:
		b = append(b, '[')
		for i, item := range x {
			if i > 0 {
				b = append(b, ',')
			}
			var err error
			if b, err = appendJSON(b, fmt.Sprintf("%s[%d]", path, i), item); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	case map[string]any:
		b = append(b, '{')
		for i, key := range slices.Sorted(maps.Keys(x)) {
			if i > 0 {
				b = append(b, ',')
			}
			b, _ = appendJSON(b, "", key)
			b = append(b, ':')
			var err error
			if b, err = appendJSON(b, strings.TrimPrefix(path+"."+key, "."), x[key]); err != nil {
				return nil, err
			}
		}
		return append(b, '}'), nil
	}
	return nil, fmt.Errorf("%s is a %T, %v: JSON has no word for it; use %s", path, value, value, FlaxMsgpack)
}

// parseJSON reads one value, with nothing after it. It returns nil, bool, uint64, int64
// (negative), float64, string, []any or map[string]any. A key that comes twice is an
// error.
func parseJSON(text []byte) (any, error) {
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("the JSON is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	p := jsonParser{d: d}
	value, err := p.value(0)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("JSON, byte %d: %w", d.InputOffset(), err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("JSON, byte %d: something after the value", d.InputOffset())
	}
	return value, nil
}

type jsonParser struct {
	d      *json.Decoder
	values int
}

func (p *jsonParser) value(depth int) (any, error) {
	token, err := p.d.Token()
	if err != nil {
		return nil, err
	}
	if p.values++; p.values > maxValues {
		return nil, fmt.Errorf("more than %d values", maxValues)
	}
	if depth > maxDepth {
		return nil, fmt.Errorf("more than %d objects and arrays within each other", maxDepth)
	}
	switch x := token.(type) {
	case json.Number:
		return number(string(x))
	case json.Delim:
		if x == '[' {
			items := []any{}
			for p.d.More() {
				item, err := p.value(depth + 1)
				if err != nil {
					return nil, err
				}
				items = append(items, item)
			}
			_, err := p.d.Token()
			return items, err
		}
		return p.object(depth)
	}
	return token, nil // nil, bool or string
}

func (p *jsonParser) object(depth int) (any, error) {
	m := map[string]any{}
	for p.d.More() {
		token, err := p.d.Token()
		if err != nil {
			return nil, err
		}
		key := token.(string) // cannot panic: Token fails for any other key
		if _, ok := m[key]; ok {
			return nil, fmt.Errorf("the key %q comes twice", key)
		}
		if m[key], err = p.value(depth + 1); err != nil {
			return nil, err
		}
	}
	_, err := p.d.Token()
	return m, err
}

func number(text string) (any, error) {
	if strings.ContainsAny(text, ".eE") {
		return strconv.ParseFloat(text, 64)
	}
	if text[0] != '-' {
		return strconv.ParseUint(text, 10, 64)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if n == 0 && err == nil {
		return uint64(0), nil
	}
	return n, err
}
