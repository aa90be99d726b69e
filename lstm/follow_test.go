package lstm_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"learnedopt/lstm"
)

// TestFollowAgainstFiniteDifferences differentiates L = Σ_t ⟨c_t, u_t⟩ by central
// differences in float64 with h = 1e-5, where truncation, h², and rounding,
// 1e-16/h, both are below 1e-9; and the network in float32 agrees with it.
func TestFollowAgainstFiniteDifferences(t *testing.T) {
	const n, steps, h = 5, 4, 1e-5
	for _, cfg := range []lstm.Config{
		{Hidden: 3}, {Hidden: 3, Layers: 1, Inputs: lstm.Raw | lstm.RNNProp, Dense: 2, Readout: lstm.Tanh},
		{NoLSTM: true, Inputs: lstm.Raw}, {Hidden: 2, Readout: lstm.Exp, Inputs: lstm.RNNProp},
	} {
		rng := rand.New(rand.NewPCG(8, 0))
		net, err := lstm.Init{}.Random(cfg, rng)
		if err != nil {
			t.Fatal(err)
		}
		var grads, slopes [][]float32
		var wide, wideSlopes [][]float64
		for range steps {
			g, c := make([]float32, n), make([]float32, n)
			for i := range g {
				g[i], c[i] = float32(rng.NormFloat64()), float32(rng.NormFloat64())
			}
			grads, slopes = append(grads, g), append(slopes, c)
			wide, wideSlopes = append(wide, widen(g)), append(wideSlopes, widen(c))
		}
		phi := widen(net.Params())
		loss := func(phi []float64) float64 {
			ref, err := lstm.NewReference(cfg, phi)
			if err != nil {
				t.Fatal(err)
			}
			s, u, sum := ref.NewState(n), make([]float64, n), 0.0
			for k, g := range wide {
				s.Update(u, g)
				for i := range u {
					sum += wideSlopes[k][i] * u[i]
				}
			}
			return sum
		}
		want := make([]float64, len(phi))
		for i := range phi {
			side := func(sign float64) float64 {
				moved := slices.Clone(phi)
				moved[i] += sign * h
				return loss(moved)
			}
			want[i] = (side(1) - side(-1)) / (2 * h)
		}
		ref, err := lstm.NewReference(cfg, phi)
		if err != nil {
			t.Fatal(err)
		}
		got, single := make([]float64, len(phi)), make([]float64, len(phi))
		got[0], single[0] = 1, 1 // it adds
		new(lstm.ReferenceAdjoint).Follow(got, ref.NewState(n), wide, nil, wideSlopes)
		new(lstm.Adjoint).Follow(single, net.NewState(n), grads, nil, slopes)
		got[0]--
		single[0]--
		for i := range want {
			if math.Abs(got[i]-want[i]) > 1e-8 || math.Abs(single[i]-want[i]) > 1e-5 {
				t.Fatalf("%+v: φ[%d]: %v, in float32 %v, differences give %v", cfg, i, got[i], single[i], want[i])
			}
		}
	}
}
