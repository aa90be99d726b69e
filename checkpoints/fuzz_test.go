package checkpoints

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzRead reads its input as a file, and as the payload of a file whose
// header and SHA-256 are right, which fuzzing would not find by itself.
func FuzzRead(f *testing.F) {
	corpus, err := filepath.Glob(filepath.Join("testdata", "*.mopt"))
	if err != nil || len(corpus) < 3 {
		f.Fatalf("%d files in the corpus, %v", len(corpus), err)
	}
	for _, path := range corpus {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(data[headerSize : len(data)-trailerSize])
	}
	f.Add(pack(f, parts(f)))
	f.Fuzz(func(t *testing.T, data []byte) {
		readBack(t, data)
		readBack(t, seal(data))
	})
}

// readBack fails unless the input gives a FormatError, or a file that survives
// writing and reading.
func readBack(t *testing.T, data []byte) {
	got, err := Read(bytes.NewReader(data))
	if err != nil {
		var fe *FormatError
		if !errors.As(err, &fe) || fe.Offset < 0 || fe.Offset > int64(len(data)) || fe.Reason == "" {
			t.Fatalf("%d bytes: not a FormatError with an offset: %v", len(data), err)
		}
		return
	}
	again := bytesOf(t, got)
	second, err := Read(bytes.NewReader(again))
	if err != nil {
		t.Fatalf("cannot read what was written: %v", err)
	}
	if d := cmp.Diff(got, second, sameBits); d != "" {
		t.Fatal(d)
	}
	if !bytes.Equal(again, bytesOf(t, second)) {
		t.Fatal("the bytes are not canonical")
	}
	var config sampleConfig
	if err := got.DecodeConfig(&config); err == nil {
		f := minimal()
		if err := f.EncodeConfig(config); err != nil {
			t.Fatal(err)
		}
	}
	var m map[string]any
	if err := got.DecodeConfig(&m); err != nil {
		t.Fatalf("any config fits a map: %v", err)
	}
}
