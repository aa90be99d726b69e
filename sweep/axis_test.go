package sweep

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestParseAxis(t *testing.T) {
	for text, want := range map[string][]string{
		"units=5,010": {"5", "10"}, "activation=relu,elu": {"relu", "elu"}, "init-scale=0.10,1e-2": {"0.1", "0.01"},
		"gradient-noise=0,-0.0e1,1": nil, "gradient-noise=-0,1": {"0", "1"}, "data=digits": {"digits"}, "condition=1,1e3": {"1", "1000"},
	} {
		a, err := ParseAxis(text)
		if want == nil {
			if err == nil || !strings.Contains(err.Error(), "the value 0 twice") {
				t.Errorf("%s: %v, %v", text, a, err)
			}
			continue
		}
		if key, _, _ := strings.Cut(text, "="); err != nil || a.Key != key || !reflect.DeepEqual(a.Values, want) {
			t.Errorf("%s: %v, %v", text, a, err)
		}
	}
	for text, want := range map[string]string{
		"unit=5": `did you mean "units"`, "nits": `did you mean "units"`, "units": "KEY=V,V", "units=": "KEY=V,V", "units=0": "at least 1", "units=5,": "at least 1",
		"activation=relo": `did you mean "relu"`, "data=minst": `did you mean "mnist"`, "condition=0.5": "at least 1", "loss-scale=0": "positive",
		"gradient-noise=-1": "at least 0", "gradient-noise=nan": "at least 0", "loss-scale=inf": "positive", "steps=100,100": "twice",
	} {
		if _, err := ParseAxis(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
}

func writeTOML(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sweep.toml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

var keys = []string{"optimizers", "task", "units", "steps", "rules"}

func TestReadFile(t *testing.T) {
	f, err := ReadFile(writeTOML(t, `# a sweep
task = "quadratic"
optimizers = [
  "a.mopt", # the first
  "pretrained:mlp",
]
steps = 50

[axes]
steps = [10, 1_000]
"loss-scale" = [0.5, 2]
condition = 10
`), keys)
	if err != nil {
		t.Fatal(err)
	}
	want := []Setting{{"task", []string{"quadratic"}, 2}, {"optimizers", []string{"a.mopt", "pretrained:mlp"}, 3}, {"steps", []string{"50"}, 7}}
	if !reflect.DeepEqual(f.Settings, want) {
		t.Errorf("settings %v, want %v", f.Settings, want)
	}
	axes := []Axis{{Key: "steps", Values: []string{"10", "1000"}}, {Key: "loss-scale", Values: []string{"0.5", "2"}}, {Key: "condition", Values: []string{"10"}}}
	if !reflect.DeepEqual(f.Axes, axes) {
		t.Errorf("axes %v, want %v", f.Axes, axes)
	}
}

// Every mistake is reported with its line and a suggestion.
func TestReadFileIsStrict(t *testing.T) {
	for text, want := range map[string]string{
		"task = \"mnist\"\nsteeps = 5":                       `sweep.toml:2: no key "steeps", did you mean "steps"`,
		"\n\n[axs]\nunits = [5]":                             `sweep.toml:3: no key "axs", did you mean "axes"`,
		"steps = 5\n[axes]\nlayers = [1]\nunitz = [5]":       `sweep.toml:4: sweep: no axis "unitz", did you mean "units"`,
		"[axes]\nactivation = [\"relu\",\n \"tahn\"]":        `sweep.toml:2: sweep: axis activation: "tahn": it must be sigmoid, relu, tanh, elu, gelu, silu or leaky-relu, did you mean "tanh"`,
		"[axes]\nunits = [[5]]":                              "sweep.toml:2: axis units: a []interface {} is no value",
		"steps = 2026-11-26":                                 "sweep.toml:1: steps: a time.Time is no value",
		"task = \"mnist\"\naxes = 5":                         "sweep.toml:2: axes is a table",
		"layers = 2":                                         "sweep.toml:1: layers is an axis; write it below [axes]",
		"steps = 5\nsteps = 6":                               "sweep.toml:2: ",
		"task = \"mnist":                                     "sweep.toml:1: ",
		"axes = { unit = [5] }":                              `sweep.toml:1: sweep: no axis "unit"`,
		"axes.units = [5]\naxes.layer = [1]":                 `sweep.toml:2: sweep: no axis "layer", did you mean "layers"`,
		"[axes]\nunits = []":                                 "sweep.toml:2: sweep: axis units has no value",
		"[axes]\nunits = [5]\n[axes.deep]\nx = 1":            `sweep.toml:3: sweep: no axis "deep"`,
		strings.Repeat("# long\n", 10000):                    "sweep.toml: longer than 64 KiB",
		"steps = 5\n" + strings.Repeat("a.", 1000) + "b = 1": "sweep.toml:2: a line of 2005 bytes; break it",
		strings.Repeat("a = {\n", 100):                       "sweep.toml:65: more than 64 braces",
		"steps = 5\n[steps2]\n[other]\nunits = 1\n[axes]\n":  `sweep.toml:2: no key "steps2"`,
	} {
		_, err := ReadFile(writeTOML(t, text), keys)
		var wrong *ConfigError
		if !errors.As(err, &wrong) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
	if _, err := ReadFile(filepath.Join(t.TempDir(), "none.toml"), keys); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
