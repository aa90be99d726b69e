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
	// Multiplied are learned rules that are compared once more, under their names and TunedSuffix, with their updates multiplied
	// by a number that is tuned as learning rates are: on the same instances, and over as many numbers.
	Multiplied []compare.Contender
	// Times measures after the comparison how long a step of each rule takes (compare.Time).
	Times bool
}

// A Result is what a comparison found, and the grids that the rules were tuned on.
type Result struct {
	Comparison *compare.Comparison
	Tuned      []baselines.Tuned
	// Multipliers has an entry for each of Config.Multiplied, with multipliers in place of learning rates.
	Multipliers []baselines.Tuned
}

// Run tunes and compares. A cancelled context ends it with the context's error.
func (c Config) Run(ctx context.Context, l Listener) (Result, error) {
	var res Result
	if len(c.Rules)+len(c.Multiplied) > 0 {
		var err error
		if res.Tuned, res.Multipliers, err = c.tuneAll(ctx, l); err != nil {
			return res, err
		}
	}
	contenders := slices.Concat(c.Learned, multiplied(res.Multipliers), Contenders(res.Tuned))
	var err error
	if res.Comparison, err = c.Evaluate(ctx, contenders, l); err != nil || !c.Times {
		return res, err
	}
	times, err := c.time(ctx, contenders, l)
	for i, t := range times {
		res.Comparison.Rules[i].StepTime = t
	}
	return res, err
}

// time is compare.Time of contenders.
func (c Config) time(ctx context.Context, contenders []compare.Contender, l Listener) ([]*compare.StepTime, error) {
	tell(l, Started{Phase: Timing, Runs: len(contenders)})
	defer tell(l, Ended{Phase: Timing})
	return compare.Time(ctx, compare.EvalConfig{
		Family: c.Family, Contenders: contenders, Steps: c.Steps, Seed: c.Seed,
		Progress: func(done, total int) { tell(l, Progress{Phase: Timing, Done: done, Total: total}) },
	})
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

// Tune tunes the learning rate of each of c.Rules; rules that have none to tune run at their defaults (baselines.Untuned). A rule that diverged at every learning rate is in its place, too,
// without a Rule.
func (c Config) Tune(ctx context.Context, l Listener) ([]baselines.Tuned, error) {
	c.Multiplied = nil
	tuned, _, err := c.tuneAll(ctx, l)
	return tuned, err
}

// tuneAll tunes the learning rates of c.Rules and then the multipliers of c.Multiplied.
func (c Config) tuneAll(ctx context.Context, l Listener) (rules, multipliers []baselines.Tuned, err error) {
	grid := cmp.Or(c.Grid, DefaultGrid)
	t := baselines.TuneConfig{Family: c.Family, Steps: c.Steps, Runs: cmp.Or(c.TuneRuns, DefaultTuneRuns), Grid: baselines.GridOf(grid), Seed: c.Seed}
	total := 0
	for _, name := range c.Rules {
		total += t.Runs * len(baselines.GridFor(name, t.Grid))
	}
	before := total
	total += t.Runs * len(Multipliers(grid)) * len(c.Multiplied)
	tell(l, Started{Phase: Tuning, Runs: total})
	defer func() {
		tell(l, Ended{Phase: Tuning})
		if err == nil {
			remark(l, rules, false)
			remark(l, multipliers, true)
		}
	}()
	if len(c.Rules) > 0 {
		t.Progress = func(done, _ int) { tell(l, Progress{Phase: Tuning, Done: done, Total: total}) }
		rules, err = baselines.TuneAll(ctx, c.Rules, t)
		if untunable := (*baselines.UntunableError)(nil); err != nil && !(errors.As(err, &untunable) && len(rules) == len(c.Rules)) {
			return nil, nil, err
		}
	}
	t.Progress = func(done, _ int) { tell(l, Progress{Phase: Tuning, Done: before + done, Total: total}) }
	multipliers, err = TuneMultipliers(ctx, c.Multiplied, grid, t)
	return rules, multipliers, err
}

// remark tells of rules that the grid does not suit.
func remark(l Listener, tuned []baselines.Tuned, multiplier bool) {
	for _, t := range tuned {
		switch {
		case t.Rule == nil:
			tell(l, LeftOut{Rule: t.Name, Least: t.Grid[0].LearningRate, Most: t.Grid[len(t.Grid)-1].LearningRate, Multiplier: multiplier})
		case t.AtEdge:
			tell(l, AtEdge{Rule: t.Name, LearningRate: t.LearningRate, Multiplier: multiplier})
		}
	}
}
