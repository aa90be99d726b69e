package lstm

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"learnedopt/internal/simd"
	"learnedopt/optimizer"
)

// pair returns the same random network in float32 and in float64.
func pair(t testing.TB, cfg Config, seed uint64) (*Network, *core[float64]) {
	t.Helper()
	net, err := Init{}.Random(cfg, rand.New(rand.NewPCG(seed, 1)))
	if err != nil {
		t.Fatal(err)
	}
	phi := make([]float64, net.core.size)
	for i, p := range net.core.phi {
		phi[i] = float64(p)
	}
	return net, newCore(newGeometry(cfg), simd.Reference[float64](), phi)
}

// gradients returns rows of n gradients of many magnitudes.
func gradients(rng *rand.Rand, rows, n int) [][]float32 {
	g := make([][]float32, rows)
	for t := range g {
		g[t] = make([]float32, n)
		for i := range g[t] {
			g[t][i] = float32(rng.NormFloat64() * math.Exp(-8*rng.Float64()))
		}
	}
	return g
}

func widen(rows [][]float32) [][]float64 {
	w := make([][]float64, len(rows))
	for t, row := range rows {
		w[t] = make([]float64, len(row))
		for i, v := range row {
			w[t][i] = float64(v)
		}
	}
	return w
}

// TestFloat32AgainstFloat64 compares updates and meta-gradient of the float32 path
// with the float64 path over twenty steps. Every step rounds sums of at most 42
// terms below 1, so a tolerance of 1e-5 of the largest component allows for rounding,
// and any other error exceeds it.
func TestFloat32AgainstFloat64(t *testing.T) {
	for _, cfg := range append(configs, Config{}, Config{Inputs: RNNProp, Readout: Tanh, Dense: 20}, Config{Hidden: 64, Layers: 4}, Config{Hidden: 5, Layers: 4}) {
		t.Run(name(cfg), func(t *testing.T) {
			const n, steps = 75, 20
			net, c := pair(t, cfg, 3)
			grads := gradients(rand.New(rand.NewPCG(4, 4)), steps+1, n)
			wide := widen(grads)

			s, d := net.NewState(n), warm(c, n, 0)
			u, v := make([]float32, n), make([]float64, n)
			for k := range steps {
				s.Update(u, optimizer.Point{Grad: grads[k]})
				d.update(v, wide[k], nil, 0)
				compare(t, "update", u, v, 1e-5)
			}

			dphi, want := make([]float64, c.size), make([]float64, c.size)
			new(Adjoint).Unroll(dphi, net.NewState(n), grads, nil, nil)
			new(adjoint[float64]).run(want, warm(c, n, 0), wide[:steps], nil, wide[1:], nil, nil, nil)
			compare(t, "meta-gradient", dphi, want, 1e-5)

			mu, dmu := net.NewState(n), warm(c, n, 0)
			dg, dgWant := make([]float32, n), make([]float64, n)
			clear(dphi)
			clear(want)
			new(Adjoint).Step(dphi, s, grads[0], nil, grads[1], mu, dg)
			new(adjoint[float64]).run(want, d, wide[:1], nil, wide[1:2], nil, dmu, dgWant)
			compare(t, "meta-gradient of a step", dphi, want, 1e-5)
			compare(t, "adjoint of the gradient", dg, dgWant, 1e-4)
			compare(t, "adjoint of the state", mu.s.data, dmu.data, 1e-4)
		})
	}
}

// compare fails if got differs from want by more than tol times want's largest
// component.
func compare[A, B simd.Float](t *testing.T, what string, got []A, want []B, tol float64) {
	t.Helper()
	largest := 0.0
	for _, w := range want {
		largest = max(largest, math.Abs(float64(w)))
	}
	for i := range got {
		if !(math.Abs(float64(got[i])-float64(want[i])) <= tol*largest) {
			t.Fatalf("%s %d is %v, want %v within %.2g", what, i, got[i], want[i], tol*largest)
		}
	}
}

