package sweep

import (
	"maps"
	"strconv"

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
	families []optimizer.Family // of the cells
	tunings  [][]*tuningDefinition
}

// Plan lays the cells out. It makes every cell's task, so that whatever is wrong with one, or
// missing, shows before the first run.
func (c Config) Plan() (*Plan, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	rules, err := c.rules()
	if err != nil {
		return nil, err
	}
	p := &Plan{config: c, Manifest: results.Manifest{
		Version: metaopt.Version(), Task: c.Task, Axes: c.Axes, Steps: c.Steps, Runs: c.Runs, Seed: c.Seed,
		Tune: c.Tune, TuneRuns: c.TuneRuns, Grid: c.Grid, Reach: c.Reach, Rules: rules,
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
			d := definition{Format: format, Task: cell.Task, Steps: cell.Steps, Runs: c.Runs, Seed: c.Seed, Digest: r.Digest}
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

// reachOf is how many times the horizon a rule runs.
func (p *Plan) reachOf(r results.Rule) int {
	if r.Baseline == results.ReachRule {
		return p.Reach
	}
	return 1
}

// tuningOf is how the rule is tuned, nil if it is learned.
func (p *Plan) tuningOf(r results.Rule, cell *results.Cell) *tuningDefinition {
	if r.Kind != compare.Baseline {
		return nil
	}
	d := tuningDefinition{Format: format, Rule: r.Baseline, Task: cell.Task, Steps: cell.Steps, Seed: p.Seed}
	if r.Tuned == TuneBase {
		d.Task, d.Steps = p.Task, p.Steps
	}
	d.Runs, d.Grid = baselines.Effort(d.Steps, p.TuneRuns, p.Grid)
	return &d
}

// addCells makes the cells and their tasks, and the base task if rules are tuned on it.
func (p *Plan) addCells() error {
	c := p.config
	type group struct {
		settings []tasks.Choices
		cells    []int // -1 is the base task
	}
	groups := map[string]*group{} // by task: what shares its data
	var order []string
	add := func(task string, settings tasks.Choices, cell int) {
		if task != "mnist" && task != "fashion-mnist" {
			settings.DataDir = ""
		}
		g := groups[task]
		if g == nil {
			g = &group{}
			groups[task], order = g, append(order, task)
		}
		g.settings, g.cells = append(g.settings, settings), append(g.cells, cell)
	}
	if c.Tune != TuneCell && len(c.Rules) > 0 || len(c.Axes) == 0 {
		add(c.Task, c.Options, -1)
	}
	for _, values := range combinations(c.Axes) {
		cell, task, settings := results.Cell{Values: values, Steps: c.Steps}, c.Task, c.Options
		for _, a := range c.Axes {
			value := values[a.Key]
			switch kind, err := kindOf(a.Key); {
			case err != nil:
				return err
			case a.Key == DataAxis:
				task = value
			case a.Key == StepsAxis:
				cell.Steps, _ = strconv.Atoi(value)
			default:
				kind.set(&settings, value)
			}
		}
		add(task, settings, len(p.Cells))
		p.Cells = append(p.Cells, cell)
	}
	p.families = make([]optimizer.Family, len(p.Cells))
	for _, task := range order {
		g := groups[task]
		families, err := tasks.NewEach(task, g.settings)
		if err != nil {
			return err
		}
		for i, at := range g.cells {
			if at < 0 {
				p.base, p.Task = families[i], families[i].Name()
				continue
			}
			p.families[at], p.Cells[at].Task = families[i], families[i].Name()
		}
	}
	return nil
}

// combinations returns the values of every cell, the first axis slowest.
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
