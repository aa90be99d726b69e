package metatrain_test

import (
	"math"
	"slices"
	"testing"

	"learnedopt/baselines"
	"learnedopt/lstm"
	"learnedopt/metatrain"
	"learnedopt/optimizer"
)

// TestImitationAgainstFiniteDifferences computes the imitation loss of a window in float64, on the gradients at the
// teacher's points. A central difference with h = 1e-5 has a relative error of 1e-8. The tested gradient is in float32:
// its ε of 1e-7 grows over a few hundred operations to a few parts in 1e6 of the largest component. The second window is
// checked on a network without state, because the state at the window's start counts as a constant.
func TestImitationAgainstFiniteDifferences(t *testing.T) {
	const n, k, h = 7, 4, 1e-5
	teacher := baselines.Momentum{LearningRate: 0.05, Momentum: 0.9}
	for _, cfg := range []lstm.Config{{Hidden: 4, Inputs: lstm.Raw | lstm.RNNProp}, {NoLSTM: true, Inputs: lstm.Raw}} {
		net, err := lstm.Init{}.Random(cfg, newRand(1))
		if err != nil {
			t.Fatal(err)
		}
		// The teacher's run.
		out, err := optimizer.Run(t.Context(), teacher, &quartic{seed: 3, n: n}, 2*k)
		if err != nil {
			t.Fatal(err)
		}
		problem, state := &quartic{seed: 3, n: n}, teacher.Start(optimizer.Flat(n))
		theta := make([]float32, n)
		problem.Init(theta)
		var grads, moves [][]float64
		for range 2 * k {
			g, u := make([]float32, n), make([]float32, n)
			if _, err := problem.LossGrad(theta, g); err != nil {
				t.Fatal(err)
			}
			state.Update(u, optimizer.Point{Grad: g})
			for i := range u {
				theta[i] += u[i]
			}
			grads, moves = append(grads, widen(g)), append(moves, widen(u))
		}
		loss := func(phi []float64, window int) float64 {
			ref, err := lstm.NewReference(cfg, phi)
			if err != nil {
				t.Fatal(err)
			}
			s, u := ref.NewState(n), make([]float64, n)
			miss, size := 0.0, 0.0
			for i := range k {
				s.Update(u, grads[window*k+i])
				for c, v := range moves[window*k+i] {
					miss += (u[c] - v) * (u[c] - v)
					size += v * v
				}
			}
			return miss / 2 / (size / k)
		}

		ep := metatrain.NewEpisode(net, &quartic{seed: 3, n: n})
		im := &metatrain.Imitation{Teacher: teacher, Probability: 1}
		phi := widen(net.Params())
		var losses []float64
		for window := range 2 {
			dphi := make([]float64, len(phi))
			w, err := im.Estimate(t.Context(), dphi, ep, k)
			if err != nil || w.Diverged != nil {
				t.Fatal(err, w.Diverged)
			}
			losses = append(losses, w.Losses[window:]...)
			if window == 1 && !cfg.NoLSTM {
				continue
			}
			want := make([]float64, len(phi))
			for i := range phi {
				side := func(sign float64) float64 {
					moved := slices.Clone(phi)
					moved[i] += sign * h
					return loss(moved, window)
				}
				want[i] = (side(1) - side(-1)) / (2 * h)
			}
			if d := distance(want, dphi); d > 1e-5 || slices.Equal(dphi, make([]float64, len(phi))) {
				t.Errorf("window %d of %v: the meta-gradient is %.2g from the differences", window, cfg.Inputs, d)
			}
		}
		if !slices.Equal(losses, out.Losses) || !slices.Equal(ep.Theta, out.Theta) {
			t.Errorf("the teacher visits %v, the episode %v", out.Losses, losses)
		}
	}
}

func widen(x []float32) []float64 {
	w := make([]float64, len(x))
	for i, v := range x {
		w[i] = float64(v)
	}
	return w
}

