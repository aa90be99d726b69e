package mlp_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"learnedopt/internal/gemm/mlp"
	"learnedopt/internal/gemm/mlp/mlptest"
)

// A setting is a network at a random point, on a random minibatch, with two directions.
type setting struct {
	net            mlptest.Network
	curvature      *mlp.Curvature
	batch          []mlptest.Example
	theta, x, y    []float32
	v, u, hv, hu   []float32
	fv, fu, unused []float32
}

func newSetting(activation string, batch int, seed uint64, widths ...int) *setting {
	a, _ := mlp.ActivationOf(activation)
	s := &setting{net: mlptest.Network{Widths: widths, Activation: activation}, curvature: mlp.New(widths, a, batch)}
	rng := rand.New(rand.NewPCG(seed, 7))
	features, classes := widths[0], widths[len(widths)-1]
	s.x, s.y = make([]float32, batch*features), make([]float32, batch*classes)
	for i := range s.x {
		s.x[i] = rng.Float32()
	}
	for i := range batch {
		label := rng.IntN(classes)
		s.y[i*classes+label] = 1
		s.batch = append(s.batch, mlptest.Example{X: s.x[i*features:][:features], Label: label})
	}
	n := s.net.Size()
	for _, p := range []*[]float32{&s.theta, &s.v, &s.u, &s.hv, &s.hu, &s.fv, &s.fu, &s.unused} {
		*p = make([]float32, n)
	}
	for i := range n {
		s.theta[i], s.v[i], s.u[i] = float32(0.7*rng.NormFloat64()), float32(rng.NormFloat64()), float32(rng.NormFloat64())
	}
	s.curvature.Move(s.theta, s.x, s.y)
	s.curvature.Hessian(s.hv, s.v)
	s.curvature.Hessian(s.hu, s.u)
	s.curvature.Fisher(s.fv, s.v)
	s.curvature.Fisher(s.fu, s.u)
	return s
}

// settings cover every activation, no to three hidden layers, and widths on both sides of a kernel's panel.
func settings() map[string]*setting {
	all := map[string]*setting{}
	for i, widths := range [][]int{{6, 4}, {6, 5, 3}, {9, 7, 5, 4}, {12, 33, 10}, {8, 6, 20, 6, 3}} {
		for j, activation := range []string{"sigmoid", "tanh", "relu", "elu", "gelu", "silu", "leaky-relu"} {
			for _, batch := range []int{1, 17} {
				s := newSetting(activation, batch, uint64(10*i+j), widths...)
				all[fmt.Sprintf("%v %s batch=%d", widths, activation, batch)] = s
			}
		}
	}
	return all
}

// Products agree with an independent float64 implementation, which computes gradients by reverse mode and their
// derivatives along v by central differences. Sums of some tens of float32 products have errors of 10⁻⁶ of their
// largest terms, and here the terms are hardly larger than the sums.
func TestProductsMatchFloat64(t *testing.T) {
	for name, s := range settings() {
		theta := mlptest.Widen(s.theta)
		for _, c := range []struct {
			what string
			got  []float32
			want []float64
		}{
			{"H·v", s.hv, s.net.HessianVector(theta, mlptest.Widen(s.v), s.batch)},
			{"H·u", s.hu, s.net.HessianVector(theta, mlptest.Widen(s.u), s.batch)},
			{"F·v", s.fv, s.net.FisherVector(theta, mlptest.Widen(s.v), s.batch)},
			{"F·u", s.fu, s.net.FisherVector(theta, mlptest.Widen(s.u), s.batch)},
		} {
			bound := 1e-5
			if c.what[0] == 'F' {
				// The product subtracts the mean of the change of the logits. With one example and a class of probability
				// near 1 this cancels nearly all of it.
				bound = 1e-4
			}
			if d := mlptest.Far(c.got, c.want); !(d <= bound) {
				t.Errorf("%s: %s is %.2g of its largest coordinate from float64", name, c.what, d)
			}
		}
	}
}

// So do the loss and the gradient.
func TestLossAndGradientMatchFloat64(t *testing.T) {
	for name, s := range settings() {
		loss, grad := s.net.LossGrad(mlptest.Widen(s.theta), s.batch)
		if got := s.curvature.Loss(); !(math.Abs(got-loss) <= 1e-6*(1+loss)) {
			t.Errorf("%s: loss %v, in float64 %v", name, got, loss)
		}
		s.curvature.Gradient(s.unused)
		if d := mlptest.Far(s.unused, grad); !(d <= 1e-5) {
			t.Errorf("%s: the gradient is %.2g of its largest coordinate from float64", name, d)
		}
	}
}

// ⟨u, Mv⟩ = ⟨Mu, v⟩, and ⟨v, Fv⟩ ≥ 0. Some Hessian must have negative curvature, or the check of ⟨v, Fv⟩ would prove nothing.
func TestProductsAreSymmetric(t *testing.T) {
	negative := 0
	for name, s := range settings() {
		for what, p := range map[string][2][]float32{"Hessian": {s.hv, s.hu}, "Fisher": {s.fv, s.fu}} {
			a, b := mlptest.Dot(s.u, p[0]), mlptest.Dot(p[1], s.v)
			if size := math.Sqrt(mlptest.Dot(s.u, s.u) * mlptest.Dot(p[0], p[0])); !(math.Abs(a-b) <= 1e-6*size) {
				t.Errorf("%s, %s: ⟨u, Mv⟩ = %g, ⟨Mu, v⟩ = %g", name, what, a, b)
			}
		}
		if mlptest.Dot(s.v, s.fv) < 0 || mlptest.Dot(s.u, s.fu) < 0 {
			t.Errorf("%s: ⟨v, Fv⟩ is %g and %g", name, mlptest.Dot(s.v, s.fv), mlptest.Dot(s.u, s.fu))
		}
		if mlptest.Dot(s.v, s.hv) < 0 || mlptest.Dot(s.u, s.hu) < 0 {
			negative++
		}
	}
	if negative == 0 {
		t.Error("no Hessian has a negative direction")
	}
}

