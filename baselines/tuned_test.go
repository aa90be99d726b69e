package baselines_test

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"learnedopt/baselines"
	"learnedopt/tasks"
)

// TestTunedBaselinesLandWhereTorchsDo tunes the rules on two tasks and compares them with
// torch.optim, tuned on the same tasks, grid and metric (testdata/torch_tuned.py). The best
// learning rates may differ by one step of the grid. At PyTorch's learning rate the mean
// losses may differ by four standard errors of their difference.
func TestTunedBaselinesLandWhereTorchsDo(t *testing.T) {
	if testing.Short() {
		t.Skip("tunes eight rules; not with -short")
	}
	var torch struct {
		Runs  int
		Tasks map[string]map[string]struct {
			LearningRate float64 `json:"learning_rate"`
			Mean, SD     float64
		}
	}
	data, err := os.ReadFile("testdata/torch_tuned.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &torch); err != nil {
		t.Fatal(err)
	}
	for task, rules := range torch.Tasks {
		t.Run(task, func(t *testing.T) {
			family, err := tasks.New(task, tasks.Options{})
			if err != nil {
				t.Skip(err) // it says how to get the data
			}
			var names []string
			for name := range rules {
				names = append(names, name)
			}
			const runs = 10
			tuned, err := baselines.TuneAll(t.Context(), names, baselines.TuneConfig{Family: family, Runs: runs})
			if err != nil {
				t.Fatal(err)
			}
			for _, rule := range tuned {
				want := rules[rule.Name]
				at := func(lr float64) int {
					return slices.IndexFunc(rule.Grid, func(p baselines.GridPoint) bool { return math.Abs(p.LearningRate/lr-1) < 1e-6 })
				}
				ours, theirs := at(rule.LearningRate), at(want.LearningRate)
				if ours < 0 || theirs < 0 || rule.AtEdge {
					t.Fatalf("%s: learning rates %v and %v on the grid %v", rule.Name, rule.LearningRate, want.LearningRate, rule.Grid)
				}
				loss := rule.Grid[theirs].MeanLoss
				se := want.SD * math.Sqrt(1/float64(runs)+1/float64(torch.Runs))
				t.Logf("%s: learning rate %.3g, PyTorch's %.3g; at PyTorch's, mean loss %.4f, PyTorch's %.4f, standard error %.4f",
					rule.Name, rule.LearningRate, want.LearningRate, loss, want.Mean, se)
				if ours < theirs-1 || ours > theirs+1 {
					t.Errorf("%s: learning rate %.3g, PyTorch's is %.3g", rule.Name, rule.LearningRate, want.LearningRate)
				}
				if !(math.Abs(loss-want.Mean) <= 4*se) {
					t.Errorf("%s: mean loss %.4f, PyTorch's is %.4f ± %.4f", rule.Name, loss, want.Mean, se)
				}
			}
		})
	}
}
