package lstm

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"learnedopt/optimizer"
)

// plainCount takes one step of a network with LogAndSign inputs for one coordinate in float64,
// written directly from the equations, and counts the saturated gates. h and c are its state.
func plainCount(net *Network, h, c [][]float64, g float64, saturated [][4]int) (update float64) {
	cfg := net.Config()
	tensor := func(i int) []float32 { return net.Tensors()[i].Data }
	sigma := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	x := []float64{-1, math.Exp(cfg.SignP) * g}
	if math.Abs(g) >= math.Exp(-cfg.P) {
		x[0] = math.Log(math.Abs(g)) / cfg.P
	}
	x[1] = max(-1, min(1, x[1]))
	for k := range cfg.Layers {
		w, b, units := tensor(2*k), tensor(2*k+1), cfg.Hidden
		in := append(slices.Clone(x), h[k]...)
		z := make([]float64, 4*units)
		for i := range z {
			z[i] = float64(b[i])
			for j, v := range in {
				z[i] += v * float64(w[j*4*units+i])
			}
		}
		for u := range units {
			i, f, tg, o := sigma(z[u]), sigma(z[units+u]), math.Tanh(z[2*units+u]), sigma(z[3*units+u])
			for gate, far := range [4]bool{math.Abs(i-0.5) > 0.45, math.Abs(f-0.5) > 0.45, math.Abs(tg) > 0.95, math.Abs(o-0.5) > 0.45} {
				if far {
					saturated[k][gate]++
				}
			}
			c[k][u] = f*c[k][u] + i*tg
			h[k][u] = o * math.Tanh(c[k][u])
		}
		x = h[k]
	}
	w, b := tensor(2*cfg.Layers), tensor(2*cfg.Layers+1)
	y := float64(b[0])
	for j, v := range x {
		y += v * float64(w[j])
	}
	return cfg.Scale * y
}

// TestProbeAgainstTheEquations looks at twelve steps of a network whose gains saturate every
// gate now and then. It compares every number with one computed coordinate by coordinate
// in float64. Counts must be equal: no activation here is so close to a threshold that rounding matters.
func TestProbeAgainstTheEquations(t *testing.T) {
	const n, steps = 75, 12 // two blocks and a part
	cfg := Config{Hidden: 3, P: 4, SignP: 2}
	net, err := Init{Gain: 4, InputGain: 3}.Random(cfg, rand.New(rand.NewPCG(9, 1)))
	if err != nil {
		t.Fatal(err)
	}
	grads := gradients(rand.New(rand.NewPCG(2, 2)), steps, n)
	for i := range grads {
		grads[i][i] = 0
	}
	state := net.NewState(n)
	var (
		probe  Probe
		got    Activity
		want   = Activity{Saturated: make([][4]int, 2)}
		update = make([]float32, n)
		h, c   = make([][][]float64, n), make([][][]float64, n)
	)
	for i := range n {
		h[i], c[i] = [][]float64{make([]float64, 3), make([]float64, 3)}, [][]float64{make([]float64, 3), make([]float64, 3)}
	}
	for _, g := range grads {
		seen := probe.Look(&got, state, optimizer.Point{Grad: g})
		state.Update(update, optimizer.Point{Grad: g})
		if !slices.Equal(seen, update) { // to the last bit
			t.Fatalf("the probe sees %v, the update is %v", seen, update)
		}
		for i, v := range g {
			wide := float64(v)
			u := plainCount(net, h[i], c[i], wide, want.Saturated)
			want.Coordinates++
			want.Grad2 += wide * wide
			want.Update2 += u * u
			switch size := math.Abs(wide); {
			case size == 0:
				want.Zero++
			case size < math.Exp(-4):
				want.Small++
			}
			if math.Abs(wide) >= math.Exp(-2) {
				want.Clipped++
			}
		}
	}
	for layer, counts := range want.Saturated {
		for gate, k := range counts {
			if total := 3 * want.Coordinates; k < total/20 || k > total*19/20 {
				t.Errorf("layer %d, gate %d: %d of %d saturated: the test is blind", layer, gate, k, total)
			}
		}
	}
	if want.Zero == 0 || want.Small < 20 || want.Clipped < 20 {
		t.Errorf("%+v: the test is blind", want)
	}
	if got.Coordinates != want.Coordinates || got.Zero != want.Zero || got.Small != want.Small || got.Clipped != want.Clipped ||
		!slices.Equal(got.Saturated, want.Saturated) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for _, pair := range [][2]float64{{got.Grad2, want.Grad2}, {got.Update2, want.Update2}} {
		if math.Abs(pair[0]-pair[1]) > 1e-4*pair[1] {
			t.Errorf("sum of squares %g, want %g", pair[0], pair[1])
		}
	}

	twice := got
	twice.Saturated = slices.Clone(got.Saturated)
	twice.Add(got)
	if twice.Coordinates != 2*got.Coordinates || twice.Saturated[1][2] != 2*got.Saturated[1][2] || twice.Small != 2*got.Small ||
		twice.Update2 != 2*got.Update2 || twice.Grad2 != 2*got.Grad2 || twice.Clipped != 2*got.Clipped || twice.Zero != 2*got.Zero {
		t.Errorf("an activity added to itself: %+v", twice)
	}
}

