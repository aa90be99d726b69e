package checkpoints

import (
	"maps"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMetadataRoundTrip(t *testing.T) {
	f := full(t)
	m, err := f.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	if p := m["provenance"].(map[string]any); p["seed"] != uint64(math.MaxUint64) || p["meta_learning_rate"] != 0.003 || m["kind"] != f.Kind {
		t.Errorf("got %v", m)
	}
	got := &File{Tensors: f.Tensors}
	if err := got.SetMetadata(m); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(f, got, sameBits); d != "" {
		t.Error(d)
	}
	if err := got.Check(); err != nil {
		t.Error(err)
	}
}

func TestSetMetadataIsStrict(t *testing.T) {
	good, err := full(t).Metadata()
	if err != nil {
		t.Fatal(err)
	}
	provenance := func(key string, value any) map[string]any {
		p := maps.Clone(good["provenance"].(map[string]any))
		p[key] = value
		return p
	}
	for want, change := range map[string]func(m map[string]any){
		"kind is missing":                func(m map[string]any) { delete(m, "kind") },
		"4 keys":                         func(m map[string]any) { m["tensors"] = nil },
		"kind is int":                    func(m map[string]any) { m["kind"] = 5 },
		"kind is empty":                  func(m map[string]any) { m["kind"] = "" },
		"config is []interface {}, want": func(m map[string]any) { m["config"] = []any{} },
		"config: ":                       func(m map[string]any) { m["config"] = map[string]any{"x": math.NaN()} },
		`unknown field "more"`:           func(m map[string]any) { m["provenance"] = provenance("more", 1) },
		"provenance: ":                   func(m map[string]any) { m["provenance"] = provenance("steps", 0.5) },
		"a count is negative":            func(m map[string]any) { m["provenance"] = provenance("unroll", -1) },
		"a float is not finite":          func(m map[string]any) { m["provenance"] = provenance("valid_loss", math.Inf(1)) },
	} {
		m := maps.Clone(good)
		change(m)
		f := minimal()
		err := f.SetMetadata(m)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
			continue
		}
		formatError(t, err)
		if d := cmp.Diff(minimal(), f, sameBits); d != "" {
			t.Errorf("%s: the file was changed all the same:\n%s", want, d)
		}
	}
	lacking := maps.Clone(good)
	p := provenance("x", 1)
	delete(p, "x")
	delete(p, "seed")
	lacking["provenance"] = p
	if err := minimal().SetMetadata(lacking); err == nil || !strings.Contains(err.Error(), "provenance.seed is missing") {
		t.Errorf("without a seed: %v", err)
	}
}

// A payload alone is checked with the same bounds and as strictly as a whole file.
func TestPayloadAlone(t *testing.T) {
	f := full(t)
	payload, err := MarshalPayload(f)
	if err != nil {
		t.Fatal(err)
	}
	whole := bytesOf(t, f)
	if string(whole[headerSize:len(whole)-trailerSize]) != string(payload) {
		t.Error("the payload is not the file's")
	}
	got, err := UnmarshalPayload(payload)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(f, got, sameBits); d != "" {
		t.Error(d)
	}
	for n := range payload {
		_, err := UnmarshalPayload(payload[:n])
		if fe := formatError(t, err); fe.Offset < 0 || fe.Offset > int64(n) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := UnmarshalPayload(append(payload, 0)); err == nil {
		t.Error("a byte after the payload is no error")
	}
	f.Tensors[1].Name = f.Tensors[0].Name
	if _, err := MarshalPayload(f); err == nil || f.Check() == nil {
		t.Error("two tensors of one name are no error")
	}
}
