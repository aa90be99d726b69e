package tasks

import (
	"math"
	"slices"
	"strings"
	"testing"

	"learnedopt/internal/gemm/conv/convtest"
	"learnedopt/internal/gemm/mlp/mlptest"
	"learnedopt/internal/stream"
	"learnedopt/optimizer"
)

// convolutional returns a family of convolutional classifiers.
func convolutional(t testing.TB, data *Dataset, c ClassifierConfig) *Classifier {
	t.Helper()
	f, err := NewClassifier(data, c)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// twin is the independent float64 implementation of a family's network.
func (f *Classifier) twin() convtest.Network {
	return convtest.Network{Channels: f.conv.Channels, Rows: f.conv.Rows, Cols: f.conv.Cols, Filters: f.conv.Filters, Classes: f.conv.Classes,
		Activation: f.config.Activation}
}

// batchOf draws minibatch t of a problem from the stream that the documentation names.
func batchOf(d *Dataset, split Split, seed uint64, t, size int) (all []convtest.Example) {
	rng := stream.New(seed, "batch", uint64(t))
	for range size {
		i := rng.IntN(d.Len(split))
		image := make([]float32, d.Features())
		d.Image(image, split, i)
		all = append(all, convtest.Example{X: image, Label: d.Label(split, i)})
	}
	return all
}

// near fails unless got is want up to a multiple of want's largest coordinate.
func near(t *testing.T, what string, got []float32, want []float64, bound float64) {
	t.Helper()
	largest := 0.0
	for _, w := range want {
		largest = max(largest, math.Abs(w))
	}
	for i, w := range want {
		if !(math.Abs(float64(got[i])-w) <= bound*largest) {
			t.Fatalf("%s: coordinate %d is %g, want %g (largest %g)", what, i, got[i], w, largest)
		}
	}
}

// Loss, gradient and products agree with the float64 implementation on the minibatches of several steps, in grey and in colour. The
// float32 sums have up to B·pixels terms, added in groups; the bounds are relative to the largest coordinate.
func TestConvolutionMatchesFloat64(t *testing.T) {
	for _, c := range []struct {
		data   *Dataset
		config ClassifierConfig
	}{
		{noise(t, 60, 20), ClassifierConfig{Channels: "3-4", Activation: "relu", Batch: 9, WeightInit: "he"}},
		{noise(t, 60, 20), ClassifierConfig{Channels: "2-3-2", Batch: 4, ImageSize: 14, Split: Valid}},
		{colours(t, 3, 9, 8, 30), ClassifierConfig{Channels: "5", Activation: "tanh", Batch: 7, Split: Test}},
	} {
		f := convolutional(t, c.data, c.config)
		t.Run(f.Name(), func(t *testing.T) {
			p, net := sample(t, f, 42).(*classifier), f.twin()
			defer p.Close()
			theta, grad := make([]float32, p.Dim()), make([]float32, p.Dim())
			p.Init(theta)
			rng := newRand(3)
			for step := range 3 {
				batch := batchOf(f.data, f.split, p.seed, step, f.config.Batch)
				want, wantGrad := net.LossGrad(mlptest.Widen(theta), batch)
				loss := lossGrad(t, p, theta, grad)
				if math.Abs(loss-want) > 2e-6*(1+want) {
					t.Errorf("step %d: loss %.9g, want %.9g", step, loss, want)
				}
				near(t, "gradient", grad, wantGrad, 5e-6)
				// Products away from the start, on two minibatches.
				for i := range theta {
					theta[i] += float32(0.2 * rng.NormFloat64())
				}
				v := normals(uint64(10+step), p.Dim(), 1)
				for _, at := range []int{step, step + 5} {
					batch, wide, along := batchOf(f.data, f.split, p.seed, at, f.config.Batch), mlptest.Widen(theta), mlptest.Widen(v)
					near(t, "Hessian", product(t, p, theta, v, optimizer.Hessian, at), net.HessianVector(wide, along, batch), 2e-5)
					near(t, "Fisher", product(t, p, theta, v, optimizer.Fisher, at), net.FisherVector(wide, along, batch), 2e-5)
				}
			}
		})
	}
}

// A product at the point of the last gradient needs no forward pass, but must not mistake another point for it.
func TestConvolutionProductsAfterGradients(t *testing.T) {
	f := convolutional(t, noise(t, 60, 20), ClassifierConfig{Channels: "2", Batch: 4, ImageSize: 8})
	n := f.layout.Len()
	theta, other, v, grad := normals(1, n, 0.3), normals(2, n, 0.3), normals(3, n, 1), make([]float32, n)
	for step := range 2 {
		want := product(t, sample(t, f, 1), theta, v, optimizer.Hessian, step)
		for what, before := range map[string]func(p optimizer.Problem){
			"the same point": func(p optimizer.Problem) { seek(p, step); lossGrad(t, p, theta, grad) },
			"another step":   func(p optimizer.Problem) { seek(p, step+1); lossGrad(t, p, theta, grad) },
			"another θ":      func(p optimizer.Problem) { seek(p, step); lossGrad(t, p, other, grad) },
			"a product":      func(p optimizer.Problem) { product(t, p, other, v, optimizer.Fisher, step+1) },
			"another problem": func(optimizer.Problem) {
				q := sample(t, f, 7)
				lossGrad(t, q, theta, grad)
				_ = closeProblem(q) // gives its network back
			},
		} {
			p := sample(t, f, 1)
			before(p)
			if what == "another problem" {
				p = sample(t, f, 1)
			}
			if got := product(t, p, theta, v, optimizer.Hessian, step); !slices.Equal(got, want) {
				t.Errorf("step %d after %s: another product", step, what)
			}
		}
	}
}

func TestConvolutionEvaluateSplit(t *testing.T) {
	data := colours(t, 3, 8, 6, evaluateConvolutions+7) // more than one chunk of images, the last one short
	f := convolutional(t, data, ClassifierConfig{Channels: "3-2", Activation: "elu", Batch: 4})
	theta, net := normals(1, f.layout.Len(), 0.3), f.twin()
	var want float64
	correct, n := 0, data.Len(Test)
	x := make([]float32, data.Features())
	for i := range n {
		data.Image(x, Test, i)
		z := net.Logits(mlptest.Widen(theta), x)
		_, logsum := mlptest.Softmax(z)
		want += (logsum - z[data.Label(Test, i)]) / float64(n)
		if slices.Index(z, slices.Max(z)) == data.Label(Test, i) {
			correct++
		}
	}
	loss, accuracy, err := sample(t, f, 1).(scored).EvaluateSplit(theta, Test)
	if err != nil || math.Abs(loss-want) > 2e-6*want || accuracy != float64(correct)/float64(n) {
		t.Errorf("loss %.9g, accuracy %v, %v, want %.9g, %d/%d", loss, accuracy, err, want, correct, n)
	}
}

func TestConvolutionLayout(t *testing.T) {
	f := convolutional(t, colours(t, 3, 32, 32, 5), ClassifierConfig{Channels: "8-16", Batch: 2})
	var got []string
	for _, x := range optimizer.LayoutOf(sample(t, f, 1)).Tensors() {
		got = append(got, x.Name+" "+x.Kind.String())
		switch x.Name {
		case "K1":
			if x.Inputs() != 9*8 || x.Outputs() != 16 {
				t.Errorf("K1 has %d inputs and %d outputs", x.Inputs(), x.Outputs())
			}
		case "W2":
			if x.Inputs() != 8*8*16 || x.Outputs() != 10 {
				t.Errorf("W2 has %d inputs and %d outputs", x.Inputs(), x.Outputs())
			}
		}
	}
	if want := "K0 convolution b0 bias K1 convolution b1 bias W2 matrix b2 bias"; strings.Join(got, " ") != want {
		t.Errorf("tensors %v, want %s", got, want)
	}
	if n := sample(t, f, 1).Dim(); n != 9*3*8+8+9*8*16+16+8*8*16*10+10 {
		t.Errorf("%d coordinates", n)
	}
}

// The weights of each layer have the moments that the formulas give for its fan-in and fan-out: 9 times its numbers of
// channels in a convolution.
func TestConvolutionWeightInits(t *testing.T) {
	data := colours(t, 3, 8, 8, 5)
	for name, deviation := range map[string]func(in, out float64) float64{
		"he":     func(in, _ float64) float64 { return math.Sqrt(2 / in) },
		"glorot": func(in, out float64) float64 { return math.Sqrt(2 / (in + out)) },
		"lecun":  func(in, _ float64) float64 { return math.Sqrt(1 / in) },
		"torch":  func(in, _ float64) float64 { return math.Sqrt(1 / (3 * in)) },
		"normal": func(_, _ float64) float64 { return 0.01 },
	} {
		f := convolutional(t, data, ClassifierConfig{Channels: "60-40", WeightInit: name})
		theta := make([]float32, f.layout.Len())
		sample(t, f, 1).Init(theta)
		fans := map[string][2]float64{"K0": {27, 540}, "K1": {540, 360}, "W2": {160, 10}}
		for _, x := range f.layout.Tensors() {
			part, fan := theta[x.From:x.From+x.Len()], fans[x.Name]
			if fan[0] == 0 { // a bias
				if zero := !slices.ContainsFunc(part, func(b float32) bool { return b != 0 }); zero != (name != "torch" && name != "normal") {
					t.Errorf("%s: biases %s are %v …", name, x.Name, part[:2])
				}
				continue
			}
			sum := 0.0
			for _, w := range part {
				sum += float64(w) * float64(w)
			}
			// The relative standard error of a deviation of 1,600 normal numbers is 1/√3200 = 0.018.
			if got, want := math.Sqrt(sum/float64(len(part))), deviation(fan[0], fan[1]); math.Abs(got/want-1) > 0.07 {
				t.Errorf("%s: the deviation of %s is %g, want %g", name, x.Name, got, want)
			}
		}
	}
}

// The network of a closed problem serves the next one, and the numbers do not depend on that.
func TestConvolutionReusesNetworks(t *testing.T) {
	data, config := noise(t, 60, 10), ClassifierConfig{Channels: "2", Batch: 3, ImageSize: 8}
	f := convolutional(t, data, config)
	first := sample(t, f, 1).(*classifier)
	trace(t, first, 3)
	net := first.net
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := sample(t, f, 2).(*classifier)
	if second.net != net {
		t.Error("the network was made again")
	}
	equalBits(t, trace(t, second, 3), trace(t, sample(t, convolutional(t, data, config), 2), 3))
	mustPanic(t, errClosed, func() { first.Seek(0) })
	mustPanic(t, errStep, func() { second.Seek(-1) })
}

func TestConvolutionAllocatesNothing(t *testing.T) {
	p := sample(t, convolutional(t, noise(t, 50, 10), ClassifierConfig{Channels: "4-4", Batch: 8}), 1)
	theta, grad, step := make([]float32, p.Dim()), make([]float32, p.Dim()), 0
	p.Init(theta)
	if n := testing.AllocsPerRun(10, func() {
		lossGrad(t, p, theta, grad)
		step++
		if err := p.(optimizer.Curvature).CurvatureProduct(grad, theta, theta, optimizer.Hessian, step); err != nil {
			t.Fatal(err)
		}
	}); n != 0 && !testing.Short() {
		t.Errorf("%v allocations a step", n)
	}
}

func TestConvolutionConfigRejects(t *testing.T) {
	for want, c := range map[string]ClassifierConfig{
		"leave out one or the other": {Channels: "8", Units: 20},
		"no other hidden layers":     {Channels: "8", Layers: 1},
		"joined by hyphens":          {Channels: "8,16"},
		`write it as "8-16"`:         {Channels: "08-16"},
		"leave some out":             {Channels: "2-2-2", ImageSize: 7},
	} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want one about %q", c, err, want)
		}
	}
	if _, err := NewClassifier(colours(t, 1, 8, 3, 4), ClassifierConfig{Channels: "2-2"}); err == nil || !strings.Contains(err.Error(), "8×3 pixels") {
		t.Errorf("two layers on 8×3 pixels: %v", err)
	}
	if err := (ClassifierConfig{Channels: "2-2-2", ImageSize: 8}).Validate(); err != nil {
		t.Error(err)
	}
}

// In a layered Spec channels replace units and layers, and the other way round.
func TestOverlayOfChannels(t *testing.T) {
	mlp, conv := MustParse("mnist units=5 layers=2 batch=4"), MustParse("mnist channels=8 batch=4")
	for _, c := range []struct {
		base Spec
		over string
		want string
	}{
		{mlp, "channels=8-16", "mnist activation=sigmoid batch=4 channels=8-16"},
		{conv, "channels=4", "mnist activation=sigmoid batch=4 channels=4"},
		{conv, "layers=3", "mnist units=20 layers=3 activation=sigmoid batch=4"},
		{conv, "activation=relu", "mnist activation=relu batch=4 channels=8"},
		{mlp, "activation=relu", "mnist units=5 layers=2 activation=relu batch=4"},
	} {
		key, value, _ := strings.Cut(c.over, "=")
		over, err := Spec{}.With(key, value)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.base.Overlay(over); got.String() != c.want || got.Validate() != nil {
			t.Errorf("%s over %s is %s, %v, want %s", c.over, c.base, got, got.Validate(), c.want)
		}
	}
}
