package recipe

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"learnedopt/lstm"
	"learnedopt/metatrain"
	"learnedopt/tasks"

	"github.com/google/go-cmp/cmp"
)

var sameTask = cmp.Comparer(func(a, b tasks.Spec) bool { return a == b })

// samples holds a value for each option, by name, that differs from its default.
var samples = map[string]string{
	"task": "rosenbrock", "units": "3,4", "layers": "2", "activation": "relu,tanh", "batch": "7,8", "init-scale": "0.5", "dims": "3",
	"condition": "9", "label-noise": "0.2,0", "examples": "50,500", "loss-scale": "2,3", "gradient-noise": "0.5", "time": "1m30s", "meta-steps": "77", "seed": "18446744073709551615", "seeds": "3",
	"name": "it's me", "defaults": "1", "inputs": "raw+clock", "readout": "exp", "scale": "0.25", "p": "7", "sign-p": "6", "anneal": "0",
	"hidden": "9", "lstm-layers": "3", "gain": "1.5", "input-gain": "2.5", "memory": "12", "init": "a,b.mopt", "steps": "40", "unroll": "10",
	"horizons": "10,20", "stage-patience": "2", "random-steps": "true", "meta-batch": "2", "random-scaling": "1.5", "convex": "true",
	"meta-lr": "0.125", "warm-up": "11", "meta-lr-decay": "0.5", "decay-steps": "99", "clip": "inf", "estimator": "pes", "perturbation": "0.5",
	"pairs": "2", "second-derivatives": "false", "hessian": "differences", "weight-init": "he,torch", "image-size": "8,14", "target": "3,b%20c", "columns": "raw", "channels": "2-3,4", "adjoint-clip": "0.75", "adjoint-coordinates": "5", "objective": "relative", "reference": "sgd@0.5",
	"tensor-scaling": "0.5", "also": "digits units=5 | quadratic", "valid-task": "digits units=7", "context": "shape+time", "fan-in": "true", "orthogonal": "true", "orthogonal-mean": "true", "hyper": "8", "hide-length": "0.25", "imitate": "0.25", "teacher": "nesterov@0.03", "valid-every": "3", "valid-runs": "5", "valid-steps": "10,20", "selection": "geometric",
	"patience": "4", "on-non-finite": "rollback", "skip-limit": "6",
}

// Every option has a sample, a field of the same name with _ instead of -, and a text from which the field can be read
// back. Every field has an option.
func TestOptionsAndFieldsAreTheSame(t *testing.T) {
	keys := map[string]bool{}
	for i := range reflect.TypeFor[Recipe]().NumField() {
		keys[keyOf(reflect.TypeFor[Recipe]().Field(i))] = false
	}
	for _, o := range options() {
		text, ok := samples[o.Name]
		if !ok {
			t.Fatalf("no sample of --%s", o.Name)
		}
		var r Recipe
		if err := o.Set(&r, text); err != nil {
			t.Errorf("--%s: %v", o.Name, err)
			continue
		}
		if got := o.Text(r); got != text {
			t.Errorf("--%s %s says %q", o.Name, text, got)
		}
		set := r.set()
		if len(set) != 1 {
			t.Fatalf("--%s sets %v", o.Name, set)
		}
		key := strings.ReplaceAll(o.Name, "-", "_")
		if set[0].name != key && set[0].name != "task" {
			t.Errorf("--%s sets the key %q", o.Name, set[0].name)
		}
		keys[set[0].name] = true
		before := r
		if o.Set(&r, "") == nil || o.Set(&r, "\x00") == nil && o.Name != "name" && o.Name != "init" {
			t.Errorf("--%s takes anything", o.Name)
		}
		if o.Name != "name" && o.Name != "init" && !reflect.DeepEqual(r, before) {
			t.Errorf("--%s: a refused value was set", o.Name)
		}
		if o.Usage(Latest) == "" || o.Placeholder() == "" || o.Values() != nil && o.Default(1) != "" && !slices.Contains(o.Values(), o.Default(1)) {
			t.Errorf("--%s has no help", o.Name)
		}
	}
	for key, has := range keys {
		if !has {
			t.Errorf("no option sets the key %q", key)
		}
	}
	if len(options()) != len(samples) {
		t.Errorf("%d options, %d samples", len(options()), len(samples))
	}
}

