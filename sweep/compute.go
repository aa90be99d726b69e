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

// A computing is the computation of one unit.
type computing struct {
	*Plan
	unit    Unit
	tunings map[string]Tuning                            // that are known, by key
	steps   func(steps int64)                            // is told of inner steps that were taken
	keep    func(ts []Tuning, rs []results.Record) error // takes what is finished
}

// run computes the unit. It passes each part on as soon as it is finished, and says by a part without content that a cell is tuned.
func (r *computing) run(ctx context.Context) error {
	if err := r.tune(ctx); err != nil || r.unit.Base {
		return err
	}
	if err := r.keep(nil, nil); err != nil {
		return err
	}
	// Rules that run for the same number of steps run together, so that each instance is sampled once for all of them.
	for _, reach := range []int{1, r.Reach} {
		var (
			contenders []compare.Contender
			rules      []int
		)
		for _, k := range r.unit.Rules {
			if r.reachOf(r.Rules[k]) != reach {
				continue
			}
			if c, ok := r.contender(k); ok {
				contenders, rules = append(contenders, c), append(rules, k)
			}
		}
		if err := r.evaluate(ctx, reach, rules, contenders); err != nil {
			return err
		}
		if r.Reach == 1 {
			break
		}
	}
	return nil
}

// progress returns the callback of a job whose runs take the given number of steps each.
func (r *computing) progress(steps int) func(done, total int) {
	last := 0
	return func(done, _ int) {
		r.steps(int64(done-last) * int64(steps))
		last = done
	}
}

// contender returns rule k with its learning rate; ok is false if the rule diverged at every learning rate.
func (r *computing) contender(k int) (c compare.Contender, ok bool) {
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
	t := r.tunings[keyOf(r.Plan.tunings[r.unit.Cell][k])]
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

// tune finds the learning rates and multipliers that are not known yet, together for all rules of a kind.
func (r *computing) tune(ctx context.Context) error {
	for _, kind := range []string{compare.Baseline, compare.Learned} {
		var ds []*tuningDefinition
		var learned []compare.Contender
		keys := map[string]bool{}
		for _, k := range r.unit.Rules {
			d := r.tuningIn(r.unit, k)
			if d == nil || r.Rules[k].Kind != kind || keys[keyOf(d)] {
				continue
			}
			if _, ok := r.tunings[keyOf(d)]; !ok {
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
		tuned, err := r.tuneTogether(ctx, ds, learned)
		if err != nil {
			return err
		}
		var all []Tuning
		for i, t := range tuned {
			all = append(all, Tuning{Key: keyOf(ds[i]), tuningDefinition: *ds[i], LearningRate: t.LearningRate, AtEdge: t.AtEdge})
			r.tunings[all[i].Key] = all[i]
		}
		if err := r.keep(all, nil); err != nil {
			return err
		}
	}
	return nil
}

// tuneTogether makes tunings that differ in their rules alone: of hand-designed rules, or of the learned rules.
func (r *computing) tuneTogether(ctx context.Context, ds []*tuningDefinition, learned []compare.Contender) ([]baselines.Tuned, error) {
	about := ds[0]
	c := baselines.TuneConfig{
		Family: r.families[r.unit.Cell], Steps: about.Steps, Runs: about.Runs, Grid: baselines.GridOf(about.Grid), Seed: about.Seed,
		Progress: r.progress(about.Steps),
	}
	if r.unit.Base {
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

// evaluate runs the contenders for reach horizons and passes their records on; contenders[i] is the cell's rule rules[i].
func (r *computing) evaluate(ctx context.Context, reach int, rules []int, contenders []compare.Contender) error {
	if len(contenders) == 0 {
		return nil
	}
	at := r.Cells[r.unit.Cell]
	job := optimizer.Job{
		Family: r.families[r.unit.Cell], Instance: compare.Instances(r.Seed), Runs: r.Runs, Steps: reach * at.Steps,
		LossesOnly: true, Progress: r.progress(reach * at.Steps),
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
	var all []results.Record
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
		all = append(all, rec)
	}
	return r.keep(nil, all)
}