// A look takes at most 256 of many coordinates, and the next looks take others, until all
// have had their turn. Looking changes no bit of the run.
func TestProbeSamplesAndLeavesTheRunAlone(t *testing.T) {
	const n = 32 * 15
	for _, cfg := range []Config{{Hidden: 4}, {Hidden: 3, Layers: 1, Inputs: Raw | RNNProp | Clock, Readout: Exp, Dense: 2, Anneal: 2}, {NoLSTM: true, Inputs: Raw}} {
		net, err := Init{}.Random(cfg, rand.New(rand.NewPCG(3, 3)))
		if err != nil {
			t.Fatal(err)
		}
		grads := gradients(rand.New(rand.NewPCG(4, 2)), 3, n)
		looked, plain := net.NewState(n), net.NewState(n)
		u, v := make([]float32, n), make([]float32, n)
		seen := map[float32]bool{}
		var (
			probe Probe
			a     Activity
		)
		for k := range 2 {
			part := probe.Look(&a, looked, optimizer.Point{Grad: grads[0]})
			if want := 32 * (8 - k); len(part) != want {
				t.Fatalf("%d coordinates looked at, want %d", len(part), want)
			}
			for _, x := range part {
				seen[x] = true
			}
		}
		for k, g := range grads {
			probe.Look(&a, looked, optimizer.Point{Grad: g})
			looked.Update(u, optimizer.Point{Grad: g})
			plain.Update(v, optimizer.Point{Grad: g})
			if !slices.Equal(u, v) {
				t.Fatalf("%+v: step %d of a run that was looked at is another", cfg, k)
			}
			if k == 0 {
				for i, x := range u {
					if !seen[x] {
						t.Fatalf("%+v: coordinate %d had no turn", cfg, i)
					}
				}
			}
		}
		if a.Coordinates != 32*(8+7+8+7+8) || len(a.Saturated) != net.Config().Layers {
			t.Errorf("%+v", a)
		}
		if cfg.Inputs != 0 && a.Small+a.Clipped > 0 {
			t.Errorf("clipped inputs without log-and-sign: %+v", a)
		}
	}
}

// A look at all coordinates of tensors with an orthogonal direction gives the updates that the network writes.
func TestProbeOfOrthogonal(t *testing.T) {
	const n = 75
	for _, cfg := range sighted {
		if !cfg.Orthogonal {
			continue
		}
		net, _ := pair(t, cfg, 4)
		s, grads := net.Start(layoutOf(n)).(*State), gradients(rand.New(rand.NewPCG(4, 4)), 5, n)
		follow(s, grads, pointOf(n), 40)
		point := optimizer.Point{Grad: grads[4], Theta: pointOf(n), Total: 40}
		var p Probe
		var activity Activity
		got, want := p.Look(&activity, s, point), make([]float32, n)
		s.Update(want, point)
		sameRows(t, name(cfg), [][]float32{got}, [][]float32{want})
	}
}

// Neither an update nor a look allocates after the first.
func TestProbeAllocatesNothing(t *testing.T) {
	net, _ := pair(t, Config{}, 4)
	const n = 40 // below the size from which on cores share an update
	state, g, u := net.NewState(n), gradients(rand.New(rand.NewPCG(1, 1)), 1, n)[0], make([]float32, n)
	var (
		probe Probe
		a     Activity
	)
	step := func() {
		probe.Look(&a, state, optimizer.Point{Grad: g})
		state.Update(u, optimizer.Point{Grad: g})
	}
	step()
	if allocs := testing.AllocsPerRun(20, step); allocs != 0 {
		t.Errorf("%v allocations a step", allocs)
	}
}

func TestProbePanicsOnALength(t *testing.T) {
	net, _ := pair(t, Config{}, 4)
	defer func() {
		if recover() != errLength {
			t.Error("no panic")
		}
	}()
	new(Probe).Look(new(Activity), net.NewState(3), optimizer.Point{Grad: make([]float32, 2)})
}
