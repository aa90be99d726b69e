package versus_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"

	"learnedopt/baselines"
	"learnedopt/compare"
	"learnedopt/optimizer"
	"learnedopt/tasks"
	"learnedopt/versus"
)

// recorder writes down what it hears.
type recorder []versus.Event

func (r *recorder) OnEvent(e versus.Event) { *r = append(*r, e) }

func family(t *testing.T, text string) optimizer.Family {
	t.Helper()
	f, err := tasks.MustParse(text).Family("")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Run is baselines.TuneAll and compare.Evaluate with the same settings, and tells of every run of both.
func TestRunTunesThenCompares(t *testing.T) {
	mine, err := baselines.New("momentum", 0.01)
	if err != nil {
		t.Fatal(err)
	}
	c := versus.Config{
		Family: family(t, "quadratic-uniform dims=3 batch=2"), Steps: 8, Runs: 3, TuneRuns: 2, Grid: 1, Seed: 5,
		Learned: []compare.Contender{{Name: "mine", Kind: compare.Learned, Rule: mine}}, Rules: []string{"sgd", "adam"},
	}
	var heard recorder
	got, err := c.Run(context.Background(), &heard)
	if err != nil {
		t.Fatal(err)
	}
	tuned, err := baselines.TuneAll(context.Background(), c.Rules, baselines.TuneConfig{Family: c.Family, Steps: 8, Runs: 2, Grid: baselines.GridOf(1), Seed: 5})
	if err != nil {
		t.Fatal(err)
	}
	want, err := compare.Evaluate(context.Background(), compare.EvalConfig{
		Family: c.Family, Steps: 8, Runs: 3, Seed: 5, Contenders: append(slices.Clone(c.Learned), versus.Contenders(tuned)...),
	})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Comparison, want) || !reflect.DeepEqual(got.Tuned, tuned) {
		t.Errorf("%+v\n%+v, want\n%+v\n%+v", got.Comparison, got.Tuned, want, tuned)
	}
	if *want.Rules[1].LearningRate != tuned[0].LearningRate || len(want.Paired) != 1 {
		t.Errorf("compared with %+v, tuned %+v", want.Rules, tuned)
	}

	phase := func(p versus.Phase, runs int) (events []versus.Event) {
		events = append(events, versus.Started{Phase: p, Runs: runs})
		for done := range runs {
			events = append(events, versus.Progress{Phase: p, Done: done + 1, Total: runs})
		}
		return append(events, versus.Ended{Phase: p})
	}
	wanted := append(phase(versus.Tuning, 2*2*6), phase(versus.Evaluating, 3*3)...)
	if got := slices.DeleteFunc(heard, func(e versus.Event) bool { _, ok := e.(versus.AtEdge); return ok }); !slices.Equal(got, wanted) {
		t.Errorf("heard %v, want %v", got, wanted)
	}
}

// A learned rule's multiplier is tuned as a learning rate is. SGD at 1 stands for the learned rule, so its multipliers are
// sgd's learning rates: the best of both are the same, 0.1, and so are the losses.
func TestMultipliersAreTunedAsLearningRates(t *testing.T) {
	mine := compare.Contender{Name: "mine", Kind: compare.Learned, Rule: baselines.SGD{LearningRate: 1}}
	c := versus.Config{
		Family: family(t, "quadratic dims=3 batch=2"), Steps: 8, Runs: 3, TuneRuns: 2, Grid: 2, Seed: 5,
		Learned: []compare.Contender{mine}, Multiplied: []compare.Contender{mine}, Rules: []string{"sgd"},
	}
	var heard recorder
	got, err := c.Run(t.Context(), &heard)
	if err != nil {
		t.Fatal(err)
	}
	rules, tuned := got.Comparison.Rules, got.Multipliers[0]
	if len(rules) != 3 || rules[1].Name != "mine×tuned" || rules[1].Kind != compare.Learned || *rules[1].Multiplier != tuned.LearningRate || rules[0].Multiplier != nil || rules[1].LearningRate != nil {
		t.Fatalf("%+v", rules)
	}
	if rate := *rules[2].LearningRate; len(tuned.Grid) != len(got.Tuned[0].Grid) || math.Abs(tuned.LearningRate/rate-1) > 1e-12 || tuned.LearningRate == 1 {
		t.Errorf("tuned to %v of %d multipliers and a learning rate of %v of %d", tuned.LearningRate, len(tuned.Grid), rate, len(got.Tuned[0].Grid))
	}
	if a, b := float64(rules[1].MeanLoss), float64(rules[2].MeanLoss); math.Abs(a/b-1) > 1e-5 || rules[0].MeanLoss == rules[1].MeanLoss {
		t.Errorf("mean losses %v and %v, and %v without a multiplier", a, b, rules[0].MeanLoss)
	}
	if len(got.Comparison.Paired) != 2 || got.Comparison.Paired[1].Name != "mine×tuned" {
		t.Errorf("pairs %+v", got.Comparison.Paired)
	}
	// One phase of tuning, whose progress goes on from the learning rates to the multipliers.
	done := 0
	for _, e := range heard {
		switch e := e.(type) {
		case versus.Started:
			if e.Phase == versus.Tuning && e.Runs != 2*2*11 {
				t.Errorf("%d runs of tuning, want two instances of eleven learning rates and eleven multipliers", e.Runs)
			}
		case versus.Progress:
			if e.Phase == versus.Tuning {
				if done++; e.Done != done || e.Total != 2*2*11 {
					t.Errorf("run %d is reported as %d of %d", done, e.Done, e.Total)
				}
			}
		}
	}
	if done != 2*2*11 {
		t.Errorf("%d runs of tuning", done)
	}
	// Without the variant, no number is another.
	c.Multiplied = nil
	plain, err := c.Run(t.Context(), nil)
	if err != nil || !reflect.DeepEqual(plain.Comparison.Rules, []compare.Result{rules[0], rules[2]}) {
		t.Errorf("error %v, %+v", err, plain.Comparison.Rules)
	}
}

