package sweep

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"learnedopt/baselines"
	"learnedopt/compare"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
	"learnedopt/sweep/results"
	"learnedopt/versus"
)

// RunOptions are functions that Run calls to report on its work.
type RunOptions struct {
	// Progress, if set, is called at the beginning and after each run, with the index of the cell,
	// the number of inner steps done and the number of inner steps in all. If nothing is missing it is never called.
	Progress func(cell int, done, total int64)
	// Note, if set, is called with remarks on tuning: a rule that diverged at every learning rate, or whose best learning
	// rate is at an end of the grid.
	Note func(format string, args ...any)
}

// Run computes every record that the store does not hold, cell after cell, and adds the records of a cell as soon as
// its runs are over. Within a cell the instances are spread over GOMAXPROCS goroutines. Each goroutine has one
// problem open at a time, runs all rules on it in turn and keeps only losses, so memory does not grow with
// the number of cells. The records do not depend on GOMAXPROCS, nor on what the store held before.
//
// If the context is cancelled, Run returns the context's error; every record in the store is then complete.
func (p *Plan) Run(ctx context.Context, s *Store, o RunOptions) error {
	if o.Note == nil {
		o.Note = func(string, ...any) {}
	}
	r := &running{Plan: p, store: s, RunOptions: o, noted: map[string]bool{}}
	for cell := range p.Cells {
		r.total += r.cost(cell)
	}
	if o.Progress != nil && r.total > 0 {
		o.Progress(0, 0, r.total)
	}
	for cell := range p.Cells {
		if err := r.cell(ctx, cell); err != nil {
			return err
		}
	}
	return nil
}

type running struct {
	*Plan
	RunOptions
	store       *Store
	done, total int64
	planned     map[string]bool // keys of the tunings that cost has counted
	noted       map[string]bool // keys of the tunings that Note was told of
}

// missing returns the indices of the cell's rules that have no record yet. It leaves out a rule that diverged at every
// learning rate, which never gets a record.
func (r *running) missing(cell int) []int {
	var rules []int
	for k, key := range r.Cells[cell].Keys {
		if _, ok := r.store.records[key]; ok {
			continue
		}
		if d := r.tunings[cell][k]; d != nil {
			if t, ok := r.store.tunings[keyOf(d)]; ok && t.LearningRate == 0 {
				continue
			}
		}
		rules = append(rules, k)
	}
	return rules
}

// cost returns the number of inner steps that the cell's missing records still take. A tuning that several
// cells share is counted for the first of them.
func (r *running) cost(cell int) int64 {
	if r.planned == nil {
		r.planned = map[string]bool{}
	}
	var steps int64
	for _, k := range r.missing(cell) {
		steps += int64(r.Cells[cell].Steps) * int64(r.Runs) * int64(r.reachOf(r.Rules[k]))
		if d := r.tunings[cell][k]; d != nil && !r.planned[keyOf(d)] {
			if _, ok := r.store.tunings[keyOf(d)]; !ok {
				r.planned[keyOf(d)] = true
				steps += d.cost()
			}
		}
	}
	return steps
}

func (d *tuningDefinition) cost() int64 {
	return int64(d.Steps) * int64(d.Runs) * int64(len(baselines.GridFor(d.Rule, baselines.GridOf(d.Grid))))
}

// progress returns the callback of a job whose runs take the given number of steps each.
func (r *running) progress(cell, steps int) func(done, total int) {
	last := 0
	return func(done, _ int) {
		r.done += int64(done-last) * int64(steps)
		last = done
		if r.Progress != nil {
			r.Progress(cell, r.done, r.total)
		}
	}
}

// cell computes the missing records of a cell.
func (r *running) cell(ctx context.Context, cell int) error {
	missing := r.missing(cell)
	if len(missing) == 0 {
		return nil
	}
	if err := r.tune(ctx, cell, missing); err != nil {
		return err
	}
	// Rules that run for the same number of steps run together, so that each instance is sampled once for all of them.
	for _, reach := range []int{1, r.Reach} {
		var (
			contenders []compare.Contender
			rules      []int
		)
		for _, k := range missing {
			if r.reachOf(r.Rules[k]) != reach {
				continue
			}
			if c, ok := r.contender(cell, k); ok {
				contenders, rules = append(contenders, c), append(rules, k)
			}
		}
		if err := r.evaluate(ctx, cell, reach, rules, contenders); err != nil {
			return err
		}
		if r.Reach == 1 {
			break
		}
	}
	return nil
}

// contender returns rule k with its learning rate; ok is false if the rule diverged at every learning rate.
func (r *running) contender(cell, k int) (c compare.Contender, ok bool) {
	rule := r.Rules[k]
	c = compare.Contender{Name: rule.Name, Kind: rule.Kind}
	if rule.Kind == compare.Learned {
		c.Rule = r.config.Learned[r.learned[k]].Optimizer.Network
	}
	if rule.KLGuard != 0 {
		c.Rule = metaopt.Bounded{Rule: c.Rule, Guard: metaopt.KLGuard{Radius: rule.KLGuard}}
	}
	if rule.Tuned == "" {
		return c, true
	}
	t := r.store.tunings[keyOf(r.tunings[cell][k])]
	if t.LearningRate == 0 {
		return c, false
	}
	if rule.Kind == compare.Learned {
		return versus.Scaled(c, c.Name, t.LearningRate), true
	}
	made, err := baselines.New(rule.Baseline, t.LearningRate)
	if err != nil {
		return c, false // cannot happen: Config.rules checked the name
	}
	c.Rule, c.LearningRate = made, t.LearningRate
	return c, true
}

