package compare

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"learnedopt/baselines"
	"learnedopt/internal/stream"
	"learnedopt/optimizer"
)

// Gradient descent with learning rate r on ½‖θ - y‖² from θ_0 = 0 has the losses ½‖y‖² (1-r)^2t.
func TestSelect(t *testing.T) {
	rates := []float64{0.1, 1e30, 0.5, 0.4}
	var rules []optimizer.Rule
	for _, r := range rates {
		rules = append(rules, baselines.SGD{LearningRate: r})
	}
	cfg := SelectConfig{Family: dishes{}, Runs: 3, Horizons: []int{2, 6}, Seed: 7}
	best, scores, err := Select(t.Context(), cfg, rules)
	if err != nil || best != 2 || len(scores) != len(rules) {
		t.Fatalf("best is %d of %+v, %v", best, scores, err)
	}
	start := 0.0
	for i := range uint64(3) {
		p, err := dishes{}.Sample(stream.New(7, "select", i))
		if err != nil {
			t.Fatal(err)
		}
		f, _ := p.LossGrad(make([]float32, p.Dim()), make([]float32, p.Dim()))
		start += f / 3
	}
	for _, i := range []int{0, 2, 3} {
		total := 0.0
		for h, steps := range cfg.Horizons {
			q, mean := (1-rates[i])*(1-rates[i]), 0.0
			for s := range steps + 1 {
				mean += start * math.Pow(q, float64(s)) / float64(steps+1)
			}
			if got := float64(scores[i].Horizons[h].MeanLoss); math.Abs(got-mean) > 1e-6*mean {
				t.Errorf("rate %v: mean loss %v at %d steps, want %v", rates[i], got, steps, mean)
			}
			total += mean / 2
		}
		if got := float64(scores[i].Loss()); math.Abs(got-total) > 1e-6*total {
			t.Errorf("rate %v: loss %v, want %v", rates[i], got, total)
		}
	}
	if scores[1].Diverged != 3 {
		t.Errorf("rate 1e30: %+v", scores[1])
	}
	if first, _, err := Select(t.Context(), cfg, rules[2:3]); err != nil || first != 0 {
		t.Errorf("of one rule %d is the best, %v", first, err)
	}
	for word, change := range map[string]func(*SelectConfig){
		"ascend":   func(c *SelectConfig) { c.Horizons = []int{6, 2} },
		"horizons": func(c *SelectConfig) { c.Horizons = nil },
		"luck":     func(c *SelectConfig) { c.Selection = "luck" },
		"runs":     func(c *SelectConfig) { c.Runs = 0 },
	} {
		bad := cfg
		change(&bad)
		if _, _, err := Select(t.Context(), bad, rules); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("error %v, want one that says %q", err, word)
		}
	}
}

// Progress counts the runs of all rules together, one after the other.
func TestSelectTellsHowFarItIs(t *testing.T) {
	var seen, totals []int
	rules := []optimizer.Rule{baselines.SGD{LearningRate: 0.1}, baselines.SGD{LearningRate: 0.2}, baselines.SGD{LearningRate: 0.3}}
	cfg := SelectConfig{Family: dishes{}, Runs: 1, Horizons: []int{1}, Progress: func(done, total int) { seen, totals = append(seen, done), append(totals, total) }}
	if _, _, err := Select(t.Context(), cfg, rules); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(seen, []int{1, 2, 3}) || !slices.Equal(totals, []int{3, 3, 3}) {
		t.Errorf("%v of %v runs", seen, totals)
	}
	cfg.Runs, seen, totals = 2, nil, nil
	if _, _, err := Select(t.Context(), cfg, rules); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(seen, []int{1, 2, 3, 4, 5, 6}) || totals[0] != 6 {
		t.Errorf("%v of %v runs", seen, totals)
	}
}

// A problem's error ends a selection.
func TestSelectPassesErrorsOn(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, scores, err := Select(ctx, SelectConfig{Family: dishes{}, Runs: 1, Horizons: []int{1}}, []optimizer.Rule{baselines.SGD{LearningRate: 0.1}})
	if !errors.Is(err, context.Canceled) || scores != nil {
		t.Errorf("%v, %v", scores, err)
	}
}
