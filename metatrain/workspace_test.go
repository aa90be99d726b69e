package metatrain_test

import (
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"learnedopt/lstm"
	"learnedopt/metatrain"
	"learnedopt/optimizer"
)

// A workspace is nothing but memory: whatever was computed in it before, with other networks, problems,
// settings and lengths, estimates are what they are in a new one.
func TestAWorkspaceIsOnlyMemory(t *testing.T) {
	var nets []*lstm.Network
	for _, cfg := range []lstm.Config{{Hidden: 4, Inputs: lstm.Raw | lstm.RNNProp}, {Hidden: 3, Layers: 1, Inputs: lstm.Raw}, {NoLSTM: true, Inputs: lstm.Raw}, eyes, orthogonalEyes} {
		net, err := lstm.Init{}.Random(cfg, newRand(1))
		if err != nil {
			t.Fatal(err)
		}
		nets = append(nets, net)
	}
	estimators := []metatrain.Estimator{metatrain.TruncatedBackprop{Coordinates: 2}, metatrain.ES{}, metatrain.PES{}, metatrain.PES{Pairs: 3}}
	for _, name := range slices.Sorted(maps.Keys(everyEstimator)) {
		estimators = append(estimators, everyEstimator[name])
	}
	rng, shared := newRand(5), &metatrain.Workspace{}
	for range 400 {
		net, e, n, k := nets[rng.IntN(len(nets))], estimators[rng.IntN(len(estimators))], 5+2*rng.IntN(3), 1+rng.IntN(6)
		estimate := func(work *metatrain.Workspace) []float64 {
			ep := metatrain.NewEpisode(net, &positive{exactQuartic{quartic{seed: 3, n: n}}})
			ep.Workspace = work
			d := make([]float64, net.Size())
			for _, k := range []int{k, k + 2} {
				if w, err := e.Estimate(t.Context(), d, ep, k); err != nil || w.Diverged != nil {
					t.Fatal(err, w.Diverged)
				}
			}
			if err := ep.Close(); err != nil {
				t.Fatal(err)
			}
			return d
		}
		if !slices.Equal(estimate(shared), estimate(nil)) {
			t.Fatalf("%+v with %+v in %d coordinates, windows of %d and %d: another estimate in a workspace that was used", e, net.Config(), n, k, k+2)
		}
	}
}

// Windows are computed in memory that stays: new episodes allocate as much for windows of 64 steps as for those of 4.
func TestMetaStepsAllocateNothingPerStep(t *testing.T) {
	for name, e := range everyEstimator {
		bytes := func(k int) uint64 {
			cfg := small()
			cfg.Estimator, cfg.Steps, cfg.Unroll = e, k, k
			cfg.Family = family(func(*rand.Rand) (optimizer.Problem, error) { return &bowl{y: slices.Repeat([]float32{1}, 200)}, nil })
			tr := mustTrainer(t, cfg)
			defer tr.Close()
			step := func() {
				if err := tr.Step(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			step()
			step()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			step()
			runtime.ReadMemStats(&after)
			return after.TotalAlloc - before.TotalAlloc
		}
		// Losses are 8 bytes a step, of up to five unrolls and a reference. A step's gradient would be 800.
		short, long := bytes(4), bytes(64)
		if perStep := (float64(long) - float64(short)) / 60; perStep > 200 {
			t.Errorf("%s: %.0f bytes a step", name, perStep)
		}
	}
}
