package sweep

import (
	"context"
	"slices"

	"learnedopt/baselines"
	"learnedopt/compare"
	"learnedopt/sweep/results"
	"learnedopt/versus"
)

// RunOptions say where Run computes, and are functions that it calls to report on its work.
type RunOptions struct {
	// Executor computes the units; nil means this process.
	Executor Executor
	// Progress, if set, is called at the beginning and after each run, with the index of the cell,
	// the number of inner steps done and the number of inner steps in all. With an Executor it is called after each unit. If nothing is missing it is never called.
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
// An Executor may compute cells in any order. The records and their order in the files are the same: the store keeps results that come before
// their turn in a file of its own (AheadFile), and moves them when their turn comes.
//
// If the context is cancelled, Run returns the context's error; every record in the store is then complete.
func (p *Plan) Run(ctx context.Context, s *Store, o RunOptions) error {
	if o.Note == nil {
		o.Note = func(string, ...any) {}
	}
	r := &running{Plan: p, store: s, RunOptions: o, noted: map[string]bool{}, early: map[int]*Result{}}
	r.layOut()
	if o.Progress != nil && r.total > 0 {
		o.Progress(0, 0, r.total)
	}
	if err := r.take(r.kept()...); err != nil {
		return err
	}
	x := o.Executor
	if x == nil {
		x = (*inProcess)(r)
	}
	// Cells need what is tuned on the base task.
	for _, base := range []bool{true, false} {
		var units []Unit
		var places []int
		for i, u := range r.units {
			if u.Base == base && !r.ended[i] {
				u.Known = r.known(u)
				units, places = append(units, u), append(places, i)
			}
		}
		if len(units) == 0 {
			continue
		}
		err := x.Compute(ctx, units, func(all ...Result) error {
			for i := range all {
				all[i].Unit = places[all[i].Unit]
			}
			return r.take(all...)
		})
		if err != nil {
			return err
		}
	}
	return s.settle()
}

type running struct {
	*Plan
	RunOptions
	store       *Store
	done, total int64
	noted       map[string]bool // keys of the tunings that Note was told of

	units []Unit // in the order of their results in the files
	ended []bool
	turn  int             // index of the first unit that is not in the files
	early map[int]*Result // what came of units that are not in the files
	costs []int64         // inner steps of each unit
}

// layOut makes the units of everything that is missing. A tuning on the base task that several cells share comes before the first of
// them; with an Executor each rule is a unit there.
func (r *running) layOut() {
	planned := map[string]bool{}
	for cell := range r.Cells {
		u := Unit{Cell: cell}
		for _, k := range r.missing(cell) {
			if key := r.Cells[cell].Keys[k]; !planned[key] { // two cells may be the same
				planned[key] = true
				u.Rules = append(u.Rules, k)
			}
		}
		if len(u.Rules) == 0 {
			continue
		}
		base := Unit{Cell: cell, Base: true}
		for _, kind := range []string{compare.Baseline, compare.Learned} {
			for _, k := range u.Rules {
				d := r.tuningIn(base, k)
				if d == nil || r.Rules[k].Kind != kind || planned[keyOf(d)] {
					continue
				}
				if _, ok := r.store.tunings[keyOf(d)]; ok {
					continue
				}
				planned[keyOf(d)] = true
				if r.Executor != nil {
					r.units = append(r.units, Unit{Cell: cell, Base: true, Rules: []int{k}})
				} else {
					base.Rules = append(base.Rules, k)
				}
			}
		}
		if len(base.Rules) > 0 {
			slices.Sort(base.Rules)
			r.units = append(r.units, base)
		}
		r.units = append(r.units, u)
	}
	r.ended, r.costs = make([]bool, len(r.units)), make([]int64, len(r.units))
	counted := map[string]bool{}
	for i, u := range r.units {
		if _, ok := r.store.ahead[r.unitKey(u)]; !ok {
			r.costs[i] = r.cost(u, counted)
			r.total += r.costs[i]
		}
	}
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

// known returns the tunings of a unit's rules that the store holds, or that wait for their turn.
func (r *running) known(u Unit) (known []Tuning) {
	seen := map[string]bool{}
	for _, k := range u.Rules {
		if d := r.tunings[u.Cell][k]; d != nil && !seen[keyOf(d)] {
			seen[keyOf(d)] = true
			if t, ok := r.store.tuningOf(keyOf(d)); ok {
				known = append(known, t)
			}
		}
	}
	return known
}

// cost returns the number of inner steps that a unit takes. A tuning that several units share is counted for the first of them.
func (r *running) cost(u Unit, counted map[string]bool) int64 {
	var steps int64
	for _, k := range u.Rules {
		if !u.Base {
			steps += int64(r.Cells[u.Cell].Steps) * int64(r.Runs) * int64(r.reachOf(r.Rules[k]))
		}
		if d := r.tuningIn(u, k); d != nil && !counted[keyOf(d)] {
			counted[keyOf(d)] = true
			if _, ok := r.store.tunings[keyOf(d)]; !ok {
				steps += d.cost()
			}
		}
	}
	return steps
}

func (d *tuningDefinition) cost() int64 {
	return int64(d.Steps) * int64(d.Runs) * int64(len(baselines.GridFor(d.Rule, baselines.GridOf(d.Grid))))
}

// kept returns the results of units that the store got ahead of their turn, in an earlier run.
func (r *running) kept() (all []Result) {
	for i, u := range r.units {
		if a, ok := r.store.ahead[r.unitKey(u)]; ok {
			res := a.Result
			res.Unit, res.Ended = i, true
			all = append(all, res)
		}
	}
	return all
}

// unitKey identifies the results of a unit: the keys of its records, or of its tunings.
func (p *Plan) unitKey(u Unit) string {
	var keys []string
	for _, k := range u.Rules {
		if u.Base {
			keys = append(keys, keyOf(p.tunings[u.Cell][k]))
		} else {
			keys = append(keys, p.Cells[u.Cell].Keys[k])
		}
	}
	return keyOf(keys)
}

// take takes results in. Those whose turn it is go into the files, with one write; the others wait.
func (r *running) take(all ...Result) error {
	var now []Result
	ahead := map[string]Result{}
	for _, res := range all {
		if r.ended[res.Unit] {
			continue
		}
		if was := r.early[res.Unit]; was != nil {
			res.Tunings, res.Records = append(was.Tunings, res.Tunings...), append(was.Records, res.Records...)
		}
		r.early[res.Unit] = &res
		if res.Ended {
			r.ended[res.Unit] = true
			r.progressed(res.Unit)
			ahead[r.unitKey(r.units[res.Unit])] = res
		}
	}
	first := r.turn
	for r.turn < len(r.units) && r.early[r.turn] != nil {
		now = append(now, *r.early[r.turn])
		delete(r.early, r.turn)
		if !r.ended[r.turn] {
			break
		}
		delete(ahead, r.unitKey(r.units[r.turn]))
		r.turn++
	}
	if err := r.store.keep(now, ahead); err != nil {
		return err
	}
	for i := first; i < len(r.units) && i <= r.turn; i++ {
		if u := r.units[i]; !u.Base && (i < r.turn || len(now) > 0) {
			r.remark(u)
		}
	}
	return nil
}

// progressed reports that a unit has ended, unless its computation reports each run.
func (r *running) progressed(unit int) {
	if r.Executor == nil {
		return
	}
	r.done += r.costs[unit]
	if r.Progress != nil && r.costs[unit] > 0 {
		r.Progress(r.units[unit].Cell, r.done, r.total)
	}
}

// remark notes, once for each tuning and as soon as all tunings of a cell are there, that one found no learning rate or one at an end of the grid.
func (r *running) remark(u Unit) {
	for _, k := range u.Rules {
		if d := r.tunings[u.Cell][k]; d != nil {
			if _, ok := r.store.tunings[keyOf(d)]; !ok {
				return
			}
		}
	}
	for _, k := range u.Rules {
		d := r.tunings[u.Cell][k]
		if d == nil || r.noted[keyOf(d)] {
			continue
		}
		r.noted[keyOf(d)] = true
		t, name, what := r.store.tunings[keyOf(d)], d.Rule, "learning rate"
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
}

// inProcess computes units one after another, and reports each run.
type inProcess running

var _ Executor = (*inProcess)(nil)

// Compute implements Executor.
func (x *inProcess) Compute(ctx context.Context, units []Unit, take func(...Result) error) error {
	for i, u := range units {
		c := &computing{
			Plan: x.Plan, unit: u, tunings: byKey(u.Known),
			steps: func(steps int64) {
				x.done += steps
				if x.Progress != nil {
					x.Progress(u.Cell, x.done, x.total)
				}
			},
			keep: func(ts []Tuning, rs []results.Record) error { return take(Result{Unit: i, Tunings: ts, Records: rs}) },
		}
		if err := c.run(ctx); err != nil {
			return err
		}
		if err := take(Result{Unit: i, Ended: true}); err != nil {
			return err
		}
	}
	return nil
}
