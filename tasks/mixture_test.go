package tasks

import (
	"io"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"learnedopt/optimizer"
)

func mixture(t testing.TB, name string, c Choices) optimizer.Family {
	t.Helper()
	f, err := NewOf(name, c)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestNewOfNames(t *testing.T) {
	dir := t.TempDir()
	writeIDX(t, dir+"/mnist", false)
	for _, c := range []struct {
		name string
		c    Choices
		want string
	}{
		{"quadratic", Choices{Dims: []int{2, 10, 2}}, "quadratic dims=2,10,2 batch=128"},
		{"rosenbrock", Choices{Batch: []int{3, 1}, Dims: []int{4}}, "rosenbrock dims=4 batch=3,1"},
		{"mnist", Choices{DataDir: dir, Units: []int{5, 10}, Activation: []string{"relu", "elu"}, Batch: []int{64}},
			"mnist units=5,10 layers=1 activation=relu,elu batch=64"},
		{"mnist", Choices{DataDir: dir, InitScale: []float64{0.01, 0.1}}, "mnist units=20 layers=1 activation=sigmoid batch=128 init-scale=0.01,0.1"},
		{"mnist", Choices{DataDir: dir, InitScale: []float64{0.1, 0.01}, Layers: []int{1, 2}},
			"mnist units=20 layers=1,2 activation=sigmoid batch=128 init-scale=0.1,0.01"},
		{"mnist", Choices{DataDir: dir, InitScale: []float64{0.25}}, "mnist units=20 layers=1 activation=sigmoid batch=128 init-scale=0.25"},
		{"mnist", Choices{DataDir: dir, InitScale: []float64{0.01}}, "mnist units=20 layers=1 activation=sigmoid batch=128"},
		{"quadratic", Choices{Condition: []float64{1, 100}, Dims: []int{3}}, "quadratic dims=3 batch=128 condition=1,100"},
		{"quadratic", Choices{LossScale: []float64{1}, GradientNoise: []float64{0}}, "quadratic dims=10 batch=128"},
		{"quadratic", Choices{LossScale: []float64{1, 10}, GradientNoise: []float64{0, 0.5}, Condition: []float64{7}},
			"quadratic dims=10 batch=128 condition=7 loss-scale=1,10 gradient-noise=0,0.5"},
		{"rosenbrock", Choices{GradientNoise: []float64{0.5}, LossScale: []float64{10, 1}}, "rosenbrock dims=2 batch=128 loss-scale=10,1 gradient-noise=0.5"},
		{"mnist", Choices{DataDir: dir, LossScale: []float64{100}, InitScale: []float64{0.1}},
			"mnist units=20 layers=1 activation=sigmoid batch=128 init-scale=0.1 loss-scale=100"},
	} {
		if got := mixture(t, c.name, c.c).Name(); got != c.want {
			t.Errorf("%+v is named %q, want %q", c.c, got, c.want)
		}
	}
}

// NewEach gives what NewOf gives, whatever else is asked for with it.
func TestNewEach(t *testing.T) {
	settings := []Choices{{Dims: []int{3}, Batch: []int{2}}, {Dims: []int{2, 4}}, {LossScale: []float64{9}}}
	each, err := NewEach("quadratic", settings)
	if err != nil || len(each) != len(settings) {
		t.Fatalf("%d families, error %v", len(each), err)
	}
	for i, c := range settings {
		alone := mixture(t, "quadratic", c)
		if each[i].Name() != alone.Name() {
			t.Errorf("family %d is %q, want %q", i, each[i].Name(), alone.Name())
		}
		equalBits(t, trace(t, sample(t, each[i], 5), 2), trace(t, sample(t, alone, 5), 2))
	}
	if each, err := NewEach("quadratic", nil); err != nil || len(each) != 0 {
		t.Errorf("nothing asked for: %v, %v", each, err)
	}
}

// A list of one value is that value, with all that New makes of it.
func TestListOfOneIsNoMixture(t *testing.T) {
	f, err := New("quadratic", Options{Dims: 3, Batch: 2})
	if err != nil {
		t.Fatal(err)
	}
	if got := mixture(t, "quadratic", Choices{Dims: []int{3}, Batch: []int{2}}); got != f || f != (Quadratic{Dims: 3, Batch: 2}) {
		t.Errorf("a list of one gives %#v, New %#v", got, f)
	}
}

func TestNewOfErrors(t *testing.T) {
	long := make([]int, 101)
	for i := range long {
		long[i] = i + 1
	}
	for _, c := range []struct {
		name string
		c    Choices
		want string
	}{
		{"quadratic", Choices{Dims: []int{2, 0}}, "value 0"},
		{"digits", Choices{Activation: []string{"relu", ""}}, `value ""`},
		{"digits", Choices{Activation: []string{"relu", "swish"}}, `"swish"`},
		{"digits", Choices{InitScale: []float64{0.1, -1}}, "initial scale -1"},
		{"digits", Choices{InitScale: []float64{math.NaN()}}, "initial scale NaN"},
		{"digits", Choices{InitScale: []float64{math.Inf(1)}}, "initial scale +Inf"},
		{"quadratic", Choices{InitScale: []float64{1}}, "InitScale does not apply"},
		{"quadratic", Choices{Units: []int{1, 2}}, "Units does not apply"},
		{"quadratic", Choices{Dims: long, Batch: long}, "more than 256 combinations"},
	} {
		f, err := NewOf(c.name, c.c)
		if err == nil || f != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("NewOf(%q, %+v) = %v, %v, want an error about %s", c.name, c.c, f, err, c.want)
		}
	}
}

