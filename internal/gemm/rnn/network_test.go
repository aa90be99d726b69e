package rnn_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"learnedopt/internal/gemm/mlp/mlptest"
	"learnedopt/internal/gemm/rnn"
	"learnedopt/internal/gemm/rnn/rnntest"
)

// A setting is a network at a random point, on a random minibatch, with two directions.
type setting struct {
	net         rnntest.Network
	network     *rnn.Network
	text        []uint16
	windows     [][]uint16
	theta, v, u []float32
}

func newSetting(s rnn.Shape, batch int, seed uint64) *setting {
	c := &setting{net: rnntest.Network(s), network: rnn.New(s, batch)}
	rng := rand.New(rand.NewPCG(seed, 7))
	c.text = make([]uint16, batch*(s.Steps+1))
	for i := range c.text {
		c.text[i] = uint16(rng.IntN(s.Symbols))
	}
	c.windows = slices.Collect(slices.Chunk(c.text, s.Steps+1))
	n := s.Size()
	c.theta, c.v, c.u = make([]float32, n), make([]float32, n), make([]float32, n)
	for i := range n {
		c.theta[i], c.v[i], c.u[i] = float32(0.4*rng.NormFloat64()), float32(rng.NormFloat64()), float32(rng.NormFloat64())
	}
	return c
}

func (c *setting) lossGrad() (float64, []float32) {
	grad := slices.Repeat([]float32{float32(math.NaN())}, len(c.theta)) // which LossGrad must not read
	return c.network.LossGrad(grad, c.theta, c.text), grad
}

// products returns H·v and F·v at the setting's point.
func (c *setting) products(v []float32) (hessian, fisher []float32) {
	hessian, fisher = slices.Repeat([]float32{float32(math.NaN())}, len(v)), slices.Repeat([]float32{float32(math.NaN())}, len(v))
	c.network.Move(c.theta, c.text)
	c.network.Hessian(hessian, v)
	c.network.Fisher(fisher, v)
	return hessian, fisher
}

// settings cover one step and many, more and fewer symbols than units, and sizes on both sides of a kernel's panel.
func settings() map[string]*setting {
	all := map[string]*setting{}
	for i, s := range []rnn.Shape{{5, 4, 6}, {3, 7, 1}, {1, 2, 3}, {40, 3, 9}, {7, 33, 5}, {2, 1, 32}} {
		for _, batch := range []int{1, 6} {
			all[fmt.Sprintf("%v batch=%d", s, batch)] = newSetting(s, batch, uint64(100+i))
		}
	}
	return all
}

// Loss, gradient and products agree with an independent float64 implementation. Sums of some hundreds of float32 products have errors
// of 10⁻⁶ of their largest terms, and here the terms are hardly larger than the sums. With one symbol everything is 0.
func TestMatchesFloat64(t *testing.T) {
	for name, c := range settings() {
		if c.net.Size() != len(c.theta) {
			t.Fatalf("%s: %d coordinates, want %d", name, len(c.theta), c.net.Size())
		}
		theta, v := mlptest.Widen(c.theta), mlptest.Widen(c.v)
		want, wantGrad := c.net.LossGrad(theta, c.windows)
		loss, grad := c.lossGrad()
		if math.Abs(loss-want) > 2e-6*(1+want) {
			t.Errorf("%s: loss %.9g, want %.9g", name, loss, want)
		}
		hessian, fisher := c.products(c.v)
		for what, p := range map[string]struct {
			got  []float32
			want []float64
		}{"the gradient": {grad, wantGrad}, "H·v": {hessian, c.net.HessianVector(theta, v, c.windows)}, "F·v": {fisher, c.net.FisherVector(theta, v, c.windows)}} {
			if c.net.Symbols == 1 {
				if mlptest.Dot(p.got, p.got) != 0 {
					t.Errorf("%s: %s is not 0", name, what)
				}
				continue
			}
			if d := mlptest.Far(p.got, p.want); !(d <= 1e-5) {
				t.Errorf("%s: %s is %.2g of its largest coordinate from float64", name, what, d)
			}
		}
		// Evaluate on fewer windows than the minibatch has.
		few := (len(c.windows) + 1) / 2
		sum, correct := c.network.Evaluate(c.theta, c.text[:few*(c.net.Steps+1)])
		wantSum, wantCorrect := 0.0, 0
		for _, w := range c.windows[:few] {
			for s, z := range c.net.Logits(theta, w) {
				_, logsum := mlptest.Softmax(z)
				wantSum += logsum - z[w[s+1]]
				if slices.Index(z, slices.Max(z)) == int(w[s+1]) {
					wantCorrect++
				}
			}
		}
		if math.Abs(sum-wantSum) > 2e-6*(1+wantSum) || correct != wantCorrect {
			t.Errorf("%s: Evaluate returns %.9g and %d, want %.9g and %d", name, sum, correct, wantSum, wantCorrect)
		}
	}
}

