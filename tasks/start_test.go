package tasks

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"learnedopt/internal/stream"
)

// layersOf splits the parameters of a network into weights and biases of each layer.
func layersOf(theta []float32, widths []int) (weights, biases [][]float32) {
	for l := range len(widths) - 1 {
		in, out := widths[l], widths[l+1]
		weights, biases = append(weights, theta[:in*out]), append(biases, theta[in*out:(in+1)*out])
		theta = theta[(in+1)*out:]
	}
	return weights, biases
}

// started returns the starting point of a seed, layer by layer.
func started(t *testing.T, data *Dataset, c ClassifierConfig, seed uint64) (weights, biases [][]float32) {
	t.Helper()
	f, err := NewClassifier(data, c)
	if err != nil {
		t.Fatal(err)
	}
	p := sample(t, f, seed)
	theta := make([]float32, p.Dim())
	for i := range theta {
		theta[i] = float32(math.NaN()) // shows coordinates that are not written
	}
	p.Init(theta)
	return layersOf(theta, f.widths)
}

// A distribution with mean 0: its standard deviation, its kurtosis E x⁴/(E x²)², and its bound, 0 if it has none.
type distribution struct{ deviation, kurtosis, bound float64 }

func normally(deviation float64) distribution { return distribution{deviation, 3, 0} }
func uniformly(bound float64) distribution    { return distribution{bound / math.Sqrt(3), 1.8, bound} }

// check compares n numbers with a distribution of kurtosis κ. The standard errors of the mean, the second and the fourth
// moment are 1/√n, √(κ−1)/√n and at most √96/√n, in units of the moments; up to five standard errors pass.
func (d distribution) check(t *testing.T, what string, x []float32) {
	t.Helper()
	n := float64(len(x))
	var m1, m2, m4, top float64
	for _, v := range x {
		y := float64(v) / d.deviation
		m1, m2, m4, top = m1+y/n, m2+y*y/n, m4+y*y*y*y/n, max(top, math.Abs(float64(v)))
	}
	if five := 5 / math.Sqrt(n); math.Abs(m1) > five || math.Abs(m2-1) > five*math.Sqrt(d.kurtosis-1) || math.Abs(m4-d.kurtosis) > five*math.Sqrt(96) {
		t.Errorf("%s: %d numbers of deviation %v: moments over its powers %.4f, %.4f, %.4f, want 0, 1, %v", what, len(x), d.deviation, m1, m2, m4, d.kurtosis)
	}
	if rounded := d.bound * (1 + 1e-6); d.bound > 0 && (top > rounded || top < d.bound*(1-20/n)) {
		t.Errorf("%s: the largest of %d numbers is %v, want just below %v", what, len(x), top, d.bound)
	}
}

// The weights of each layer have the moments that the formulas give for its numbers of inputs and outputs. Its
// biases have the same moments or are 0, as the distribution says.
func TestWeightInitMoments(t *testing.T) {
	data := noise(t, 20, 10)
	type byLayer func(in, out float64) distribution
	for name, want := range map[string]struct{ weights, biases byLayer }{
		"he":     {weights: func(in, _ float64) distribution { return normally(math.Sqrt(2 / in)) }},
		"glorot": {weights: func(in, out float64) distribution { return uniformly(math.Sqrt(6 / (in + out))) }},
		"lecun":  {weights: func(in, _ float64) distribution { return normally(1 / math.Sqrt(in)) }},
		"torch": {
			func(in, _ float64) distribution { return uniformly(1 / math.Sqrt(in)) },
			func(in, _ float64) distribution { return uniformly(1 / math.Sqrt(in)) },
		},
		"normal": {
			func(_, _ float64) distribution { return normally(0.01) },
			func(_, _ float64) distribution { return normally(0.01) },
		},
	} {
		widths := []int{784, 150, 150, 10}
		var weights, biases [3][]float32 // of each layer, over all seeds
		for seed := range uint64(10) {
			w, b := started(t, data, ClassifierConfig{Units: 150, Layers: 2, Batch: 1, WeightInit: name}, seed)
			for l := range w {
				weights[l], biases[l] = append(weights[l], w[l]...), append(biases[l], b[l]...)
			}
		}
		for l := range weights {
			in, out := float64(widths[l]), float64(widths[l+1])
			want.weights(in, out).check(t, name, weights[l])
			if want.biases != nil {
				want.biases(in, out).check(t, name+", biases", biases[l])
			} else if slices.ContainsFunc(biases[l], func(b float32) bool { return b != 0 }) {
				t.Errorf("%s: biases %v of layer %d, want 0", name, biases[l][:3], l)
			}
		}
	}
	if names := WeightInits(); len(names) != 5 {
		t.Errorf("%v have no test", names)
	}
}

