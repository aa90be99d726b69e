package tasks

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every row has a field in Options, and every field has a row, except DataDir, which is no option.
func TestEveryFieldHasARow(t *testing.T) {
	rows := map[string]string{}
	for _, row := range table {
		value := "2"
		if !row.number() {
			value = row.example
		}
		var o Options
		if got := row.get(&o); got != "" {
			t.Errorf("%s of no options is %q", row.Key, got)
		}
		row.set(&o, value)
		if got := row.get(&o); got != value {
			t.Errorf("%s was set to %s and is %s", row.Key, value, got)
		}
		for i := range reflect.TypeFor[Options]().NumField() {
			if reflect.ValueOf(o).Field(i).IsZero() {
				continue
			}
			name := reflect.TypeFor[Options]().Field(i).Name
			if rows[name] != "" {
				t.Errorf("%s and %s set the same field", rows[name], row.Key)
			}
			rows[name] = row.Key
		}
	}
	if n := reflect.TypeFor[Options]().NumField() - 2; len(rows) != n || len(table) != n || rows["DataDir"] != "" || rows["numbers"] != "" {
		t.Errorf("%d rows set the fields %v, of %d", len(table), rows, n)
	}
}

// The text of a row is valid everywhere it is used: in flags, names, JSON and axes.
func TestRowsAreSound(t *testing.T) {
	plain := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	keys := []string{nameKey, dataDirKey, "task", "data", "steps"} // words with another meaning
	places := map[int]string{}
	for _, row := range table {
		if !plain.MatchString(row.Key) || slices.Contains(keys, row.Key) {
			t.Errorf("the key %q is taken, or no word", row.Key)
		}
		keys = append(keys, row.Key)
		if row.place > 0 && places[row.place] != "" {
			t.Errorf("%s and %s stand in the same place of names", places[row.place], row.Key)
		}
		places[row.place] = row.Key
		for _, name := range row.names {
			if !plain.MatchString(name) {
				t.Errorf("%s: the name %q is no word", row.Key, name)
			}
		}
		if len(row.defaults) == 0 {
			t.Errorf("no task reads %s", row.Key)
		}
		for _, d := range row.defaults {
			if canonical, err := row.parse(d.value); !slices.Contains(noValues, d.value) && (err != nil || canonical != d.value) {
				t.Errorf("the default %s of %s is read as %q, %v", d.value, row.Key, canonical, err)
			}
			if _, reads := row.readBy(d.of); !reads || slices.Contains(noValues, d.value) && row.place > 0 {
				t.Errorf("%s: the default %+v is never used, or names cannot have it", row.Key, d)
			}
		}
	}
}

func TestUsage(t *testing.T) {
	usage := map[string]string{}
	for _, o := range OptionTable() {
		usage[o.Key] = o.Usage()
	}
	for key, want := range map[string]string{
		"units":       "classifiers, regression, char-rnn, sinusoid: units of each hidden layer, or a list, of which each instance draws one (20 unless set)",
		"channels":    "images: channels of convolutional layers in place of hidden layers, as 8-16, or a list (no convolution unless set)",
		"activation":  "classifiers, regression, sinusoid: sigmoid, relu, tanh, elu, gelu, silu or leaky-relu, or a list (sigmoid, tanh unless set)",
		"batch":       "size of a minibatch, or functions optimized side by side, or a list (128, 32, 8 unless set)",
		"dims":        "quadratics, Rosenbrock, factorization, sinusoid, equilibrium, denoising, maxent, chain: dimensions of a function, or a list (10, 2, 100, 1, 20, 6, 8 unless set)",
		"condition":   "quadratics: condition number of the Hessians, or a list (as drawn unless set)",
		"image-size":  "images: side in pixels that images are averaged down to, or a list (the data's own unless set)",
		"label-noise": "classifiers: probability that an example's label is replaced by another class, or a list (0 unless set)",
		"examples":    "classifiers, regression: training examples that an instance draws from the data's, or a list (all unless set)",
		"columns":     "tables, regression: standard: to mean 0 and variance 1; or raw, or a list (standard unless set)",
		"target":      "tables, regression: column to predict, its name in the header or its number from 1, or a list (the last unless set)",
		"weight-init": "classifiers, regression, char-rnn, sinusoid: distribution of each layer's initial weights, he, glorot, lecun, torch or normal, or a list (normal, glorot unless set)",
		"loss-scale":  "what losses are multiplied by, as gradients show it, or a list (1 unless set)",
	} {
		if usage[key] != want {
			t.Errorf("usage of %s is %q, want %q", key, usage[key], want)
		}
	}
}

func TestOptionValues(t *testing.T) {
	for key, values := range map[string]map[string]string{
		"units":          {"5": "5", "010": "10", "+3": "3", "0": "", "-1": "", "1.0": "", "1e1": "", "": "", " 5": ""},
		"layers":         {"0": "0", "00": "0", "3": "3", "-1": "", "1.0": "", "": ""},
		"init-scale":     {"0.10": "0.1", "1e-2": "0.01", "1e8": "1e+08", "0": "", "-1": "", "nan": "", "inf": "", "1e400": "", "": ""},
		"condition":      {"1": "1", "1e3": "1000", "0.5": "", "0": ""},
		"gradient-noise": {"0": "0", "-0.0e1": "0", "0.5": "0.5", "-1": "", "Inf": ""},
		"channels":       {"8-16": "8-16", "08-+16": "8-16", "5": "5", "1024": "1024", "1025": "", "8-": "", "-8": "", "8--16": "", "0": "", "8,16": "", "1-1-1-1-1-1-1-1-1-1-1-1-1": "", "": ""},
		"activation":     {"relu": "relu", "RELU": "", "relo": "", "": ""},
	} {
		i, err := optionOf(key)
		if err != nil {
			t.Fatal(err)
		}
		for text, want := range values {
			got, err := table[i].Parse(text)
			if got != want || (err == nil) != (want != "") {
				t.Errorf("%s %q is read as %q, %v, want %q", key, text, got, err, want)
			}
		}
	}
	_, err := MustParse("mnist").With("activation", "relo")
	if err == nil || err.Error() != `tasks: activation "relo": it must be sigmoid, relu, tanh, elu, gelu, silu or leaky-relu, did you mean "relu"?` {
		t.Errorf("error %v", err)
	}
}

// A page that lists the options lists all of them.
func TestPagesHaveEveryOption(t *testing.T) {
	for _, page := range []string{"sweeps.md", "training.md"} {
		text, err := os.ReadFile("../docs/" + page)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range table {
			if !strings.Contains(string(text), "`"+row.Key+"`") && !strings.Contains(string(text), "`--"+row.Key+"`") {
				t.Errorf("docs/%s does not say what %s is", page, row.Key)
			}
		}
	}
}
