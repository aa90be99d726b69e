package checkpoints

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// parts returns the entries of a valid payload, which tests then damage.
func parts(t testing.TB) []pair {
	provenance := []pair{}
	for _, key := range []string{"command", "name", "source", "task", "version"} {
		provenance = append(provenance, pair{key, ""})
	}
	for _, key := range []string{"meta_steps", "seed", "steps", "unroll"} {
		provenance = append(provenance, pair{key, 0})
	}
	for _, key := range []string{"meta_learning_rate", "valid_loss"} {
		provenance = append(provenance, pair{key, 0.0})
	}
	return []pair{
		{"tensors", []pair{{"x", array(t, []int{1}, "float32", []byte{0, 0, 128, 63})}}},
		{"provenance", provenance},
		{"kind", "k"},
		{"config", []pair{}},
	}
}

func TestReadTakesAnyOrderAndWidth(t *testing.T) {
	p := parts(t)
	p[2].value = splice{0xdb, 0, 0, 0, 1, 'k'}                                        // str32
	p[3].value = splice{0xdf, 0, 0, 0, 1, 0xd9, 1, 'n', 0xd3, 0, 0, 0, 0, 0, 0, 0, 5} // map32, str8, int64
	p[0].value = []pair{{"x", splice{
		0xc9, 0, 0, 0, 28, 1, 0xdd, 0, 0, 0, 3, 0xdc, 0, 1, 0xd2, 0, 0, 0, 1, // ext32, array32, array16, int32
		0xa7, 'f', 'l', 'o', 'a', 't', '3', '2', 0xc5, 0, 4, 0, 0, 128, 63, // bin16
	}}}
	f, err := Read(bytes.NewReader(seal(pack(t, p))))
	if err != nil {
		t.Fatal(err)
	}
	x, err := f.Float32("x", 1)
	if err != nil || x[0] != 1 || f.Kind != "k" || !bytes.Equal(f.Config, []byte{0x81, 0xa1, 'n', 5}) {
		t.Errorf("got %+v, %v", f, err)
	}
}