// TestAdjointIsTransposeOfTangent checks ⟨J·δ, λ⟩ = ⟨δ, Jᵀλ⟩ for one step, δ a
// change of gradient, state and φ together, J·δ by central differences in float64.
func TestAdjointIsTransposeOfTangent(t *testing.T) {
	for _, cfg := range configs {
		t.Run(name(cfg), func(t *testing.T) {
			const n, h = 5, 1e-6
			rng := rand.New(rand.NewPCG(5, 6))
			c := randomCore(cfg, rng)
			at := warm(c, n, 3)
			random := func(n int) []float64 {
				x := make([]float64, n)
				for i := range x {
					x[i] = rng.NormFloat64()
				}
				return x
			}
			g, lambda := random(n), random(n)
			dg, dphi := random(n), random(c.size)
			ds, mu := warm(c, n, 0), warm(c, n, 0)
			for i := range ds.data { // padding lanes have no update: leave them 0
				if i%lanes < n {
					ds.data[i], mu.data[i] = 0.1*rng.NormFloat64(), rng.NormFloat64()
				}
			}
			// forward returns ⟨(u, s'), (λ, μ)⟩ at a distance d along δ.
			forward := func(d float64) float64 {
				phi, gd := slices.Clone(c.phi), slices.Clone(g)
				for i := range phi {
					phi[i] += d * dphi[i]
				}
				for i := range gd {
					gd[i] += d * dg[i]
				}
				s := clone(newCore(c.geometry, c.k, phi), at)
				for i := range s.data {
					s.data[i] += d * ds.data[i]
				}
				u := make([]float64, n)
				s.update(u, gd, nil, 0)
				sum := 0.0
				for i := range u {
					sum += u[i] * lambda[i]
				}
				for i := range s.data {
					sum += s.data[i] * mu.data[i]
				}
				return sum
			}
			tangent := (forward(h) - forward(-h)) / (2 * h)

			gotPhi, gotG, gotMu := make([]float64, c.size), make([]float64, n), clone(c, mu)
			new(adjoint[float64]).run(gotPhi, at, [][]float64{g}, nil, [][]float64{lambda}, nil, gotMu, gotG)
			transpose := 0.0
			for i := range gotPhi {
				transpose += gotPhi[i] * dphi[i]
			}
			for i := range gotG {
				transpose += gotG[i] * dg[i]
			}
			for i := range gotMu.data {
				transpose += gotMu.data[i] * ds.data[i]
			}
			if !near(tangent, transpose, 1e-7) {
				t.Errorf("⟨Jδ, λ⟩ = %.10g but ⟨δ, Jᵀλ⟩ = %.10g", tangent, transpose)
			}
		})
	}
}

// TestSameBitsOnAnyNumberOfCores runs updates and adjoints with one and with two
// processors.
func TestSameBitsOnAnyNumberOfCores(t *testing.T) {
	const n, steps = 2000, 3
	net, _ := pair(t, Config{}, 7)
	grads := gradients(rand.New(rand.NewPCG(8, 8)), steps+1, n)
	run := func(procs int) ([]float32, []float64) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
		s, u := net.NewState(n), make([]float32, n)
		for k := range steps {
			s.Update(u, optimizer.Point{Grad: grads[k]})
		}
		dphi := make([]float64, net.core.size)
		new(Adjoint).Unroll(dphi, net.NewState(n), grads, nil, nil)
		return u, dphi
	}
	u1, d1 := run(1)
	u2, d2 := run(2)
	if !slices.Equal(u1, u2) {
		t.Error("updates differ")
	}
	if !slices.Equal(d1, d2) {
		t.Error("meta-gradients differ")
	}
}

