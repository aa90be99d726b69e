package tasks

import (
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
)

// The graph's loss and gradient agree with an independent float64
// implementation, at the start and at larger random parameters,
// on several minibatches in a row. A float32 sum of B·F terms is exact to some 1e-6 of the sum
// of their magnitudes; the bound on the gradient is relative to its largest
// coordinate.
func TestClassifierMatchesFloat64(t *testing.T) {
	data := noise(t, 300, 50)
	for _, c := range []ClassifierConfig{
		{},
		{Units: 7, Layers: 2, Activation: "tanh", Batch: 16},
		{Units: 9, Layers: 1, Activation: "relu", Batch: 32, Split: Valid},
		{Units: 5, Layers: 3, Activation: "elu", Batch: 8, Split: Test},
		{Layers: NoLayers, Batch: 8, WeightInit: "lecun"},
	} {
		f, err := NewClassifier(data, c)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(f.Name(), func(t *testing.T) {
			const seed = 42
			problem, err := f.Sample(rand.New(rand.NewPCG(seed, 0)))
			if err != nil {
				t.Fatal(err)
			}
			p := problem.(*classifier)
			defer p.Close()
			theta, grad := make([]float32, p.Dim()), make([]float32, p.Dim())
			p.Init(theta)
			rng := rand.New(rand.NewPCG(3, 3))
			for step := range 3 {
				x, labels := minibatch(data, c.Split, p.seed, step, f.config.Batch)
				wantLoss, wantGrad := mlp64(theta, f.widths, f.config.Activation, x, labels)
				loss, err := p.LossGrad(theta, grad)
				if err != nil {
					t.Fatal(err)
				}
				if math.Abs(loss-wantLoss) > 2e-6*(1+wantLoss) {
					t.Errorf("step %d: loss %.9g, want %.9g", step, loss, wantLoss)
				}
				if step == 0 && math.Abs(loss-math.Log(10)) > 0.1 {
					t.Errorf("loss at the start is %v, want about ln 10", loss)
				}
				largest := 0.0
				for _, g := range wantGrad {
					largest = max(largest, math.Abs(g))
				}
				for i, g := range grad {
					if math.Abs(float64(g)-wantGrad[i]) > 5e-6*largest {
						t.Fatalf("step %d: gradient of coordinate %d is %g, want %g (largest %g)", step, i, g, wantGrad[i], largest)
					}
				}
				for i := range theta {
					theta[i] += float32(0.2 * rng.NormFloat64())
				}
			}
		})
	}
}

// Logits of thousands overflow a naive softmax in float32.
func TestClassifierHugeLogits(t *testing.T) {
	data := noise(t, 50, 20)
	f, err := NewClassifier(data, ClassifierConfig{Units: 3, Activation: "relu", Batch: 16})
	if err != nil {
		t.Fatal(err)
	}
	p := sample(t, f, 1).(*classifier)
	theta, grad := make([]float32, p.Dim()), make([]float32, p.Dim())
	p.Init(theta)
	for i := range 10 {
		theta[len(theta)-1-i] = float32(1000*i - 4000)
	}
	x, labels := minibatch(data, Train, p.seed, 0, 16)
	want, wantGrad := mlp64(theta, f.widths, "relu", x, labels)
	loss, err := p.LossGrad(theta, grad)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(loss-want) > 1e-6*want || want < 1000 {
		t.Errorf("loss %v, want %v", loss, want)
	}
	for i := range 10 {
		at := len(grad) - 1 - i
		if math.Abs(float64(grad[at])-wantGrad[at]) > 1e-6 {
			t.Errorf("gradient of output bias %d is %v, want %v", 9-i, grad[at], wantGrad[at])
		}
	}
}

func TestEvaluateSplitMatchesFloat64(t *testing.T) {
	data := noise(t, 40, 517) // more than one chunk of rows, the last one short
	for _, activation := range Activations() {
		f, err := NewClassifier(data, ClassifierConfig{Units: 6, Layers: 2, Activation: activation, Batch: 4})
		if err != nil {
			t.Fatal(err)
		}
		p := sample(t, f, 5).(*classifier)
		theta, rng := make([]float32, p.Dim()), rand.New(rand.NewPCG(8, 8))
		for i := range theta {
			theta[i] = float32(0.3 * rng.NormFloat64())
		}
		for _, split := range []Split{Train, Test} {
			var want float64
			correct, n := 0, data.Len(split)
			x := make([]float32, 784)
			for i := range n {
				data.Image(x, split, i)
				best, bestLoss := 0, math.Inf(1)
				for label := range 10 {
					l, _ := mlp64(theta, f.widths, activation, [][]float32{x}, []int{label})
					if l < bestLoss {
						best, bestLoss = label, l
					}
					if label == data.Label(split, i) {
						want += l / float64(n)
					}
				}
				if best == data.Label(split, i) {
					correct++
				}
			}
			loss, accuracy, err := p.EvaluateSplit(theta, split)
			if err != nil {
				t.Fatal(err)
			}
			if math.Abs(loss-want) > 2e-6*want || accuracy != float64(correct)/float64(n) {
				t.Errorf("%s, %v: loss %.9g, accuracy %v, want %.9g, %d/%d", activation, split, loss, accuracy, want, correct, n)
			}
		}
	}
}

