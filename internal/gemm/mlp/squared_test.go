package mlp_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"learnedopt/internal/gemm/mlp"
	"learnedopt/internal/gemm/mlp/mlptest"
)

// ⟨u, H v⟩ of the squared error agrees with differences of the loss in float64, and ⟨u, F v⟩ with 2/B Σ ⟨J u, J v⟩ by differences of the
// outputs. Central differences with h = 1e-3 are off by h² of third derivatives, which are of the size of the others here.
func TestSquaredProducts(t *testing.T) {
	tanh, _ := mlp.ActivationOf("tanh")
	for _, widths := range [][]int{{5, 1}, {4, 6, 1}, {3, 5, 4, 2}} {
		const batch = 7
		c := mlp.NewSquared(widths, tanh, batch)
		net := mlptest.Network{Widths: widths, Activation: "tanh"}
		n, in, out := len(c.Theta()), widths[0], widths[len(widths)-1]
		rng := rand.New(rand.NewPCG(2, uint64(n)))
		random := func(n int) []float32 {
			x := make([]float32, n)
			for i := range x {
				x[i] = float32(rng.NormFloat64())
			}
			return x
		}
		theta, x, y := random(n), random(batch*in), random(batch*out)
		c.Move(theta, x, y)
		at := func(a, b float64, u, v []float32) []float64 { // θ + a u + b v
			p := make([]float64, n)
			for i := range p {
				p[i] = float64(theta[i]) + a*float64(u[i]) + b*float64(v[i])
			}
			return p
		}
		loss := func(p []float64) (sum float64) {
			for i := range batch {
				for j, z := range net.Logits(p, x[i*in:(i+1)*in]) {
					d := z - float64(y[i*out+j])
					sum += d * d / batch
				}
			}
			return sum
		}
		whole := at(0, 0, theta, theta)
		if got, want := c.Loss(), loss(whole); math.Abs(got-want) > 1e-6*want {
			t.Errorf("%v: loss %v, want %v", widths, got, want)
		}
		grad := make([]float32, n)
		c.Gradient(grad)
		for range 5 {
			u, v, hv, fv := random(n), random(n), make([]float32, n), make([]float32, n)
			c.Hessian(hv, v)
			c.Fisher(fv, v)
			const h = 1e-3
			hessian := (loss(at(h, h, u, v)) - loss(at(h, -h, u, v)) - loss(at(-h, h, u, v)) + loss(at(-h, -h, u, v))) / (4 * h * h)
			fisher := 0.0
			for i := range batch {
				row := x[i*in : (i+1)*in]
				up, down := net.Logits(at(h, 0, u, v), row), net.Logits(at(-h, 0, u, v), row)
				right, left := net.Logits(at(0, h, u, v), row), net.Logits(at(0, -h, u, v), row)
				for j := range up {
					fisher += 2 * (up[j] - down[j]) * (right[j] - left[j]) / (4 * h * h * batch)
				}
			}
			size := math.Sqrt(mlptest.Dot(u, u) * mlptest.Dot(hv, hv))
			slope := (loss(at(h, 0, u, v)) - loss(at(-h, 0, u, v))) / (2 * h)
			if got := mlptest.Dot(u, grad); math.Abs(got-slope) > 1e-4*math.Sqrt(mlptest.Dot(u, u)*mlptest.Dot(grad, grad)) {
				t.Errorf("%v: ⟨u, g⟩ = %v, want %v", widths, got, slope)
			}
			if got := mlptest.Dot(u, hv); math.Abs(got-hessian) > 1e-4*size {
				t.Errorf("%v: ⟨u, Hv⟩ = %v, want %v", widths, got, hessian)
			}
			if got := mlptest.Dot(u, fv); math.Abs(got-fisher) > 1e-4*size {
				t.Errorf("%v: ⟨u, Fv⟩ = %v, want %v", widths, got, fisher)
			}
		}
	}
}
