package tasks

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"learnedopt/optimizer"
)

func mixture(t testing.TB, text, dataDir string) optimizer.Family {
	t.Helper()
	f, err := MustParse(text).Family(dataDir)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Each value is drawn in proportion to how often its list names it, independently of the other lists. The
// sizes d·B tell the combinations apart. The counts of 6,000 samples have
// standard deviations below √(6000/4) < 40.
func TestMixtureWeights(t *testing.T) {
	f := mixture(t, "quadratic dims=2,3,3 batch=1,5", "")
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

// enumerated makes a mixture as version 0.1 did: it lists the families of all combinations, by nested
// loops over the options in the order of the table, and a sample comes from one family of the list.
func enumerated(t testing.TB, s Spec, dataDir string) []optimizer.Family {
	t.Helper()
	all := []Options{{}}
	for _, row := range table {
		values := s.Values(row.Key)
		if values == nil {
			continue
		}
		var next []Options
		for _, o := range all {
			for _, v := range values {
				row.set(&o, v)
				next = append(next, o)
			}
		}
		all = next
	}
	var families []optimizer.Family
	for _, name := range strings.Split(s.Task(), ",") {
		for _, o := range all {
			o.DataDir = dataDir
			f, err := New(name, o)
			if err != nil {
				t.Fatal(err)
			}
			families = append(families, f)
		}
	}
	return families
}

// A mixture draws as the list of all its families does: the same number from rng, and then the
// same problem from the same family.
func TestMixtureIsItsEnumeration(t *testing.T) {
	dir := t.TempDir()
	writeIDX(t, dir+"/mnist", false)
	writeImages(t, dir+"/fashion-mnist", 5, true)
	writeFiles(t, dir+"/cifar10", map[string][]byte{"data_batch_1.bin": records(20, 0), "test_batch.bin": records(10, 0)})
	for text, dataDir := range map[string]string{
		"mnist,cifar10,fashion-mnist,mnist units=2,3 batch=4,2":                                          dir,
		"cifar10,cifar10-grey units=2 image-size=7,28,32 gradient-noise=0,1":                             dir,
		"quadratic-uniform dims=2,3,3 batch=1,5 condition=1,10 loss-scale=1,10 gradient-noise=0,0.5,0.1": "",
		"rosenbrock dims=2,4 batch=3,1,2 gradient-noise=0.5":                                             "",
		"mnist units=2,3 layers=1,2 activation=relu,tanh,relu batch=4,2 init-scale=0.01,0.5":             dir,
		"quadratic dims=2": "",
	} {
		f, all := mixture(t, text, dataDir), enumerated(t, MustParse(text), dataDir)
		for seed := range uint64(30) {
			rng, drawn := newRand(seed), 0
			if len(all) > 1 {
				drawn = rng.IntN(len(all))
			}
			want, err := all[drawn].Sample(rng)
			if err != nil {
				t.Fatal(err)
			}
			equalBits(t, trace(t, sample(t, f, seed), 2), trace(t, want, 2))
			if err := closeProblem(want); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// digest returns a hash of 24 problems and their starting points.
func digest(t *testing.T, f optimizer.Family) string {
	h := fnv.New64a()
	put := func(x uint64) { binary.Write(h, binary.LittleEndian, x) }
	for seed := range uint64(24) {
		p := sample(t, f, seed)
		theta := make([]float32, p.Dim())
		p.Init(theta)
		put(uint64(len(theta)))
		for _, x := range theta {
			put(uint64(math.Float32bits(x)))
		}
		put(math.Float64bits(gradientScale(p)))
	}
	return fmt.Sprintf("%016x", h.Sum64())
}

// The hashes pin the problems that a seed draws: a file names the task that it was trained on, and the training must
// be repeatable from that name. They come from version 0.1, which listed all families.
func TestMixturesArePinned(t *testing.T) {
	for text, want := range map[string]string{
		"quadratic-uniform dims=2,3,3 batch=1,5 loss-scale=1,10 gradient-noise=0,0.5,0.1":                "219fdd0ffb21ec6b",
		"rosenbrock dims=2,4 batch=3,1,2 gradient-noise=0.5":                                             "002115f621ec0283",
		"quadratic dims=2,5 batch=2,1 condition=1,7 loss-scale=3":                                        "d7d53ba0138fc7c4",
		"digits units=3,8 layers=1,2 activation=elu,relu batch=9,4 init-scale=0.01,0.125 loss-scale=1,2": "3a0cee7f4d5241d2",
		"digits":                        "27995931f69f25e3",
		"digits units=4 init-scale=0.1": "101860026223eaa9",
	} {
		if strings.HasPrefix(text, "digits") && testing.Short() {
			continue
		}
		if got := digest(t, mixture(t, text, "")); got != want {
			t.Errorf("%s: hash %s, want %s", text, got, want)
		}
	}
}

// A mixture makes families only when it draws them, so their number costs nothing. This mixture has 10^8.
func TestMixtureOfManyCombinations(t *testing.T) {
	spec := MustParse("rosenbrock")
	for _, key := range []string{"dims", "batch", "loss-scale", "gradient-noise"} {
		var hundred []string
		for i := range 100 {
			hundred = append(hundred, strconv.Itoa(i+2))
		}
		var err error
		if spec, err = spec.With(key, hundred...); err != nil {
			t.Fatal(err)
		}
	}
	f := mixture(t, spec.String(), "")
	if n := f.(*Mixture).n; n != 100_000_000 {
		t.Fatalf("%d combinations", n)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	sizes, scales := map[int]bool{}, map[float64]bool{}
	for seed := range uint64(400) {
		p := sample(t, f, seed)
		sizes[p.Dim()] = true
		scales[gradientScale(p)] = true
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	// There are 10^4 combinations of sizes and scales, so few are drawn twice.
	if len(sizes) < 250 || len(scales) < 250 {
		t.Errorf("%d sizes and %d scales of gradients were drawn in 400 problems", len(sizes), len(scales))
	}
	// The families of all combinations would take gigabytes.
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 100<<20 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
}

// The components of a mixture share their images and idle networks, even if their starting points differ.
func TestMixtureSharesDataAndNetworks(t *testing.T) {
	dir := t.TempDir()
	writeIDX(t, dir+"/mnist", false)
	families, err := Families(dir, MustParse("mnist units=2,3,3 layers=1,2 batch=4"), MustParse("quadratic"), MustParse("mnist units=3 batch=4 init-scale=0.5"))
	if err != nil {
		t.Fatal(err)
	}
	alone := families[2].(*Classifier)
	if want := runtime.GOMAXPROCS(0) + 6; alone.pool.limit != want { // 7 combinations
		t.Errorf("%d networks are kept, want %d", alone.pool.limit, want)
	}
	alone.pool.limit = 2
	var open []optimizer.Problem
	for seed := range uint64(8) {
		p := sample(t, families[0], seed)
		if c := p.(*classifier).family; c.data != alone.data || c.pool != alone.pool {
			t.Errorf("%s has its own data or networks", c.Name())
		}
		open = append(open, p)
	}
	first := sample(t, alone, 1).(*classifier)
	net := first.net
	for _, p := range append(open, first) {
		if err := p.(io.Closer).Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(alone.pool.idle); n != 2 {
		t.Errorf("%d idle networks in a pool of 2", n)
	}
	// The same shape from the mixture, with another initial scale.
	for seed := uint64(0); ; seed++ {
		if p := sample(t, families[0], seed).(*classifier); p.Dim() == first.Dim() {
			if p.net != net {
				t.Error("the network that was closed last was compiled again")
			}
			break
		}
	}
}

// An option that changes the graph needs another network.
func TestPoolTellsShapesApart(t *testing.T) {
	dir := t.TempDir()
	writeIDX(t, dir+"/mnist", false)
	specs := []Spec{
		MustParse("mnist units=3 batch=2"), MustParse("mnist units=4 batch=2"), MustParse("mnist units=3 layers=2 batch=2"),
		MustParse("mnist units=3 batch=2 activation=tanh"), MustParse("mnist units=3 batch=3"),
	}
	families, err := Families(dir, specs...)
	if err != nil {
		t.Fatal(err)
	}
	shared := families[0].(*Classifier).pool
	shared.limit = len(specs)
	nets := map[*network]bool{}
	for _, f := range families {
		p := sample(t, f, 1).(*classifier)
		nets[p.net] = true
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(nets) != len(specs) {
		t.Errorf("%d networks for %d shapes", len(nets), len(specs))
	}
}

// The number of idle networks of a mixture is bounded, however many shapes it has.
func TestPoolLimit(t *testing.T) {
	cores := runtime.GOMAXPROCS(0)
	for shapes, want := range map[uint64]int{1: cores, 9: cores + 8, 5000: cores + 64, 1 << 63: cores + 64} {
		if got := newPool(shapes).limit; got != want {
			t.Errorf("%d shapes keep %d networks, want %d", shapes, got, want)
		}
	}
}

// A problem depends on its stream alone, not on problems that were sampled, run or closed
// before it.
func TestMixtureOrderDoesNotMatter(t *testing.T) {
	dir := t.TempDir()
	writeIDX(t, dir+"/mnist", false)
	const text = "mnist units=2,3 activation=relu,tanh init-scale=0.01,0.5 batch=3,4"
	f, g := mixture(t, text, dir), mixture(t, text, dir)
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

// An initial scale multiplies the starting point and changes nothing else: the
// normal numbers and the minibatches stay the same.
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
	// With 2,395 coordinates the standard deviation is known to 1.5 %.
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