func TestReadRejectsPayloads(t *testing.T) {
	one := []byte{0, 0, 128, 63}
	tensor := func(v any) []pair {
		p := parts(t)
		p[0].value = []pair{{"x", v}}
		return p
	}
	entry := func(i int, v any) []pair { p := parts(t); p[i].value = v; return p }
	provenance := func(key string, v any) []pair {
		p := parts(t)
		m := p[1].value.([]pair)
		m[slices.IndexFunc(m, func(e pair) bool { return e.key == key })].value = v
		return p
	}
	// With one tensor x: payload from 16, "tensors" key 17…24, its map 25,
	// "x" 26…27, ext8 head 28…30 (or fixext 28…29), array 31, shape 32…33,
	// dtype 34…41, bin head 42…43, data 44.
	for _, c := range []struct {
		want    string
		offset  int64
		payload []byte
	}{
		{"the value ends too early", 16, nil},
		{"the payload is nil", 16, []byte{0xc0}},
		{"the payload is an array", 16, []byte{0x90}},
		{"the payload is no msgpack value", 16, []byte{0xc1}},
		{"the payload is an extension", 16, []byte{0xd4, 1, 0x80}},
		{"0 keys", 16, []byte{0x80}},
		{"3 keys", 16, pack(t, parts(t)[:3])},
		{"1 bytes after", -1, append(pack(t, parts(t)), 0xc0)},
		{"unknown key \"what\"", 17, pack(t, append([]pair{{"what", 1}}, parts(t)...))},
		{`key "kind" twice`, -1, pack(t, append(parts(t), pair{"kind", "k"}))},
		{`key "kind" twice`, -1, pack(t, append(parts(t)[:3], pair{"kind", "k"}))},
		{"a key of the payload is an unsigned integer", 17, []byte{0x81, 1, 1}},
		{"claims 1048576 items", 16, []byte{0xdf, 0, 16, 0, 0, 0xc0}},
		{"claims 4294967295 items", 16, []byte{0xdf, 255, 255, 255, 255, 0xc0}},
		{"claims 2 items, 3 bytes are left", 16, []byte{0x82, 0xa0, 0xc0, 0xa1}},
		{"claims 4294967295 items", 17, []byte{0x81, 0xdb, 255, 255, 255, 255, 0xc0, 0xc0}},
		{"kind is a byte string", -1, pack(t, entry(2, []byte("k")))},
		{"kind is empty", -1, pack(t, entry(2, ""))},
		{"kind has 65 bytes", -1, pack(t, entry(2, strings.Repeat("k", 65)))},
		{"kind is not UTF-8", -1, pack(t, entry(2, "\xff"))},
		{"config is nil", -1, pack(t, entry(3, nil))},
		{`a map has the key "a" twice`, -1, pack(t, entry(3, []pair{{"a", 1}, {"a", 1}}))},
		{"a NaN", -1, pack(t, entry(3, splice{0x81, 0xa1, 'x', 0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 1}))},
		{"maps and arrays within each other", -1, pack(t, entry(3, append(splice(bytes.Repeat([]byte{0x81, 0xa0}, 40)), 0xc0)))},
		{"more than 65536 values", -1, pack(t, entry(3, append(splice{0x81, 0xa0, 0xdd, 0, 1, 0, 0}, make([]byte, 1<<16)...)))},
		{"provenance.valid_loss is missing", -1, pack(t, entry(1, parts(t)[1].value.([]pair)[:10]))},
		{`unknown field "x"`, -1, pack(t, entry(1, append(parts(t)[1].value.([]pair), pair{"x", 0})))},
		{"provenance is an array", -1, pack(t, entry(1, []any{}))},
		{"provenance.seed is -1", -1, pack(t, provenance("seed", -1))},
		{"provenance.steps is 18446744073709551615", -1, pack(t, provenance("steps", ^uint64(0)))},
		{"a count is negative", -1, pack(t, provenance("unroll", -1))},
		{"a float is not finite", -1, pack(t, provenance("valid_loss", splice{0xca, 0x7f, 0x80, 0, 0}))},
		{"provenance.task is <nil>", -1, pack(t, provenance("task", nil))},
		{"tensors is an array", -1, pack(t, entry(0, []any{}))},
		{"tensors has 4097 entries", 25, pack(t, entry(0, make([]pair, 4097)))},
		{"a tensor's name is empty", 26, pack(t, entry(0, []pair{{"", 1}}))},
		{`tensors has the key "x" twice`, -1, pack(t, entry(0, []pair{tensor(array(t, []int{}, "float32", one))[0].value.([]pair)[0], {"x", 1}}))},
		{`tensor "x" is an unsigned integer`, 28, pack(t, tensor(1))},
		{"extension 2", 28, pack(t, tensor(ext{2, []byte{1}}))},
		{"claims 4294967295 items", 28, pack(t, tensor(splice{0xc9, 255, 255, 255, 255, 1}))},
		{"content is a string", 31, pack(t, tensor(ext{1, []byte("\xa5abcde")}))},
		{"2 parts", 31, pack(t, tensor(ext{1, []byte{0x92, 0x90, 0x90}}))},
		{"want shape, dtype and data", 30, pack(t, tensor(ext{1, []byte{0x94, 0, 0, 0, 0, 0, 0, 0}}))},
		{"a shape is nil", 31, pack(t, tensor(array(t, nil, "float32", one)))},
		{"9 dimensions", 32, pack(t, tensor(array(t, make([]int, 9), "float32", one)))},
		{"a dimension is a float64", 33, pack(t, tensor(array(t, []float64{1}, "float32", one)))},
		{"dimension 0", 33, pack(t, tensor(array(t, []int{0}, "float32", one)))},
		{"dimension -1", 33, pack(t, tensor(array(t, []int{-1}, "float32", one)))},
		{"dimension -1", 33, pack(t, tensor(array(t, []uint64{1<<64 - 1}, "float32", one)))},
		{"is too large", 32, pack(t, tensor(array(t, []int{1 << 16, 1 << 16, 1 << 16, 1 << 16}, "float32", one)))},
		{"is too large", 32, pack(t, tensor(array(t, []int{1 << 30, 2}, "float32", one)))},
		{"4 bytes of data, want 1073741824", 48, pack(t, tensor(array(t, []int{1 << 28}, "float32", splice{0xc4, 4, 0, 0, 128, 63})))},
		{`dtype "int32"`, 34, pack(t, tensor(array(t, []int{1}, "int32", one)))},
		{`dtype "float16"`, 34, pack(t, tensor(array(t, []int{1}, "float16", one)))},
		{"4 bytes of data, want 8", 44, pack(t, tensor(array(t, []int{1}, "float64", one)))},
		{"8 bytes of data, want 4", 44, pack(t, tensor(array(t, []int{1}, "float32", make([]byte, 8))))},
		{"data is a string", 41, pack(t, tensor(array(t, []int{1}, "float32", "abcd")))},
		{"claims 200 items", 42, pack(t, tensor(array(t, []int{50}, "float32", splice{0xc4, 200, 0, 0})))},
		{"1 bytes after the data", 48, pack(t, tensor(array(t, []int{1}, "float32", splice{0xc4, 4, 0, 0, 128, 63, 0})))},
		{`tensor "x": element 0 is NaN`, 44, pack(t, tensor(array(t, []int{1}, "float32", []byte{1, 0, 0xc0, 0x7f})))},
		{`tensor "x": element 1 is -Inf`, 48, pack(t, tensor(array(t, []int{2}, "float32", []byte{0, 0, 0, 0, 0, 0, 0x80, 0xff})))},
		{`tensor "x": element 0 is +Inf`, 44, pack(t, tensor(array(t, []int{1}, "float64", []byte{0, 0, 0, 0, 0, 0, 0xf0, 0x7f})))},
	} {
		f, err := Read(bytes.NewReader(seal(c.payload)))
		if err == nil {
			t.Errorf("read %+v, want %q", f, c.want)
			continue
		}
		fe := formatError(t, err)
		if !strings.Contains(fe.Reason, c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
		if c.offset >= 0 && fe.Offset != c.offset || fe.Offset < int64(headerSize) {
			t.Errorf("%q: offset %d, want %d", c.want, fe.Offset, c.offset)
		}
	}
}

func TestReadRejectsEveryDamage(t *testing.T) {
	data := bytesOf(t, full(t))
	for n := range data {
		_, err := Read(bytes.NewReader(data[:n]))
		fe := formatError(t, err)
		if !errors.Is(err, io.ErrUnexpectedEOF) || fe.Offset != int64(n) {
			t.Fatalf("cut to %d bytes: got %v", n, err)
		}
		for bit := range 8 {
			data[n] ^= 1 << bit
			if _, err := Read(bytes.NewReader(data)); err == nil {
				t.Fatalf("bit %d of byte %d flipped: no error", bit, n)
			} else {
				formatError(t, err)
			}
			data[n] ^= 1 << bit
		}
	}
	fe := formatError(t, second(Read(bytes.NewReader(append(bytes.Clone(data), 0)))))
	if fe.Offset != int64(len(data)) || !strings.Contains(fe.Reason, "after the end") {
		t.Errorf("a byte more: %v", fe)
	}
	data[20] ^= 1
	fe = formatError(t, second(Read(bytes.NewReader(data))))
	if !strings.Contains(fe.Reason, "SHA-256 does not match") {
		t.Errorf("a bit flipped in the payload: %v", fe)
	}
}

func TestReadExplains(t *testing.T) {
	data := bytesOf(t, full(t))
	version := func(v uint32) []byte {
		b := bytes.Clone(data)
		binary.LittleEndian.PutUint32(b[8:], v)
		return b
	}
	size := func(n uint32) []byte {
		b := bytes.Clone(data)
		binary.LittleEndian.PutUint32(b[12:], n)
		return b
	}
	for want, b := range map[string][]byte{
		"byte 0: not a .mopt file":                                 []byte("PK\x03\x04"),
		"byte 0: not a .mopt file: the magic":                      []byte("MOPT\r\n\n and so on, and so on"),
		"byte 0: line ends were changed":                           bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")),
		"as binary, not as text":                                   bytes.ReplaceAll(data, []byte("\n"), []byte("\r\n")),
		"byte 8: format version 2, this program reads up to 1: up": version(2),
		"byte 8: format version 4294967295":                        version(1<<32 - 1),
		"byte 8: format version 3":                                 version(3)[:12],
		"byte 12: a payload of 1073741825 bytes, at most":          size(maxPayload + 1),
		"byte 12: a payload of 4294967295 bytes, at most":          size(1<<32 - 1),
		"byte 8: format version 0":                                 version(0),
	} {
		_, err := Read(bytes.NewReader(b))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if newer := strings.Contains(want, "byte 8") && !strings.Contains(want, "version 0"); errors.Is(err, ErrNewerVersion) != newer {
			t.Errorf("%v: ErrNewerVersion is %v", err, !newer)
		}
	}
	broken := errors.New("the disk is broken")
	for n := range len(data) {
		r := io.MultiReader(bytes.NewReader(data[:n]), iotest.ErrReader(broken))
		if _, err := Read(r); !errors.Is(err, broken) {
			t.Fatalf("a reader that fails after %d bytes: got %v", n, err)
		}
	}
	if _, err := Read(iotest.OneByteReader(bytes.NewReader(data))); err != nil {
		t.Errorf("byte by byte: %v", err)
	}
}

// allocated returns the number of bytes that f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Memory grows with the bytes that arrive, not with the sizes that a file claims.
func TestReadAllocatesByWhatArrives(t *testing.T) {
	head := binary.LittleEndian.AppendUint32([]byte(magic), Version)
	long := binary.LittleEndian.AppendUint32(bytes.Clone(head), maxPayload)
	huge := binary.LittleEndian.AppendUint32(bytes.Clone(head), 1<<32-1)
	pad := make([]byte, 1000)
	payload := func(i int, v any) []byte {
		p := parts(t)
		p[i].value = v
		return seal(append(pack(t, p), pad...))
	}
	big := splice{255, 255, 255, 255}
	for name, data := range map[string][]byte{
		"header, 1 GiB":   append(long, pad...),
		"header, 4 GiB":   append(huge, pad...),
		"payload map32":   seal(append(append([]byte{0xdf}, big...), pad...)),
		"key str32":       seal(append(append([]byte{0x81, 0xdb}, big...), pad...)),
		"kind str32":      payload(2, append(splice{0xdb}, big...)),
		"config map32":    payload(3, append(splice{0xdf}, big...)),
		"config array32":  payload(3, append(splice{0x81, 0xa0, 0xdd}, big...)),
		"config bin32":    payload(3, append(splice{0x81, 0xa0, 0xc6}, big...)),
		"tensors map32":   payload(0, append(splice{0xdf}, big...)),
		"ext32":           payload(0, []pair{{"x", append(splice{0xc9}, append(big, 1)...)}}),
		"shape array32":   payload(0, []pair{{"x", ext{1, append([]byte{0x93, 0xdd}, big...)}}}),
		"shape 2^30":      payload(0, []pair{{"x", array(t, []int{1 << 30}, "float64", pad)}}),
		"data bin32":      payload(0, []pair{{"x", array(t, []int{1 << 30}, "float32", append(splice{0xc6}, big...))}}),
		"provenance nest": payload(1, splice(bytes.Repeat([]byte{0x81, 0xa0}, 500))),
	} {
		var err error
		got := allocated(func() { _, err = Read(bytes.NewReader(data)) })
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		if limit := uint64(64<<10 + 8*len(data)); got > limit {
			t.Errorf("%s: %d bytes of input made Read allocate %d, at most %d is allowed (%v)", name, len(data), got, limit, err)
		}
	}
	// The most expensive valid input is a config of many small maps.
	entry := append([]byte{0x81, 0xa0, 0xdd, 0, 0, 0x7f, 0xff}, bytes.Repeat([]byte{0x81, 0xa0, 0}, 0x7fff)...)
	data := seal(pack(t, func() []pair { p := parts(t); p[3].value = splice(entry); return p }()))
	var err error
	got := allocated(func() { _, err = Read(bytes.NewReader(data)) })
	if err != nil || got > 64<<20 {
		t.Errorf("a config of %d bytes: %d bytes allocated, error %v", len(entry), got, err)
	}
}
