package tasks

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"learnedopt/optimizer"
	"learnedopt/optimizer/optimizertest"
)

// register is Register for one test.
func register(t *testing.T, d Definition) {
	t.Helper()
	c, o, n, k := slices.Clone(catalog), slices.Clone(table), naming, slices.Clone(taskKinds)
	if err := Register(d); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { catalog, table, naming, taskKinds = c, o, n, k })
}

// valley is a task whose families are quadratics that know what their options were.
func valley() Definition {
	return Definition{
		Name:    "valley",
		Options: map[string]string{"dims": "3", "batch": "2", "activation": "relu"},
		Numbers: []Number{{Key: "mass", Help: "mass in kg", Default: 2}, {Key: "tilt", Help: "tilt in degrees"}},
		New: func(o Options) (optimizer.Family, error) {
			if m := o.Number("mass"); m <= 0 || m > 100 {
				return nil, errors.New("a mass above 0 and up to 100")
			}
			return Quadratic{o.Dims, o.Batch, 1 + o.Number("mass")}, nil
		},
	}
}

func TestRegister(t *testing.T) {
	register(t, valley())
	for text, want := range map[string]string{
		"valley":                            "valley activation=relu dims=3 batch=2",
		"valley mass=2 tilt=-0":             "valley activation=relu dims=3 batch=2",
		"valley tilt=-1.50 mass=1e1,3":      "valley activation=relu dims=3 batch=2 mass=10,3 tilt=-1.5",
		"valley batch=7 activation=tanh":    "valley activation=tanh dims=3 batch=7",
		"valley mass=1 loss-scale=10":       "valley activation=relu dims=3 batch=2 mass=1 loss-scale=10",
		"valley dims=1,2 gradient-noise=.5": "valley activation=relu dims=1,2 batch=2 gradient-noise=0.5",
	} {
		spec, err := Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if spec.String() != want {
			t.Errorf("%s is %s, want %s", text, spec, want)
		}
		family, err := spec.Family("")
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		again, err := Parse(family.Name())
		if err != nil || again.String() != family.Name() || family.Name() != want {
			t.Errorf("%s: the family is named %q, which is %s (%v), want %s", text, family.Name(), again, err, want)
		}
		data, err := json.Marshal(spec)
		if err != nil {
			t.Fatal(err)
		}
		var read Spec
		if err := json.Unmarshal(data, &read); err != nil || read != spec {
			t.Errorf("%s: JSON %s is read as %v, %v", text, data, read, err)
		}
	}
	family, err := New("valley", Options{Dims: 4}.WithNumber("mass", 9))
	if err != nil {
		t.Fatal(err)
	}
	if got := family.(ownFamily).Family; got != (Quadratic{4, 2, 10}) {
		t.Errorf("New got %+v", got)
	}
	if want := "valley activation=relu dims=4 batch=2 mass=9"; family.Name() != want {
		t.Errorf("named %q, want %q", family.Name(), want)
	}
	optimizertest.ConformFamily(t, family)
}

func TestOwnTasksRefuse(t *testing.T) {
	register(t, valley())
	for text, want := range map[string]string{
		"valley units=3":             "units does not apply to the task valley",
		"valley mass=nan":            "finite number",
		"valley mass=0":              "the task valley: a mass above 0",
		"valley mass=5,3,200":        "the task valley: a mass above 0",
		"valley mas=3":               `did you mean "mass"`,
		"quadratic mass=1":           "mass does not apply to the task quadratic",
		"valey":                      `did you mean "valley"`,
		"valley:x@0123456789abcdef":  "leave the rest out",
		"mnist,valley":               "only classifiers can be mixed",
		"valley mass=1 mass=2":       "mass is there twice",
		"valley activation=relu,zzz": "it must be",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", text, err, want)
		}
	}
	for _, o := range []Options{Options{}.WithNumber("mas", 1), Options{}.WithNumber("units", 1), Options{}.WithNumber("mass", math.NaN())} {
		if _, err := New("valley", o); err == nil {
			t.Errorf("New accepts %+v", o)
		}
	}
}

func TestRegisterRefuses(t *testing.T) {
	register(t, valley())
	change := func(f func(*Definition)) Definition {
		d := valley()
		d.Name = "hill"
		f(&d)
		return d
	}
	number := func(n Number) Definition { return change(func(d *Definition) { d.Numbers = append(d.Numbers, n) }) }
	before := len(table)
	for want, d := range map[string]Definition{
		"there is a task of this name": valley(),
		"lower-case":                   change(func(d *Definition) { d.Name = "Hill" }),
		"New is nil":                   change(func(d *Definition) { d.New = nil }),
		"no family and no error":       change(func(d *Definition) { d.New = func(Options) (optimizer.Family, error) { return nil, nil } }),
		"with its defaults":            change(func(d *Definition) { d.Numbers[0].Default = -1 }),
		`did you mean "dims"`:          change(func(d *Definition) { d.Options["dms"] = "3" }),
		`"mass" is none`:               change(func(d *Definition) { d.Options["mass"] = "3" }),
		"every task has it":            change(func(d *Definition) { d.Options["loss-scale"] = "2" }),
		`default "x"`:                  change(func(d *Definition) { d.Options["dims"] = "x" }),
		`write it as "3"`:              change(func(d *Definition) { d.Options["dims"] = "03" }),
		"is there twice":               number(Number{Key: "mass", Help: "mass in kg"}),
		"an option of this name":       number(Number{Key: "units", Help: "units"}),
		"only with the same help":      change(func(d *Definition) { d.Numbers[0].Help = "mass in pounds" }),
		"one line":                     number(Number{Key: "size"}),
		"not finite":                   number(Number{Key: "size", Help: "size", Default: math.Inf(1)}),
		"neither name nor data-dir":    number(Number{Key: "name", Help: "name"}),
		"a key has":                    number(Number{Key: "a b", Help: "name"}),
	} {
		if err := Register(d); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "tasks: own task") {
			t.Errorf("%v, want an error with %q", err, want)
		}
	}
	if len(table) != before || len(catalog) != libraryTasks+1 {
		t.Error("a refused task left traces")
	}
	second := change(func(*Definition) {})
	register(t, second)
	if len(table) != before {
		t.Error("two tasks with one number have two options")
	}
	for i := len(catalog) - libraryTasks; i < 32; i++ {
		second.Name = "hill" + strings.Repeat("x", i)
		register(t, second)
	}
	second.Name = "last"
	if err := Register(second); err == nil || !strings.Contains(err.Error(), "at most 32") {
		t.Errorf("task 33: %v", err)
	}
}
