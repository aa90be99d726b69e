package recipe

import (
	"math"
	"slices"
	"strings"
	"testing"

	"learnedopt/tasks"
)

func inf() float64 { return math.Inf(1) }

// A command line without a version of the defaults means version 1.
func TestOldCommandsMeanVersion1(t *testing.T) {
	r, err := ParseCommand("metaopt meta-train --task quadratic --meta-steps 5 --second-derivatives --name 'it'\\''s me'")
	if err != nil {
		t.Fatal(err)
	}
	if r.Defaults != 1 || !r.second() || r.Name != "it's me" || r.MetaSteps != 5 || *r.WithDefaults().Memory != 0 {
		t.Errorf("%+v", r)
	}
}

func TestParseCommandTakesNothingElse(t *testing.T) {
	for line, want := range map[string]string{
		"":                                   "not a command",
		"rm -rf /":                           "not a command",
		"metaopt sweep x":                    "not a command",
		"metaopt meta-train 'x":              "not a command",
		"metaopt meta-train --out escaped":   `"--out"`,
		"metaopt meta-train --data-dir=/x":   `"--data-dir=/x"`,
		"metaopt meta-train --steps 20 more": `"more"`,
		"metaopt meta-train -q":              `"-q"`,
		"metaopt meta-train -steps 20":       `"-steps"`,
		"metaopt meta-train --steps":         "no value",
		"metaopt meta-train --steps x":       "whole number",
		"metaopt meta-train --units 1.5":     "--units",
	} {
		if _, err := ParseCommand(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", line, err, want)
		}
	}
}

func TestParseArgs(t *testing.T) {
	r, rest, err := ParseArgs([]string{"--runs=3", "--convex", "--random-steps=false", "--units=3,4", "--task", "digits", "--rules=sgd", "--seed=7"})
	if err != nil || !slices.Equal(rest, []string{"--runs=3", "--rules=sgd"}) {
		t.Fatalf("%v, %q", err, rest)
	}
	if !r.Convex || r.RandomSteps || r.Task.String() == "" || !slices.Equal(r.Task.Values("units"), []string{"3", "4"}) || r.Seed != 7 {
		t.Errorf("%+v", r)
	}
}

// A list of tasks is one value of the option, in a command and in JSON.
func TestListOfTasks(t *testing.T) {
	want := tasks.MustParse("mnist,cifar10,mnist units=4 image-size=8,14")
	r, rest, err := ParseArgs([]string{"--task", "mnist,cifar10,mnist", "--units=4", "--image-size", "8,14", "--meta-steps", "3"})
	if err != nil || len(rest) > 0 || r.Task != want {
		t.Fatalf("%q, %q, %v", r.Task, rest, err)
	}
	again, err := ParseCommand("metaopt meta-train " + strings.Join(r.Args(), " "))
	if err != nil || again.Task.String() != want.String() {
		t.Errorf("%q, %v", again.Task, err)
	}
	text, err := r.Format()
	if err != nil || !strings.Contains(string(text), `"task": {"name":["mnist","cifar10","mnist"],"units":[4],"image-size":[8,14]}`) {
		t.Errorf("%s, %v", text, err)
	}
	if read, err := Parse(text); err != nil || read.Task != want {
		t.Errorf("%q, %v", read.Task, err)
	}
	if _, err := r.With(Setting{"task", "mnist,quadratic"}, Setting{"units", "4"}); err != nil {
		t.Error(err) // With looks at one option at a time
	} else if r, _ = r.With(Setting{"task", "mnist,quadratic"}); r.Validate() == nil {
		t.Error("a list with a quadratic is valid")
	}
}

// If the task changes, the options of the old task are removed.
func TestWithAnotherTask(t *testing.T) {
	r := Recipe{Task: tasks.MustParse("quadratic dims=3")}
	same, err := r.With(Setting{"task", "quadratic"}, Setting{"batch", "2"})
	if err != nil || !slices.Equal(same.Task.Values("dims"), []string{"3"}) || !slices.Equal(same.Task.Values("batch"), []string{"2"}) {
		t.Errorf("%v, %v", same.Task, err)
	}
	other, err := r.With(Setting{"units", "8"}, Setting{"task", "mnist"})
	if err != nil || other.Task.Values("dims") != nil || !slices.Equal(other.Task.Values("units"), []string{"8"}) {
		t.Errorf("%v, %v", other.Task, err)
	}
	// A set option replaces an option that it excludes. If one call sets both, Validate refuses the result.
	long := Recipe{MetaSteps: 5, Horizons: []int{20, 40}, StagePatience: 2}
	if got, err := long.With(Setting{"time", "1m"}, Setting{"steps", "20"}); err != nil || got.MetaSteps != 0 || got.Horizons != nil || got.Validate() != nil {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := (Recipe{Time: 5, Steps: 20}).With(Setting{"meta-steps", "7"}, Setting{"horizons", "20,40"}); err != nil || got.Time != 0 || got.Steps != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := long.With(Setting{"time", "1m"}, Setting{"meta-steps", "7"}); err != nil || got.Validate() == nil {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := r.With(Setting{"unit", "8"}); err == nil || !strings.Contains(err.Error(), `"units"`) {
		t.Error(err)
	}
}

func TestSplit(t *testing.T) {
	for _, args := range [][]string{{"metaopt", "meta-train"}, {"a b", "it's", "", `\`, "--name=x"}, {"'"}} {
		var quoted []string
		for _, a := range args {
			quoted = append(quoted, Quote(a))
		}
		if got, err := Split(strings.Join(quoted, " ")); err != nil || !slices.Equal(got, args) {
			t.Errorf("%q: %q, %v", args, got, err)
		}
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{"a-b_c+d=/x.mopt": "a-b_c+d=/x.mopt", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "$x": "'$x'"} {
		if got := Quote(in); got != want {
			t.Errorf("%q is quoted as %s, want %s", in, got, want)
		}
	}
}