func TestNoAllocations(t *testing.T) {
	const n, steps = 2000, 3
	net, _ := pair(t, Config{Inputs: LogAndSign | RNNProp}, 9)
	grads := gradients(rand.New(rand.NewPCG(8, 8)), steps+1, n)
	s, u := net.NewState(n), make([]float32, n)
	if allocs := testing.AllocsPerRun(10, func() { s.Update(u, optimizer.Point{Grad: grads[0]}) }); allocs != 0 {
		t.Errorf("Update allocates %v times", allocs)
	}
	var a Adjoint
	dphi, mu, dg := make([]float64, net.core.size), net.NewState(n), make([]float32, n)
	if allocs := testing.AllocsPerRun(5, func() { a.Unroll(dphi, s, grads, nil, nil) }); allocs != 0 {
		t.Errorf("Adjoint.Unroll allocates %v times", allocs)
	}
	if allocs := testing.AllocsPerRun(5, func() { a.Step(dphi, s, grads[0], nil, u, mu, dg) }); allocs != 0 {
		t.Errorf("Adjoint.Step allocates %v times", allocs)
	}
}

func TestConfigRejects(t *testing.T) {
	for want, cfg := range map[string]Config{
		"inputs": {Inputs: 64}, "p of": {P: -1}, "p  of": {P: math.NaN()}, "hidden": {Hidden: -1},
		"layers": {Layers: 99}, "neither": {NoLSTM: true, Hidden: 3}, "read-out": {Readout: 7},
		"scale": {Scale: math.Inf(1)}, "dense": {Dense: -2},
	} {
		if err := cfg.Validate(); err == nil {
			t.Errorf("%s: %+v is accepted", want, cfg)
		}
	}
	if err := (Config{}).Validate(); err != nil {
		t.Error(err)
	}
	if n, err := Size(Config{}); err != nil || n != 5141 {
		t.Errorf("the default network has %d parameters (%v), want the paper's 5141", n, err)
	}
	if _, err := NewNetwork(Config{}, make([]float32, 3)); err == nil {
		t.Error("three parameters are accepted")
	}
	phi := make([]float32, 5141)
	phi[7] = float32(math.NaN())
	if _, err := NewNetwork(Config{}, phi); err == nil {
		t.Error("a NaN parameter is accepted")
	}
}

func TestInputsText(t *testing.T) {
	for in := Inputs(1); in < inputsEnd; in++ {
		if back, err := ParseInputs(in.String()); err != nil || back != in {
			t.Errorf("%q parses as %v, %v", in, back, err)
		}
	}
	for _, bad := range []string{"", "adam", "logsign+", "logsign+logsign"} {
		if in, err := ParseInputs(bad); err == nil {
			t.Errorf("%q parses as %v", bad, in)
		}
	}
}

// TestPartsAddUpToWhole goes backwards through each half of the coordinates. It
// expects the sum to equal the meta-gradient of all, up to the order of additions.
func TestPartsAddUpToWhole(t *testing.T) {
	const n, steps = 75, 6
	net, _ := pair(t, Config{Inputs: LogAndSign | RNNProp}, 5)
	grads := gradients(rand.New(rand.NewPCG(4, 4)), steps+1, n)
	s, u := net.NewState(n), make([]float32, n)
	for range 2 {
		s.Update(u, optimizer.Point{Grad: grads[0]})
	}
	var a Adjoint
	whole, sum := make([]float64, net.core.size), make([]float64, net.core.size)
	a.Unroll(whole, s, grads, nil, nil)
	for parity := range 2 {
		var coordinates []int
		for i := parity; i < n; i += 2 {
			coordinates = append(coordinates, i)
		}
		part, partGrads := net.NewState(len(coordinates)), make([][]float32, len(grads))
		part.Gather(s, coordinates)
		for k, g := range grads {
			for _, i := range coordinates {
				partGrads[k] = append(partGrads[k], g[i])
			}
		}
		a.Unroll(sum, part, partGrads, nil, nil)
	}
	compare(t, "meta-gradient", sum, whole, 1e-5)
}
