package sweep

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"learnedopt/baselines"
	"learnedopt/compare"
	"learnedopt/internal/durable"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
	"learnedopt/tasks"
)

// A Manifest is a sweep's resolved configuration, sweep.json: with it and the records the
// results can be told without the optimizers and the data.
type Manifest struct {
	Version string `json:"version"`
	// Task is the base task: its canonical name, or its plain one if the sweep does not need it.
	Task     string `json:"task"`
	Axes     []Axis `json:"axes"`
	Steps    int    `json:"steps"`
	Runs     int    `json:"runs"`
	Seed     uint64 `json:"seed"`
	Tune     string `json:"tune"`
	TuneRuns int    `json:"tune_runs"`
	Grid     int    `json:"grid"`
	Reach    int    `json:"reach"`
	Rules    []Rule `json:"rules"`
	Cells    []Cell `json:"cells"`
}

// A Cell is one combination of the axes' values.
type Cell struct {
	// Values has the value of every axis by its key.
	Values map[string]string `json:"values"`
	// Task is the canonical name, Steps the horizon T.
	Task  string `json:"task"`
	Steps int    `json:"steps"`
	// Keys are those of the records, one for each of Manifest.Rules.
	Keys []string `json:"keys"`
}

// A Plan is a sweep that is ready to run.
type Plan struct {
	Manifest
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
	p := &Plan{config: c, Manifest: Manifest{
		Version: metaopt.Version(), Task: c.Task.Task(), Axes: c.Axes, Steps: c.Steps, Runs: c.Runs, Seed: c.Seed,
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
func (p *Plan) reachOf(r Rule) int {
	if r.Baseline == ReachRule {
		return p.Reach
	}
	return 1
}

// tuningOf is how the rule is tuned, nil if it is learned.
func (p *Plan) tuningOf(r Rule, cell *Cell) *tuningDefinition {
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
	var specs []tasks.Spec
	for _, values := range combinations(c.Axes) {
		cell, spec := Cell{Values: values, Steps: c.Steps}, c.Task
		for _, a := range c.Axes {
			if err := a.apply(&spec, &cell.Steps, values[a.Key]); err != nil {
				return err
			}
		}
		p.Cells, specs = append(p.Cells, cell), append(specs, spec)
	}
	if c.Tune != TuneCell && len(c.Rules) > 0 || len(c.Axes) == 0 {
		specs = append(specs, c.Task)
	}
	families, err := tasks.Families(c.DataDir, specs...)
	if err != nil {
		return err
	}
	p.families = families[:len(p.Cells)]
	for i, f := range p.families {
		p.Cells[i].Task = f.Name()
	}
	if len(families) > len(p.Cells) {
		p.base = families[len(p.Cells)]
		p.Task = p.base.Name()
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

// Write writes the manifest into a sweep's folder, in place of an older one.
func (m *Manifest) Write(dir string) error {
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	if err := durable.Replace(filepath.Join(dir, ManifestFile), append(data, '\n')); err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	return nil
}

// ReadManifest reads the manifest of a sweep's folder.
func ReadManifest(dir string) (*Manifest, error) {
	path := filepath.Join(dir, ManifestFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("sweep: %s: %w; run the same metaopt sweep again, which writes it anew", path, err)
	}
	if err := m.sound(); err != nil {
		return nil, fmt.Errorf("sweep: %s: %w; run the same metaopt sweep again, which writes it anew", path, err)
	}
	return &m, nil
}

// sound returns what a manifest that was read contradicts itself in.
func (m *Manifest) sound() error {
	names := map[string]bool{}
	for _, r := range m.Rules {
		if r.Kind != compare.Learned && r.Kind != compare.Baseline || names[r.Name] {
			return fmt.Errorf("rule %q of kind %q, which is none or there twice", r.Name, r.Kind)
		}
		names[r.Name] = true
	}
	for _, cell := range m.Cells {
		if len(cell.Keys) != len(m.Rules) {
			return fmt.Errorf("a cell has %d keys for %d rules", len(cell.Keys), len(m.Rules))
		}
	}
	return nil
}

// recorded returns a record of this sweep: on as many instances as it has.
func (m *Manifest) recorded(records map[string]Record, key string) (Record, bool) {
	r, ok := records[key]
	return r, ok && r.Runs == m.Runs
}

// Total and Missing count records: those of the sweep, and those that a store does not hold.
func (m *Manifest) Total() int { return len(m.Cells) * len(m.Rules) }

// Missing counts the sweep's records that are not among some.
func (m *Manifest) Missing(records map[string]Record) int {
	missing := 0
	for _, cell := range m.Cells {
		missing += len(slices.DeleteFunc(slices.Clone(cell.Keys), func(key string) bool {
			_, ok := m.recorded(records, key)
			return ok
		}))
	}
	return missing
}
