package conv

import (
	"math"
	"math/rand/v2"
	"testing"

	"learnedopt/internal/gemm"
	"learnedopt/internal/simd"
)

func random(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

// The convolution is linear in the image and in the kernel, and the backward pass has the two transposes:
//
//	⟨x ∗ K, d⟩ = ⟨x, convolve(d, flip K)⟩ = ⟨K, correlate(x, d)⟩.
//
// The three sums have the same terms. Each float32 sum has at most a thousand of them.
func TestAdjointIdentity(t *testing.T) {
	for _, path := range simd.Paths() {
		g, rng := gemm.Select(path), rand.New(rand.NewPCG(1, 2))
		for _, k := range []Layer{{2, 2, 1, 1}, {3, 5, 2, 3}, {8, 8, 1, 8}, {6, 9, 8, 16}, {14, 14, 3, 33}} {
			image, w := random(rng, k.Rows*k.Cols*k.Inputs), random(rng, k.weights())
			x := k.raster(2, k.Inputs)
			k.put(x, random(rng, len(image)), 0, k.Inputs) // a neighbour that must not leak in
			k.put(x, image, 1, k.Inputs)
			x = x[k.image()*k.Inputs:]

			s := newSum(k)
			at, d := make([]int32, 0), random(rng, k.Rows*k.Cols*k.Outputs)
			for p := range k.Rows * k.Cols {
				for o := range k.Outputs {
					at = append(at, int32((p/k.Cols*k.width()+p%k.Cols)*k.Outputs+o))
				}
			}
			dz := k.raster(1, k.Outputs)
			k.spread(dz, d, at)

			z, dx := make([]float32, k.outputs()*k.Outputs), make([]float32, k.outputs()*k.Inputs)
			flipped, dw, back := make([]float32, len(w)), make([]float32, len(w)), make([]float32, len(image))
			k.convolve(g, z, x, w, k.Inputs, k.Outputs, false)
			k.flip(flipped, w)
			k.convolve(g, dx, dz, flipped, k.Outputs, k.Inputs, false)
			k.get(back, dx)
			s.add(g, x, dz)
			s.write(dw)

			var forward, size, inputs, weights float64
			for i, j := range at {
				forward += float64(z[j]) * float64(d[i])
				size += math.Abs(float64(z[j]) * float64(d[i]))
			}
			for i, v := range image {
				inputs += float64(v) * float64(back[i])
			}
			for i, v := range w {
				weights += float64(v) * float64(dw[i])
			}
			if bound := 1e-5 * size; !(math.Abs(forward-inputs) <= bound && math.Abs(forward-weights) <= bound) {
				t.Errorf("%s, %+v: ⟨x∗K, d⟩ = %g, ⟨x, ·⟩ = %g, ⟨K, ·⟩ = %g", path, k, forward, inputs, weights)
			}
		}
	}
}

// A pool takes the largest number, whatever its sign and place, and a NaN of either sign before all numbers.
func TestPool(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	k := Layer{Rows: 3, Cols: 5, Inputs: 1, Outputs: 5}
	h, winner := make([]float32, k.features()), make([]int32, k.features())
	for _, c := range []struct {
		square [4]float32
		want   int
	}{
		{[4]float32{1, 2, 3, 4}, 3}, {[4]float32{-1, -2, -3, -4}, 0}, {[4]float32{-3, 0.5, -0.5, 0}, 1}, {[4]float32{-2, -3, -1, -1.0001}, 2},
		{[4]float32{inf, 1, 2, 3}, 0}, {[4]float32{-inf, -inf, -inf, -3e38}, 3}, {[4]float32{1, nan, inf, 2}, 1},
		{[4]float32{-1, 1, 2, math.Float32frombits(math.Float32bits(nan) | 1<<31)}, 3},
	} {
		z := make([]float32, k.outputs()*k.Outputs)
		for i := range z {
			z[i] = nan // pixels that belong to no square
		}
		for y := range 2 {
			for x := range 4 {
				for o := range k.Outputs {
					z[(y*k.width()+x)*k.Outputs+o] = c.square[y*2+x%2] + float32(o*(x/2))
				}
			}
		}
		k.pool(h, winner, z)
		for i, v := range h {
			o, x := i%k.Outputs, i/k.Outputs
			want := c.square[c.want] + float32(o*x)
			at := int32((c.want/2*k.width()+c.want%2+2*x)*k.Outputs + o)
			if winner[i] != at || v != want && want == want || v == v && want != want {
				t.Errorf("%v, square %d, channel %d: %v at %d, want %v at %d", c.square, x, o, v, winner[i], want, at)
			}
		}
	}
}
