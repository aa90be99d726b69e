package conv_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"learnedopt/internal/gemm/conv"
	"learnedopt/internal/gemm/conv/convtest"
	"learnedopt/internal/gemm/mlp"
	"learnedopt/internal/gemm/mlp/mlptest"
)

// A setting is a network at a random point, on a random minibatch, with two directions.
type setting struct {
	net               convtest.Network
	network           *conv.Network
	batch             []convtest.Example
	theta, x, y, v, u []float32
}

func newSetting(s conv.Shape, activation string, batch int, seed uint64) *setting {
	a, ok := mlp.ActivationOf(activation)
	if !ok {
		panic(activation)
	}
	c := &setting{
		net:     convtest.Network{Channels: s.Channels, Rows: s.Rows, Cols: s.Cols, Filters: s.Filters, Classes: s.Classes, Activation: activation},
		network: conv.New(s, a, batch),
	}
	rng := rand.New(rand.NewPCG(seed, 7))
	pixels := s.Channels * s.Rows * s.Cols
	c.x, c.y = make([]float32, batch*pixels), make([]float32, batch*s.Classes)
	for i := range c.x {
		c.x[i] = rng.Float32()
	}
	for i := range batch {
		label := rng.IntN(s.Classes)
		c.y[i*s.Classes+label] = 1
		c.batch = append(c.batch, convtest.Example{X: c.x[i*pixels:][:pixels], Label: label})
	}
	n := s.Size()
	c.theta, c.v, c.u = make([]float32, n), make([]float32, n), make([]float32, n)
	for i := range n {
		c.theta[i], c.v[i], c.u[i] = float32(0.4*rng.NormFloat64()), float32(rng.NormFloat64()), float32(rng.NormFloat64())
	}
	return c
}

func (c *setting) lossGrad() (float64, []float32) {
	grad := make([]float32, len(c.theta))
	return c.network.LossGrad(grad, c.theta, c.x, c.y), grad
}

// settings cover every activation, one to three layers, odd and even sizes that differ in rows and columns, and numbers of
// channels on both sides of a kernel's panel.
func settings() map[string]*setting {
	all := map[string]*setting{}
	for i, s := range []conv.Shape{
		{1, 6, 6, []int{3}, 4}, {1, 8, 8, []int{4, 5}, 3}, {3, 7, 5, []int{2, 8}, 10}, {2, 9, 12, []int{5, 3, 6}, 4}, {3, 5, 4, []int{26, 9}, 5}, {2, 2, 3, []int{1}, 2},
	} {
		for j, activation := range activations {
			for _, batch := range []int{1, 17} {
				all[fmt.Sprintf("%v %s batch=%d", s, activation, batch)] = newSetting(s, activation, batch, uint64(100+10*i+j))
			}
		}
	}
	return all
}

var activations = []string{"sigmoid", "tanh", "relu", "elu", "gelu", "silu", "leaky-relu"}

// Loss, gradient and logits agree with an independent float64 implementation. Sums of some tens of float32 products have errors of 10⁻⁶ of their
// largest terms, and here the terms are hardly larger than the sums.
func TestLossGradMatchesFloat64(t *testing.T) {
	for name, c := range settings() {
		if c.net.Size() != len(c.theta) {
			t.Fatalf("%s: %d coordinates, want %d", name, len(c.theta), c.net.Size())
		}
		theta := mlptest.Widen(c.theta)
		want, wantGrad := c.net.LossGrad(theta, c.batch)
		loss, grad := c.lossGrad()
		if math.Abs(loss-want) > 2e-6*(1+want) {
			t.Errorf("%s: loss %.9g, want %.9g", name, loss, want)
		}
		if d := mlptest.Far(grad, wantGrad); !(d <= 1e-5) {
			t.Errorf("%s: the gradient is %.2g of its largest coordinate from float64", name, d)
		}
		few := (len(c.batch) + 1) / 2
		logits := c.network.Logits(c.theta, c.x[:few*len(c.batch[0].X)])
		for i := range few {
			got := logits[i*c.net.Classes:][:c.net.Classes]
			if d := mlptest.Far(got, c.net.Logits(theta, c.batch[i].X)); !(d <= 1e-5) {
				t.Errorf("%s: the logits of image %d are %.2g from float64", name, i, d)
			}
		}
		if len(logits) != few*c.net.Classes {
			t.Errorf("%s: %d logits of %d images", name, len(logits), few)
		}
	}
}

// The float64 implementation's gradient is the derivative of its loss. Central differences with steps of 10⁻⁵ are exact to
// about 10⁻¹⁰.
func TestFloat64Gradient(t *testing.T) {
	for name, c := range settings() {
		theta, v := mlptest.Widen(c.theta), mlptest.Widen(c.v)
		_, grad := c.net.LossGrad(theta, c.batch)
		want, size := 0.0, 0.0
		for i, g := range grad {
			want += g * v[i]
			size += math.Abs(g * v[i])
		}
		if got := c.net.Slope(theta, v, c.batch); !(math.Abs(got-want) <= 1e-7*size) {
			t.Errorf("%s: the slope along v is %.10g, the gradient says %.10g (terms of %.3g)", name, got, want, size)
		}
	}
}

