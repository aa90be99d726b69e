package metaopt_test

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"learnedopt/baselines"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
)

// TestHalfStateRuns expects a run with a state of float16 to be near the run with one of float32, with and without a guard, and to be saved
// and continued. A file knows nothing of it.
func TestHalfStateRuns(t *testing.T) {
	const n, steps = 100, 30
	whole := learned(t, "mlp")
	half := whole.WithHalfState()
	if whole.Network.HalfState() || !half.Network.HalfState() {
		t.Fatal("the choice is on the wrong optimizer")
	}
	guarded, err := half.WithGuard(metaopt.Guard{Fallback: baselines.Adam{LearningRate: 0.01}})
	if err != nil {
		t.Fatal(err)
	}
	// run minimizes ½|θ-1|² and returns the parameters after each step. It saves and restores the run in the middle.
	run := func(o *metaopt.Optimizer) (path [][]float32) {
		r := o.Start(optimizer.Flat(n))
		theta, grad := make([]float32, n), make([]float32, n)
		for step := range steps {
			loss := 0.0
			for i, x := range theta {
				grad[i] = (x - 1) * float32(i+1) / n
				loss += float64((x - 1) * (x - 1) * float32(i+1) / n / 2)
			}
			r.SetLoss(loss)
			if err := r.Step(theta, grad); err != nil {
				t.Fatal(err)
			}
			path = append(path, slices.Clone(theta))
			if step != steps/2 {
				continue
			}
			data, err := r.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			r = o.Start(optimizer.Flat(n))
			if err := r.UnmarshalBinary(data); err != nil {
				t.Fatal(err)
			}
			if err := whole.Start(optimizer.Flat(n)).UnmarshalBinary(data); o != whole && !errors.Is(err, metaopt.ErrState) {
				t.Errorf("a run with float32 continues one with float16: error %v", err)
			}
		}
		return path
	}
	want := run(whole)
	for what, o := range map[string]*metaopt.Optimizer{"half": half, "half, guarded": guarded} {
		same := 0
		for step, theta := range run(o) {
			for i, x := range theta {
				if d := x - want[step][i]; d < -0.01 || d > 0.01 {
					t.Fatalf("%s: coordinate %d is %v at step %d, want about %v", what, i, x, step, want[step][i])
				}
			}
			if slices.Equal(theta, want[step]) {
				same++
			}
		}
		if same > 2 { // the first update reads a state of 0
			t.Errorf("%s: %d of %d steps are those of float32", what, same, steps)
		}
	}
	path := filepath.Join(t.TempDir(), "o.mopt")
	if err := metaopt.Save(path, half); err != nil {
		t.Fatal(err)
	}
	loaded, err := metaopt.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if loaded.Network.HalfState() || !slices.Equal(loaded.Network.Params(), whole.Network.Params()) {
		t.Error("the file holds another network")
	}
}