// draw returns a valid recipe with some of the samples.
func draw(t *testing.T, rng *rand.Rand) Recipe {
	t.Helper()
	for {
		var r Recipe
		for _, o := range options() {
			if rng.IntN(5) > 0 || o.Name == "condition" {
				continue
			}
			if err := o.Set(&r, samples[o.Name]); err != nil {
				t.Fatal(err)
			}
		}
		if r.Validate() == nil {
			return r
		}
	}
}

// A recipe with its defaults survives JSON and the command line, and filling in the defaults again changes nothing.
func TestRecipesRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		r := draw(t, rng)
		full := r.WithDefaults()
		if d := cmp.Diff(full, full.WithDefaults(), sameTask); d != "" {
			t.Fatalf("defaults of %+v have defaults:\n%s", r, d)
		}
		if err := full.Validate(); err != nil {
			t.Fatalf("%v, with the defaults of %+v", err, r)
		}
		for _, want := range []Recipe{r, full} {
			data, err := want.Format()
			if err != nil {
				t.Fatal(err)
			}
			got, err := Parse(data)
			if err != nil {
				t.Fatalf("%v of %s", err, data)
			}
			if want.Defaults == 0 {
				want.Defaults = Latest
			}
			if d := cmp.Diff(want.selfContained(), got, sameTask); d != "" {
				t.Fatalf("%s:\n%s", data, d)
			}
			if strings.Count(string(data), "\n") != len(got.set())+2 {
				t.Fatalf("not one line an option: %s", data)
			}
			line := want.Command()
			again, err := ParseCommand(line)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			if d := cmp.Diff(full, again.WithDefaults(), sameTask); d != "" {
				t.Fatalf("%s:\n%s", line, d)
			}
		}
	}
}

