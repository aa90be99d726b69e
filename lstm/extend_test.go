package lstm

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"learnedopt/optimizer"
)

// TestExtend expects an extended network to give the same updates at first, and
// other updates after its new weights have changed.
func TestExtend(t *testing.T) {
	for _, cfg := range []Config{
		{Hidden: 3},
		{Hidden: 3, Inputs: Raw | RNNProp, Dense: 4, Readout: Exp},
		{NoLSTM: true, Inputs: RNNProp},
	} {
		net, err := Init{}.Random(cfg, rand.New(rand.NewPCG(1, 1)))
		if err != nil {
			t.Fatal(err)
		}
		all := Raw | LogAndSign | RNNProp | Clock
		wide, err := net.Extend(all)
		if err != nil {
			t.Fatal(err)
		}
		if got := wide.Config().Inputs; got != all {
			t.Errorf("extended to %v, got %v", all, got)
		}
		phi := wide.Params()
		for i, p := range phi {
			if p == 0 {
				phi[i] = 0.5
			}
		}
		if n := wide.core.size - net.core.size; n != (7-net.core.features)*net.core.maps[0].out {
			t.Errorf("%d parameters more", n)
		}
		const n = 40
		a, b, c := net.NewState(n), wide.NewState(n), wide.With(phi).NewState(n)
		rng := rand.New(rand.NewPCG(2, 2))
		x, y, z, g := make([]float32, n), make([]float32, n), make([]float32, n), make([]float32, n)
		for range 4 {
			for i := range g {
				g[i] = float32(rng.NormFloat64())
			}
			a.Update(x, optimizer.Point{Grad: g})
			b.Update(y, optimizer.Point{Grad: g})
			c.Update(z, optimizer.Point{Grad: g})
			for i := range x { // up to the order of a sum
				if !near(float64(x[i]), float64(y[i]), 1e-6) {
					t.Fatalf("%s: %v became %v", name(cfg), x, y)
				}
			}
			if slices.Equal(x, z) {
				t.Fatalf("%s: the new inputs do nothing", name(cfg))
			}
		}
	}
	net, _ := Init{}.Random(Config{Hidden: 2, Inputs: RNNProp}, rand.New(rand.NewPCG(1, 1)))
	if _, err := net.Extend(LogAndSign); err == nil {
		t.Error("an input was dropped without a word")
	}
}

// TestAnneal expects unchanged updates up to step Anneal, and updates times √(Anneal/t) after it.
func TestAnneal(t *testing.T) {
	const n, anneal = 20, 3
	cfg := Config{Hidden: 3, Inputs: LogAndSign | Clock, Scale: 0.125}
	net, err := Init{}.Random(cfg, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	short, err := net.Annealed(anneal)
	if err != nil {
		t.Fatal(err)
	}
	if got := short.Config().Anneal; got != anneal || net.Config().Anneal != 0 {
		t.Errorf("annealed after %d steps, and the network that it was made from after %d", got, net.Config().Anneal)
	}
	a, b := net.NewState(n), short.NewState(n)
	x, y, g := make([]float32, n), make([]float32, n), make([]float32, n)
	rng := rand.New(rand.NewPCG(2, 2))
	for step := 1; step <= 4*anneal; step++ {
		for i := range g {
			g[i] = float32(rng.NormFloat64())
		}
		a.Update(x, optimizer.Point{Grad: g})
		b.Update(y, optimizer.Point{Grad: g})
		for i := range x {
			want := float64(x[i]) * math.Sqrt(min(1, anneal/float64(step)))
			if step <= anneal && x[i] != y[i] || !near(float64(y[i]), want, 1e-6) {
				t.Fatalf("step %d: update %v, not %v", step, y[i], want)
			}
		}
	}
	if _, err := net.Annealed(-1); err == nil {
		t.Error("updates that shrink after -1 steps were accepted")
	}
}

func TestWithOrthogonalMean(t *testing.T) {
	net, _ := pair(t, Config{Hidden: 2, Layers: 1, Inputs: Momenta, Readout: Mix, Orthogonal: true}, 1)
	mean, err := net.WithHalfState().WithOrthogonalMean()
	if err != nil {
		t.Fatal(err)
	}
	want := net.Config()
	want.OrthogonalMean = true
	if mean.Config() != want || !slices.Equal(mean.Params(), net.Params()) || !mean.HalfState() || net.Config().OrthogonalMean {
		t.Errorf("%+v, float16 %v", mean.Config(), mean.HalfState())
	}
	blind, _ := pair(t, Config{}, 1)
	if _, err := blind.WithOrthogonalMean(); err == nil {
		t.Error("a network without orthogonal directions averages their weights")
	}
}

// TestWithHyper expects the same updates as without the hypernetwork, which can learn: its gradient is not 0.
func TestWithHyper(t *testing.T) {
	const n, steps = 70, 6
	plain, _ := pair(t, Config{Hidden: 3, Layers: 1, Inputs: Momenta, Readout: Mix, Context: NormContext | TimeContext, FanIn: true, Orthogonal: true, OrthogonalMean: true}, 1)
	net, err := plain.WithHalfState().WithHyper(4, rand.New(rand.NewPCG(2, 2)))
	if err != nil {
		t.Fatal(err)
	}
	want := plain.Config()
	want.Hyper = 4
	if net.Config() != want || !net.HalfState() || plain.Config().Hyper != 0 || !slices.Equal(net.Params()[:plain.Size()], plain.Params()) {
		t.Errorf("configuration %+v", net.Config())
	}
	whole, err := plain.WithHyper(4, rand.New(rand.NewPCG(2, 2)))
	if err != nil {
		t.Fatal(err)
	}
	grads := gradients(rand.New(rand.NewPCG(3, 3)), steps+1, n)
	state := whole.Start(layoutOf(n)).(*State)
	start := state.Clone()
	r := follow(state, grads, pointOf(n), 0)
	sameRows(t, "updates", r.updates, follow(plain.Start(layoutOf(n)).(*State), grads, pointOf(n), 0).updates)
	dphi := make([]float64, whole.Size())
	new(Adjoint).Unroll(dphi, start, grads, r.contexts, nil)
	if h := whole.core.hyper; dphi[len(dphi)-1] == 0 || dphi[h.off+h.first()] == 0 {
		t.Error("the new weights have no gradient")
	}
	if _, err := whole.WithHyper(4, rand.New(rand.NewPCG(2, 2))); err == nil {
		t.Error("a second hypernetwork was added")
	}
	for what, cfg := range map[string]Config{
		"without a context":                     {Inputs: Momenta, Readout: Mix},
		"without mix":                           {Inputs: Momenta, Context: TimeContext},
		"with a weight a coordinate":            {Inputs: Momenta, Readout: Mix, Context: TimeContext, Orthogonal: true},
		"of a negative number of units":         {Inputs: Momenta, Readout: Mix, Context: TimeContext, Hyper: -2},
		"of more units than a network can have": {Inputs: Momenta, Readout: Mix, Context: TimeContext, Hyper: maxHidden},
	} {
		cfg.Hyper++
		if cfg.Validate() == nil {
			t.Errorf("a hypernetwork %s is accepted", what)
		}
	}
}
