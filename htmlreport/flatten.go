package htmlreport

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// A Setting is one value of a JSON document with the path of its keys, such as "network.hidden".
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// maxSettings bounds the number of settings that flatten returns. maxDepth bounds the depth to which it looks.
const (
	maxSettings = 200
	maxDepth    = 8
)

// flatten returns the leaves of a JSON document in the order of the document, at most maxSettings. A list of
// plain values is one leaf, "100, 200". The elements of other lists have their index as key.
func flatten(data []byte) []Setting {
	var out []Setting
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	flattenValue(dec, "", 0, &out)
	return out
}

func flattenValue(dec *json.Decoder, path string, depth int, out *[]Setting) bool {
	token, err := dec.Token()
	if err != nil || len(*out) >= maxSettings || depth > maxDepth {
		return false
	}
	delim, nested := token.(json.Delim)
	if !nested {
		*out = append(*out, Setting{clean(path, maxName), clean(leaf(token), maxText)})
		return true
	}
	begin := len(*out)
	for i := 0; dec.More(); i++ {
		name := strconv.Itoa(i)
		if delim == '{' {
			key, err := dec.Token()
			if err != nil {
				return false
			}
			name, _ = key.(string)
		}
		if path != "" {
			name = path + "." + name
		}
		if !flattenValue(dec, name, depth+1, out) {
			return false
		}
	}
	if _, err := dec.Token(); err != nil {
		return false
	}
	if delim == '[' {
		join(out, begin, path)
	}
	return true
}

// join turns the plain elements of a list into one leaf.
func join(out *[]Setting, begin int, path string) {
	text := ""
	for i, s := range (*out)[begin:] {
		if s.Name != clean(path+"."+strconv.Itoa(i), maxName) {
			return
		}
		if i > 0 {
			text += ", "
		}
		text += s.Value
	}
	*out = append((*out)[:begin], Setting{clean(path, maxName), clean(text, maxText)})
}

func leaf(token json.Token) string {
	switch v := token.(type) {
	case nil:
		return "none"
	case bool:
		return strconv.FormatBool(v)
	case json.Number:
		return v.String()
	case string:
		return v
	}
	return ""
}