// tune finds the learning rates and multipliers that the store does not hold yet: first together for all rules of a kind that are
// tuned on the base task, then together for all rules of a kind that are tuned in the cell.
func (r *running) tune(ctx context.Context, cell int, missing []int) error {
	for _, on := range []string{TuneBase, TuneCell} {
		for _, kind := range []string{compare.Baseline, compare.Learned} {
			var ds []*tuningDefinition
			var learned []compare.Contender
			keys := map[string]bool{}
			for _, k := range missing {
				d := r.tunings[cell][k]
				if d == nil || r.Rules[k].Tuned != on || r.Rules[k].Kind != kind || keys[keyOf(d)] {
					continue
				}
				if _, ok := r.store.tunings[keyOf(d)]; !ok {
					keys[keyOf(d)] = true
					if ds = append(ds, d); kind == compare.Learned {
						l := r.config.Learned[r.learned[k]]
						learned = append(learned, compare.Contender{Name: l.Name, Rule: l.Optimizer.Network})
					}
				}
			}
			if len(ds) == 0 {
				continue
			}
			tuned, err := r.tuneTogether(ctx, cell, on, ds, learned)
			if err != nil {
				return err
			}
			for i, t := range tuned {
				if err := r.store.addTuning(Tuning{Key: keyOf(ds[i]), tuningDefinition: *ds[i], LearningRate: t.LearningRate, AtEdge: t.AtEdge}); err != nil {
					return err
				}
			}
		}
	}
	for _, k := range missing {
		if d := r.tunings[cell][k]; d != nil {
			r.remark(k, r.store.tunings[keyOf(d)])
		}
	}
	return nil
}

// tuneTogether makes tunings that differ in their rules alone: of hand-designed rules, or of the learned rules.
func (r *running) tuneTogether(ctx context.Context, cell int, on string, ds []*tuningDefinition, learned []compare.Contender) ([]baselines.Tuned, error) {
	about := ds[0]
	c := baselines.TuneConfig{
		Family: r.families[cell], Steps: about.Steps, Runs: about.Runs, Grid: baselines.GridOf(about.Grid), Seed: about.Seed,
		Progress: r.progress(cell, about.Steps),
	}
	if on == TuneBase {
		c.Family = r.base
	}
	if learned != nil {
		return versus.TuneMultipliers(ctx, learned, about.Grid, c)
	}
	var names []string
	for _, d := range ds {
		names = append(names, d.Rule)
	}
	tuned, err := baselines.TuneAll(ctx, names, c)
	var untunable *baselines.UntunableError
	if err != nil && !(errors.As(err, &untunable) && len(tuned) == len(names)) {
		return nil, err
	}
	return tuned, nil
}

// remark notes, once for each tuning, that it found no learning rate for rule k or one at an end of the grid.
func (r *running) remark(k int, t Tuning) {
	if r.noted[t.Key] {
		return
	}
	r.noted[t.Key] = true
	name, what := t.Rule, "learning rate"
	if r.Rules[k].Kind == compare.Learned {
		name, what = r.config.Learned[r.learned[k]].Name+versus.TunedSuffix, "multiplier"
	}
	switch {
	case t.LearningRate == 0:
		r.Note("%s is left out on %s, %d steps: it diverged at every %s", name, t.Task, t.Steps, what)
	case t.AtEdge:
		r.Note("%s does best at %.3g, the end of the grid, on %s, %d steps: a better %s may lie beyond", name, t.LearningRate, t.Task, t.Steps, what)
	}
}

// evaluate runs the contenders for reach horizons and adds their records; contenders[i] is the cell's rule rules[i].
func (r *running) evaluate(ctx context.Context, cell, reach int, rules []int, contenders []compare.Contender) error {
	if len(contenders) == 0 {
		return nil
	}
	at := r.Cells[cell]
	job := optimizer.Job{
		Family: r.families[cell], Instance: compare.Instances(r.Seed), Runs: r.Runs, Steps: reach * at.Steps,
		LossesOnly: true, Progress: r.progress(cell, reach*at.Steps),
	}
	for _, c := range contenders {
		job.Rules = append(job.Rules, c.Rule)
	}
	began := time.Now()
	outcomes, err := optimizer.RunAll(ctx, job)
	if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	seconds := math.Round(1000*time.Since(began).Seconds()) / 1000
	times := make([]*compare.StepTime, len(contenders))
	if r.config.Times {
		times, err = compare.Time(ctx, compare.EvalConfig{Family: job.Family, Contenders: contenders, Steps: at.Steps, Seed: r.Seed})
		if err != nil {
			return fmt.Errorf("sweep: %w", err)
		}
	}
	for i, c := range contenders {
		rec := results.NewRecord(c, outcomes[i], at.Steps, r.Seed)
		rec.Key, rec.Version, rec.Time = at.Keys[rules[i]], metaopt.Version(), time.Now().UTC().Format(time.RFC3339)
		rec.Task, rec.Cell, rec.Steps, rec.Runs, rec.Seed, rec.Seconds = at.Task, at.Values, at.Steps, r.Runs, r.Seed, seconds
		rec.StepTime = times[i]
		rec.Rule = r.Rules[rules[i]]
		if c.LearningRate != 0 {
			rec.Rule.LearningRate = &c.LearningRate
		}
		if c.Multiplier != 0 {
			rec.Rule.Multiplier = &c.Multiplier
		}
		if rec.Rule.Baseline == results.ReachRule {
			rec.SetReach(outcomes[i], reach*at.Steps)
		}
		if err := r.store.add(rec); err != nil {
			return err
		}
	}
	return nil
}
