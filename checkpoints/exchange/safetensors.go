package exchange

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"learnedopt/checkpoints"
)

// maxHeader bounds the JSON header of a safetensors file. The largest
// network with the longest provenance has a much shorter header.
const maxHeader = 8 << 20

// metadataKey is the key in a header's __metadata__ under which the JSON is stored.
const metadataKey = "mopt"

func marshalSafeTensors(f *checkpoints.File) ([]byte, error) {
	text, err := metadataJSON(f)
	if err != nil {
		return nil, failf(SafeTensors, "", "%v", err)
	}
	// The header is written by hand, because it must keep the maker's order of tensors.
	key := func(b []byte, s string) []byte {
		b, _ = appendJSON(b, "", s)
		return append(b, ':')
	}
	head := append(key(nil, metadataName), '{')
	head, _ = appendJSON(key(append([]byte{'{'}, head...), metadataKey), "", string(text))
	head = append(head, '}')
	size := 0
	for i := range f.Tensors {
		t := &f.Tensors[i]
		if t.Name == metadataName {
			return nil, failf(SafeTensors, "tensor "+strconv.Quote(t.Name), "the name is taken by the format; use %s", FlaxMsgpack)
		}
		head = append(key(append(head, ','), t.Name), fmt.Sprintf(`{"dtype":%q,"shape":[`, dtypeOf(t).safeTensors)...)
		for k, d := range t.Shape {
			if k > 0 {
				head = append(head, ',')
			}
			head = strconv.AppendInt(head, int64(d), 10)
		}
		next := size + dtypeOf(t).width*(len(t.Data)+len(t.Data64)+len(t.Bytes))
		head = append(head, fmt.Sprintf(`],"data_offsets":[%d,%d]}`, size, next)...)
		size = next
	}
	head = append(head, '}')
	for len(head)%8 != 0 { // aligns the data that follow, as the original writer does
		head = append(head, ' ')
	}
	if len(head) > maxHeader {
		return nil, failf(SafeTensors, "", "a header of %d bytes, at most %d are allowed", len(head), maxHeader)
	}
	b := binary.LittleEndian.AppendUint64(make([]byte, 0, 8+len(head)+size), uint64(len(head)))
	b = append(b, head...)
	for i := range f.Tensors {
		b = appendData(b, &f.Tensors[i])
	}
	return b, nil
}

func isSpace(b byte) bool { return b == ' ' || b == '\t' || b == '\r' || b == '\n' }

// A span is a tensor in a header; its bytes are data[begin:end].
type span struct {
	name       string
	of         dtype
	shape      []int
	begin, end uint64
}

func readSafeTensors(data []byte) (*checkpoints.File, error) {
	if len(data) < 8 {
		return nil, failf(SafeTensors, "byte 0", "no header")
	}
	n := binary.LittleEndian.Uint64(data)
	data = data[8:]
	if n > maxHeader || n > uint64(len(data)) {
		return nil, failf(SafeTensors, "byte 0", "a header of %d bytes; %d are there, at most %d are allowed", n, len(data), maxHeader)
	}
	if n > 0 && isSpace(data[0]) {
		return nil, failf(SafeTensors, "header", "white space before it, which the format forbids; load the file where it was written, and save it with the package safetensors")
	}
	header, err := parseJSON(data[:n])
	if err != nil {
		return nil, &FormatError{Format: SafeTensors, Place: "header", Reason: err.Error(), Err: err}
	}
	data = data[n:]
	entries, ok := header.(map[string]any)
	if !ok {
		return nil, failf(SafeTensors, "header", "it is no JSON object")
	}
	f := new(checkpoints.File)
	var spans []span
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		if name == metadataName {
			continue
		}
		s, wrong := parseSpan(name, entries[name])
		if wrong != "" {
			return nil, failf(SafeTensors, "tensor "+strconv.Quote(name), "%s", wrong)
		}
		spans = append(spans, s)
	}
	if len(spans) > maxTensors {
		return nil, failf(SafeTensors, "header", "%d tensors, at most %d are allowed", len(spans), maxTensors)
	}
	slices.SortFunc(spans, func(a, b span) int {
		if a.begin != b.begin {
			return int(int64(a.begin) - int64(b.begin))
		}
		return int(int64(a.end) - int64(b.end))
	})
	at := uint64(0)
	for _, s := range spans {
		place := "tensor " + strconv.Quote(s.name)
		if s.begin != at || s.end < s.begin || s.end > uint64(len(data)) {
			return nil, failf(SafeTensors, place, "data at bytes %d to %d; %d of %d are taken before it, and tensors leave neither gaps nor overlap",
				s.begin, s.end, at, len(data))
		}
		t, wrong := decode(s.name, s.shape, s.of, data[s.begin:s.end])
		if wrong != "" {
			return nil, failf(SafeTensors, place, "%s", wrong)
		}
		f.Tensors = append(f.Tensors, t)
		at = s.end
	}
	if at != uint64(len(data)) {
		return nil, failf(SafeTensors, "", "%d bytes after the last tensor", uint64(len(data))-at)
	}
	texts, _ := entries[metadataName].(map[string]any)
	text, ok := texts[metadataKey].(string)
	if what := stranger(f.Tensors); !ok && what != "" {
		return nil, failf(SafeTensors, "", "%s", what)
	}
	if !ok {
		return nil, failf(SafeTensors, metadataName, "no string %q with the configuration; metaopt export writes it, pass it on as metadata=", metadataKey)
	}
	if err := setMetadata(f, []byte(text)); err != nil {
		return nil, &FormatError{Format: SafeTensors, Place: metadataName, Reason: refused(SafeTensors, err).Reason, Err: err}
	}
	return f, nil
}

// parseSpan reads a tensor's entry in the header, which must have exactly three keys.
func parseSpan(name string, entry any) (s span, wrong string) {
	m, _ := entry.(map[string]any)
	of, ok1 := m["dtype"].(string)
	shape, ok2 := integers(m["shape"])
	offsets, ok3 := integers(m["data_offsets"])
	if len(m) != 3 || !ok1 || !ok2 || !ok3 || len(offsets) != 2 {
		return s, "want dtype, shape and two data_offsets"
	}
	k := slices.IndexFunc(dtypes(), func(d dtype) bool { return d.safeTensors == of })
	if k < 0 {
		return s, fmt.Sprintf("dtype %s; save it as float32", of)
	}
	s = span{name: name, of: dtypes()[k], begin: offsets[0], end: offsets[1]}
	for _, d := range shape {
		s.shape = append(s.shape, int(d))
	}
	return s, ""
}

// integers returns the numbers of an array; ok is false unless all are whole and from 0 to maxFile.
func integers(value any) (all []uint64, ok bool) {
	items, ok := value.([]any)
	for _, item := range items {
		n, whole := item.(uint64)
		if !whole || n > maxFile {
			return nil, false
		}
		all = append(all, n)
	}
	return all, ok
}
