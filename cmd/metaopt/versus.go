package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"learnedopt/baselines"
	"learnedopt/compare"
	"learnedopt/internal/durable"
	"learnedopt/optimizer"
)

// versus describes a comparison of learned rules with hand-designed rules. The learning rates of the hand-designed rules are
// tuned first, on the same task and horizon.
type versus struct {
	family   optimizer.Family
	steps    int
	runs     int
	tuneRuns int
	grid     int // learning rates per decade; 0 means defaultGrid
	seed     uint64
	learned  []compare.Contender
	rules    []string
}

// result holds a comparison, and the results of tuning its hand-designed rules.
type result struct {
	comparison *compare.Comparison
	tuned      []baselines.Tuned
}

// run tunes and compares.
func (v versus) run(ctx context.Context, a *app) (result, error) {
	var res result
	contenders := slices.Clone(v.learned)
	if len(v.rules) > 0 {
		var err error
		if res.tuned, err = v.tune(ctx, a); err != nil {
			return res, err
		}
	}
	contenders = append(contenders, contendersOf(res.tuned)...)
	var err error
	res.comparison, err = v.evaluate(ctx, a, contenders)
	return res, err
}

// contendersOf returns the tuned rules as contenders. It leaves out rules that diverged at every learning rate; a note has
// already reported them.
func contendersOf(tuned []baselines.Tuned) []compare.Contender {
	var contenders []compare.Contender
	for _, t := range tuned {
		if t.Rule != nil {
			contenders = append(contenders, compare.Contender{Name: t.Name, Kind: compare.Baseline, Rule: t.Rule, LearningRate: t.LearningRate})
		}
	}
	return contenders
}

func (v versus) evaluate(ctx context.Context, a *app, contenders []compare.Contender) (*compare.Comparison, error) {
	m := a.meter(int64(v.runs*len(contenders)), "comparing").of("runs")
	defer m.close()
	return compare.Evaluate(ctx, compare.EvalConfig{
		Family: v.family, Contenders: contenders, Steps: v.steps, Runs: v.runs, Seed: v.seed,
		Progress: func(done, total int) {
			if m.set(int64(done)); done == total {
				m.describe("confidence intervals of every step") // takes a second for a few thousand steps
			}
		},
	})
}

func (v versus) tune(ctx context.Context, a *app) ([]baselines.Tuned, error) {
	grid := baselines.GridOf(cmp.Or(v.grid, defaultGrid))
	m := a.meter(int64(v.tuneRuns*len(v.rules)*len(grid)), "tuning learning rates").of("runs")
	tuned, err := baselines.TuneAll(ctx, v.rules, baselines.TuneConfig{
		Family: v.family, Steps: v.steps, Runs: v.tuneRuns, Grid: grid, Seed: v.seed, Progress: m.progress,
	})
	m.close()
	var untunable *baselines.UntunableError
	if err != nil && !(errors.As(err, &untunable) && len(tuned) == len(v.rules)) {
		return nil, err
	}
	for _, t := range tuned {
		switch {
		case t.Rule == nil:
			a.note("%s is left out: it diverged at every learning rate from %g to %g", t.Name, grid[0], grid[len(grid)-1])
		case t.AtEdge:
			a.note("%s does best at %.3g, the end of the grid: a better learning rate may lie beyond", t.Name, t.LearningRate)
		}
	}
	return tuned, nil
}

// parseRules checks the names of rules. The single name "none" means no rules.
func parseRules(names []string) ([]string, error) {
	if len(names) == 1 && names[0] == "none" {
		return nil, nil
	}
	for i, name := range names {
		if err := baselines.CheckName(name); err != nil {
			return nil, usagef("--rules: %w", err)
		}
		if slices.Contains(names[:i], name) {
			return nil, usagef("--rules names %s twice; name it once", name)
		}
	}
	return names, nil
}

// writeJSON writes v to a file. "-" is standard output.
func (a *app) writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	data = append(data, '\n')
	if path == "-" {
		_, err := a.stdout.Write(data)
		return err
	}
	return durable.Replace(path, data)
}