// The float64 implementation's gradient is the derivative of its loss. Central differences with steps of 10⁻⁵ are exact to
// about 10⁻¹⁰.
func TestFloat64Gradient(t *testing.T) {
	for name, c := range settings() {
		theta, v := mlptest.Widen(c.theta), mlptest.Widen(c.v)
		_, grad := c.net.LossGrad(theta, c.windows)
		want, size := 0.0, 0.0
		for i, g := range grad {
			want += g * v[i]
			size += math.Abs(g * v[i])
		}
		if got := c.net.Slope(theta, v, c.windows); !(math.Abs(got-want) <= 1e-7*size) {
			t.Errorf("%s: the slope along v is %.10g, the gradient says %.10g (terms of %.3g)", name, got, want, size)
		}
	}
}

// A torchCase is a network as testdata/torch_rnn.py prints it.
type torchCase struct {
	Symbols, Units, Steps, Batch int
	Text                         []uint16
	Theta, V                     []float32

	Loss                      float64
	Gradient, Hessian, Fisher []float64
}

// Everything agrees with PyTorch in float64, up to the rounding of float32.
func TestMatchesTorch(t *testing.T) {
	data, err := os.ReadFile("testdata/torch_rnn.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []torchCase }
	if err := json.Unmarshal(data, &file); err != nil || len(file.Cases) == 0 {
		t.Fatalf("%d cases, %v", len(file.Cases), err)
	}
	for _, c := range file.Cases {
		n := rnn.New(rnn.Shape{Symbols: c.Symbols, Units: c.Units, Steps: c.Steps}, c.Batch)
		got := make([]float32, len(c.Theta))
		if loss := n.LossGrad(got, c.Theta, c.Text); math.Abs(loss-c.Loss) > 1e-6*(1+c.Loss) {
			t.Errorf("%d symbols: loss %.9g, PyTorch has %.9g", c.Symbols, loss, c.Loss)
		}
		if d := mlptest.Far(got, c.Gradient); !(d <= 5e-6) {
			t.Errorf("%d symbols: the gradient is %.2g of its largest coordinate from PyTorch", c.Symbols, d)
		}
		n.Move(c.Theta, c.Text)
		n.Hessian(got, c.V)
		if d := mlptest.Far(got, c.Hessian); !(d <= 5e-6) {
			t.Errorf("%d symbols: H·v is %.2g of its largest coordinate from PyTorch", c.Symbols, d)
		}
		n.Fisher(got, c.V)
		if d := mlptest.Far(got, c.Fisher); !(d <= 5e-6) {
			t.Errorf("%d symbols: F·v is %.2g of its largest coordinate from PyTorch", c.Symbols, d)
		}
	}
}

// ⟨u, Mv⟩ = ⟨Mu, v⟩, and ⟨v, Fv⟩ ≥ 0. Some Hessian must have negative curvature, or the check of ⟨v, Fv⟩ would prove nothing.
func TestProductsAreSymmetric(t *testing.T) {
	negative := 0
	for name, c := range settings() {
		hv, fv := c.products(c.v)
		hu, fu := c.products(c.u)
		for what, p := range map[string][2][]float32{"Hessian": {hv, hu}, "Fisher": {fv, fu}} {
			a, b := mlptest.Dot(c.u, p[0]), mlptest.Dot(p[1], c.v)
			if size := math.Sqrt(mlptest.Dot(c.u, c.u) * mlptest.Dot(p[0], p[0])); !(math.Abs(a-b) <= 1e-6*size) {
				t.Errorf("%s, %s: ⟨u, Mv⟩ = %g, ⟨Mu, v⟩ = %g", name, what, a, b)
			}
		}
		if mlptest.Dot(c.v, fv) < 0 || mlptest.Dot(c.u, fu) < 0 {
			t.Errorf("%s: ⟨v, Fv⟩ is %g and %g", name, mlptest.Dot(c.v, fv), mlptest.Dot(c.u, fu))
		}
		if mlptest.Dot(c.v, hv) < 0 || mlptest.Dot(c.u, hu) < 0 {
			negative++
		}
	}
	if negative == 0 {
		t.Error("no Hessian has a negative direction")
	}
}

// dst may be v, products do not change the point, and a point does not depend on earlier points or on the caller's slices.
func TestProductsInPlaceAndAgain(t *testing.T) {
	for name, c := range settings() {
		hessian, fisher := c.products(c.v)
		other := newSetting(rnn.Shape(c.net), len(c.windows), 99)
		other.products(other.u)
		other.lossGrad()
		other.network.Move(c.theta, c.text)
		theta, unused := slices.Clone(c.theta), make([]float32, len(c.v))
		clear(c.theta) // the caller may change its slices
		clear(c.text)
		for range 2 {
			for what, p := range map[string]struct {
				product func(dst, v []float32)
				want    []float32
			}{"Hessian": {other.network.Hessian, hessian}, "Fisher": {other.network.Fisher, fisher}} {
				copy(unused, c.v)
				p.product(unused, unused)
				if !slices.Equal(unused, p.want) {
					t.Errorf("%s: %s in place gives other numbers", name, what)
				}
			}
		}
		if !slices.Equal(other.network.Theta(), theta) {
			t.Errorf("%s: the point changed", name)
		}
	}
}

// The bits depend neither on GOMAXPROCS nor on what the network computed before.
func TestSameBits(t *testing.T) {
	s := rnn.Shape{Symbols: 30, Units: 40, Steps: 32}
	c, other := newSetting(s, 16, 1), newSetting(s, 16, 2)
	want, wantGrad := c.lossGrad()
	c.network.LossGrad(make([]float32, len(c.theta)), other.theta, other.text)
	c.network.Evaluate(other.theta, other.text[:33*3])
	c.products(c.v)
	for _, procs := range []int{1, 5} {
		old := runtime.GOMAXPROCS(procs)
		got, gotGrad := c.lossGrad()
		runtime.GOMAXPROCS(old)
		if got != want || !slices.Equal(gotGrad, wantGrad) {
			t.Errorf("other bits on %d processors", procs)
		}
	}
}

// Of symbols that are equally probable, Evaluate predicts the first.
func TestEvaluateTies(t *testing.T) {
	s := rnn.Shape{Symbols: 4, Units: 3, Steps: 2}
	sum, correct := rnn.New(s, 2).Evaluate(make([]float32, s.Size()), []uint16{1, 0, 0, 0, 1, 0})
	if want := 4 * math.Log(4); math.Abs(sum-want) > 1e-12 || correct != 3 {
		t.Errorf("loss %v, %d correct, want %v and 3", sum, correct, want)
	}
}

func TestAllocatesNothing(t *testing.T) {
	c := newSetting(rnn.Shape{Symbols: 30, Units: 40, Steps: 32}, 16, 1)
	dst := make([]float32, len(c.theta))
	if n := testing.AllocsPerRun(10, func() {
		c.network.LossGrad(dst, c.theta, c.text)
		c.network.Evaluate(c.theta, c.text)
		c.network.Move(c.theta, c.text)
		c.network.Hessian(dst, c.v)
		c.network.Fisher(dst, c.v)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestShapeRejects(t *testing.T) {
	for _, s := range []rnn.Shape{{0, 2, 3}, {2, 0, 3}, {2, 2, 0}, {-1, 2, 3}, {rnn.MaxSymbols + 1, 2, 3}} {
		if s.Validate() == nil {
			t.Errorf("%+v is accepted", s)
		}
	}
	if err := (rnn.Shape{Symbols: rnn.MaxSymbols, Units: 1, Steps: 1}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestMistakesPanic(t *testing.T) {
	s := rnn.Shape{Symbols: 4, Units: 3, Steps: 2}
	c := newSetting(s, 2, 1)
	grad, wrong := make([]float32, len(c.theta)), slices.Clone(c.text)
	wrong[5] = 4 // the last symbol, which is only predicted
	for what, f := range map[string]func(){
		"shape": func() { rnn.New(rnn.Shape{}, 1) }, "batch": func() { rnn.New(s, 0) },
		"theta": func() { c.network.Move(c.theta[1:], c.text) }, "text": func() { c.network.Move(c.theta, c.text[1:]) },
		"grad": func() { c.network.LossGrad(grad[1:], c.theta, c.text) }, "symbol": func() { c.network.LossGrad(grad, c.theta, wrong) },
		"symbol of Evaluate": func() { c.network.Evaluate(c.theta, wrong) }, "part of a window": func() { c.network.Evaluate(c.theta, c.text[1:]) },
		"too many":                func() { c.network.Evaluate(c.theta, make([]uint16, 9)) },
		"no point":                func() { c.products(c.v); c.lossGrad(); c.network.Hessian(grad, c.v) },
		"no point after Evaluate": func() { c.products(c.v); c.network.Evaluate(c.theta, c.text); c.network.Fisher(grad, c.v) },
		"dst":                     func() { c.products(c.v); c.network.Hessian(grad[1:], c.v) }, "v": func() { c.products(c.v); c.network.Fisher(grad, c.v[1:]) },
	} {
		func() {
			defer func() {
				if got, ok := recover().(string); !ok || !strings.HasPrefix(got, "rnn: ") {
					t.Errorf("%s: panics with %q", what, got)
				}
			}()
			f()
		}()
	}
}

func BenchmarkGradient(b *testing.B) {
	for _, c := range []struct{ units, batch int }{{20, 128}, {64, 32}, {128, 32}} {
		b.Run(fmt.Sprintf("units=%d/batch=%d", c.units, c.batch), func(b *testing.B) {
			s := newSetting(rnn.Shape{Symbols: 65, Units: c.units, Steps: 32}, c.batch, 1)
			grad := make([]float32, len(s.theta))
			b.ReportAllocs()
			for b.Loop() {
				s.network.LossGrad(grad, s.theta, s.text)
			}
		})
	}
}
