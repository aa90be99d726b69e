package tasks

import (
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"learnedopt/internal/gemm/mlp/mlptest"
	"learnedopt/internal/gemm/rnn/rnntest"
	"learnedopt/internal/stream"
	"learnedopt/optimizer"
)

// rhymes returns a family on a rhyme of 600 characters.
func rhymes(t testing.TB, c CharRNNConfig) *CharRNN {
	t.Helper()
	text, err := LoadText(write(t, filepath.Join(t.TempDir(), "rhyme.txt"), rhyme(600)))
	if err != nil {
		t.Fatal(err)
	}
	f, err := NewCharRNN(text, c)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// twin is the independent float64 implementation of a family's network.
func (f *CharRNN) twin() rnntest.Network {
	return rnntest.Network{Symbols: len(f.text.Characters()), Units: f.config.Units, Steps: 32}
}

// windowsOf draws minibatch t of a problem from the stream that the documentation names.
func windowsOf(f *CharRNN, seed uint64, t int) (all [][]uint16) {
	rng, train := stream.New(seed, "batch", uint64(t)), f.text.splits[Train]
	for range f.config.Batch {
		at := rng.IntN(len(train) - 32)
		all = append(all, train[at:at+33])
	}
	return all
}

// Loss, gradient and products agree with the float64 implementation on the minibatches of several steps. Sums of some hundreds of
// float32 products have errors of 10⁻⁶ of their largest terms, and the gradient of a character's row is a small part of them.
func TestCharRNNMatchesFloat64(t *testing.T) {
	f := rhymes(t, CharRNNConfig{Units: 7, Batch: 5, InitScale: 0.5})
	net, p := f.twin(), sample(t, f, 3).(*charRNN)
	if p.Dim() != net.Size() || f.Name() != "char-rnn:"+f.text.Name()+" units=7 batch=5 init-scale=0.5" {
		t.Fatalf("%d coordinates of %s", p.Dim(), f.Name())
	}
	theta, grad, v, dst := make([]float32, p.Dim()), make([]float32, p.Dim()), make([]float32, p.Dim()), make([]float32, p.Dim())
	p.Init(theta)
	rng := newRand(5)
	for i := range v {
		v[i] = float32(rng.NormFloat64())
	}
	wide, direction := mlptest.Widen(theta), mlptest.Widen(v)
	for step := range 3 {
		windows := windowsOf(f, p.seed, step)
		want, wantGrad := net.LossGrad(wide, windows)
		loss := lossGrad(t, p, theta, grad)
		if math.Abs(loss-want) > 2e-6*want {
			t.Errorf("step %d: loss %.9g, want %.9g", step, loss, want)
		}
		near(t, "gradient", grad, wantGrad, 1e-5)
		// Products at a step are those of its minibatch, whatever was computed last, and leave the step as it is.
		for _, at := range []int{step, 0, 7} {
			windows := windowsOf(f, p.seed, at)
			for metric, want := range map[optimizer.Metric][]float64{optimizer.Hessian: net.HessianVector(wide, direction, windows), optimizer.Fisher: net.FisherVector(wide, direction, windows)} {
				if err := p.CurvatureProduct(dst, theta, v, metric, at); err != nil {
					t.Fatal(err)
				}
				near(t, "product", dst, want, 1e-5)
			}
		}
	}
	// Another point at the same step.
	for i := range theta {
		theta[i] += 0.1 * v[i]
	}
	if err := p.CurvatureProduct(dst, theta, v, optimizer.Fisher, 7); err != nil {
		t.Fatal(err)
	}
	near(t, "product elsewhere", dst, net.FisherVector(mlptest.Widen(theta), direction, windowsOf(f, p.seed, 7)), 1e-5)
	mustPanic(t, errStep, func() { p.Seek(-1) })
}

// EvaluateSplit is the mean over all windows of a split that lie one after the other. The rhyme's splits have 480, 60 and 60 characters: 14, 1 and 1
// windows of 32 predictions.
func TestCharRNNEvaluateSplit(t *testing.T) {
	f := rhymes(t, CharRNNConfig{Units: 4, Batch: 2, InitScale: 0.7})
	p := sample(t, f, 1).(*charRNN)
	theta := make([]float32, p.Dim())
	p.Init(theta)
	net, wide := f.twin(), mlptest.Widen(theta)
	for split, windows := range map[Split]int{Train: 14, Valid: 1, Test: 1} {
		var cut [][]uint16
		correct := 0
		for k := range windows {
			w := f.text.splits[split][32*k : 32*k+33]
			for s, z := range net.Logits(wide, w) {
				if slices.Index(z, slices.Max(z)) == int(w[s+1]) {
					correct++
				}
			}
			cut = append(cut, w)
		}
		want, _ := net.LossGrad(wide, cut)
		loss, accuracy, err := p.EvaluateSplit(theta, split)
		if err != nil || math.Abs(loss-want) > 2e-6*want || accuracy != float64(correct)/float64(32*windows) {
			t.Errorf("%v: %v and %v, want %v and %d of %d; %v", split, loss, accuracy, want, correct, 32*windows, err)
		}
	}
	valid, _, _ := p.EvaluateSplit(theta, Valid)
	testLoss, test, _ := p.EvaluateSplit(theta, Test)
	if valid == testLoss {
		t.Fatal("the splits do not differ: the test is blind")
	}
	if loss, accuracy, err := p.Score(theta); err != nil || loss != valid || accuracy != test {
		t.Errorf("Score = %v, %v, %v, want %v, %v", loss, accuracy, err, valid, test)
	}
	// A split of more windows than are evaluated at a time.
	long, err := readText("long", strings.NewReader(rhyme(64_000)))
	if err != nil {
		t.Fatal(err)
	}
	if f, err = NewCharRNN(long, CharRNNConfig{Units: 4}); err != nil {
		t.Fatal(err)
	}
	theta = make([]float32, f.layout.Len())
	theta[len(theta)-1] = 1 // the bias of the last character, y
	sum, count := 0.0, 0
	for _, c := range long.splits[Test][1 : 1+199*32] {
		n := float64(f.shape.Symbols)
		sum += math.Log(n - 1 + math.E)
		if int(c) == f.shape.Symbols-1 {
			sum--
			count++
		}
	}
	if loss, accuracy, err := f.EvaluateSplit(theta, Test); err != nil || math.Abs(loss-sum/(199*32)) > 1e-6 || accuracy != float64(count)/(199*32) {
		t.Errorf("%v and %v, want %v and %d of %d; %v", loss, accuracy, sum/(199*32), count, 199*32, err)
	}
}

// A step allocates nothing, and neither do products.
func TestCharRNNAllocatesNothing(t *testing.T) {
	p := sample(t, rhymes(t, CharRNNConfig{}), 1).(*charRNN)
	theta, grad := make([]float32, p.Dim()), make([]float32, p.Dim())
	p.Init(theta)
	if n := testing.AllocsPerRun(5, func() {
		lossGrad(t, p, theta, grad)
		if err := p.CurvatureProduct(grad, theta, theta, optimizer.Hessian, 1); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Each matrix starts as its numbers of inputs and outputs say, and biases at 0; with torch all is uniform on ±1/√H, with normal all has the same deviation.
func TestCharRNNStarts(t *testing.T) {
	const units = 40
	for name, want := range map[string]func(in, out float64) distribution{
		"he":     func(in, _ float64) distribution { return normally(math.Sqrt(2 / in)) },
		"glorot": func(in, out float64) distribution { return uniformly(math.Sqrt(6 / (in + out))) },
		"lecun":  func(in, _ float64) distribution { return normally(1 / math.Sqrt(in)) },
		"torch":  func(float64, float64) distribution { return uniformly(1 / math.Sqrt(units)) },
		"normal": func(float64, float64) distribution { return normally(0.01) },
	} {
		p := sample(t, rhymes(t, CharRNNConfig{Units: units, WeightInit: name}), 1).(*charRNN)
		theta := slices.Repeat([]float32{float32(math.NaN())}, p.Dim()) // shows coordinates that are not written
		p.Init(theta)
		var names []string
		for _, tensor := range p.Layout().Tensors() {
			x := theta[tensor.From:][:tensor.Len()]
			names = append(names, tensor.Name)
			switch {
			case tensor.Outputs() > 0:
				want(float64(tensor.Shape[0]), float64(tensor.Shape[1])).check(t, name+" "+tensor.Name, x)
			case name == "torch" || name == "normal":
				want(0, 0).check(t, name+" "+tensor.Name, x)
			default:
				if slices.Max(x) != 0 || slices.Min(x) != 0 {
					t.Errorf("%s: %s does not start at 0", name, tensor.Name)
				}
			}
		}
		if s := strings.Join(names, " "); s != "Wx Wh bh Wo bo" {
			t.Errorf("tensors %s", s)
		}
	}
}

// Gradient descent learns the rhyme: a text with so little in it can be predicted.
func TestCharRNNLearns(t *testing.T) {
	p := sample(t, rhymes(t, CharRNNConfig{Units: 32, Batch: 16, WeightInit: "torch"}), 1).(*charRNN)
	theta, grad := make([]float32, p.Dim()), make([]float32, p.Dim())
	p.Init(theta)
	first := lossGrad(t, p, theta, grad)
	for range 300 {
		for i, g := range grad {
			theta[i] -= g
		}
		lossGrad(t, p, theta, grad)
	}
	loss, accuracy, err := p.Score(theta)
	if n := math.Log(float64(p.family.shape.Symbols)); math.Abs(first-n) > 0.1*n || loss > 0.5 || accuracy < 0.8 || err != nil {
		t.Errorf("from %v (ln V is %v) to %v, accuracy %v, %v", first, n, loss, accuracy, err)
	}
}

// A task on a text of the user's own: named by a checksum, found in a folder, in lists, with errors that say what is wrong.
func TestCharRNNTasks(t *testing.T) {
	home, away := t.TempDir(), t.TempDir()
	path := write(t, filepath.Join(home, "rhyme.txt"), rhyme(600))
	s, dir, err := taskAlone(t, "char-rnn").WithData(path)
	if err != nil || dir != home || s.Task() != "char-rnn:rhyme@7567cd343e8c1961" {
		t.Fatalf("%q in %s, %v", s, dir, err)
	}
	if s.String() != s.Task()+" units=20 batch=128" || !s.Classifies() {
		t.Errorf("the name is %s", s)
	}
	if s, err = s.With("units", "4", "9"); err == nil {
		s, err = s.With("weight-init", "glorot", "torch")
	}
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.Family(home)
	if err != nil || f.Name() != s.Task()+" units=4,9 batch=128 weight-init=glorot,torch" {
		t.Fatalf("%v, %v", f, err)
	}
	dims := map[int]bool{}
	for seed := range uint64(12) {
		dims[sample(t, f, seed).Dim()] = true
	}
	v := len([]rune(rhymes(t, CharRNNConfig{}).text.Characters()))
	if len(dims) != 2 || !dims[(2*v+5)*4+v] || !dims[(2*v+10)*9+v] {
		t.Errorf("instances of %v coordinates", dims)
	}
	data, err := json.Marshal(s)
	var read Spec
	if err != nil || json.Unmarshal(data, &read) != nil || read != s {
		t.Errorf("JSON %s, %v", data, err)
	}
	if p, err := New(s.Task(), Options{Units: 3, Batch: 2, LossScale: 5, DataDir: home}); err != nil || p.Name() != s.Task()+" units=3 batch=2 loss-scale=5" {
		t.Errorf("%v, %v", p, err)
	}
	var missing *MissingDataError
	if _, err := s.Family(away); !errors.As(err, &missing) || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), filepath.Join(away, "rhyme.txt")+"; name the file with --data") {
		t.Errorf("missing: %v", err)
	}
	write(t, filepath.Join(away, "rhyme.txt"), rhyme(601))
	var other *OtherDataError
	if _, err := s.Family(away); !errors.As(err, &other) || other.Task != s.Task() {
		t.Errorf("other content: %v", err)
	}
	for text, want := range map[string]string{
		" activation=relu": "activation does not apply to the task char-rnn:", " layers=2": "layers does not apply", " channels=4": "channels does not apply",
		" label-noise=0.1": "label-noise does not apply", " units=16385": "16385 hidden units", " batch=65537": "batch 65537",
		" init-scale=1 weight-init=he": "init-scale 1 with weight-init he",
	} {
		if _, err := Parse(s.Task() + text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
	if _, err := Parse("digits," + s.Task()); err == nil || !strings.Contains(err.Error(), "only classifiers can be mixed") {
		t.Errorf("error %v", err)
	}
	for _, c := range []CharRNNConfig{{Units: -1}, {Batch: -1}, {InitScale: -1}, {WeightInit: "xavier"}, {WeightInit: "he", InitScale: 1}} {
		if f, err := NewCharRNN(&Text{}, c); err == nil || f != nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}
