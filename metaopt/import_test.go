package metaopt_test

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"learnedopt/lstm"
	"learnedopt/metaopt"
	"learnedopt/tasks"
)

// published opens a published optimizer, or skips the test where there is none.
func published(t *testing.T, name string) *metaopt.Optimizer {
	t.Helper()
	dir := os.Getenv(tasks.DataDirEnv)
	if dir == "" {
		t.Skipf("%s is not set; point it to a folder that holds published/%s to run this", tasks.DataDirEnv, name)
	}
	f, err := os.Open(filepath.Join(dir, "published", name))
	if os.IsNotExist(err) {
		t.Skipf("no %s; fetch it from the VITA-Group/L2O-Training-Techniques repository to run this", f.Name())
	} else if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	opt, err := metaopt.ImportL2L(f)
	if err != nil {
		t.Fatal(err)
	}
	return opt
}

// TestPublishedOptimizersOnMNIST runs two optimizers that somebody else trained,
// in somebody else's framework, and expects the losses that PyTorch measures
// with them on the same task, over 100 steps. The mean of ten runs of either side has a
// standard error of about 1 % of the mean loss and 2 % of the final loss; a
// swapped gate or input misses by far more.
func TestPublishedOptimizersOnMNIST(t *testing.T) {
	if testing.Short() {
		t.Skip("runs 20 optimizations of 100 steps; not with -short")
	}
	family, err := tasks.New("mnist", tasks.Options{})
	if err != nil {
		t.Skipf("needs MNIST: %v", err)
	}
	for _, tc := range []struct {
		file        string
		inputs      lstm.Inputs
		size        int
		mean, final float64
	}{
		{"dm_aug.l2l", lstm.LogAndSign, 5141, 0.457, 0.247},
		{"rnnprop.l2l", lstm.RNNProp, 6641, 1.200, 0.487},
	} {
		t.Run(tc.file, func(t *testing.T) {
			opt := published(t, tc.file)
			if cfg := opt.Network.Config(); cfg.Inputs != tc.inputs || len(opt.Network.Params()) != tc.size {
				t.Fatalf("read as %+v with %d parameters", cfg, len(opt.Network.Params()))
			}
			cmp, err := metaopt.Evaluate(t.Context(), metaopt.EvalConfig{
				Family: family, Steps: 100, Runs: 10,
				Contenders: []metaopt.Contender{{Name: tc.file, Kind: metaopt.Learned, Rule: opt.Network}},
			})
			if err != nil {
				t.Fatal(err)
			}
			got := cmp.Rules[0]
			t.Logf("mean loss %.4f %v, final loss %.4f; PyTorch measured %.3f and %.3f",
				got.MeanLoss, got.MeanLossCI95, got.FinalLoss, tc.mean, tc.final)
			if d := math.Abs(float64(got.MeanLoss) - tc.mean); d > 0.04*tc.mean {
				t.Errorf("mean loss %.4f, PyTorch measured %.3f", got.MeanLoss, tc.mean)
			}
			if d := math.Abs(float64(got.FinalLoss) - tc.final); d > 0.08*tc.final {
				t.Errorf("final loss %.4f, PyTorch measured %.3f", got.FinalLoss, tc.final)
			}
			if got.TestAccuracy == nil || *got.TestAccuracy < 0.8 {
				t.Errorf("test accuracy is %v, want at least 0.8", got.TestAccuracy)
			}
		})
	}
}
