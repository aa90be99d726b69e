package versus_test

import (
	"context"
	"errors"
	"fmt"
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