func TestEvaluateEmptySplit(t *testing.T) {
	f, err := NewClassifier(noise(t, 10, 0), ClassifierConfig{Units: 2})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.EvaluateSplit(make([]float32, dim(f.widths)), Valid); err == nil {
		t.Error("no error for an empty split")
	}
	if _, err := NewClassifier(f.data, ClassifierConfig{Split: Test}); err == nil {
		t.Error("no error for training on an empty split")
	}
}

// The next problem reuses a closed problem's graph; its numbers must not depend on that.
func TestClassifierReusesGraphs(t *testing.T) {
	data := noise(t, 60, 10)
	config := ClassifierConfig{Units: 4, Batch: 8}
	f, err := NewClassifier(data, config)
	if err != nil {
		t.Fatal(err)
	}
	first := sample(t, f, 1).(*classifier)
	trace(t, first, 3)
	net := first.net
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	second := sample(t, f, 2).(*classifier)
	if second.net != net {
		t.Error("the graph was compiled again")
	}
	fresh, err := NewClassifier(data, config)
	if err != nil {
		t.Fatal(err)
	}
	equalBits(t, trace(t, second, 3), trace(t, sample(t, fresh, 2), 3))
	mustPanic(t, errClosed, func() { _, _ = first.LossGrad(make([]float32, first.Dim()), make([]float32, first.Dim())) })
	mustPanic(t, errClosed, func() { first.Seek(0) })
}

// The bits must not depend on the number of goroutines.
func TestClassifierIndependentOfProcessors(t *testing.T) {
	f, err := NewClassifier(noise(t, 500, 10), ClassifierConfig{Units: 70})
	if err != nil {
		t.Fatal(err)
	}
	want := trace(t, sample(t, f, 1), 2)
	for _, procs := range []int{1, 5} {
		old := runtime.GOMAXPROCS(procs)
		got := trace(t, sample(t, f, 1), 2)
		runtime.GOMAXPROCS(old)
		equalBits(t, got, want)
	}
}

func TestClassifierAllocatesNothing(t *testing.T) {
	f, err := NewClassifier(noise(t, 50, 10), ClassifierConfig{Units: 5, Layers: 2, Batch: 16})
	if err != nil {
		t.Fatal(err)
	}
	p := sample(t, f, 1)
	theta, grad := make([]float32, p.Dim()), make([]float32, p.Dim())
	p.Init(theta)
	if n := testing.AllocsPerRun(10, func() { lossGrad(t, p, theta, grad) }); n != 0 {
		t.Errorf("%v allocations a step", n)
	}
}

func TestClassifierConfigRejects(t *testing.T) {
	for _, c := range []ClassifierConfig{
		{Units: -1}, {Layers: -2}, {Batch: -1}, {Activation: "swish"}, {Split: 3}, {Split: -1}, {Units: 1 << 20},
	} {
		if c.Validate() == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
	if err := (ClassifierConfig{}).Validate(); err != nil {
		t.Errorf("the zero value: %v", err)
	}
}

// Without hidden layers the network is softmax regression: its number of coordinates, its loss over a split, and a list
// with and without hidden layers.
func TestLinearClassifier(t *testing.T) {
	data := noise(t, 30, 40)
	f, err := NewClassifier(data, ClassifierConfig{Layers: NoLayers, Batch: 4})
	if err != nil {
		t.Fatal(err)
	}
	p := sample(t, f, 2).(*classifier)
	if p.Dim() != 7850 || f.Name() != "noise units=20 layers=0 activation=sigmoid batch=4" {
		t.Errorf("%q has %d coordinates", f.Name(), p.Dim())
	}
	theta := make([]float32, p.Dim())
	for i := range theta {
		theta[i] = float32(math.Sin(float64(i))) / 8
	}
	var x [][]float32
	var labels []int
	for i := range data.Len(Test) {
		image := make([]float32, 784)
		data.Image(image, Test, i)
		x, labels = append(x, image), append(labels, data.Label(Test, i))
	}
	want, _ := mlp64(theta, []int{784, 10}, "", x, labels)
	if loss, _, err := p.EvaluateSplit(theta, Test); err != nil || math.Abs(loss-want) > 1e-6*(1+want) {
		t.Errorf("loss %v, want %v; %v", loss, want, err)
	}
	dims := map[int]bool{}
	for seed := range uint64(20) {
		dims[sample(t, mixture(t, "digits layers=0,1 units=3 image-size=7", ""), seed).Dim()] = true
	}
	if len(dims) != 2 || !dims[490+10] || !dims[147+3+40] {
		t.Errorf("a list of 0 and 1 hidden layers has problems of %v coordinates", dims)
	}
}