// The starting point depends on the problem's seed alone and comes from one stream, so that the first layer's weights
// with he are √2 times its weights with lecun. The minibatches do not depend on the distribution.
func TestWeightInitFollowsFromTheSeed(t *testing.T) {
	data := noise(t, 60, 10)
	start := func(name string, seed uint64) []float32 {
		w, _ := started(t, data, ClassifierConfig{Units: 3, WeightInit: name}, seed)
		return w[0]
	}
	for _, name := range WeightInits() {
		if !slices.Equal(start(name, 4), start(name, 4)) || slices.Equal(start(name, 4), start(name, 5)) {
			t.Errorf("%s: a seed gives two starts, or two seeds one", name)
		}
	}
	he, lecun := start("he", 4), start("lecun", 4)
	for i := range he {
		if math.Abs(float64(he[i])/float64(lecun[i])-math.Sqrt2) > 1e-6 {
			t.Fatalf("weight %d: %v with he, %v with lecun", i, he[i], lecun[i])
		}
	}
	gradient := func(name string) []float32 {
		f, err := NewClassifier(data, ClassifierConfig{Units: 3, Batch: 5, WeightInit: name})
		if err != nil {
			t.Fatal(err)
		}
		p := sample(t, f, 4)
		theta, grad := make([]float32, p.Dim()), make([]float32, p.Dim())
		lossGrad(t, p, theta, grad)
		return grad
	}
	if !slices.Equal(gradient("he"), gradient("normal")) {
		t.Error("another start has other minibatches")
	}
}

// Old files still have their starting points, bit for bit, with or without weight-init=normal: the coordinates are
// consecutive numbers of the stream.
func TestNormalStartIsAsItWas(t *testing.T) {
	data := noise(t, 20, 10)
	for _, c := range []ClassifierConfig{{Units: 3}, {Units: 3, WeightInit: "normal"}, {Units: 3, Layers: 2, InitScale: 0.25}} {
		f, err := NewClassifier(data, c)
		if err != nil {
			t.Fatal(err)
		}
		p := sample(t, f, 9).(*classifier)
		theta := make([]float32, p.Dim())
		p.Init(theta)
		rng, scale := stream.New(p.seed, "init", 0), f.config.InitScale
		for i, x := range theta {
			if want := float32(scale * rng.NormFloat64()); x != want {
				t.Fatalf("%+v: coordinate %d starts at %v, want %v", c, i, x, want)
			}
		}
	}
}

// An init-scale without effect is an error that says why, before any sample.
func TestInitScaleIsNormals(t *testing.T) {
	const want = "init-scale 0.1 with weight-init he, which takes the scale of every layer from its width; leave init-scale out, or take weight-init normal"
	_, fromNew := New("digits", Options{WeightInit: "he", InitScale: 0.1})
	_, fromParse := Parse("mnist init-scale=0.1 weight-init=normal,he")
	fromConfig := ClassifierConfig{WeightInit: "he", InitScale: 0.1}.Validate()
	for _, err := range []error{fromNew, fromParse, fromConfig} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	_, err := Parse("mnist init-scale=0.1,0.2 weight-init=normal,normal")
	if err := errors.Join(err, ClassifierConfig{WeightInit: "normal", InitScale: 0.1}.Validate()); err != nil {
		t.Error(err)
	}
	if err := (ClassifierConfig{WeightInit: "xavier"}).Validate(); err == nil || !strings.Contains(err.Error(), `weight-init "xavier" is none of he, glorot, lecun, torch, normal`) {
		t.Errorf("an unknown distribution: %v", err)
	}
}

// The row of the option is enough for names, JSON, mixtures and the pool of networks to handle it.
func TestWeightInitIsAnOption(t *testing.T) {
	dir := t.TempDir()
	writeIDX(t, dir+"/mnist", false)
	for text, want := range map[string]string{
		"mnist weight-init=normal":               "mnist units=20 layers=1 activation=sigmoid batch=128",
		"mnist weight-init=he units=4":           "mnist units=4 layers=1 activation=sigmoid batch=128 weight-init=he",
		"mnist weight-init=torch,normal batch=2": "mnist units=20 layers=1 activation=sigmoid batch=2 weight-init=torch,normal",
		"mnist loss-scale=2 weight-init=lecun":   "mnist units=20 layers=1 activation=sigmoid batch=128 weight-init=lecun loss-scale=2",
	} {
		if got := mixture(t, text, dir).Name(); got != want || MustParse(want).String() != want {
			t.Errorf("%s makes %q, want %q", text, got, want)
		}
	}
	data, err := MustParse("mnist weight-init=he,glorot").MarshalJSON()
	if want := `{"name":"mnist","weight-init":["he","glorot"]}`; err != nil || string(data) != want {
		t.Errorf("JSON %s, %v, want %s", data, err, want)
	}
	f := mixture(t, "mnist units=3 batch=2 weight-init=he,torch,normal", dir)
	nets, starts := map[*network]bool{}, map[float32]bool{}
	for seed := range uint64(20) {
		p := sample(t, f, seed).(*classifier)
		nets[p.net] = true
		theta := make([]float32, p.Dim())
		p.family.config.start(theta, p.family.layout.Tensors(), newRand(1))
		starts[theta[0]] = true
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(nets) != 1 || len(starts) != 3 {
		t.Errorf("%d networks were compiled for one shape, %d starts drawn of 3", len(nets), len(starts))
	}
}
