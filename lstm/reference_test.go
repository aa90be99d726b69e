package lstm_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"learnedopt/lstm"
	"learnedopt/optimizer"
)

// TestReferenceIsTheNetworkInFloat64 runs both on the same gradients and goes
// backwards through the same window and the same step. Float32 rounding over
// eight steps of a network this small stays below 1e-5 of the largest value.
func TestReferenceIsTheNetworkInFloat64(t *testing.T) {
	const n, steps = 40, 8 // more than a block
	for _, cfg := range []lstm.Config{
		{Hidden: 5}, {Hidden: 4, Inputs: lstm.RNNProp | lstm.Raw, Readout: lstm.Tanh, Dense: 3, Layers: 1},
	} {
		rng := rand.New(rand.NewPCG(5, 0))
		net, err := lstm.Init{}.Random(cfg, rng)
		if err != nil {
			t.Fatal(err)
		}
		ref, err := lstm.NewReference(cfg, widen(net.Params()))
		if err != nil {
			t.Fatal(err)
		}
		if ref.Config() != net.Config() {
			t.Fatalf("shape %+v, want %+v", ref.Config(), net.Config())
		}

		s, r := net.NewState(n), ref.NewState(n)
		startS, startR := s.Clone(), r.Clone()
		var grads [][]float32
		var wide [][]float64
		u, v := make([]float32, n), make([]float64, n)
		for range steps + 1 {
			g := make([]float32, n)
			for i := range g {
				g[i] = float32(rng.NormFloat64())
			}
			grads, wide = append(grads, g), append(wide, widen(g))
		}
		for k := range steps {
			s.Update(u, optimizer.Point{Grad: grads[k]})
			r.Update(v, wide[k])
			agree(t, "update", widen(u), v)
		}

		weights := []float64{1, 2, 0.5, 1, 3, 1, 1, 0.25}
		size := len(net.Params())
		got, want := make([]float64, size), make([]float64, size)
		want[0], got[0] = 3, 3 // both add
		new(lstm.Adjoint).Unroll(want, startS, grads, nil, weights)
		new(lstm.ReferenceAdjoint).Unroll(got, startR, wide, nil, weights)
		agree(t, "gradient of a window", want, got)

		// Two steps back, so that mu is read as well as written.
		mu, muR := net.NewState(n), ref.NewState(n)
		dg, dgR := make([]float32, n), make([]float64, n)
		for range 2 {
			new(lstm.Adjoint).Step(want, s, grads[0], nil, grads[1], mu, dg)
			new(lstm.ReferenceAdjoint).Step(got, r, wide[0], nil, wide[1], muR, dgR)
			agree(t, "gradient of a step", want, got)
			agree(t, "adjoint of the gradient", widen(dg), dgR)
		}
	}
}

func TestReferenceStateClone(t *testing.T) {
	ref, err := lstm.NewReference(lstm.Config{Hidden: 2, Layers: 1, Inputs: lstm.RNNProp}, ramp(2, 1))
	if err != nil {
		t.Fatal(err)
	}
	s := ref.NewState(3)
	u, v, g := make([]float64, 3), make([]float64, 3), []float64{1, -2, 0.5}
	s.Update(u, g)
	c := s.Clone()
	s.Update(u, g)
	after := slices.Clone(u)
	s.Update(u, g)
	c.Update(v, g)
	if !slices.Equal(v, after) {
		t.Errorf("the copy goes on with %v, the state with %v", v, after)
	}
	if slices.Equal(v, u) {
		t.Error("two updates in a row are the same: the test is blind")
	}
}

func TestNewReferenceRejects(t *testing.T) {
	cfg := lstm.Config{Hidden: 2, Layers: 1, Inputs: lstm.RNNProp}
	good := ramp(2, 1)
	for name, phi := range map[string][]float64{
		"too short": good[1:], "NaN": append(good[1:], math.NaN()), "Inf": append(good[1:], math.Inf(-1)),
	} {
		if _, err := lstm.NewReference(cfg, phi); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := lstm.NewReference(lstm.Config{Hidden: -1}, good); err == nil {
		t.Error("negative width: no error")
	}
	phi := slices.Clone(good)
	ref, err := lstm.NewReference(cfg, phi)
	if err != nil {
		t.Fatal(err)
	}
	a, b := make([]float64, 1), make([]float64, 1)
	ref.NewState(1).Update(a, []float64{1})
	clear(phi)
	ref.NewState(1).Update(b, []float64{1})
	if a[0] != b[0] {
		t.Error("φ was not copied")
	}
}

// ramp is φ of a network of one layer on two features.
func ramp(hidden, layers int) []float64 {
	size, err := lstm.Size(lstm.Config{Hidden: hidden, Layers: layers, Inputs: lstm.RNNProp})
	if err != nil {
		panic(err)
	}
	phi := make([]float64, size)
	for i := range phi {
		phi[i] = math.Sin(float64(3*i + 1))
	}
	return phi
}

func widen(x []float32) []float64 {
	wide := make([]float64, len(x))
	for i, v := range x {
		wide[i] = float64(v)
	}
	return wide
}

// agree holds every component to 1e-5 of the largest.
func agree(t *testing.T, what string, got, want []float64) {
	t.Helper()
	largest := 0.0
	for _, w := range want {
		largest = max(largest, math.Abs(w))
	}
	if largest == 0 {
		t.Fatalf("%s is 0: the test is blind", what)
	}
	for i := range want {
		if d := math.Abs(got[i] - want[i]); !(d <= 1e-5*largest) {
			t.Fatalf("%s: component %d is %g and %g", what, i, got[i], want[i])
		}
	}
}
