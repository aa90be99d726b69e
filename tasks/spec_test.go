package tasks

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	dir := t.TempDir()
	writeIDX(t, dir+"/mnist", false)
	for text, want := range map[string]string{
		"quadratic":                                                  "quadratic dims=10 batch=128",
		"quadratic dims=2,10,2":                                      "quadratic dims=2,10,2 batch=128",
		"mnist layers=0,2":                                           "mnist units=20 layers=0,2 activation=sigmoid batch=128",
		"mnist layers=0 units=3":                                     "mnist units=3 layers=0 activation=sigmoid batch=128",
		"rosenbrock batch=3,1 dims=4":                                "rosenbrock dims=4 batch=3,1",
		"quadratic condition=1,100":                                  "quadratic dims=10 batch=128 condition=1,100",
		"  quadratic\tdims=02  batch=5":                              "quadratic dims=2 batch=5",
		"mnist activation=relu,elu batch=64 units=5,10":              "mnist units=5,10 layers=1 activation=relu,elu batch=64",
		"mnist init-scale=0.01,0.1":                                  "mnist units=20 layers=1 activation=sigmoid batch=128 init-scale=0.01,0.1",
		"mnist init-scale=1e-1,0.01 layers=1,2":                      "mnist units=20 layers=1,2 activation=sigmoid batch=128 init-scale=0.1,0.01",
		"mnist init-scale=0.25":                                      "mnist units=20 layers=1 activation=sigmoid batch=128 init-scale=0.25",
		"mnist init-scale=0.010":                                     "mnist units=20 layers=1 activation=sigmoid batch=128",
		"mnist init-scale=0.01,0.01":                                 "mnist units=20 layers=1 activation=sigmoid batch=128 init-scale=0.01,0.01",
		"quadratic loss-scale=1 gradient-noise=0":                    "quadratic dims=10 batch=128",
		"quadratic gradient-noise=0,0.5 loss-scale=1,10 condition=7": "quadratic dims=10 batch=128 condition=7 loss-scale=1,10 gradient-noise=0,0.5",
		"mnist loss-scale=100 init-scale=0.1":                        "mnist units=20 layers=1 activation=sigmoid batch=128 init-scale=0.1 loss-scale=100",
		"digits channels=8-16 batch=32":                              "digits activation=sigmoid batch=32 channels=8-16",
		"digits weight-init=he channels=08-16,4 activation=relu":     "digits activation=relu batch=128 channels=8-16,4 weight-init=he",
	} {
		s, err := Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if s.String() != want {
			t.Errorf("%s is named %q, want %q", text, s, want)
		}
		dataDir := ""
		if s.Task() == "mnist" {
			dataDir = dir
		}
		if got := mixture(t, text, dataDir).Name(); got != want {
			t.Errorf("%s makes the family %q, want %q", text, got, want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       "no task is named; the tasks are quadratic, ",
		"minst":                                  `no task "minst", did you mean "mnist"? The tasks are quadratic, `,
		"mnist unit=5":                           `no option "unit", did you mean "units"? The options are units, `,
		"mnist units":                            `"units" is no option with a value; write KEY=V`,
		"mnist units=":                           `units "": it must be a whole number`,
		"mnist units=5,":                         `units "": it must be a whole number`,
		"mnist units=5 units=6":                  "units is there twice",
		"mnist units=0":                          `units "0": it must be a whole number of at least 1`,
		"mnist dims=5":                           "dims does not apply to the task mnist; its options are units, layers, activation, batch, ",
		"quadratic units=5":                      "units does not apply to the task quadratic; its options are dims, batch, condition, loss-scale, gradient-noise",
		"rosenbrock condition=2":                 "condition does not apply to the task rosenbrock",
		"quadratic data-dir=x":                   `no option "data-dir"`,
		"quadratic dims=1,2 condition=1,2":       "condition number 2 of functions of 1 dimension",
		"quadratic dims=2,16384 batch=1,2":       "2 functions of 16384 dimensions need over",
		"rosenbrock dims=3,1,2":                  "1 dimensions, want at least 2",
		"quadratic condition=5,1e9,7":            "condition number 1e+09",
		"mnist units=4,99999,5":                  "99999 hidden units",
		"digits init-scale=0.1,1001":             "initial scale 1001",
		"digits layers=3,101":                    "101 hidden layers",
		"quadratic dims=10 batch=128 split=test": `no option "split"`,
		"quadratic dims=2 batch=3 + convex":      `"+" is no option`,
		"mnist channels=8-16 layers=1":           "layers does not apply to the task mnist with channels; its options are activation, batch, channels, init-scale",
		"quadratic channels=8":                   "channels does not apply to the task quadratic",
		"mnist channels=8-x":                     `channels "8-x": it must be one whole number from 1 to 1024 for each`,
		"mnist channels=2-2-2-2,2-2-2-2-2":       "channels of 5 layers on images of 28×28 pixels",
		"mnist channels=2-2-2 image-size=28,7":   "channels of 3 layers on images of 7×7 pixels",
	} {
		s, err := Parse(text)
		if err == nil || s != (Spec{}) || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q) = %q, %v, want an error about %s", text, s, err, want)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("MustParse does not panic")
		}
	}()
	MustParse("nothing")
}