// Without hidden layers the logits are linear in θ, so that Fisher and Hessian are the same.
func TestSoftmaxRegression(t *testing.T) {
	s := newSetting("", 17, 5, 6, 4)
	if !slices.Equal(s.hv, s.fv) || mlptest.Dot(s.v, s.hv) <= 0 {
		t.Errorf("H·v = %v, F·v = %v", s.hv, s.fv)
	}
	deep := newSetting("tanh", 17, 5, 6, 5, 4)
	if slices.Equal(deep.hv, deep.fv) {
		t.Error("Fisher is the Hessian of a network with a hidden layer, too")
	}
}

// Adding the same number to all logits changes nothing, so both matrices are zero in that direction.
func TestShiftOfAllLogits(t *testing.T) {
	s := newSetting("sigmoid", 17, 6, 9, 7, 4)
	clear(s.v)
	for i := range 4 {
		s.v[len(s.v)-1-i] = 3
	}
	s.curvature.Hessian(s.hv, s.v)
	s.curvature.Fisher(s.fv, s.v)
	for i := range s.hv {
		if math.Abs(float64(s.hv[i])) > 1e-6 || math.Abs(float64(s.fv[i])) > 1e-6 {
			t.Fatalf("coordinate %d: H·v = %g, F·v = %g", i, s.hv[i], s.fv[i])
		}
	}
}

// dst may be v, products do not change the point, and a point does not depend on earlier points.
func TestProductsInPlaceAndAgain(t *testing.T) {
	for name, s := range settings() {
		theta := slices.Clone(s.theta)
		other := newSetting(s.net.Activation, len(s.batch), 99, s.net.Widths...)
		s.curvature.Move(other.theta, other.x, other.y)
		s.curvature.Hessian(s.unused, other.u)
		s.curvature.Move(s.theta, s.x, s.y)
		if !slices.Equal(s.theta, theta) {
			t.Errorf("%s: Move changed θ", name)
		}
		clear(s.theta) // the caller may change its slice
		for what, c := range map[string]struct {
			product func(dst, v []float32)
			want    []float32
		}{"Hessian": {s.curvature.Hessian, s.hv}, "Fisher": {s.curvature.Fisher, s.fv}} {
			copy(s.unused, s.v)
			c.product(s.unused, s.unused)
			if !slices.Equal(s.unused, c.want) {
				t.Errorf("%s: %s in place gives other numbers", name, what)
			}
		}
		if !slices.Equal(s.curvature.Theta(), theta) {
			t.Errorf("%s: the point changed", name)
		}
	}
}

func TestProductsAllocateNothing(t *testing.T) {
	s := newSetting("elu", 16, 1, 20, 8, 8, 4)
	if n := testing.AllocsPerRun(10, func() {
		s.curvature.Move(s.theta, s.x, s.y)
		s.curvature.Hessian(s.hv, s.v)
		s.curvature.Fisher(s.fv, s.v)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// The derivatives at the kinks agree with the gradient's choice, and first is the factor in Slope.
func TestActivationDerivatives(t *testing.T) {
	one := []float32{1, 1, 1}
	for name, want := range map[string][2][3]float32{ // at −∞ all but nothing, 0 and 1
		"relu": {{0, 0, 1}, {0, 0, 0}}, "elu": {{0, 1, 1}, {0, 0, 0}},
		"sigmoid": {{0, 0.25, 0.19661193}, {0, 0, -0.09085775}}, "tanh": {{0, 1, 0.41997434}, {0, 0, -0.63970001}},
		"leaky-relu": {{0.01, 0.01, 1}, {0, 0, 0}}, "gelu": {{0, 0.5, 1.08331547}, {0, 0.79788456, 0.24197072}}, "silu": {{0, 0.5, 0.92767051}, {0, 0.5, 0.30236611}},
	} {
		a, ok := mlp.ActivationOf(name)
		if !ok {
			t.Fatal(name)
		}
		h, first, second, slope := []float32{-200, 0, 1}, make([]float32, 3), make([]float32, 3), make([]float32, 3)
		if !a.OfInput {
			a.Apply(h)
		}
		a.Derivatives(first, second, h)
		a.Slope(slope, h, one)
		for i := range h {
			if math.Abs(float64(first[i]-want[0][i])) > 1e-6 || math.Abs(float64(second[i]-want[1][i])) > 1e-6 || slope[i] != first[i] {
				t.Errorf("%s of h = %v: derivatives %v and %v, slope %v", name, h[i], first[i], second[i], slope[i])
			}
		}
	}
	if _, ok := mlp.ActivationOf("swish"); ok {
		t.Error("an activation that there is not")
	}
}

func TestShapesPanic(t *testing.T) {
	s := newSetting("relu", 4, 1, 5, 3)
	short := make([]float32, len(s.theta)-1)
	for what, f := range map[string]func(){
		"one width": func() { mlp.New([]int{3}, mlp.Activation{}, 1) }, "no width": func() { mlp.New([]int{3, 0}, mlp.Activation{}, 1) },
		"no batch": func() { mlp.New([]int{3, 2}, mlp.Activation{}, 0) },
		"theta":    func() { s.curvature.Move(short, s.x, s.y) }, "x": func() { s.curvature.Move(s.theta, s.x[1:], s.y) },
		"y":   func() { s.curvature.Move(s.theta, s.x, s.y[1:]) },
		"dst": func() { s.curvature.Hessian(short, s.v) }, "v": func() { s.curvature.Fisher(s.fv, short) },
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
