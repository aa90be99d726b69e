// Package versus compares learned rules with hand-designed rules whose learning rates it tunes first, on other
// instances of the same task.
//
//	c := versus.Config{Family: family, Steps: 100, Runs: 20, TuneRuns: 10, Learned: learned, Rules: versus.DefaultRules()}
//	result, err := c.Run(ctx, listener)
//
// It prints nothing: a Listener hears how far a comparison is.
package versus

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"learnedopt/baselines"
	"learnedopt/compare"
	"learnedopt/optimizer"
)

// What 0 means in a Config.
const (
	DefaultRuns     = 20
	DefaultTuneRuns = 10
	DefaultGrid     = 4 // the grid of baselines.DefaultGrid
)

// DefaultRules returns the names of the hand-designed rules that Andrychowicz et al. 2016 compare with.
func DefaultRules() []string { return []string{"sgd", "nesterov", "rmsprop", "adam"} }

// A Config is a comparison to be made: learned rules against hand-designed ones,
// whose learning rates are tuned first, on the same task and horizon.
type Config struct {
	Family optimizer.Family
	Steps  int
	// Runs is the number of fresh instances that all rules are compared on, TuneRuns the number of instances that
	// learning rates are tuned on, Grid the number of learning rates tried for each decade; 0 means DefaultRuns,
	// DefaultTuneRuns and DefaultGrid.
	Runs, TuneRuns, Grid int
	Seed                 uint64
	Learned              []compare.Contender
	Rules                []string // names of package baselines; none is tuned if there are none
}

// A Result is what a comparison found, and the grids that the rules were tuned on.
type Result struct {
	Comparison *compare.Comparison
	Tuned      []baselines.Tuned
}

// Run tunes and compares. A cancelled context ends it with the context's error.
func (c Config) Run(ctx context.Context, l Listener) (Result, error) {
	var res Result
	contenders := slices.Clone(c.Learned)
	if len(c.Rules) > 0 {
		var err error
		if res.Tuned, err = c.Tune(ctx, l); err != nil {
			return res, err
		}
	}
	contenders = append(contenders, Contenders(res.Tuned)...)
	var err error
	res.Comparison, err = c.Evaluate(ctx, contenders, l)
	return res, err
}

// Contenders returns the tuned rules as contenders. It leaves out each rule that diverged at every learning rate,
// of which the listener of Tune heard (LeftOut).
func Contenders(tuned []baselines.Tuned) []compare.Contender {
	var contenders []compare.Contender
	for _, t := range tuned {
		if t.Rule != nil {
			contenders = append(contenders, compare.Contender{Name: t.Name, Kind: compare.Baseline, Rule: t.Rule, LearningRate: t.LearningRate})
		}
	}
	return contenders
}

// Evaluate is compare.Evaluate of contenders on the fresh instances of c, whatever c.Learned and c.Rules are.
func (c Config) Evaluate(ctx context.Context, contenders []compare.Contender, l Listener) (*compare.Comparison, error) {
	runs := cmp.Or(c.Runs, DefaultRuns)
	tell(l, Started{Phase: Evaluating, Runs: runs * len(contenders)})
	defer tell(l, Ended{Phase: Evaluating})
	return compare.Evaluate(ctx, compare.EvalConfig{
		Family: c.Family, Contenders: contenders, Steps: c.Steps, Runs: runs, Seed: c.Seed,
		Progress: func(done, total int) { tell(l, Progress{Phase: Evaluating, Done: done, Total: total}) },
	})
}

// Tune tunes the learning rate of each of c.Rules. A rule that diverged at every learning rate is in its place, too,
// without a Rule.
func (c Config) Tune(ctx context.Context, l Listener) ([]baselines.Tuned, error) {
	runs, grid := cmp.Or(c.TuneRuns, DefaultTuneRuns), baselines.GridOf(cmp.Or(c.Grid, DefaultGrid))
	tell(l, Started{Phase: Tuning, Runs: runs * len(c.Rules) * len(grid)})
	tuned, err := baselines.TuneAll(ctx, c.Rules, baselines.TuneConfig{
		Family: c.Family, Steps: c.Steps, Runs: runs, Grid: grid, Seed: c.Seed,
		Progress: func(done, total int) { tell(l, Progress{Phase: Tuning, Done: done, Total: total}) },
	})
	tell(l, Ended{Phase: Tuning})
	var untunable *baselines.UntunableError
	if err != nil && !(errors.As(err, &untunable) && len(tuned) == len(c.Rules)) {
		return nil, err
	}
	for _, t := range tuned {
		switch {
		case t.Rule == nil:
			tell(l, LeftOut{Rule: t.Name, Least: grid[0], Most: grid[len(grid)-1]})
		case t.AtEdge:
			tell(l, AtEdge{Rule: t.Name, LearningRate: t.LearningRate})
		}
	}
	return tuned, nil
}
