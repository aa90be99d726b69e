package exchange

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"runtime"
	"strings"
	"testing"

	"learnedopt/checkpoints"
)

// An entry is a hand-made entry of an archive.
type entry struct {
	name string
	data []byte
}

func archive(t testing.TB, method uint16, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, e := range entries {
		w, err := z.CreateHeader(&zip.FileHeader{Name: e.name, Method: method})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(e.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func metadataText(t testing.TB) []byte {
	t.Helper()
	text, err := metadataJSON(&checkpoints.File{Kind: "k"})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// metadataEntry is an entry of valid metadata.
func metadataEntry(t testing.TB) entry {
	text := metadataText(t)
	return entry{"__metadata__.npy", append(npyHeader("|u1", []int{len(text)}), text...)}
}

func array(descr string, shape []int, data string) []byte {
	return append(npyHeader(descr, shape), data...)
}

// header returns a .npy array with the given text as its header.
func header(text string) []byte {
	b := append([]byte(npyMagic), 1, 0)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(text)))
	return append(append(b, text...), 0, 0, 128, 63)
}

func TestHostileNPZ(t *testing.T) {
	good := entry{"w.npy", array("<f4", []int{1}, "\x00\x00\x80\x3f")}
	of := func(name string, data []byte) []byte {
		return archive(t, zip.Store, entry{name, data}, metadataEntry(t))
	}
	w := func(data []byte) []byte { return of("w.npy", data) }
	whole := archive(t, zip.Store, good, metadataEntry(t))
	if _, err := read(whole, NPZ); err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(whole)
	flipped[bytes.Index(whole, []byte("\x00\x00\x80\x3f"))] ^= 1
	for _, c := range []struct {
		want string
		data []byte
	}{
		{"no entry __metadata__.npy", archive(t, zip.Store, good)},
		{"no entry __metadata__.npy", archive(t, zip.Store)},
		{`entry "w.npy": it comes twice`, archive(t, zip.Store, good, good, metadataEntry(t))},
		{"not the name of an array", of("../../w.npy", good.data)},
		{"not the name of an array", of("/w.npy", good.data)},
		{"not the name of an array", of(`a\w.npy`, good.data)},
		{"not the name of an array", of(".npy", good.data)},
		{"not the name of an array", of("w.txt", good.data)},
		{"not the name of an array", of("w/", nil)},
		{"bytes follow it", append(bytes.Clone(whole), 0)},
		{"cut short", whole[:len(whole)-1]},
		{"cut short", whole[:20]},
		{"checksum error", flipped},
		{"not a .npy array", w(nil)},
		{"not a .npy array", w([]byte("\x93NUMPY\x01\x00"))},
		{"version 4", w(append([]byte("\x93NUMPY\x04\x00"), good.data[8:]...))},
		{"a header of 65535 bytes; 122 are there", w(append([]byte("\x93NUMPY\x01\x00\xff\xff"), good.data[10:]...))},
		{"a header of 4294967295 bytes", w(append([]byte("\x93NUMPY\x02\x00\xff\xff\xff\xff"), good.data[12:]...))},
		{"not the header of a plain numeric array", w(header("{}"))},
		{"not the header of a plain numeric array", w(header("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }\n"))},
		{"not the header of a plain numeric array", w(header("{'descr': '<f4', 'fortran_order': 0, 'shape': (1,), }\n"))},
		{"not the header of a plain numeric array", w(header("{'descr': '<f4', 'descr': '<f4', 'fortran_order': True, 'shape': (1,), }\n"))},
		{"not the header of a plain numeric array", w(header("{'descr': '<f4', 'fortran_order': True, 'shape': (1,), 'x': (1,)}\n"))},
		{"not the header of a plain numeric array", w(header("{'descr': '<f4', 'fortran_order': True}\n"))},
		{"not the header of a plain numeric array", w(header("{'descr': '<f4' 'fortran_order': True, 'shape': (1,)}\n"))},
		{"8 bytes of data", w(append(header("{'descr': '<f4', 'fortran_order': True, 'shape': (3,2), }\n"), 0, 0, 0, 0))},
		{"a small_fc_lopt optimizer", archive(t, zip.Store, entry{"a.npy", array("<f4", []int{39, 32}, strings.Repeat("abcd", 39*32))}, entry{"b.npy", array("<f4", []int{32, 2}, strings.Repeat("abcd", 64))})},
		{"a file of torch.save", of("archive/data.pkl", []byte("\x80\x02}."))},
		{"dtype <i4; save it as little-endian float32", w(array("<i4", []int{1}, "abcd"))},
		{"dtype >f4", w(array(">f4", []int{1}, "abcd"))},
		{"dtype <f2", w(array("<f2", []int{1}, "ab"))},
		{"dtype |O", w(array("|O", []int{1}, "abcd"))},
		{"shape (1,,1)", w(header("{'descr': '<f4', 'fortran_order': False, 'shape': (1,,1), }\n"))},
		{"shape (99999999999999999999,)", w(header("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }\n"))},
		{"shape [0]", w(array("<f4", []int{0}, ""))},
		{"shape [1073741824 1073741824]", w(array("<f4", []int{1 << 30, 1 << 30}, "abcd"))},
		{"9 dimensions", w(array("<f4", []int{1, 1, 1, 1, 1, 1, 1, 1, 1}, "abcd"))},
		{"4 bytes of data, shape [2] has 2 elements of 4 bytes", w(array("<f4", []int{2}, "abcd"))},
		{"8 bytes of data", w(array("<f4", []int{1}, "abcdefgh"))},
		{"5 bytes of data", w(array("<f4", []int{1}, "abcde"))},
		{"element 0 is NaN", w(array("<f4", []int{1}, "\x00\x00\xc0\x7f"))},
		{"element 0 is +Inf", w(array("<f8", []int{1}, "\x00\x00\x00\x00\x00\x00\xf0\x7f"))},
		{"want a uint8 array of one dimension", of("__metadata__.npy", array("<f4", []int{1}, "abcd"))},
		{"want a uint8 array of one dimension", archive(t, zip.Store, entry{"__metadata__.npy", array("|u1", []int{5}, "{}")})},
		{"config is missing", archive(t, zip.Store, entry{"__metadata__.npy", array("|u1", []int{2}, "{}")})},
		{"a tensor's name has 300 bytes", of(strings.Repeat("x", 300)+".npy", good.data)},
	} {
		rejects(t, NPZ, c.want, c.data)
	}
}

func TestHostileSafeTensors(t *testing.T) {
	quoted, _ := appendJSON(nil, "", string(metadataText(t)))
	metadata := `"__metadata__":{"mopt":` + string(quoted) + `}`
	file := func(header, data string) []byte {
		b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
		return append(append(b, header...), data...)
	}
	with := func(tensors, data string) []byte { return file("{"+metadata+","+tensors+"}", data) }
	one := func(dtype, shape, offsets string) []byte {
		return with(fmt.Sprintf(`"w":{"dtype":%q,"shape":%s,"data_offsets":%s}`, dtype, shape, offsets), "\x00\x00\x80\x3f")
	}
	if f, err := read(one("F32", "[1]", "[0,4]"), SafeTensors); err != nil || f.Tensors[0].Data[0] != 1 {
		t.Fatal(err)
	}
	a, b := `"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}`, `"b":{"dtype":"F32","shape":[1],"data_offsets":[%d,%d]}`
	for _, c := range []struct {
		want string
		data []byte
	}{
		{"no header", []byte("1234567")},
		{"white space before it", file(" {}", "")},
		{"a small_fc_lopt optimizer", file(`{"network.input.weight":{"dtype":"F32","shape":[32,39],"data_offsets":[0,4992]},"network.output.weight":{"dtype":"F32","shape":[2,32],"data_offsets":[4992,5248]}}`, strings.Repeat("abcd", 1312))},
		{"a header of 18446744073709551615 bytes; 2 are there", []byte("\xff\xff\xff\xff\xff\xff\xff\xff{}")},
		{"a header of 3 bytes; 2 are there", []byte("\x03\x00\x00\x00\x00\x00\x00\x00{}")},
		{"header: JSON, byte", file("{", "")},
		{"something after the value", file("{}{}", "")},
		{"not UTF-8", file("{\"\xff\":1}", "")},
		{"no JSON object", file("[]", "")},
		{`the key "w" comes twice`, with(`"w":{},"w":{}`, "")},
		{`the key "dtype" comes twice`, with(`"w":{"dtype":"F32","dtype":"F32"}`, "")},
		{"objects and arrays within each other", file(strings.Repeat("[", 100)+strings.Repeat("]", 100), "")},
		{"more than 131072 values", file("["+strings.Repeat("1,", 1<<17)+"1]", "")},
		{`no string "mopt"`, file("{"+a+"}", "abcd")},
		{`no string "mopt"`, file(`{"__metadata__":{"mopt":5}}`, "")},
		{"__metadata__: JSON, byte", file(`{"__metadata__":{"mopt":"{"}}`, "")},
		{"dtype BF16; save it as float32", one("BF16", "[2]", "[0,4]")},
		{"want dtype, shape and two data_offsets", one("F32", "[1.0]", "[0,4]")},
		{"want dtype, shape and two data_offsets", one("F32", "[-1]", "[0,4]")},
		{"want dtype, shape and two data_offsets", one("F32", "[1]", "[0]")},
		{"want dtype, shape and two data_offsets", one("F32", "[1]", "[0,9223372036854775808]")},
		{"want dtype, shape and two data_offsets", with(`"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":0}`, "abcd")},
		{"want dtype, shape and two data_offsets", with(`"w":5`, "")},
		{"data at bytes 0 to 8; 0 of 4", one("F32", "[2]", "[0,8]")},
		{"data at bytes 4 to 0", one("F32", "[1]", "[4,0]")},
		{"data at bytes 1 to 4", one("F32", "[1]", "[1,4]")},
		{"data at bytes 0 to 4; 4 of 8", with(a+","+fmt.Sprintf(b, 0, 4), "abcdefgh")},
		{"data at bytes 5 to 9", with(a+","+fmt.Sprintf(b, 5, 9), "abcdefghi")},
		{"4 bytes after the last tensor", with(a, "abcdefgh")},
		{"4 bytes of data, shape [2]", one("F32", "[2]", "[0,4]")},
		{"4 bytes of data, shape [1] has 1 elements of 8", one("F64", "[1]", "[0,4]")},
		{"shape [0]", one("F32", "[0]", "[0,4]")},
		{"shape [1073741824 1073741824]", one("F32", "[1073741824,1073741824]", "[0,4]")},
		{"element 0 is NaN", with(a, "\x00\x00\xc0\x7f")},
		{"a tensor's name is empty", with(`"":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}`, "abcd")},
	} {
		rejects(t, SafeTensors, c.want, c.data)
	}
}

func TestHostileFlax(t *testing.T) {
	good, err := checkpoints.MarshalPayload(&checkpoints.File{Kind: "k"})
	if err != nil {
		t.Fatal(err)
	}
	rejects(t, FlaxMsgpack, "1 bytes after the payload's value", append(bytes.Clone(good), 0))
	rejects(t, FlaxMsgpack, "ends too early", good[:len(good)-1])
	rejects(t, FlaxMsgpack, "the payload has 1 keys", []byte("\x81\xa4kind\xa1k"))
}

// Numbers out of range and metadata with other content are errors.
func TestHostileMetadata(t *testing.T) {
	good := string(metadataText(t))
	for want, text := range map[string]string{
		"value out of range":         strings.Replace(good, `"seed":0`, `"seed":18446744073709551616`, 1),
		"value out of range ":        strings.Replace(good, `"valid_loss":0.0`, `"valid_loss":1e999`, 1),
		"value out of range  ":       strings.Replace(good, `"steps":0`, `"steps":-9223372036854775809`, 1),
		"provenance.steps is 0.5":    strings.Replace(good, `"steps":0`, `"steps":0.5`, 1),
		"does not fit":               strings.Replace(good, `"unroll":0`, `"unroll":9223372036854775808`, 1),
		"a count is negative":        strings.Replace(good, `"unroll":0`, `"unroll":-1`, 1),
		"unknown field \"tensors\"":  strings.Replace(good, `"unroll":0`, `"unroll":0,"tensors":0`, 1),
		"provenance.unroll is missi": strings.Replace(good, `,"unroll":0`, ``, 1),
		"the JSON is []interface {}": "[]",
		"unexpected EOF":             good[:len(good)-1],
		"unexpected EOF ":            "",
		"bytes of JSON, at most":     strings.Repeat(" ", maxMetadata+1),
	} {
		if want == "provenance.steps is 0.5" {
			want = "provenance: "
		}
		data := archive(t, zip.Store, entry{"__metadata__.npy", array("|u1", []int{len(text)}, text)})
		rejects(t, NPZ, strings.TrimSpace(want), data)
	}
}

func rejects(t *testing.T, format Format, want string, data []byte) {
	t.Helper()
	_, err := read(data, format)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: got %v, want %q", format, err, want)
		return
	}
	formatError(t, err)
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Memory grows with the bytes that arrive, not with the sizes that a file claims.
func TestReadAllocatesByWhatArrives(t *testing.T) {
	pad := strings.Repeat("x", 1000)
	bomb := archive(t, zip.Deflate, entry{"w.npy", array("<f4", []int{8 << 20}, strings.Repeat("\x00", 32<<20))}, metadataEntry(t))
	quoted, _ := appendJSON(nil, "", string(metadataText(t)))
	huge := `{"__metadata__":{"mopt":` + string(quoted) + `},"w":{"dtype":"F32","shape":[268435456],"data_offsets":[0,1073741824]}}`
	for name, data := range map[string][]byte{
		"npy shape":          archive(t, zip.Store, entry{"w.npy", array("<f4", []int{1 << 28}, pad)}, metadataEntry(t)),
		"npy header":         archive(t, zip.Store, entry{"w.npy", append([]byte("\x93NUMPY\x02\x00\xff\xff\xff\x7f"), pad...)}),
		"bomb":               bomb,
		"bomb, small lie":    declare(bomb, 1000),
		"overlapping":        overlapping(t, 4000),
		"many entries":       lyingCount(archive(t, zip.Store, metadataEntry(t))),
		"safetensors header": append([]byte("\xff\xff\x7f\x00\x00\x00\x00\x00{"), pad...),
		"safetensors shape":  append(binary.LittleEndian.AppendUint64(nil, uint64(len(huge))), huge+pad...),
		"flax map32":         append([]byte{0xdf, 255, 255, 255, 255}, pad...),
	} {
		var err error
		got := allocated(func() { _, _, err = Read(bytes.NewReader(data)) })
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		formatError(t, err)
		limit := uint64(2<<20 + 8*len(data))
		if name == "overlapping" { // a growing buffer allocates several times its final size in all
			limit = 8 * (unpackBase + unpackRatio*uint64(len(data)))
		}
		if got > limit {
			t.Errorf("%s: %d bytes of input made Read allocate %d, at most %d is allowed (%v)", name, len(data), got, limit, err)
		}
	}
}

// declare makes the first entry of an archive claim another size.
func declare(data []byte, size uint32) []byte {
	data = bytes.Clone(data)
	at := bytes.Index(data, []byte("PK\x01\x02"))
	binary.LittleEndian.PutUint32(data[at+24:], size)
	return data
}

// lyingCount makes an archive claim 65,534 entries.
func lyingCount(data []byte) []byte {
	data = bytes.Clone(data)
	end := data[len(data)-zipEndSize:]
	binary.LittleEndian.PutUint16(end[8:], 65534)
	binary.LittleEndian.PutUint16(end[10:], 65534)
	return data
}

// overlapping returns an archive in which n entries of the directory share the same
// compressed zeros.
func overlapping(t *testing.T, n int) []byte {
	t.Helper()
	content := array("<f4", []int{1 << 18}, strings.Repeat("\x00", 1<<20))
	one := archive(t, zip.Deflate, entry{"0000.npy", content})
	at := bytes.Index(one, []byte("PK\x01\x02"))
	record := one[at : len(one)-zipEndSize]
	b := bytes.Clone(one[:at])
	for i := range n {
		copy(record[46:], fmt.Sprintf("%04d", i))
		b = append(b, record...)
	}
	end := bytes.Clone(one[len(one)-zipEndSize:])
	binary.LittleEndian.PutUint16(end[8:], uint16(n))
	binary.LittleEndian.PutUint16(end[10:], uint16(n))
	binary.LittleEndian.PutUint32(end[12:], uint32(n*len(record)))
	if crc32.ChecksumIEEE(content) != binary.LittleEndian.Uint32(record[16:]) {
		t.Fatal("the record is not that of the content")
	}
	return append(b, end...)
}
