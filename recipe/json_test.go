package recipe

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"learnedopt/tasks"
)

func TestParseIsStrict(t *testing.T) {
	for text, want := range map[string]string{
		``:                                           "no JSON object",
		`[]`:                                         "no JSON object",
		`{"defaults": 2`:                             "does not end",
		`{"defaults": 2} {}`:                         "after the object",
		`{}`:                                         `add "defaults": 2`,
		`{"meta_steps": 5}`:                          `add "defaults": 2`,
		`{"defaults": 3}`:                            "version 3",
		`{"defaults": 0}`:                            "version 0",
		`{"defaults": 2, "warmup": 3}`:               `did you mean "warm_up"`,
		`{"defaults": 2, "Steps": 3}`:                `did you mean "steps"`,
		`{"defaults": 2, "p": 5, "p": 5}`:            "twice",
		`{"defaults": 2, "memory": null}`:            "leave it out",
		`{"defaults": 2, "steps": 1.5}`:              "steps: it must be a whole number, not number 1.5",
		`{"defaults": 2, "steps": "100"}`:            "steps: it must be a whole number, not string",
		`{"defaults": 2, "scale": true}`:             "scale: it must be a number, not bool",
		`{"defaults": 2, "name": 1}`:                 "name: it must be text",
		`{"defaults": 2, "convex": 1}`:               "convex: it must be true or false",
		`{"defaults": 2, "horizons": 10}`:            "horizons: it must be a list",
		`{"defaults": 2, "seed": -1}`:                "seed: it must be a whole number of at least 0",
		`{"defaults": 2, "time": "soon"}`:            "as 90s or 10m",
		`{"defaults": 2, "clip": "large"}`:           `it must be a number, or "inf"`,
		`{"defaults": 2, "clip": 0}`:                 "clip cannot be 0; leave it out",
		`{"defaults": 2, "name": ""}`:                "name cannot be",
		`{"defaults": 2, "steps": 30}`:               "divisible",
		`{"defaults": 2, "readout": "sin"}`:          "linear, tanh, exp or mix",
		`{"defaults": 2, "task": {"name": "minst"}}`: "mnist",
		`{"defaults": 2, "name": "` + strings.Repeat("x", MaxSize) + `"}`: "bytes of JSON",
	} {
		if r, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: %v, want %q", text, err, want)
		} else if !reflect.DeepEqual(r, Recipe{}) {
			t.Errorf("%.80s: an error and a recipe", text)
		}
	}
	before := Recipe{Name: "as it was"}
	if r := before; json.Unmarshal([]byte(`{"defaults": 2, "name": "x", "steps": "y"}`), &r) == nil || !reflect.DeepEqual(r, before) {
		t.Errorf("after an error it is %+v", r)
	}
}

// The JSON of a recipe, with zeros that are real values.
func TestFormat(t *testing.T) {
	r := Recipe{
		Task: tasks.MustParse("mnist units=8,16"), MetaSteps: 10000, Memory: new(0.0), SecondDerivatives: new(false), Clip: Bound(inf()), Seed: 5,
	}
	data, err := r.Format()
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	delete(got, "task")
	want := map[string]any{"defaults": 2.0, "meta_steps": 10000.0, "memory": 0.0, "second_derivatives": false, "clip": "inf", "seed": 5.0}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if _, err := (Recipe{Steps: 30}).Format(); err == nil {
		t.Error("a recipe that is not valid was written")
	}
	path := filepath.Join(t.TempDir(), "r.json")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	if read, err := Load(path); err != nil || read.Command() != r.Command() {
		t.Errorf("%v, %v", read, err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("%v does not name the file", err)
	}
}

// Every input gives either an error or a recipe that can be written and read again.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"defaults": 2, "meta_steps": 5, "task": {"name": "mnist", "units": [8, 16]}, "clip": "inf", "memory": 0}`))
	f.Add([]byte(`{"defaults": 1, "horizons": [20, 40], "time": "1h", "seed": 18446744073709551615, "name": "\u0000"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Parse(data)
		if err != nil {
			return
		}
		text, err := r.Format()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(text)
		if err != nil {
			t.Fatalf("%v of %s", err, text)
		}
		if !reflect.DeepEqual(r, again) {
			t.Fatalf("%+v, again %+v", r, again)
		}
		if line, err := ParseCommand(r.Command()); err != nil || !reflect.DeepEqual(line.WithDefaults(), r.WithDefaults()) {
			t.Fatalf("%s: %v, %v", r.Command(), line, err)
		}
	})
}
