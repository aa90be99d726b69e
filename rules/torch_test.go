package rules_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"learnedopt/baselines"
	"learnedopt/optimizer"
	"learnedopt/rules"
)

// torchSchedules are the schedules of testdata/torch_rules.py.
var torchSchedules = map[string]rules.Schedule{
	"constant":       rules.Constant(0.25),
	"warm-up cosine": rules.WarmUp{Steps: 5, Then: rules.Cosine{Steps: 30, Floor: 0.1}},
	"cosine":         rules.Cosine{Steps: 40},
	"step":           rules.StepDecay{Factor: 0.5, Every: 7},
	"exponential":    rules.StepDecay{Factor: 0.9},
	"warm-up":        rules.WarmUp{Steps: 10},
	"inverse sqrt":   rules.InverseSqrt{Steps: 10},
}

// TestTorch compares runs with PyTorch's runs: torch.optim.AdamW, Adam and SGD with clip_grad_norm_,
// clip_grad_value_ and the schedulers.
func TestTorch(t *testing.T) {
	data, err := os.ReadFile("testdata/torch_rules.json")
	if err != nil {
		t.Fatal(err)
	}
	var fixture struct {
		Start, Target, Curvature []float32
		Noise                    [][]float32
		Schedules                map[string][]float64
		Cases                    []struct {
			Case struct {
				Rule, Schedule         string
				LR, Decay, Norm, Value float64
			}
			Theta [][]float32
		}
	}
	if err := json.Unmarshal(data, &fixture); err != nil {
		t.Fatal(err)
	}
	if len(fixture.Schedules) != len(torchSchedules) || len(fixture.Cases) < 6 {
		t.Fatalf("%d schedules and %d cases in the fixture", len(fixture.Schedules), len(fixture.Cases))
	}
	for name, want := range fixture.Schedules {
		for step, w := range want {
			// PyTorch's schedulers multiply from step to step: some 40 roundings.
			if got := torchSchedules[name].At(step); math.Abs(got-w) > 1e-14 {
				t.Errorf("%s: %v at step %d, PyTorch's %v", name, got, step, w)
			}
		}
	}
	for _, c := range fixture.Cases {
		t.Run(fmt.Sprintf("%+v", c.Case), func(t *testing.T) {
			var rule optimizer.Rule = baselines.Adam{LearningRate: c.Case.LR}
			if c.Case.Rule == "sgd" {
				rule = baselines.SGD{LearningRate: c.Case.LR}
			}
			if c.Case.Rule == "adamw" {
				rule = rules.WeightDecay{Rule: rule, Decay: c.Case.LR * c.Case.Decay}
			}
			if c.Case.Schedule != "" {
				rule = rules.Scaled{Rule: rule, By: torchSchedules[c.Case.Schedule]}
			}
			if c.Case.Norm != 0 {
				rule = rules.ClipNorm{Rule: rule, Max: c.Case.Norm}
			}
			if c.Case.Value != 0 {
				rule = rules.ClipValue{Rule: rule, Max: c.Case.Value}
			}
			n := len(fixture.Start)
			theta, grad, u := append([]float32(nil), fixture.Start...), make([]float32, n), make([]float32, n)
			state := rule.Start(optimizer.Flat(n))
			for step, want := range c.Theta {
				for i := range grad {
					grad[i] = (theta[i]-fixture.Target[i])*fixture.Curvature[i] + fixture.Noise[step][i]
				}
				if _, err := state.Update(u, optimizer.Point{Grad: grad, Theta: theta}); err != nil {
					t.Fatal(err)
				}
				for i := range theta {
					theta[i] += u[i]
					// clip_grad_norm_ divides by the norm plus 1e-6, and every step rounds in another
					// order; 40 steps of some 1e-7 each, on parameters up to 6.
					if d := math.Abs(float64(theta[i] - want[i])); d > 1e-5 {
						t.Fatalf("step %d, coordinate %d: θ = %v, PyTorch's %v", step, i, theta[i], want[i])
					}
				}
			}
		})
	}
}
