package checkpoints

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestConfigRoundTrip(t *testing.T) {
	f := full(t)
	var got sampleConfig
	if err := f.DecodeConfig(&got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(newConfig(), got); d != "" {
		t.Error(d)
	}
	var m map[string]any
	if err := f.DecodeConfig(&m); err != nil || len(m) != 11 {
		t.Errorf("into a map: %d keys, %v", len(m), err)
	}
	empty := minimal()
	if err := empty.DecodeConfig(&struct{}{}); err != nil {
		t.Errorf("an empty config into an empty struct: %v", err)
	}
}

func TestConfigBytesAreCanonical(t *testing.T) {
	// msgpack itself writes a Go map in an order that changes from call to call.
	var first []byte
	for i := range 50 {
		f := full(t)
		if i == 0 {
			first = f.Config
		} else if !bytes.Equal(first, f.Config) {
			t.Fatal("the same config gave other bytes")
		}
	}
	// A map and a struct with the same content give the same bytes.
	a, b := minimal(), minimal()
	if err := a.EncodeConfig(struct {
		Z int64 `msgpack:"z"`
		A int64 `msgpack:"a"`
	}{-1, 1}); err != nil {
		t.Fatal(err)
	}
	if err := b.EncodeConfig(map[string]int8{"a": 1, "z": -1}); err != nil {
		t.Fatal(err)
	}
	if want := []byte{0x82, 0xa1, 'a', 1, 0xa1, 'z', 0xff}; !bytes.Equal(a.Config, want) || !bytes.Equal(b.Config, want) {
		t.Errorf("got % x and % x, want % x", a.Config, b.Config, want)
	}
}

func TestEncodeConfigRejects(t *testing.T) {
	for want, v := range map[string]any{
		"is not a struct or a map":  []int{1},
		"a NaN":                     map[string]float64{"x": math.NaN()},
		"a NaN ":                    map[string]float32{"x": float32(math.NaN())},
		"an extension where":        map[string]any{"t": time.Unix(0, 0)},
		"a string is not UTF-8":     map[string]string{"x": "\xff"},
		"a string has 65537 bytes":  map[string]string{"x": strings.Repeat("x", maxText+1)},
		"a byte string has 65537":   map[string][]byte{"x": make([]byte, maxText+1)},
		"a key of a map is an unsi": map[int]int{1: 1},
		"msgpack: Encode(unsuppor":  map[string]any{"f": func() {}},
	} {
		f := minimal()
		if err := f.EncodeConfig(v); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(want)) {
			t.Errorf("%T: got %v, want %q", v, err, want)
		}
		if f.Config != nil {
			t.Errorf("%q: the config was set all the same", want)
		}
	}
}

func TestDecodeConfigIsStrict(t *testing.T) {
	type inner struct {
		Beta float64 `msgpack:"beta"`
	}
	type target struct {
		N     int8    `msgpack:"n"`
		X     float32 `msgpack:"x"`
		In    inner   `msgpack:"in"`
		List  []inner `msgpack:"list"`
		Extra int     `msgpack:"extra,omitempty"`
	}
	good := func() []pair {
		return []pair{{"n", 1}, {"x", float32(0.5)}, {"in", []pair{{"beta", 0.9}}}, {"list", []any{}}}
	}
	with := func(i int, key string, v any) []pair {
		p := good()
		p[i] = pair{key, v}
		return p
	}
	for _, c := range []struct {
		want   string // part of the error; "" for a config that fits
		config []pair
	}{
		{"", good()},
		{"", append(good(), pair{"extra", 0})},
		{"", append(good(), pair{"extra", 5})},
		{"", with(1, "x", 1)}, // a whole number, as Python writes 1
		{"", with(2, "in", []pair{{"beta", float32(0.9)}})},
		{"", with(2, "in", []pair{{"beta", int64(1 << 53)}})},
		{"config.in.beta is 9007199254740994 in the file, which does not fit", with(2, "in", []pair{{"beta", int64(1<<53 + 2)}})},
		{"invalid code=cb decoding float32", with(1, "x", 0.1)},
		{"config.n is missing", good()[1:]},
		{"config.in.beta is missing", with(2, "in", []pair{})},
		{"config.list[1].beta is missing", with(3, "list", splice{0x92, 0x81, 0xa4, 'b', 'e', 't', 'a', 1, 0x80})},
		{`unknown field "what"`, append(good(), pair{"what", 1})},
		{`unknown field "what"`, with(2, "in", []pair{{"beta", 0.9}, {"what", 0}})},
		{`unknown field "N"`, with(0, "N", 1)},
		{"config.n is 300 in the file, which does not fit", with(0, "n", 300)},
		{"config.n is <nil> in the file, which does not fit", with(0, "n", nil)},
		{"config.x is <nil> in the file, which does not fit", with(1, "x", nil)},
		{"config.in is <nil> in the file", with(2, "in", nil)},
		{"config.in is an array of length 1 in the file", with(2, "in", []any{0.9})},
		{"invalid code", with(0, "n", "one")},
		{"invalid code", with(0, "n", 1.5)},
	} {
		f := &File{Kind: "k", Config: pack(t, c.config)}
		before := target{N: 99, List: []inner{{1}}, Extra: 7}
		got := before
		err := f.DecodeConfig(&got)
		if c.want == "" {
			if err != nil {
				t.Errorf("%v: %v", c.config, err)
			} else if got.N != 1 || len(got.List) != 0 || got.Extra == 7 {
				t.Errorf("%v: the old content shows through: %+v", c.config, got)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got error %v, want %q", c.config, err, c.want)
			continue
		}
		formatError(t, err)
		if d := cmp.Diff(before, got); d != "" {
			t.Errorf("%v: the target changed on failure:\n%s", c.config, d)
		}
	}
}

func TestDecodeConfigWantsTheWholeArray(t *testing.T) {
	var got struct {
		Pair [2]int `msgpack:"pair"`
	}
	for n, want := range []bool{false, false, true, false} {
		f := &File{Kind: "k", Config: pack(t, []pair{{"pair", make([]int, n)}})}
		if err := f.DecodeConfig(&got); (err == nil) != want {
			t.Errorf("an array of %d into one of 2: error %v", n, err)
		}
	}
}

func TestDecodeConfigPanics(t *testing.T) {
	for _, v := range []any{nil, sampleConfig{}, (*sampleConfig)(nil)} {
		func() {
			defer func() {
				if r := recover(); r != errTarget {
					t.Errorf("%T: got panic %v", v, r)
				}
			}()
			full(t).DecodeConfig(v)
		}()
	}
}
