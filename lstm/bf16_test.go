package lstm

import (
	"math"
	"math/rand/v2"
	"testing"

	"learnedopt/internal/simd"
)

// TestRoundedProducts bounds what kernels that round the factors of products change: updates and weights' gradients, relative to
// their norms, of new networks over 30 steps.
func TestRoundedProducts(t *testing.T) {
	rounding, err := simd.Select("avx512bf16")
	if err != nil {
		t.Skip(err)
	}
	exact, err := simd.Select("avx512")
	if err != nil {
		t.Fatal(err)
	}
	const n, steps = 300, 30
	far := func(got, want []float64) float64 {
		d, s := 0.0, 0.0
		for i, w := range want {
			d += (got[i] - w) * (got[i] - w)
			s += w * w
		}
		return math.Sqrt(d / s)
	}
	for _, cfg := range append([]Config{{}, configs[1]}, sighted...) {
		t.Run(name(cfg), func(t *testing.T) {
			net, _ := pair(t, cfg, 4)
			var updates, dphi [2][]float64
			for k, kernels := range []*simd.Kernels[float32]{exact, rounding} {
				s := (&Network{newCore(net.core.geometry, kernels, net.Params())}).Start(layoutOf(n)).(*State)
				start, grads := s.Clone(), gradients(rand.New(rand.NewPCG(5, 5)), steps+1, n)
				r := follow(s, grads, pointOf(n), 0)
				for _, row := range widen(r.updates) {
					updates[k] = append(updates[k], row...)
				}
				dphi[k] = make([]float64, net.core.size)
				new(Adjoint).Unroll(dphi[k], start, grads, r.contexts, nil)
			}
			u, d := far(updates[1], updates[0]), far(dphi[1], dphi[0])
			t.Logf("updates %.2g, gradient %.2g", u, d)
			if !(u < 0.02) || !(d < 0.05) || u == 0 {
				t.Errorf("updates differ by %.2g, the gradient by %.2g", u, d)
			}
		})
	}
}