// TestImitationNearsTheTeacher trains a network to imitate Adam on bowls. On a fresh bowl it measures the error of the
// network's updates relative to the size of Adam's updates. A network that does not move has a relative error of 1.
func TestImitationNearsTheTeacher(t *testing.T) {
	cfg := small()
	cfg.Network.Inputs = lstm.RNNProp
	cfg.Estimator = &metatrain.Imitation{Probability: 1}
	trainer, err := metatrain.NewTrainer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	miss := func() float64 {
		p, err := bowls(newRand(77))
		if err != nil {
			t.Fatal(err)
		}
		n := p.Dim()
		teacher, state := baselines.Adam{LearningRate: 0.01}.Start(optimizer.Flat(n)), trainer.Network().Start(optimizer.Flat(n))
		theta, g, u, v := make([]float32, n), make([]float32, n), make([]float32, n), make([]float32, n)
		p.Init(theta)
		num, den := 0.0, 0.0
		for range cfg.Steps {
			if _, err := p.LossGrad(theta, g); err != nil {
				t.Fatal(err)
			}
			teacher.Update(v, optimizer.Point{Grad: g})
			state.Update(u, optimizer.Point{Grad: g})
			for i := range u {
				num += float64(u[i]-v[i]) * float64(u[i]-v[i])
				den += float64(v[i]) * float64(v[i])
				theta[i] += v[i]
			}
		}
		return math.Sqrt(num / den)
	}
	before := miss()
	for range 300 {
		if err := trainer.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if after := miss(); after > 0.15 || before < 1 {
		t.Errorf("updates miss the teacher's by %.2f before, %.2f after", before, after)
	}
}

// TestImitationChoosesEpisodes: among many episodes, the share of imitation equals the probability, and each episode is
// of one kind in all its windows. The teacher does not move, so an episode of imitation is known by its losses.
func TestImitationChoosesEpisodes(t *testing.T) {
	net, err := lstm.NewNetwork(lstm.Config{Inputs: lstm.Raw, NoLSTM: true, Scale: 1}, []float32{-0.1, 0})
	if err != nil {
		t.Fatal(err)
	}
	im := metatrain.Imitation{Teacher: still{}, Probability: 0.3}
	const episodes = 2000
	imitated := 0
	for seed := range uint64(episodes) {
		ep := metatrain.NewEpisode(net, square{})
		ep.Seed = seed
		imitates := false
		for window := range 2 {
			dphi, plain := make([]float64, 2), make([]float64, 2)
			w, err := im.Estimate(t.Context(), dphi, ep, 2)
			if err != nil || w.Diverged != nil {
				t.Fatal(err, w.Diverged)
			}
			stood := w.Losses[2] == 1
			switch {
			case window == 1 && stood != imitates:
				t.Fatalf("episode %d changes its kind", seed)
			case window == 0 && stood:
				imitates = true
				imitated++
			}
			if window == 0 && !stood {
				if _, err := new(metatrain.TruncatedBackprop).Estimate(t.Context(), plain, metatrain.NewEpisode(net, square{}), 2); err != nil {
					t.Fatal(err)
				}
			}
			if window == 0 && !slices.Equal(dphi, plain) { // both are 0 if the teacher does not move
				t.Fatalf("episode %d, imitation %v: meta-gradient %v, want %v", seed, stood, dphi, plain)
			}
		}
	}
	if share, se := float64(imitated)/episodes, math.Sqrt(0.3*0.7/episodes); math.Abs(share-0.3) > 4*se {
		t.Errorf("%.3f of the episodes are of imitation, want 0.3 ± %.3f", share, se)
	}
	for _, p := range []float64{-0.1, 1.1, math.NaN()} {
		cfg := small()
		cfg.Estimator = &metatrain.Imitation{Probability: p}
		if _, err := metatrain.NewTrainer(cfg); err == nil {
			t.Errorf("a trainer takes a probability of %v", p)
		}
	}
}

// still is a rule that does not move.
type still struct{}

func (still) Needs() optimizer.Needs                 { return optimizer.Needs{} }
func (still) Start(optimizer.Layout) optimizer.State { return still{} }
func (still) Update(dst []float32, _ optimizer.Point) (optimizer.Move, error) {
	clear(dst)
	return 0, nil
}