// Labels that are distributions give the mean of the losses of their classes.
func TestSoftLabels(t *testing.T) {
	c := newSetting(conv.Shape{Channels: 1, Rows: 4, Cols: 4, Filters: []int{2}, Classes: 3}, "tanh", 1, 3)
	var mean float64
	for label, share := range []float32{0.5, 0.2, 0.3} {
		loss, _ := c.net.LossGrad(mlptest.Widen(c.theta), []convtest.Example{{X: c.x, Label: label}})
		mean += float64(share) * loss
		c.y[label] = share
	}
	if loss, _ := c.lossGrad(); math.Abs(loss-mean) > 1e-6*mean {
		t.Errorf("loss %v, want %v", loss, mean)
	}
}

// The bits depend neither on GOMAXPROCS nor on what the network computed before.
func TestSameBits(t *testing.T) {
	s := conv.Shape{Channels: 3, Rows: 16, Cols: 16, Filters: []int{8, 16}, Classes: 10}
	c := newSetting(s, "relu", 32, 1)
	want, wantGrad := c.lossGrad()
	other := newSetting(s, "relu", 32, 2)
	c.network.LossGrad(make([]float32, len(c.theta)), other.theta, other.x, other.y)
	c.network.Logits(other.theta, other.x[:len(other.x)/2])
	for _, procs := range []int{1, 5} {
		old := runtime.GOMAXPROCS(procs)
		got, gotGrad := c.lossGrad()
		runtime.GOMAXPROCS(old)
		if got != want || !slices.Equal(gotGrad, wantGrad) {
			t.Errorf("other bits on %d processors", procs)
		}
	}
}

func TestAllocatesNothing(t *testing.T) {
	c := newSetting(conv.Shape{Channels: 1, Rows: 14, Cols: 14, Filters: []int{8, 16}, Classes: 10}, "elu", 16, 1)
	grad := make([]float32, len(c.theta))
	if n := testing.AllocsPerRun(10, func() {
		c.network.LossGrad(grad, c.theta, c.x, c.y)
		c.network.Logits(c.theta, c.x)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestShapeRejects(t *testing.T) {
	for _, s := range []conv.Shape{
		{0, 8, 8, []int{4}, 10}, {1, 0, 8, []int{4}, 10}, {1, 8, -1, []int{4}, 10}, {1, 8, 8, nil, 10}, {1, 8, 8, []int{4, 0}, 10},
		{1, 8, 8, []int{4}, 0}, {1, 8, 8, []int{4, 4, 4, 4}, 10}, {1, 28, 3, []int{4, 4}, 10},
	} {
		if s.Validate() == nil {
			t.Errorf("%+v is accepted", s)
		}
	}
	if err := (conv.Shape{Channels: 1, Rows: 8, Cols: 8, Filters: []int{4, 4, 4}, Classes: 10}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestShapesPanic(t *testing.T) {
	c := newSetting(conv.Shape{Channels: 1, Rows: 4, Cols: 4, Filters: []int{2}, Classes: 3}, "relu", 2, 1)
	a, n := mlp.Activation{}, len(c.theta)
	grad := make([]float32, n)
	for what, f := range map[string]func(){
		"shape": func() { conv.New(conv.Shape{}, a, 1) }, "batch": func() { conv.New(c.network.Shape(), a, 0) },
		"theta": func() { c.network.Move(c.theta[1:], c.x, c.y) }, "x": func() { c.network.Move(c.theta, c.x[1:], c.y) },
		"y": func() { c.network.Move(c.theta, c.x, c.y[1:]) }, "grad": func() { c.network.LossGrad(grad[1:], c.theta, c.x, c.y) },
		"part of an image": func() { c.network.Logits(c.theta, c.x[1:]) }, "no point": func() { c.network.Logits(c.theta, c.x); c.network.Hessian(grad, c.v) },
		"dst": func() { c.lossGrad(); c.network.Hessian(grad[1:], c.v) }, "v": func() { c.lossGrad(); c.network.Fisher(grad, c.v[1:]) },
		"too many": func() { c.network.Logits(c.theta, make([]float32, 48)) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", what)
				}
			}()
			f()
		}()
	}
}

// benchmarks are the convolutional classifiers 8-16 whose PyTorch times bench/convnet.py prints.
var benchmarks = []struct {
	name  string
	shape conv.Shape
	batch int
}{
	{"28x28/batch=32", conv.Shape{Channels: 1, Rows: 28, Cols: 28, Filters: []int{8, 16}, Classes: 10}, 32},
	{"28x28/batch=128", conv.Shape{Channels: 1, Rows: 28, Cols: 28, Filters: []int{8, 16}, Classes: 10}, 128},
	{"32x32x3/batch=32", conv.Shape{Channels: 3, Rows: 32, Cols: 32, Filters: []int{8, 16}, Classes: 10}, 32},
	{"32x32x3/batch=128", conv.Shape{Channels: 3, Rows: 32, Cols: 32, Filters: []int{8, 16}, Classes: 10}, 128},
	{"14x14/batch=32", conv.Shape{Channels: 1, Rows: 14, Cols: 14, Filters: []int{8, 16}, Classes: 10}, 32},
	{"8x8/batch=32", conv.Shape{Channels: 1, Rows: 8, Cols: 8, Filters: []int{8, 16}, Classes: 10}, 32},
}

func BenchmarkGradient(b *testing.B) {
	for _, c := range benchmarks {
		for _, activation := range []string{"relu", "sigmoid"} {
			b.Run(c.name+"/"+activation, func(b *testing.B) {
				s := newSetting(c.shape, activation, c.batch, 1)
				grad := make([]float32, len(s.theta))
				s.network.LossGrad(grad, s.theta, s.x, s.y)
				b.ReportAllocs()
				for b.Loop() {
					s.network.LossGrad(grad, s.theta, s.x, s.y)
				}
			})
		}
	}
}
