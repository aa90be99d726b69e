package conv_test

import (
	"math"
	"slices"
	"testing"

	"learnedopt/internal/gemm/conv"
	"learnedopt/internal/gemm/mlp/mlptest"
)

// products returns H·v and F·v at the setting's point.
func (c *setting) products(v []float32) (hessian, fisher []float32) {
	hessian, fisher = make([]float32, len(v)), make([]float32, len(v))
	c.network.Move(c.theta, c.x, c.y)
	c.network.Hessian(hessian, v)
	c.network.Fisher(fisher, v)
	return hessian, fisher
}

// Products agree with an independent float64 implementation, which computes gradients by reverse mode and their
// derivatives along v by central differences. Sums of some hundreds of float32 products have errors of 10⁻⁶ of their
// largest terms, and here the terms are hardly larger than the sums.
func TestProductsMatchFloat64(t *testing.T) {
	for name, c := range settings() {
		theta, v := mlptest.Widen(c.theta), mlptest.Widen(c.v)
		hessian, fisher := c.products(c.v)
		if d := mlptest.Far(hessian, c.net.HessianVector(theta, v, c.batch)); !(d <= 1e-5) {
			t.Errorf("%s: H·v is %.2g of its largest coordinate from float64", name, d)
		}
		if d := mlptest.Far(fisher, c.net.FisherVector(theta, v, c.batch)); !(d <= 1e-5) {
			t.Errorf("%s: F·v is %.2g of its largest coordinate from float64", name, d)
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

// dst may be v, products do not change the point, a LossGrad sets the same point as a Move, and a point does not depend on
// earlier points.
func TestProductsInPlaceAndAgain(t *testing.T) {
	for name, c := range settings() {
		hessian, fisher := c.products(c.v)
		theta, unused := slices.Clone(c.theta), make([]float32, len(c.v))
		other := newSetting(c.network.Shape(), c.net.Activation, len(c.batch), 99)
		other.products(other.u)
		c.network = other.network
		c.lossGrad()
		if !slices.Equal(c.theta, theta) {
			t.Errorf("%s: LossGrad changed θ", name)
		}
		clear(c.theta) // the caller may change its slices
		clear(c.x)
		for what, p := range map[string]struct {
			product func(dst, v []float32)
			want    []float32
		}{"Hessian": {c.network.Hessian, hessian}, "Fisher": {c.network.Fisher, fisher}} {
			copy(unused, c.v)
			p.product(unused, unused)
			if !slices.Equal(unused, p.want) {
				t.Errorf("%s: %s in place after LossGrad gives other numbers", name, what)
			}
		}
		if !slices.Equal(c.network.Theta(), theta) {
			t.Errorf("%s: the point changed", name)
		}
	}
}

func TestProductsAllocateNothing(t *testing.T) {
	c := newSetting(conv.Shape{Channels: 1, Rows: 8, Cols: 8, Filters: []int{4, 6}, Classes: 4}, "elu", 16, 1)
	dst := make([]float32, len(c.theta))
	if n := testing.AllocsPerRun(10, func() {
		c.network.Move(c.theta, c.x, c.y)
		c.network.Hessian(dst, c.v)
		c.network.Fisher(dst, c.v)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkHessian moves to a new point for each product, as meta-training does; BenchmarkHessianAgain stays at one, as
// conjugate gradients do.
func BenchmarkHessian(b *testing.B)      { benchmarkProducts(b, true) }
func BenchmarkHessianAgain(b *testing.B) { benchmarkProducts(b, false) }

func benchmarkProducts(b *testing.B, moves bool) {
	for _, c := range benchmarks {
		b.Run(c.name+"/relu", func(b *testing.B) {
			s := newSetting(c.shape, "relu", c.batch, 1)
			dst := make([]float32, len(s.theta))
			s.network.Move(s.theta, s.x, s.y)
			s.network.Hessian(dst, s.v)
			for b.Loop() {
				if moves {
					s.network.Move(s.theta, s.x, s.y)
				}
				s.network.Hessian(dst, s.v)
			}
		})
	}
}
