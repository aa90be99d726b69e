package sweep

import (
	"maps"
	"slices"

	"learnedopt/baselines"
	"learnedopt/compare"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
	"learnedopt/sweep/results"
	"learnedopt/tasks"
)

// A Plan is a sweep that is ready to run.
type Plan struct {
	results.Manifest
	config   Config
	base     optimizer.Family
	families []optimizer.Family // one a cell
	tunings  [][]*tuningDefinition
	learned  []int // index in config.Learned of each rule, if it is one of those
	specs    []tasks.Spec
}

// Config returns the configuration.
func (p *Plan) Config() Config { return p.config }

// Checksum returns the checksum of the data sets that the sweep reads: see tasks.Checksum.
func (p *Plan) Checksum() (string, error) { return tasks.Checksum(p.config.DataDir, p.specs...) }

// Plan lays out the cells. It makes every cell's task, so that an invalid task or missing data
// is an error before the first run.
func (c Config) Plan() (*Plan, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	rules, learned, err := c.rules()
	if err != nil {
		return nil, err
	}
	p := &Plan{config: c, learned: learned, Manifest: results.Manifest{
		Version: metaopt.Version(), Task: c.Task.Task(), Axes: c.Axes, Steps: c.Steps, Runs: c.Runs, Seed: c.Seed,
		Tune: c.Tune, TuneRuns: c.TuneRuns, Grid: c.Grid, Reach: c.Reach, TuneLearned: c.TuneLearned, Rules: rules,
	}}
	if p.Axes == nil {
		p.Axes = []Axis{} // [] in JSON
	}
	if err := p.addCells(); err != nil {
		return nil, err
	}
	for i := range p.Cells {
		cell := &p.Cells[i]
		var tunings []*tuningDefinition
		for _, r := range rules {
			d := definition{Format: format, Task: cell.Task, Steps: cell.Steps, Runs: c.Runs, Seed: c.Seed, Digest: r.Digest, KLGuard: r.KLGuard}
			tuning := p.tuningOf(r, cell)
			if tuning != nil {
				d.Baseline, d.Tuned, d.Tuning = r.Baseline, r.Tuned, keyOf(tuning)
				d.Reach = p.reachOf(r)
			}
			cell.Keys = append(cell.Keys, keyOf(d))
			tunings = append(tunings, tuning)
		}
		p.tunings = append(p.tunings, tunings)
	}
	return p, nil
}

// reachOf returns how many horizons T a rule runs for.
func (p *Plan) reachOf(r results.Rule) int {
	if r.Baseline == results.ReachRule {
		return p.Reach
	}
	return 1
}

// tuningOf returns how the rule is tuned in the cell, nil if it is a learned rule as it was trained.
func (p *Plan) tuningOf(r results.Rule, cell *results.Cell) *tuningDefinition {
	if r.Tuned == "" {
		return nil
	}
	d := tuningDefinition{Format: format, Rule: r.Baseline, Task: cell.Task, Steps: cell.Steps, Seed: p.Seed}
	if r.Kind == compare.Learned {
		d.Rule, d.Digest = learnedRule, r.Digest
	}
	if r.Tuned == TuneBase {
		d.Task, d.Steps = p.Task, p.Steps
	}
	d.Runs, d.Grid = baselines.Effort(d.Steps, p.TuneRuns, p.Grid)
	return &d
}

// addCells makes the cells and their tasks. It makes the base task too if rules are tuned on it or there are no axes.
func (p *Plan) addCells() error {
	c := p.config
	order := slices.Clone(c.Axes) // a whole task first, since it overwrites what other axes set
	slices.SortStableFunc(order, func(a, b Axis) int { return whole(b) - whole(a) })
	var specs []tasks.Spec
	for _, values := range combinations(c.Axes) {
		cell, base, over := results.Cell{Values: values, Steps: c.Steps}, c.Task, tasks.Spec{}
		for _, a := range order {
			target := &over
			if a.Key == TaskAxis {
				target = &base
			}
			if err := apply(a, target, &cell.Steps, values[a.Key]); err != nil {
				return err
			}
		}
		p.Cells, specs = append(p.Cells, cell), append(specs, base.Overlay(over))
	}
	if c.Tune != TuneCell && (len(c.Rules) > 0 || c.TuneLearned && len(c.Learned) > 0) || len(c.Axes) == 0 {
		specs = append(specs, c.Task)
	}
	families, err := tasks.Families(c.DataDir, specs...)
	if err != nil {
		return err
	}
	p.families, p.specs = families[:len(p.Cells)], specs
	for i, f := range p.families {
		p.Cells[i].Task = f.Name()
	}
	if len(families) > len(p.Cells) {
		p.base = families[len(p.Cells)]
		p.Task = p.base.Name()
	}
	return nil
}

// whole is 1 for TaskAxis and 0 for other axes.
func whole(a Axis) int {
	if a.Key == TaskAxis {
		return 1
	}
	return 0
}

// combinations returns the values of every cell by axis; the first axis changes slowest.
func combinations(axes []Axis) []map[string]string {
	all := []map[string]string{{}}
	for _, a := range axes {
		var next []map[string]string
		for _, c := range all {
			for _, v := range a.Values {
				d := maps.Clone(c)
				d[a.Key] = v
				next = append(next, d)
			}
		}
		all = next
	}
	return all
}
