package lstm

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"learnedopt/internal/simd"
	"learnedopt/optimizer"
	"learnedopt/optimizer/optimizertest"
)

func TestHalfConformance(t *testing.T) {
	for _, cfg := range []Config{{}, configs[1], configs[5], sighted[0], sighted[4], sighted[6]} {
		suite := optimizertest.Conform
		if cfg.eyes() {
			suite = optimizertest.ConformTensors
		}
		net, _ := pair(t, cfg, 2)
		t.Run(name(cfg), func(t *testing.T) { suite(t, net.WithHalfState()) })
	}
}

// runHalf makes a few steps on n coordinates and calls see after each, with the update.
func runHalf(s *State, steps int, see func(u []float32)) {
	rng := rand.New(rand.NewPCG(8, 3))
	n := s.Len()
	grads := gradients(rng, steps, n)
	theta, u := make([]float32, n), make([]float32, n)
	for i := range theta {
		theta[i] = float32(rng.NormFloat64())
	}
	for _, g := range grads {
		if _, err := s.Update(u, optimizer.Point{Grad: g, Theta: theta}); err != nil {
			panic(err)
		}
		see(u)
		for i := range theta {
			theta[i] += u[i]
		}
	}
}

// TestHalfIsRounding holds a state of float16 to one of float32 whose h and c are rounded after each step: updates and states
// have the same bits.
func TestHalfIsRounding(t *testing.T) {
	const n, steps = 1027, 12
	for _, cfg := range append(append([]Config{{}}, configs...), sighted...) {
		t.Run(name(cfg), func(t *testing.T) {
			net, _ := pair(t, cfg, 3)
			half := net.WithHalfState()
			if net.HalfState() || !half.HalfState() {
				t.Fatal("HalfState")
			}
			whole, s := net.Start(layoutOf(n)).(*State), half.Start(layoutOf(n)).(*State)
			var want [][]float32
			rounded := 0
			runHalf(whole, steps, func(u []float32) {
				want = append(want, slices.Clone(u))
				values := whole.Values()
				for i, x := range values[:n*net.core.cells/lanes] {
					if values[i] = simd.FromHalf(simd.ToHalf(x)); values[i] != x {
						rounded++
					}
				}
				whole.SetValues(whole.Steps(), values)
			})
			if net.Config().Layers > 0 && rounded < n {
				t.Fatalf("only %d numbers were rounded", rounded)
			}
			runHalf(s, steps, func(u []float32) {
				if !slices.Equal(u, want[0]) {
					t.Fatalf("step %d differs", s.Steps())
				}
				want = want[1:]
			})
			if !slices.Equal(s.Values(), whole.Values()) {
				t.Error("the state differs")
			}
			if got, want := 4*len(s.s.data)+2*len(s.s.cells), 4*len(whole.s.data)-2*s.s.blocks()*net.core.cells; got != want {
				t.Errorf("%d bytes, want %d", got, want)
			}
		})
	}
}

// TestHalfSurvives copies a state in every way, and expects that the copies continue with the same bits.
func TestHalfSurvives(t *testing.T) {
	const n, steps = 150, 5
	for _, cfg := range []Config{{}, configs[1], sighted[0], sighted[4]} {
		t.Run(name(cfg), func(t *testing.T) {
			net, _ := pair(t, cfg, 4)
			net = net.WithHalfState()
			s := net.Start(layoutOf(n)).(*State)
			runHalf(s, steps, func([]float32) {})
			data, err := s.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			read := net.Start(layoutOf(n)).(*State)
			if err := read.UnmarshalBinary(data); err != nil {
				t.Fatal(err)
			}
			set, copied, cloned := net.Start(layoutOf(n)).(*State), net.Start(layoutOf(n)).(*State), s.Clone()
			set.SetValues(s.Steps(), s.Values())
			copied.CopyFrom(s)
			var want []float32
			runHalf(s, 1, func(u []float32) { want = slices.Clone(u) })
			for i, c := range []*State{read, set, copied, cloned} {
				var probe Probe
				grad := gradients(rand.New(rand.NewPCG(8, 3)), 1, n)[0]
				looked := slices.Clone(probe.Look(&Activity{}, c, optimizer.Point{Grad: grad, Theta: make([]float32, n)}))
				runHalf(c, 1, func(u []float32) {
					if !slices.Equal(u, want) {
						t.Errorf("copy %d continues with another update", i)
					}
					if !cfg.eyes() && !slices.Equal(looked, want) {
						t.Errorf("a probe saw another update of copy %d", i)
					}
				})
			}
			cloned.Zero()
			if fresh := net.Start(layoutOf(n)).(*State); !slices.Equal(cloned.Values(), fresh.Values()) || cloned.Steps() != 0 {
				t.Error("Zero leaves something")
			}
		})
	}
}

// TestHalfIsNoWholeState mixes states of both forms.
func TestHalfIsNoWholeState(t *testing.T) {
	const n = 40
	net, _ := pair(t, Config{Inputs: LogAndSign | RNNProp, Hidden: 3}, 5)
	half := net.WithHalfState()
	whole, s := net.NewState(n), half.NewState(n)
	if whole.Fits(s) || s.Fits(whole) || s.SameNetwork(whole) {
		t.Error("the states fit")
	}
	panics(t, errShape, func() { s.CopyFrom(whole) })
	panics(t, errShape, func() { s.SetNetwork(net) })
	panics(t, errShape, func() { s.Gather(whole, []int{1}) })
	panics(t, errHalf, func() { half.NewState(n).Gather(s, []int{1}) })
	phi := make([]float64, net.Size())
	g := make([]float32, n)
	panics(t, errHalf, func() { new(Adjoint).Unroll(phi, s, [][]float32{g, g}, nil, nil) })
	panics(t, errHalf, func() { new(Adjoint).Step(phi, whole, g, nil, g, s, make([]float32, n)) })
	data, err := whole.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.UnmarshalBinary(data); !errors.Is(err, ErrState) || !strings.Contains(err.Error(), "another network") {
		t.Errorf("error %v", err)
	}
	if err := s.UnmarshalChanged(data); err != nil {
		t.Error(err)
	}
	annealed, err := half.Annealed(7)
	if err != nil {
		t.Fatal(err)
	}
	extended, err := half.Extend(LogAndSign | RNNProp | Clock)
	if err != nil {
		t.Fatal(err)
	}
	for what, other := range map[string]*Network{"With": half.With(net.Params()), "Annealed": annealed, "Extend": extended, "State.Network": s.Network()} {
		if !other.HalfState() {
			t.Errorf("%s loses the form of the state", what)
		}
	}
}

func panics(t *testing.T, want string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if got := recover(); got != want {
			t.Errorf("panic %v, want %q", got, want)
		}
	}()
	f()
}
