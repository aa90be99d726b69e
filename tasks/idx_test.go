package tasks

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// idxBytes returns an IDX file of unsigned bytes.
func idxBytes[I int | uint32](data []byte, dims ...I) []byte {
	out := []byte{0, 0, 8, byte(len(dims))}
	for _, d := range dims {
		out = append(out, byte(d>>24), byte(d>>16), byte(d>>8), byte(d))
	}
	return append(out, data...)
}

func zipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestReadIDX(t *testing.T) {
	big := bytes.Repeat([]byte{1, 2, 3, 4, 5, 6, 7}, 5<<20/7)
	for _, want := range []IDX{
		{Dims: []int{2, 3}, Data: []byte{1, 2, 3, 4, 5, 6}},
		{Dims: []int{1}, Data: []byte{9}},
		{Dims: []int{len(big)}, Data: big}, // more than one buffer
	} {
		raw := idxBytes(want.Data, want.Dims...)
		for name, file := range map[string][]byte{"raw": raw, "gzip": zipped(t, raw)} {
			got, err := ReadIDX(name, iotest.HalfReader(bytes.NewReader(file)))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if !slices.Equal(got.Dims, want.Dims) || !bytes.Equal(got.Data, want.Data) {
				t.Errorf("%s: read %v of %d bytes, want %v of %d", name, got.Dims, len(got.Data), want.Dims, len(want.Data))
			}
		}
	}
}

func TestReadIDXRejects(t *testing.T) {
	good := idxBytes([]byte{1, 2, 3, 4, 5, 6}, 2, 3)
	damaged := zipped(t, good)
	damaged[len(damaged)-5] ^= 1 // in the checksum
	for _, c := range []struct {
		name   string
		file   []byte
		offset int64
		reason string
	}{
		{"empty", nil, 0, "file ends in its magic number"},
		{"magic", append([]byte{1}, good[1:]...), 0, "not an IDX file"},
		{"floats", append([]byte{0, 0, 0x0d}, good[3:]...), 2, "element type 0x0d"},
		{"rank 0", []byte{0, 0, 8, 0}, 3, "rank 0"},
		{"rank 5", idxBytes(nil, 1, 1, 1, 1, 1), 3, "rank 5"},
		{"header", good[:9], 9, "file ends in its dimensions"},
		{"zero", idxBytes(nil, 3, 0), 8, "dimension 1 is 0"},
		{"huge", idxBytes[uint32](nil, 1<<32-1), 4, "more than"},
		{"overflow", idxBytes[uint32](nil, 1<<20, 1<<32-1, 1<<32-1, 1<<32-1), 8, "more than"},
		{"short", good[:len(good)-1], 17, "file ends in its 6 bytes of data"},
		{"trailing", append(append([]byte{}, good...), 0), 18, "more bytes than"},
		{"trailing in gzip", zipped(t, append(append([]byte{}, good...), 0)), 18, "more bytes than"},
		{"gzip cut", zipped(t, good)[:20], 12, "file ends in its 6 bytes"},
		{"gzip header", []byte{0x1f, 0x8b, 0, 0}, 0, "gzip header"},
		{"gzip checksum", damaged, 18, "damaged gzip stream"},
		{"junk after gzip", append(zipped(t, good), "junk"...), 18, "cut short or followed by other bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ReadIDX("file", bytes.NewReader(c.file))
			var format *FormatError
			if !errors.As(err, &format) {
				t.Fatalf("error %v is no *FormatError", err)
			}
			if format.Name != "file" || format.Offset != c.offset || !strings.Contains(format.Reason, c.reason) {
				t.Errorf("error %+v, want offset %d and %q", format, c.offset, c.reason)
			}
		})
	}
}

// A header may claim 640 MiB; that memory must not be allocated before the bytes have been read.
func TestReadIDXAllocatesWhatIsThere(t *testing.T) {
	file := idxBytes([]byte{1, 2, 3}, 640, 1<<20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := ReadIDX("file", bytes.NewReader(file))
	runtime.ReadMemStats(&after)
	if err == nil {
		t.Error("no error")
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 4<<20 {
		t.Errorf("%d bytes allocated for a file of %d", got, len(file))
	}
}

// An error of the reader is not a *FormatError.
func TestReadIDXPassesReadersError(t *testing.T) {
	broken := errors.New("cable pulled")
	for at := range 20 {
		raw := idxBytes([]byte{1, 2, 3, 4, 5, 6, 7, 8}, 8)
		r := io.MultiReader(bytes.NewReader(raw[:at%len(raw)]), iotest.ErrReader(broken))
		_, err := ReadIDX("file", r)
		var format *FormatError
		if !errors.Is(err, broken) || errors.As(err, &format) {
			t.Fatalf("after %d bytes: error %v", at%len(raw), err)
		}
	}
}

func FuzzIDX(f *testing.F) {
	good := idxBytes([]byte{1, 2, 3, 4, 5, 6}, 2, 3)
	for _, seed := range [][]byte{
		nil, good, good[:7], append(good[:len(good):len(good)], 0), idxBytes[uint32](nil, 1<<31), zipped(f, good), zipped(f, good)[:12],
		idxBytes([]byte{1}, 1, 1, 1, 1), {0x1f, 0x8b}, {0, 0, 8, 255},
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		got, err := ReadIDX("fuzz", bytes.NewReader(file))
		if err != nil {
			var format *FormatError
			if !errors.As(err, &format) {
				t.Fatalf("error %v (%T) is no *FormatError", err, err)
			}
			return
		}
		// An accepted file is canonical: the array written again gives the same bytes.
		again := idxBytes(got.Data, got.Dims...)
		if !bytes.HasPrefix(file, []byte{0x1f, 0x8b}) && !bytes.Equal(again, file) {
			t.Fatalf("accepted %x, which means %x", file, again)
		}
	})
}
