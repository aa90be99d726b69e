package versus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"learnedopt/baselines"
	"learnedopt/compare"
	"learnedopt/optimizer"
	"learnedopt/rules"
)

// TunedSuffix ends the name of a learned rule whose updates are multiplied by a tuned number.
const TunedSuffix = "×tuned"

// Multipliers returns the numbers that are tried as factors on a learned rule's updates: n for each decade from 0.001 to 100, 1
// among them, as many as baselines.GridOf(n) has learning rates:
//
//	10^(e/n),   e = −3n … 2n
//
// It panics if n is not positive.
func Multipliers(n int) []float64 {
	if n < 1 {
		panic(errGrid)
	}
	grid := make([]float64, 0, 5*n+1)
	for e := -3 * n; e <= 2*n; e++ {
		grid = append(grid, math.Pow(10, float64(e)/float64(n)))
	}
	return grid
}

// Scaled returns a learned rule with all its updates multiplied by a positive number, under another name. It is the rule with
// the number in place of a learning rate.
func Scaled(c compare.Contender, name string, by float64) compare.Contender {
	return compare.Contender{Name: name, Kind: compare.Learned, Rule: rules.Scaled{Rule: c.Rule, By: rules.Constant(by)}, Multiplier: by}
}

// TuneMultipliers tunes the factor on each learned rule's updates over Multipliers(n), as baselines.TuneAll tunes learning rates, on
// the instances that cfg describes; cfg.Grid and cfg.New are not read. The results are in the rules' order and have their
// names with TunedSuffix. A rule that diverged at every multiplier is in its place, too, without a Rule.
func TuneMultipliers(ctx context.Context, learned []compare.Contender, n int, cfg baselines.TuneConfig) ([]baselines.Tuned, error) {
	if len(learned) == 0 {
		return nil, nil
	}
	var names []string
	for _, c := range learned {
		names = append(names, c.Name+TunedSuffix)
	}
	cfg.Grid = Multipliers(n)
	cfg.New = func(name string, by float64) (optimizer.Rule, error) {
		return Scaled(learned[slices.Index(names, name)], name, by).Rule, nil
	}
	tuned, err := baselines.TuneAll(ctx, names, cfg)
	if untunable := (*baselines.UntunableError)(nil); err != nil && !(errors.As(err, &untunable) && len(tuned) == len(names)) {
		return nil, fmt.Errorf("versus: multipliers: %w", err)
	}
	return tuned, nil
}

// multiplied returns the rules that TuneMultipliers tuned as contenders. It leaves out each rule that diverged at every
// multiplier.
func multiplied(tuned []baselines.Tuned) []compare.Contender {
	var contenders []compare.Contender
	for _, t := range tuned {
		if t.Rule != nil {
			contenders = append(contenders, compare.Contender{Name: t.Name, Kind: compare.Learned, Rule: t.Rule, Multiplier: t.LearningRate})
		}
	}
	return contenders
}