// The defaults of version 1 equal the library's defaults and do not depend on the task. They are written out here once
// more, because older files rely on them.
func TestVersion1IsTheLibrary(t *testing.T) {
	for _, task := range []string{"quadratic", "digits"} {
		r := Recipe{Defaults: 1, Task: tasks.MustParse(task)}
		cfg, err := r.Config(Local{})
		if err != nil {
			t.Fatal(err)
		}
		want := metatrain.TrainConfig{Family: cfg.Family, Time: time.Minute, Network: lstm.Config{}.WithDefaults(), Init: lstm.Init{}.WithDefaults()}.WithDefaults()
		want.Estimator = metatrain.TruncatedBackprop{Objective: metatrain.Sum{}}
		if !reflect.DeepEqual(cfg, want) {
			t.Errorf("%s: %+v\nwant %+v", task, cfg, want)
		}
	}
	got := strings.Join(Recipe{Defaults: 1, MetaSteps: 5}.Args(), " ")
	want := "--task quadratic-uniform --meta-steps 5 --inputs logsign --readout linear --scale 0.1 --p 5 --hidden 20 --lstm-layers 2" +
		" --steps 100 --unroll 20 --meta-lr 0.003 --clip 1 --valid-every 50 --valid-runs 8 --defaults 1 --seed 0"
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// The defaults of version 2 are fixed, as files count on them.
// A decay to 0 is none to a constant rate: it ends at the last meta-step, and needs one.
func TestADecayToNothing(t *testing.T) {
	zero := 0.0
	r := Recipe{Defaults: 1, Task: tasks.MustParse("quadratic"), MetaSteps: 200, MetaLRDecay: &zero}
	cfg, err := r.WithDefaults().config()
	if err != nil {
		t.Fatal(err)
	}
	if first, last := cfg.MetaLearningRateAt(0), cfg.MetaLearningRateAt(199); last != 0 || !(first > 0.002) {
		t.Errorf("the meta learning rate goes from %v to %v, want down to 0", first, last)
	}
	r.MetaSteps, r.Time = 0, Duration(time.Minute)
	if _, err := r.WithDefaults().config(); err == nil || !strings.Contains(err.Error(), "decay_steps") {
		t.Errorf("a decay to 0 without an end: %v", err)
	}
}

func TestVersion2(t *testing.T) {
	common := " --steps 100 --unroll 20 --meta-lr 0.003 --warm-up 50"
	for task, want := range map[string]string{
		"quadratic": "--task quadratic --meta-steps 500 --inputs logsign --readout linear --scale 0.1 --p 5 --hidden 20 --lstm-layers 2" +
			" --input-gain 4 --memory 100" + common + " --clip 10 --second-derivatives --valid-every 50 --valid-runs 8 --defaults 2 --seed 0",
		"mnist": "--task mnist --meta-steps 500 --inputs logsign+rnnprop+clock --readout linear --scale 0.01 --p 10 --sign-p 5 --hidden 20 --lstm-layers 2" +
			" --gain 3 --input-gain 4 --memory 100" + common + " --meta-lr-decay 0.1 --decay-steps 500 --clip 10 --second-derivatives --hessian exact --valid-every 50 --valid-runs 8 --defaults 2 --seed 0",
	} {
		if got := strings.Join(Recipe{Defaults: 2, Task: tasks.MustParse(task), MetaSteps: 500}.Args(), " "); got != want {
			t.Errorf("%s\nwant\n%s", got, want)
		}
	}
}

// Some defaults depend on other options.
func TestDefaultsThatDepend(t *testing.T) {
	mnist := tasks.MustParse("mnist")
	for _, c := range []struct {
		why  string
		r    Recipe
		want string
	}{
		{"only a number of meta-steps says where a decay ends", Recipe{Task: mnist}, "meta-lr-decay 1"},
		{"a decay has an end of its own", Recipe{Task: mnist, DecaySteps: 70}, "meta-lr-decay 0.1"},
		{"it is the last meta-step", Recipe{Task: mnist, MetaSteps: 51}, "decay-steps 51"},
		{"a short training has a short warm-up", Recipe{MetaSteps: 499}, "warm-up 49"},
		{"a long one has not", Recipe{MetaSteps: 500}, "warm-up 50"},
		{"one that time ends has not", Recipe{}, "warm-up 50"},
		{"the plain network has none", Recipe{Defaults: 1, MetaSteps: 499}, "warm-up 0"},
		{"no warm-up", Recipe{Task: mnist, MetaSteps: 5, WarmUp: new(0)}, "meta-lr-decay 0.1"},
		{"the read-out of RNNProp", Recipe{Task: mnist, Inputs: "rnnprop"}, "readout tanh"},
		{"and its scale", Recipe{Task: mnist, Inputs: "rnnprop"}, "scale 0.1"},
		{"no logsign", Recipe{Task: mnist, Inputs: "rnnprop"}, "p "},
		{"a curriculum", Recipe{Horizons: []int{20, 40}}, "steps "},
		{"a curriculum", Recipe{Horizons: []int{20, 40}}, "stage-patience 1"},
		{"a few coordinates", Recipe{AdjointCoordinates: 3}, "second-derivatives "},
		{"all coordinates", Recipe{}, "second-derivatives true"},
		{"the plain network", Recipe{Defaults: 1}, "second-derivatives false"},
		{"no backprop", Recipe{Estimator: ES}, "second-derivatives "},
		{"no backprop", Recipe{Estimator: ES}, "pairs 1"},
		{"imitation alone", Recipe{Imitate: 1}, "second-derivatives "},
		{"products are exact", Recipe{Task: mnist}, "hessian exact"},
		{"those of old files on classifiers are not", Recipe{Defaults: 1, Task: mnist, SecondDerivatives: new(true)}, "hessian differences"},
		{"on other tasks they are", Recipe{Defaults: 1, SecondDerivatives: new(true)}, "hessian exact"},
		{"without second derivatives there are none", Recipe{Defaults: 1}, "hessian "},
		{"a decay to nothing", Recipe{MetaSteps: 100, MetaLRDecay: new(0.0)}, "decay-steps 100"},
		{"imitation", Recipe{Imitate: .5}, "teacher adam@0.01"},
		{"a file fixes the shape", Recipe{Init: "x"}, "hidden "},
		{"and is no draw", Recipe{Init: "x"}, "memory "},
	} {
		name, want, _ := strings.Cut(c.want, " ")
		o, err := Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := o.Text(c.r.WithDefaults()); got != want {
			t.Errorf("%s: %s is %q, want %q", c.why, name, got, want)
		}
		if err := c.r.Validate(); err != nil {
			t.Errorf("%s: %v", c.why, err)
		}
	}
}

// numbers returns a task on a CSV file, and the folder of the file.
func numbers(t *testing.T) (tasks.Spec, string) {
	t.Helper()
	text := "a,b c,d,e\n"
	for i := range 100 {
		text += fmt.Sprintf("%d,%d,%d,%d\n", i, i%2, i%3, i%5)
	}
	path := filepath.Join(t.TempDir(), "numbers.csv")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := tasks.Spec{}.WithTask("table")
	if err != nil {
		t.Fatal(err)
	}
	s, dir, err := s.WithData(path)
	if err != nil {
		t.Fatal(err)
	}
	return s, dir
}

// Every option changes the trainer's configuration, except the options that the trainer does not use.
func TestEveryOptionMatters(t *testing.T) {
	base := Recipe{Task: tasks.MustParse("quadratic dims=2 batch=2"), MetaSteps: 200, Steps: 80, Unroll: 5}
	table, dir := numbers(t)
	dataDir := func(r Recipe) string {
		if r.Task.Task() == table.Task() {
			return dir
		}
		return ""
	}
	config := func(r Recipe) metatrain.TrainConfig {
		t.Helper()
		cfg, err := r.Config(Local{DataDir: dataDir(r)})
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	// The other options that an option needs to have an effect.
	beside := map[string]string{
		"p": "inputs=logsign", "sign-p": "inputs=logsign", "stage-patience": "horizons=10,20", "perturbation": "estimator=es", "pairs": "estimator=es",
		"reference": "objective=relative", "teacher": "imitate=0.5", "adjoint-coordinates": "second-derivatives=false", "hessian": "second-derivatives=true", "decay-steps": "meta-lr-decay=0.5", "anneal": "", "orthogonal": "inputs=momenta", "orthogonal-mean": "inputs=momenta orthogonal=true", "hyper": "inputs=momenta context=shape",
	}
	digits := []string{"units", "layers", "activation", "init-scale", "weight-init", "image-size", "channels", "label-noise", "examples"}
	ofTables := []string{"target", "columns"}
	for _, o := range options() {
		r := base
		switch {
		case slices.Contains([]string{"name", "seeds", "init", "time"}, o.Name): // not used by the trainer
			continue
		case slices.Contains(digits, o.Name):
			r.Task = tasks.MustParse("digits batch=2")
		case slices.Contains(ofTables, o.Name):
			r.Task = table
		case o.Name == "horizons":
			r.Steps = 0
		}
		for _, other := range strings.Fields(beside[o.Name]) {
			name, text, _ := strings.Cut(other, "=")
			if name == "horizons" {
				r.Steps = 0
			}
			var err error
			if r, err = r.With(Setting{name, text}); err != nil {
				t.Fatal(err)
			}
		}
		text := samples[o.Name]
		if o.Name == "anneal" {
			text = "9"
		}
		changed, err := r.With(Setting{o.Name, text})
		if err != nil {
			t.Fatal(err)
		}
		a, b := config(r), config(changed)
		if slices.Contains(digits, o.Name) || slices.Contains(ofTables, o.Name) || o.Name == "task" || len(r.Task.Values(o.Name)) > 0 || slices.Contains([]string{"condition", "loss-scale", "gradient-noise"}, o.Name) {
			if a.Valid.Name() == b.Valid.Name() {
				t.Errorf("--%s %s: the task is %s all the same", o.Name, text, a.Valid.Name())
			}
			continue
		}
		if reflect.DeepEqual(a, b) {
			t.Errorf("--%s %s changes nothing", o.Name, text)
		}
	}
}

func TestExclusions(t *testing.T) {
	for flags, remedy := range map[string]string{
		"--inputs momenta --orthogonal --orthogonal-mean --adjoint-coordinates 5 --second-derivatives=false": "--orthogonal-mean",
		"--inputs momenta --context shape --hyper 4 --adjoint-coordinates 5 --second-derivatives=false":      "--hyper",
		"--time 1m --meta-steps 5":                             "two limits",
		"--horizons 10,20 --steps 20 --unroll 10":              "--steps",
		"--stage-patience 2":                                   "--horizons",
		"--seeds 2":                                            "--meta-steps",
		"--seeds 2 --meta-steps 3 --seed 18446744073709551615": "2^64-1",
		"--pairs 2":                                            "--estimator es or pes",
		"--perturbation 0.1":                                   "--estimator es or pes",
		"--estimator pes --second-derivatives":                 "drop",
		"--estimator es --adjoint-coordinates 3":               "drop",
		"--reference adam@0.1":                                 "--objective relative",
		"--teacher adam@0.1":                                   "--imitate",
		"--imitate 1 --objective log":                          "lower the probability",
		"--imitate 1 --estimator pes --pairs 2":                "lower the probability",
		"--imitate 1 --second-derivatives":                     "lower the probability",
		"--imitate 1 --adjoint-coordinates 4":                  "lower the probability",
		"--second-derivatives --adjoint-coordinates 5":         "--adjoint-coordinates needs",
		"--adjoint-clip 1 --adjoint-coordinates 5":             "--second-derivatives",
		"--adjoint-clip 1":                                     "--second-derivatives", // version 1 has no second derivatives by default
		"--inputs raw --p 3":                                   "--p does not apply",
		"--inputs raw --sign-p 3":                              "--sign-p does not apply",
		"--init x --gain 3":                                    "--gain and --init",
		"--init x --memory 0":                                  "--memory and --init",
		"--steps 30":                                           "divisible",
		"--meta-lr-decay 0.5":                                  "only time limits",
		"--random-scaling 21":                                  "at most 20",
		"--memory 1":                                           "2 to",
		"--hidden 5000":                                        "1 to 1024",
		"--p 81":                                               "80",
	} {
		r, rest, err := ParseArgs(strings.Fields(flags))
		if err != nil || len(rest) > 0 {
			t.Fatalf("%s: %v, %q", flags, err, rest)
		}
		if err := r.Validate(); err == nil || !strings.Contains(err.Error(), remedy) {
			t.Errorf("%s: %v, want %q", flags, err, remedy)
		}
	}
	// These recipes can be written in Go, but not as text.
	for want, r := range map[string]Recipe{
		"--steps":         {Steps: -1},
		"--meta-batch":    {MetaBatch: maxCount + 1},
		"--clip":          {Clip: Bound(math.NaN())},
		"--memory":        {Memory: new(math.Inf(1))},
		"--warm-up":       {WarmUp: new(-1)},
		"--defaults":      {Defaults: Latest + 1},
		"--valid-steps":   {ValidSteps: []int{3, 2}},
		"--on-non-finite": {OnNonFinite: "hope"},
		"--time":          {Time: -1},
		"--name":          {Name: strings.Repeat("x", maxText+1)},
	} {
		if err := r.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// The options determine the estimator.
func TestEstimator(t *testing.T) {
	cfg, err := Recipe{
		Estimator: PES, Perturbation: 0.5, Pairs: 2, Objective: Relative, Reference: "sgd@0.1", Imitate: 0.25, Teacher: "adam@1",
	}.Config(Local{})
	im, ok := cfg.Estimator.(metatrain.Imitation)
	if err != nil || !ok || im.Probability != 0.25 {
		t.Fatalf("%+v, %v", cfg.Estimator, err)
	}
	pes, ok := im.Estimator.(metatrain.PES)
	if !ok || pes.Perturbation != 0.5 || pes.Pairs != 2 {
		t.Fatalf("%+v", im.Estimator)
	}
	want, err := ParseRule("sgd@0.1")
	if relative, ok := pes.Objective.(metatrain.Relative); err != nil || !ok || relative.Rule != want {
		t.Errorf("%+v, want a reference %+v", pes.Objective, want)
	}
}

// docs/training.md contains the table of defaults.
func TestThePageHasTheDefaults(t *testing.T) {
	page, err := os.ReadFile("../docs/training.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range defaults {
		cells := []string{d.of(1, false), d.of(2, false), d.of(2, true)}
		if cells[0] == cells[1] && cells[1] == cells[2] {
			continue
		}
		for i, c := range cells {
			if c == "" {
				cells[i] = "same as --p"
			}
		}
		if want := "| `--" + d.name + "` | " + strings.Join(cells, " | ") + " |\n"; !strings.Contains(string(page), want) {
			t.Errorf("docs/training.md lacks %s", want)
		}
	}
}