// Two Specs are == if they set the same values, and have the same text if they describe the same family.
func TestSpecsAreComparable(t *testing.T) {
	if a, b := MustParse("mnist units=8,16 batch=4"), MustParse("mnist batch=04  units=8,16"); a != b {
		t.Errorf("%#v is not %#v", a, b)
	}
	a, b := MustParse("quadratic"), MustParse("quadratic dims=10")
	if a == b || a.String() != b.String() {
		t.Errorf("%#v and %#v: are ==: %v; texts %q and %q", a, b, a == b, a, b)
	}
	if a, b := MustParse("mnist units=8,16"), MustParse("mnist units=16,8"); a == b || a.String() == b.String() {
		t.Error("the order of values does not count, but draws other problems")
	}
}

func TestSpecIsChanged(t *testing.T) {
	must := func(s Spec, err error) Spec {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := MustParse("quadratic dims=2,3 batch=4")
	if got := must(s.With("dims", "7", "8")); got != MustParse("quadratic dims=7,8 batch=4") {
		t.Errorf("dims=7,8 gives %q", got)
	}
	if got := must(s.With("dims")); got != MustParse("quadratic batch=4") || got.Values("dims") != nil {
		t.Errorf("no dims gives %q", got)
	}
	if got := must(s.With("loss-scale", "10")); got != MustParse("quadratic dims=2,3 batch=4 loss-scale=10") {
		t.Errorf("loss-scale=10 gives %q", got)
	}
	if _, err := s.With("dim", "7"); err == nil || !strings.Contains(err.Error(), `did you mean "dims"`) {
		t.Errorf("error %v", err)
	}
	// An option that the task does not read is no error until Validate: the task may be set later.
	flags := must(must(Spec{}.With("units", "5")).With("batch", "9"))
	var option *OptionError
	if err := s.Overlay(flags).Validate(); !errors.As(err, &option) ||
		!reflect.DeepEqual(*option, OptionError{"units", "quadratic", []string{"dims", "batch", "condition", "loss-scale", "gradient-noise"}}) {
		t.Errorf("error %v", err)
	}
	if got := s.Overlay(flags).String(); got != "quadratic units=5 dims=2,3 batch=9" {
		t.Errorf("a Spec that is wrong is shown as %q", got)
	}
	if got := MustParse("mnist layers=2 batch=7").Overlay(flags); got != MustParse("mnist units=5 layers=2 batch=9") {
		t.Errorf("the overlay is %q", got)
	}
	// A default that was set explicitly overrides another value.
	if got := MustParse("mnist init-scale=0.5").Overlay(MustParse("mnist init-scale=0.01")); got.Values("init-scale")[0] != "0.01" {
		t.Errorf("the overlay is %q", got)
	}
	if got := s.Overlay(MustParse("rosenbrock")); got != MustParse("rosenbrock dims=2,3 batch=4") {
		t.Errorf("the overlay is %q", got)
	}
	if _, err := s.WithTask("quadratics"); err == nil {
		t.Error("a task that there is not")
	}
	if err := (Spec{}).Validate(); err == nil || Spec.String(Spec{}) != "" {
		t.Errorf("no task: %v", err)
	}
	if f, err := s.Family("x"); f != nil || !errors.As(err, &option) || option.Option != "data-dir" {
		t.Errorf("a folder of data that are not needed: %v, %v", f, err)
	}
	if f, err := MustParse("mnist units=2,3").Family("/nowhere"); f != nil || err == nil || !strings.Contains(err.Error(), "metaopt data fetch mnist") {
		t.Errorf("no data: %v, %v", f, err)
	}
}

// A list of one value means that value: it gives the same family as New.
func TestListOfOneIsNoMixture(t *testing.T) {
	f, err := New("quadratic", Options{Dims: 3, Batch: 2})
	if err != nil {
		t.Fatal(err)
	}
	if got := mixture(t, "quadratic dims=3 batch=2", ""); got != f || f != (Quadratic{Dims: 3, Batch: 2}) {
		t.Errorf("a list of one gives %#v, New %#v", got, f)
	}
}

// Families returns the same family for a Spec as Family does, whatever the other Specs are.
func TestFamilies(t *testing.T) {
	specs := []Spec{MustParse("quadratic dims=3 batch=2"), MustParse("rosenbrock batch=2"), MustParse("quadratic dims=2,4"), MustParse("quadratic loss-scale=9")}
	families, err := Families("", specs...)
	if err != nil || len(families) != len(specs) {
		t.Fatalf("%d families, error %v", len(families), err)
	}
	for i, s := range specs {
		alone := mixture(t, s.String(), "")
		if families[i].Name() != alone.Name() {
			t.Errorf("family %d is %q, want %q", i, families[i].Name(), alone.Name())
		}
		equalBits(t, trace(t, sample(t, families[i], 5), 2), trace(t, sample(t, alone, 5), 2))
	}
	if families, err := Families(""); err != nil || len(families) != 0 {
		t.Errorf("nothing asked for: %v, %v", families, err)
	}
	if _, err := Families("", specs[0], Spec{}); err == nil {
		t.Error("a Spec without a task")
	}
}

func TestTooManyCombinations(t *testing.T) {
	s := MustParse("quadratic dims=2")
	for _, key := range []string{"dims", "batch", "condition", "loss-scale"} {
		var err error
		if s, err = s.With(key, slices.Repeat([]string{"2"}, 1<<15)...); err != nil {
			t.Fatal(err)
		}
	}
	if n, ok := s.lists().combinations(); n != 1<<60 || !ok {
		t.Errorf("%d combinations, want 2^60", n)
	}
	if err := s.Validate(); err != nil {
		t.Error(err)
	}
	s, err := s.With("gradient-noise", slices.Repeat([]string{"2"}, 16)...)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(); err == nil || !strings.Contains(err.Error(), "2^64 combinations") {
		t.Errorf("error %v", err)
	}
}

// ownSuffix names data of the user's own in tests.
const ownSuffix = ":own@0123456789abcdef"

// named returns a task's name with data if it needs some.
func named(name string) string {
	if t, err := taskOf(name); err == nil && t.own {
		return name + ownSuffix
	}
	return name
}

// anySpec draws a task and lists of up to three values for some of its options. The values are valid for the
// options, but may be out of the task's bounds.
func anySpec(values func(o Option) []string) *rapid.Generator[Spec] {
	return rapid.Custom(func(t *rapid.T) Spec {
		name := named(rapid.SampledFrom(Names()).Draw(t, "task"))
		if readerOf(Spec{task: name})&classifiers != 0 {
			more := rapid.SliceOfN(rapid.SampledFrom([]string{"mnist", "cifar10", "digits", "cifar10-grey", named(imagesName), named(tableName)}), 0, 2).Draw(t, "more tasks")
			name = strings.Join(append([]string{name}, more...), ",")
		}
		s, err := Spec{}.WithTask(name)
		if err != nil {
			t.Fatal(err)
		}
		kinds := readerOf(s)
		if kinds&networks != 0 {
			kinds |= perceptrons
		}
		for _, row := range table {
			reads := true // by every task of the list
			for name := range strings.SplitSeq(s.task, ",") {
				_, one := row.readBy(kinds & (readerOf(Spec{task: name}) | perceptrons))
				reads = reads && one
			}
			if !reads || !rapid.Bool().Draw(t, "set "+row.Key) {
				continue
			}
			if s, err = s.With(row.Key, rapid.SliceOfN(rapid.SampledFrom(values(row)), 1, 3).Draw(t, row.Key)...); err != nil {
				t.Fatal(err)
			}
		}
		return s
	})
}

// pick returns the texts that are valid values of the option.
func pick(texts ...string) func(o Option) []string {
	return func(o Option) []string {
		if o.Values() != nil {
			return o.Values()
		}
		return slices.DeleteFunc(slices.Clone(texts), func(text string) bool {
			_, err := o.Parse(text)
			return err != nil
		})
	}
}

// Validate checks only a few combinations. It agrees with a check of every combination, for values on both sides of
// the bounds of all tasks.
func TestValidateIsThatOfEveryCombination(t *testing.T) {
	values := pick("0", "0.5", "1", "2", "3", "100", "101", "1000", "1001", "16384", "16385", "65536", "65537", "268435456", "8-16", "2-2-2-2-2", "1e8", "2e8", "1e12", "2e12")
	rapid.Check(t, func(t *rapid.T) {
		s := anySpec(values).Draw(t, "spec")
		of, err := s.tasks()
		if err != nil {
			t.Fatal(err)
		}
		var first error
		n, _ := s.lists().combinations()
		for _, task := range of {
			for i := uint64(0); i < n && first == nil; i++ {
				first = task.check(s.lists().at(i))
			}
		}
		if err := s.Validate(); (err == nil) != (first == nil) {
			t.Errorf("%s: Validate says %v; of the combinations: %v", s, err, first)
		}
	})
	// The same for every run: the generator draws Specs of both kinds.
	good := 0
	for seed := range 200 {
		if anySpec(values).Example(seed).Validate() == nil {
			good++
		}
	}
	if good < 10 || good > 190 {
		t.Errorf("%d valid Specs of 200 prove little", good)
	}
}

// A Spec can be read back from its name and from its JSON, and its family has its name.
func TestSpecsRoundTrip(t *testing.T) {
	dir := t.TempDir()
	sources := sources{}
	for _, task := range catalog {
		if task.images != nil {
			task.images = imagesIn // few images, in place of digits too
			writeImages(t, dir+"/"+task.name, task.side(), false)
		}
		var err error
		if !task.own {
			if sources[task.name], err = task.open(dir, 1); err != nil {
				t.Fatal(err)
			}
			continue
		}
		// The checksum in the name is not that of these data, so open would refuse them.
		s := &source{pool: newPool(1)}
		if s.task, err = taskOf(named(task.name)); err != nil {
			t.Fatal(err)
		}
		switch task.kind {
		case images:
			writeImages(t, dir+"/own", 30, false)
			if s.data, err = LoadImages(dir + "/own"); err == nil {
				s.data.name = s.name
			}
		case textTasks:
			if s.text, err = readText("own.txt", strings.NewReader(rhyme(400))); err == nil {
				s.text.name, s.text.sum, _ = strings.Cut(s.task.data, "@")
			}
		default:
			s.table, err = readTable("own.csv", strings.NewReader(numberedTable()))
		}
		if err != nil {
			t.Fatal(err)
		}
		sources[s.name] = s
	}
	values := pick("0", "0.01", "0.1", "1", "2", "3", "128", "10", "20", "8-16", "12345.678", "1e-7", "1e6")
	rapid.Check(t, func(t *rapid.T) {
		s := anySpec(values).Draw(t, "spec")
		if err := s.Validate(); err != nil {
			t.Skip(err)
		}
		name := s.String()
		again, err := Parse(name)
		if err != nil || again.String() != name {
			t.Fatalf("%q is read as %q, %v", name, again, err)
		}
		if words := strings.Fields(name); len(words) > 1 {
			slices.Reverse(words[1:])
			if shuffled, err := Parse(strings.Join(words, " ")); err != nil || shuffled != again {
				t.Fatalf("%q reversed is read as %q, %v", name, shuffled, err)
			}
		}
		for _, s := range []Spec{s, again} {
			data, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			read := MustParse("rosenbrock dims=7") // UnmarshalJSON must overwrite all of it
			if err := json.Unmarshal(data, &read); err != nil || read != s {
				t.Fatalf("%s is read as %#v, want %#v: %v", data, read, s, err)
			}
		}
		f, err := sources.mixture(s)
		if err != nil && (strings.Contains(err.Error(), "whose images have 30×30 pixels") || strings.Contains(err.Error(), "whose train split has ")) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		if f.Name() != name {
			t.Fatalf("%q makes the family %q", name, f.Name())
		}
		// All yields the options of the name.
		text := s.task
		for key, values := range s.All() {
			text += " " + key + "=" + strings.Join(values, ",")
		}
		if text != name {
			t.Fatalf("All says %q of %q", text, name)
		}
	})
}

func TestSpecJSON(t *testing.T) {
	s := MustParse("mnist activation=relu units=8,16 init-scale=0.5")
	data, err := json.Marshal(struct{ Task Spec }{s})
	if want := `{"Task":{"name":"mnist","units":[8,16],"activation":["relu"],"init-scale":[0.5]}}`; err != nil || string(data) != want {
		t.Errorf("JSON %s, %v, want %s", data, err, want)
	}
	var read struct{ Task Spec }
	if err := json.Unmarshal([]byte(`{"Task": {"init-scale": [5E-1], "activation": ["relu"], "units": [8, 16], "name": "mnist"}}`), &read); err != nil || read.Task != s {
		t.Errorf("read as %q, %v", read.Task, err)
	}
	for text, want := range map[string]string{
		`null`: "a task is a JSON object", `[]`: "a task is a JSON object", `"mnist"`: "a task is a JSON object", `5`: "a task is a JSON object",
		`{}`:                                                "no task is named",
		`{"name":"minst"}`:                                  `did you mean "mnist"`,
		`{"name":5}`:                                        "the name of a task is text",
		`{"name":["mnist"]}`:                                `a list in name has two tasks or more; write one as "name": "mnist"`,
		`{"name":[]}`:                                       "a list in name has two tasks or more",
		`{"name":["mnist",5]}`:                              "the name of a task is text",
		`{"name":["mnist,digits","mnist"]}`:                 "the name of a task is text",
		`{"name":"mnist,digits"}`:                           "the name of a task is text",
		`{"name":["mnist","digts"]}`:                        `did you mean "digits"`,
		`{"name":["mnist","quadratic"]}`:                    "quadratic in a list of tasks: only classifiers can be mixed",
		`{"name":"mnist","name":"mnist"}`:                   "name is there twice",
		`{"name":"mnist","unit":[5]}`:                       `a task has no key "unit", did you mean "units"? The keys are name, units, `,
		`{"nam":"mnist"}`:                                   `a task has no key "nam", did you mean "name"?`,
		`{"name":"mnist","Units":[5]}`:                      `no key "Units", did you mean "units"?`,
		`{"name":"mnist","units":[5],"units":[6]}`:          "units is there twice",
		`{"name":"mnist","units":5}`:                        `units must be a list, even of one value: "units": [1]`,
		`{"name":"mnist","activation":"relu"}`:              `activation must be a list, even of one value: "activation": ["sigmoid"]`,
		`{"name":"mnist","units":[]}`:                       "units has no value",
		`{"name":"mnist","units":null}`:                     "units must be a list",
		`{"name":"mnist","units":["5"]}`:                    `units has a value of another kind; write it as "units": [1]`,
		`{"name":"mnist","activation":[5]}`:                 `activation has a value of another kind; write it as "activation": ["sigmoid"]`,
		`{"name":"mnist","units":[5.5]}`:                    `units "5.5": it must be a whole number`,
		`{"name":"mnist","units":[[5]]}`:                    "another kind",
		`{"name":"mnist","init-scale":[1e999]}`:             "a positive number",
		`{"name":"quadratic","units":[5]}`:                  "units does not apply to the task quadratic",
		`{"name":"quadratic","dims":[1,2],"condition":[2]}`: "1 dimension",
	} {
		read := s
		if err := json.Unmarshal([]byte(text), &read); err == nil || !strings.Contains(err.Error(), want) || read != s {
			t.Errorf("%s is read as %q, %v, want an error about %s", text, read, err, want)
		}
	}
	if err := read.Task.UnmarshalJSON([]byte(`{"name":"mnist"} x`)); err == nil {
		t.Error("more than JSON")
	}
	wrong, err := Spec{}.With("units", "5")
	if err != nil {
		t.Fatal(err)
	}
	if data, err := json.Marshal(wrong); err == nil {
		t.Errorf("a Spec without a task is %s", data)
	}
}

// Any text is either an error or a Spec that can be read back from its name and its JSON.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"mnist units=10,20 layers=1 activation=sigmoid,relu batch=128 init-scale=0.1,0.01", "quadratic dims=02 batch=3", "rosenbrock\tdims=2,\nbatch=1e1",
		"quadratic-uniform condition=1,1e8 loss-scale=0x1p-3 gradient-noise=-0", "digits units=5 units=6", "quadratic dims=16384,2 batch=1,1048576", "=", "mnist,digits,mnist image-size=8,14", "mnist,,digits", "mnist =5", "mnist units==5",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			if s != (Spec{}) {
				t.Errorf("an error and %q", s)
			}
			return
		}
		again, err := Parse(s.String())
		if err != nil || again.String() != s.String() {
			t.Errorf("%q is %q, and that %q, %v", text, s, again, err)
		}
		data, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, &again); err != nil || again != s {
			t.Errorf("%s is read as %q, %v", data, again, err)
		}
	})
}

// Any JSON is either an error or a Spec that can be written and read back.
func FuzzSpecJSON(f *testing.F) {
	for _, seed := range []string{
		`{"name":"mnist","units":[8,16],"activation":["relu"]}`, `{"dims":[2,2,2],"name":"quadratic","condition":[1e8],"gradient-noise":[-0.0]}`,
		`{"name":"mnist","units":{}}`, `{"name":"digits","units":[1e1]}`, `{"name":["mnist","digits","mnist"],"batch":[4]}`, `{"name":["mnist"]}`, `{"name":null}`, `[[[[]]]]`, `{"name":"mnist","units":[1],"units":[1]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var s Spec
		if err := s.UnmarshalJSON(data); err != nil {
			if s != (Spec{}) {
				t.Errorf("an error and %q", s)
			}
			return
		}
		written, err := s.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var again Spec
		if err := again.UnmarshalJSON(written); err != nil || again != s {
			t.Errorf("%s is written as %s and read as %q, %v", data, written, again, err)
		}
		if _, err := Parse(s.String()); err != nil {
			t.Error(err)
		}
	})
}
