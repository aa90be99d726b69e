package tasks

import (
	"strings"
	"testing"
)

func TestNewDefaults(t *testing.T) {
	for name, want := range map[string]string{
		"quadratic":         "quadratic dims=10 batch=128",
		"quadratic-uniform": "quadratic-uniform dims=10 batch=128",
		"rosenbrock":        "rosenbrock dims=2 batch=128",
		"factorization":     "factorization dims=100 batch=128",
		"sinusoid":          "sinusoid units=20 layers=1 activation=tanh dims=1 batch=128",
		"digits":            "digits units=20 layers=1 activation=sigmoid batch=128",
	} {
		f, err := New(name, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if f.Name() != want {
			t.Errorf("name %q, want %q", f.Name(), want)
		}
	}
}

func TestNewPassesOptions(t *testing.T) {
	dir := t.TempDir()
	writeIDX(t, dir+"/fashion-mnist", false)
	for _, c := range []struct {
		name string
		o    Options
		want string
	}{
		{"quadratic", Options{Dims: 3, Batch: 2}, "quadratic dims=3 batch=2"},
		{"quadratic-uniform", Options{Dims: 3, Batch: 2}, "quadratic-uniform dims=3 batch=2"},
		{"rosenbrock", Options{Dims: 3, Batch: 2}, "rosenbrock dims=3 batch=2"},
		{"factorization", Options{Dims: 3, Batch: 2}, "factorization dims=3 batch=2"},
		{"sinusoid", Options{Dims: 3, Batch: 2, Layers: NoLayers, WeightInit: "normal", InitScale: 0.1}, "sinusoid units=20 layers=0 activation=tanh dims=3 batch=2 init-scale=0.1 weight-init=normal"},
		{"digits", Options{Units: 7, Layers: 2, Activation: "relu", Batch: 5}, "digits units=7 layers=2 activation=relu batch=5"},
		{"fashion-mnist", Options{Activation: "elu", DataDir: dir}, "fashion-mnist units=20 layers=1 activation=elu batch=128"},
	} {
		f, err := New(c.name, c.o)
		if err != nil {
			t.Fatal(err)
		}
		if f.Name() != c.want {
			t.Errorf("name %q, want %q", f.Name(), c.want)
		}
		p := sample(t, f, 1)
		trace(t, p, 1)
	}
}

func TestNewErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		o    Options
		want []string
	}{
		{"minst", Options{}, append(Names(), `did you mean "mnist"`)},
		{"quadratics", Options{}, []string{`did you mean "quadratic"`}},
		{"", Options{}, []string{"no task"}},
		{"quadratic", Options{Units: 3}, []string{"units", "quadratic", "dims, batch"}},
		{"rosenbrock", Options{Activation: "relu"}, []string{"activation", "rosenbrock"}},
		{"digits", Options{Dims: 3}, []string{"dims", "digits"}},
		{"digits", Options{DataDir: "x"}, []string{"data-dir", "digits"}},
		{"mnist", Options{Dims: 3}, []string{"dims", "mnist", "options are units, layers, ", "loss-scale, gradient-noise, data-dir"}},
		{"quadratic", Options{Dims: -3}, []string{"-3 dimensions"}},
		{"mnist", Options{Activation: "swish"}, []string{`"swish"`, "sigmoid, relu, tanh, elu, gelu, silu, leaky-relu"}},
		{"quadratic", Options{Condition: 0.5}, []string{"condition number 0.5", "1 to 1e+08"}},
		{"quadratic", Options{Condition: 2, Dims: 1}, []string{"1 dimension"}},
		{"rosenbrock", Options{Condition: 2}, []string{"condition", "dims, batch, loss-scale, gradient-noise"}},
		{"digits", Options{Condition: 2}, []string{"condition", "digits"}},
		{"quadratic", Options{LossScale: -1}, []string{"loss scale -1"}},
		{"quadratic", Options{GradientNoise: -1}, []string{"standard deviation -1"}},
		{"mnist", Options{DataDir: "/nowhere"}, []string{"/nowhere", "metaopt data fetch mnist"}},
	} {
		f, err := New(c.name, c.o)
		if err == nil || f != nil {
			t.Errorf("New(%q, %+v) = %v, %v", c.name, c.o, f, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("error %q lacks %q", err, want)
			}
		}
	}
}

func TestEveryNameIsKnown(t *testing.T) {
	for _, name := range Names() {
		if name = named(name); strings.Contains(name, ":") {
			if _, err := New(strings.TrimSuffix(name, ownSuffix), Options{}); err == nil || !strings.Contains(err.Error(), "needs data: name a") {
				t.Errorf("%s without data: %v", name, err)
			}
		}
		if _, err := New(name, Options{Batch: -1}); err == nil || !strings.Contains(err.Error(), "batch -1") {
			t.Errorf("New(%q) with a batch of -1: %v", name, err)
		}
	}
}
