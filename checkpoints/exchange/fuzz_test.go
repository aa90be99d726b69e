package exchange

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// seeds adds a file from the format's writer, files from other programs, and the inputs in more.
func seeds(f *testing.F, format Format, pattern string) {
	data, err := Marshal(sample(f), format)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	corpus, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(corpus) == 0 {
		f.Fatalf("no %s in the corpus, %v", pattern, err)
	}
	for _, path := range corpus {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
}

// readBack fails unless the input gives a FormatError, or a file that survives writing
// and reading.
func readBack(t *testing.T, format Format, data []byte) {
	got, err := read(data, format)
	if err != nil {
		if fe := formatError(t, err); fe.Format != format {
			t.Fatalf("%v is of format %s", err, fe.Format)
		}
		return
	}
	again, err := Marshal(got, format)
	if err != nil {
		t.Fatalf("cannot write what was read: %v", err)
	}
	second, said, err := Read(bytes.NewReader(again))
	if err != nil || said != format {
		t.Fatalf("cannot read what was written: %q, %v", said, err)
	}
	if d := cmp.Diff(got, second, sameBits); d != "" {
		t.Fatal(d)
	}
}

// FuzzNPZ reads its input as an archive, as an array in an archive, and as the text of
// the metadata. The last two have correct checksums, which fuzzing would not find by itself.
func FuzzNPZ(f *testing.F) {
	seeds(f, NPZ, "*.npz")
	f.Add(array("<f4", []int{2, 1}, "abcdefgh"))
	f.Add(metadataText(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		readBack(t, NPZ, data)
		readBack(t, NPZ, archive(t, zip.Store, entry{"w.npy", data}, metadataEntry(t)))
		readBack(t, NPZ, archive(t, zip.Store, entry{"__metadata__.npy", array("|u1", []int{len(data)}, string(data))}))
	})
}

// FuzzSafeTensors reads its input as a file, and as a header with four bytes of data.
func FuzzSafeTensors(f *testing.F) {
	seeds(f, SafeTensors, "*.safetensors")
	quoted, _ := appendJSON(nil, "", string(metadataText(f)))
	f.Add([]byte(`{"__metadata__":{"mopt":` + string(quoted) + `},"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		readBack(t, SafeTensors, data)
		whole := append(binary.LittleEndian.AppendUint64(nil, uint64(len(data))), data...)
		readBack(t, SafeTensors, append(whole, 0, 0, 128, 63))
	})
}

// FuzzFlax reads its input as a payload.
func FuzzFlax(f *testing.F) {
	seeds(f, FlaxMsgpack, "*.msgpack")
	f.Fuzz(func(t *testing.T, data []byte) { readBack(t, FlaxMsgpack, data) })
}
