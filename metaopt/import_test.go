package metaopt_test

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"learnedopt/compare"
	"learnedopt/lstm"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
	"learnedopt/tasks"
)

// published opens a published optimizer, or skips the test if the file is missing.
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

// torchPublished holds what PyTorch computes with the published optimizers
// (testdata/torch_published.py).
type torchPublished struct {
	Runs       int
	Gradients  [][]float32
	Optimizers map[string]struct {
		Updates   [][]float64
		MeanLoss  meanSD `json:"mean_loss"`
		FinalLoss meanSD `json:"final_loss"`
	}
}

type meanSD struct{ Mean, SD float64 }

// TestPublishedOptimizersUpdate feeds fixed gradients, of magnitudes from 0 to 5,
// to two optimizers that other people trained, and expects the updates that
// PyTorch computes with them, in float32 too.
func TestPublishedOptimizersUpdate(t *testing.T) {
	var want torchPublished
	readJSON(t, "testdata/torch_published.json", &want)
	for name, o := range want.Optimizers {
		t.Run(name, func(t *testing.T) {
			opt := published(t, name+".l2l")
			n := len(want.Gradients[0])
			state, u := opt.Network.Start(optimizer.Flat(n)), make([]float32, n)
			for k, g := range want.Gradients {
				state.Update(u, optimizer.Point{Grad: g})
				for i := range u {
					if d := math.Abs(float64(u[i]) - o.Updates[k][i]); !(d <= 2e-6) {
						t.Fatalf("step %d: update %d is %v, PyTorch's %v", k, i, u[i], o.Updates[k][i])
					}
				}
			}
		})
	}
}

// TestPublishedOptimizersOnMNIST runs the published optimizers on MNIST and
// expects the mean losses that PyTorch measures with them on the same task over 100
// steps. The two means may differ by four standard errors of their difference.
func TestPublishedOptimizersOnMNIST(t *testing.T) {
	if testing.Short() {
		t.Skip("runs 20 optimizations of 100 steps; not with -short")
	}
	var want torchPublished
	readJSON(t, "testdata/torch_published.json", &want)
	family, err := tasks.New("mnist", tasks.Options{})
	if err != nil {
		t.Skipf("needs MNIST: %v", err)
	}
	const runs = 10
	for name, o := range want.Optimizers {
		t.Run(name, func(t *testing.T) {
			opt := published(t, name+".l2l")
			cmp, err := compare.Evaluate(t.Context(), compare.EvalConfig{
				Family: family, Steps: 100, Runs: runs,
				Contenders: []compare.Contender{{Name: name, Kind: compare.Learned, Rule: opt.Network}},
			})
			if err != nil {
				t.Fatal(err)
			}
			got := cmp.Rules[0]
			within := func(what string, got compare.Number, ref meanSD) {
				se := ref.SD * math.Sqrt(1/float64(runs)+1/float64(want.Runs))
				t.Logf("%s %.4f; PyTorch: %.4f, standard error of the difference %.4f", what, got, ref.Mean, se)
				if !(math.Abs(float64(got)-ref.Mean) <= 4*se) {
					t.Errorf("%s is %.1f standard errors from PyTorch's", what, (float64(got)-ref.Mean)/se)
				}
			}
			within("mean loss", got.MeanLoss, o.MeanLoss)
			within("final loss", got.FinalLoss, o.FinalLoss)
			if got.TestAccuracy == nil || *got.TestAccuracy < 0.8 {
				t.Errorf("test accuracy is %v, want at least 0.8", got.TestAccuracy)
			}
		})
	}
}

func TestPublishedShapes(t *testing.T) {
	for name, want := range map[string]lstm.Config{
		"dm_aug.l2l":  {Inputs: lstm.LogAndSign, P: 5, Scale: 0.01},
		"rnnprop.l2l": {Inputs: lstm.RNNProp, Dense: 20, Readout: lstm.Tanh, Scale: 0.01},
	} {
		if got := published(t, name).Network.Config(); got != want.WithDefaults() {
			t.Errorf("%s is read as %+v", name, got)
		}
	}
}