// The entries of each list are drawn by their weights, and independently: the
// sizes d·B tell the combinations apart. The counts of 6,000 samples have
// deviations below √(6000/4) < 40.
func TestMixtureWeights(t *testing.T) {
	f := mixture(t, "quadratic", Choices{Dims: []int{2, 3, 3}, Batch: []int{1, 5}})
	rng := rand.New(rand.NewPCG(1, 1))
	counts := map[int]int{}
	for range 6000 {
		p, err := f.Sample(rng)
		if err != nil {
			t.Fatal(err)
		}
		counts[p.Dim()]++
	}
	for dim, want := range map[int]int{2: 1000, 10: 1000, 3: 2000, 15: 2000} {
		if got := counts[dim]; got < want-200 || got > want+200 {
			t.Errorf("%d coordinates %d times, want about %d", dim, got, want)
		}
		delete(counts, dim)
	}
	if len(counts) > 0 {
		t.Errorf("further sizes: %v", counts)
	}
}

// The components share the images and the idle networks, and a repeated entry is
// the same component.
func TestMixtureSharesDataAndNetworks(t *testing.T) {
	dir := t.TempDir()
	writeIDX(t, dir+"/mnist", false)
	m := mixture(t, "mnist", Choices{DataDir: dir, Units: []int{2, 3, 3}, Layers: []int{1, 2}, Batch: []int{4}}).(*Mixture)
	if len(m.families) != 6 || m.families[2] != m.families[4] || m.families[0] == m.families[2] {
		t.Fatalf("components: %v", m.families)
	}
	first := m.families[0].(*Classifier)
	for _, f := range m.families {
		if c := f.(*Classifier); c.data != first.data || c.pool != first.pool {
			t.Errorf("%s has its own data or networks", f.Name())
		}
	}
	first.pool.limit = 2
	var open []optimizer.Problem
	for seed := range uint64(8) {
		open = append(open, sample(t, m, seed))
	}
	last := open[7].(*classifier)
	net, shape := last.net, last.family
	for _, p := range open {
		if err := p.(io.Closer).Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(first.pool.idle); n != 2 {
		t.Errorf("%d idle networks in a pool of 2", n)
	}
	if again := sample(t, shape, 1).(*classifier); again.net != net {
		t.Error("the network that was closed last was compiled again")
	}
}

// What is kept of a mixture is bounded whatever the number of shapes.
func TestPoolLimit(t *testing.T) {
	cores := runtime.GOMAXPROCS(0)
	for shapes, want := range map[int]int{1: cores, 9: cores + 8, 5000: cores + 64} {
		if got := newPool(shapes).limit; got != want {
			t.Errorf("%d shapes keep %d networks, want %d", shapes, got, want)
		}
	}
}

// A problem follows from its stream, not from what was sampled, run or closed
// before.
func TestMixtureOrderDoesNotMatter(t *testing.T) {
	dir := t.TempDir()
	writeIDX(t, dir+"/mnist", false)
	c := Choices{DataDir: dir, Units: []int{2, 3}, Activation: []string{"relu", "tanh"}, InitScale: []float64{0.01, 0.5}, Batch: []int{3, 4}}
	f, g := mixture(t, "mnist", c), mixture(t, "mnist", c)
	const n = 12
	var forward, backward [n][]float64
	run := func(f optimizer.Family, seed int) []float64 {
		p := sample(t, f, uint64(seed))
		defer p.(io.Closer).Close()
		return trace(t, p, 3)
	}
	for i := range n {
		forward[i] = run(f, i)
		backward[n-1-i] = run(g, n-1-i)
	}
	for i := range n {
		equalBits(t, forward[i], backward[i])
	}
}

// An initial scale changes the start by that factor and nothing else: the same
// normals, the same minibatches.
func TestInitScale(t *testing.T) {
	data := noise(t, 200, 50)
	start := func(scale float64) []float32 {
		f, err := NewClassifier(data, ClassifierConfig{Units: 3, Batch: 4, InitScale: scale})
		if err != nil {
			t.Fatal(err)
		}
		p := sample(t, f, 5)
		theta := make([]float32, p.Dim())
		p.Init(theta)
		return theta
	}
	unset, small, large := start(0), start(0.01), start(0.08)
	if !reflect.DeepEqual(unset, small) {
		t.Error("the default is not 0.01")
	}
	sum := 0.0
	for i, x := range small {
		if math.Abs(float64(8*x-large[i])) > 1e-6*math.Abs(float64(large[i])) {
			t.Fatalf("coordinate %d starts at %v with 0.01, at %v with 0.08", i, x, large[i])
		}
		sum += float64(large[i]) * float64(large[i])
	}
	// 2,395 coordinates: the deviation is known to 1.5 %.
	if sigma := math.Sqrt(sum / float64(len(large))); math.Abs(sigma-0.08) > 0.008 {
		t.Errorf("standard deviation %v, want 0.08", sigma)
	}
}

func TestMixtureOfFamilies(t *testing.T) {
	m, err := NewMixture("both", Quadratic{Dims: 2, Batch: 1}, Rosenbrock{Dims: 3, Batch: 1})
	if err != nil || m.Name() != "both" {
		t.Fatalf("%v, %v", m, err)
	}
	kinds := map[string]bool{}
	for seed := range uint64(20) {
		kinds[reflect.TypeOf(sample(t, m, seed)).String()] = true
	}
	if len(kinds) != 2 || !kinds["*tasks.quadratic"] {
		t.Errorf("problems of %v, want the families' own", kinds)
	}
	if m, err := NewMixture("none"); err == nil {
		t.Errorf("a mixture of nothing: %v", m)
	}
}
