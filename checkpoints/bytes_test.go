package checkpoints

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Bytes are read as they were written, also if they look like NaNs, and take one byte each.
func TestBytes(t *testing.T) {
	f := &File{Kind: "k", Tensors: []Tensor{
		{Name: "state", Shape: []int{6}, Bytes: []byte{0, 255, 0, 0, 0xc0, 0x7f}},
		{Name: "φ", Shape: []int{1}, Data: []float32{2}},
	}}
	data := bytesOf(t, f)
	got, err := Read(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(f, got); d != "" {
		t.Error(d)
	}
	if b, err := got.Uint8("state"); err != nil || !bytes.Equal(b, f.Tensors[0].Bytes) {
		t.Errorf("%v, %v", b, err)
	}
	for _, name := range []string{"φ", "none"} {
		if _, err := got.Uint8(name); err == nil {
			t.Errorf("%s is no tensor of bytes, and was returned", name)
		}
	}
	f.Tensors[0].Bytes = append(f.Tensors[0].Bytes, 1)
	f.Tensors[0].Shape = []int{7}
	if more := bytesOf(t, f); len(more) != len(data)+1 {
		t.Errorf("a byte more takes %d bytes", len(more)-len(data))
	}
	f.Tensors[0].Data64 = []float64{1}
	if err := Write(&bytes.Buffer{}, f); err == nil {
		t.Error("a tensor of two types was written")
	}
}