func TestMultipliers(t *testing.T) {
	if got := versus.Multipliers(1); !slices.Equal(got, []float64{0.001, 0.01, 0.1, 1, 10, 100}) {
		t.Errorf("%v", got)
	}
	for n := 1; n < 8; n++ {
		if got := versus.Multipliers(n); len(got) != len(baselines.GridOf(n)) || !slices.Contains(got, 1) || got[0] != 0.001 || got[len(got)-1] != 100 {
			t.Errorf("%d a decade: %v", n, got)
		}
	}
}

// With Times, and only then, every rule has the time of a step, and no other number changes.
func TestTimes(t *testing.T) {
	c := versus.Config{Family: family(t, "quadratic dims=3 batch=2"), Steps: 8, Runs: 3, TuneRuns: 1, Grid: 1, Rules: []string{"sgd", "adam"}}
	plain, err := c.Run(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var heard recorder
	c.Times = true
	timed, err := c.Run(t.Context(), &heard)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range timed.Comparison.Rules {
		if s := r.StepTime; s == nil || !(s.Gradient > 0) || !(s.Update > 0) || plain.Comparison.Rules[i].StepTime != nil {
			t.Errorf("%s: %+v", r.Name, r.StepTime)
		}
		timed.Comparison.Rules[i].StepTime = nil
	}
	if !reflect.DeepEqual(timed, plain) {
		t.Errorf("%+v\n%+v, want\n%+v\n%+v", timed.Comparison, timed.Tuned, plain.Comparison, plain.Tuned)
	}
	want := []versus.Event{versus.Started{Phase: versus.Timing, Runs: 2}, versus.Progress{Phase: versus.Timing, Done: 1, Total: 2}, versus.Progress{Phase: versus.Timing, Done: 2, Total: 2}, versus.Ended{Phase: versus.Timing}}
	if got := heard[len(heard)-4:]; !slices.Equal(got, want) {
		t.Errorf("heard %v, want %v", got, want)
	}
}

// A rule that no learning rate suits is left out, and one that does best at the grid's end is remarked on.
func TestRulesThatTheGridDoesNotSuit(t *testing.T) {
	c := versus.Config{Family: family(t, "quadratic dims=3 batch=2 loss-scale=1e12"), Steps: 12, Runs: 2, TuneRuns: 1, Grid: 1, Rules: []string{"sgd", "adam"}}
	var heard recorder
	got, err := c.Run(context.Background(), &heard)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Tuned) != 2 || got.Tuned[0].Rule != nil || len(got.Comparison.Rules) != 1 || got.Comparison.Rules[0].Name != "adam" {
		t.Errorf("tuned %+v, compared %+v", got.Tuned, got.Comparison.Rules)
	}
	if !slices.Contains(heard, versus.Event(versus.LeftOut{Rule: "sgd", Least: 1e-4, Most: 10})) {
		t.Errorf("heard %v", heard)
	}

	c.Rules, c.Multiplied, heard = []string{"adam"}, []compare.Contender{{Name: "mine", Kind: compare.Learned, Rule: baselines.SGD{LearningRate: 1}}}, nil
	if got, err = c.Run(t.Context(), &heard); err != nil || got.Multipliers[0].Rule != nil || len(got.Comparison.Rules) != 1 {
		t.Errorf("%+v, error %v", got.Multipliers, err)
	}
	if !slices.Contains(heard, versus.Event(versus.LeftOut{Rule: "mine×tuned", Least: 0.001, Most: 100, Multiplier: true})) {
		t.Errorf("heard %v", heard)
	}

	c = versus.Config{Family: family(t, "quadratic dims=3 batch=2 loss-scale=1e-6"), Steps: 12, Runs: 2, TuneRuns: 1, Grid: 1, Rules: []string{"sgd"}}
	heard = nil
	if _, err := c.Tune(context.Background(), &heard); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(heard, versus.Event(versus.AtEdge{Rule: "sgd", LearningRate: 10})) {
		t.Errorf("heard %v", heard)
	}
}

// An end is told of also where a phase fails, and the error is the context's.
func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	c := versus.Config{Family: family(t, "quadratic dims=3 batch=2"), Steps: 4, Runs: 2, TuneRuns: 1, Grid: 1, Rules: []string{"sgd"}}
	var heard recorder
	if _, err := c.Run(ctx, &heard); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if got, want := fmt.Sprint([]versus.Event(heard)), fmt.Sprint([]versus.Event{versus.Started{Phase: versus.Tuning, Runs: 6}, versus.Ended{Phase: versus.Tuning}}); got != want {
		t.Errorf("heard %s, want %s", got, want)
	}
}
