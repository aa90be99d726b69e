package sweep

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"learnedopt/compare"
	"learnedopt/sweep/results"
)

// A Unit is a part of a sweep that can be computed anywhere: its numbers depend on the plan and the unit alone.
type Unit struct {
	// Cell is the index in Plan.Cells. If Base is set, the unit tunes rules of the cell on the base task, for all cells.
	// Otherwise it tunes those rules that are tuned in the cell, and runs all.
	Cell int  `json:"cell"`
	Base bool `json:"base,omitempty"`
	// Rules are indices in Plan.Rules, ascending.
	Rules []int `json:"rules"`
	// Known are the tunings of the rules that there are already. Those on the base task must be among them, unless Base is set.
	Known []Tuning `json:"known,omitempty"`
}

// A Result is the result of a unit, or a part of it.
type Result struct {
	// Unit is the index of the unit among those that the Executor was given.
	Unit int `json:"-"`
	// Ended says that there is nothing to come. Only the first unit that has not ended may have parts before.
	Ended   bool             `json:"-"`
	Tunings []Tuning         `json:"tunings,omitempty"`
	Records []results.Record `json:"records,omitempty"`
}

// An Executor computes units, in this process or elsewhere.
type Executor interface {
	// Compute has all units computed. It calls take with results as they come, in any order of units, from its own goroutine.
	// An error of take ends it.
	Compute(ctx context.Context, units []Unit, take func(...Result) error) error
}

// Compute computes a unit. Several goroutines may do so. Measured parts of the result depend on the machine: see Result.Unmeasured.
func (p *Plan) Compute(ctx context.Context, u Unit) (Result, error) {
	if err := p.checkUnit(u); err != nil {
		return Result{}, err
	}
	res := Result{Ended: true}
	r := &computing{Plan: p, unit: u, tunings: byKey(u.Known), steps: func(int64) {}, keep: func(ts []Tuning, rs []results.Record) error {
		res.Tunings, res.Records = append(res.Tunings, ts...), append(res.Records, rs...)
		return nil
	}}
	return res, r.run(ctx)
}

func byKey(tunings []Tuning) map[string]Tuning {
	all := map[string]Tuning{}
	for _, t := range tunings {
		all[t.Key] = t
	}
	return all
}

// checkUnit reports the first contradiction between a unit and the plan.
func (p *Plan) checkUnit(u Unit) error {
	if u.Cell < 0 || u.Cell >= len(p.Cells) {
		return fmt.Errorf("sweep: a unit of cell %d of %d", u.Cell, len(p.Cells))
	}
	for i, k := range u.Rules {
		if k < 0 || k >= len(p.Rules) || i > 0 && k <= u.Rules[i-1] || u.Base && p.Rules[k].Tuned != TuneBase {
			return fmt.Errorf("sweep: a unit with the rules %v of %d", u.Rules, len(p.Rules))
		}
	}
	known := byKey(u.Known)
	needed := map[string]bool{}
	for _, k := range u.Rules {
		d := p.tunings[u.Cell][k]
		if d == nil {
			continue
		}
		key := keyOf(d)
		needed[key] = true
		if t, ok := known[key]; ok && t.tuningDefinition != *d || !ok && !u.Base && p.Rules[k].Tuned == TuneBase {
			return fmt.Errorf("sweep: a unit without the tuning of %s, or with another one", p.Rules[k].Name)
		}
	}
	for key := range known {
		if !needed[key] {
			return fmt.Errorf("sweep: a unit with the tuning %.20q, which none of its rules has", key)
		}
	}
	return nil
}

// tuningIn returns how rule k is tuned in a unit, nil if it is not tuned there.
func (p *Plan) tuningIn(u Unit, k int) *tuningDefinition {
	if place := p.Rules[k].Tuned; place == TuneBase && u.Base || place == TuneCell && !u.Base {
		return p.tunings[u.Cell][k]
	}
	return nil
}

// UnitName names a unit in errors.
func (p *Plan) UnitName(u Unit) string {
	if u.Base {
		var names []string
		for _, k := range u.Rules {
			names = append(names, p.Rules[k].Name)
		}
		return fmt.Sprintf("tuning %q", names)
	}
	return "the cell " + p.Name(p.Cells[u.Cell])
}

// CheckResult reports whether something is no whole result of a unit: each tuning and record that it must have, once and in the order of
// Compute, and nothing else.
func (p *Plan) CheckResult(u Unit, res Result) error {
	known, tunings := byKey(u.Known), res.Tunings
	for _, kind := range []string{compare.Baseline, compare.Learned} {
		for _, k := range u.Rules {
			d := p.tuningIn(u, k)
			if d == nil || p.Rules[k].Kind != kind {
				continue
			}
			key := keyOf(d)
			if _, ok := known[key]; ok {
				continue
			}
			if len(tunings) == 0 || tunings[0].Key != key || tunings[0].tuningDefinition != *d {
				return fmt.Errorf("sweep: %s: the tuning of %s is missing", p.UnitName(u), p.Rules[k].Name)
			}
			known[key], tunings = tunings[0], tunings[1:]
		}
	}
	records, cell := res.Records, p.Cells[u.Cell]
	for _, late := range []bool{false, true} {
		for _, k := range u.Rules {
			d := p.tunings[u.Cell][k]
			if u.Base || p.reachOf(p.Rules[k]) > 1 != late || d != nil && known[keyOf(d)].LearningRate == 0 {
				continue
			}
			if len(records) == 0 || records[0].Key != cell.Keys[k] {
				return fmt.Errorf("sweep: %s: the record of %s is missing", p.UnitName(u), p.Rules[k].Name)
			}
			if err := p.checkRecord(records[0], cell, k); err != nil {
				return fmt.Errorf("sweep: %s: %s: %w", p.UnitName(u), p.Rules[k].Name, err)
			}
			records = records[1:]
		}
	}
	if len(tunings)+len(records) > 0 {
		return fmt.Errorf("sweep: %s: results of something else", p.UnitName(u))
	}
	return nil
}

// checkRecord reports whether a record is no record of rule k in a cell.
func (p *Plan) checkRecord(r results.Record, cell results.Cell, k int) error {
	if err := r.Validate(); err != nil {
		return err
	}
	rule := r.Rule
	rule.LearningRate, rule.Multiplier = nil, nil
	if rule != p.Rules[k] || r.Task != cell.Task || r.Steps != cell.Steps || r.Runs != p.Runs || r.Seed != p.Seed || !maps.Equal(r.Cell, cell.Values) {
		return errors.New("a record of something else")
	}
	return nil
}

// A Measurement is the part of a record that depends on the machine and the moment.
type Measurement struct {
	Time     string            `json:"time"`
	Seconds  float64           `json:"seconds"`
	StepTime *compare.StepTime `json:"step_time,omitempty"`
}

// Unmeasured returns the result without the measurements of its records, and these. Without them, all results of a unit are equal.
func (r Result) Unmeasured() (Result, []Measurement) {
	var all []Measurement
	r.Records = slices.Clone(r.Records)
	for i := range r.Records {
		rec := &r.Records[i]
		all = append(all, Measurement{rec.Time, rec.Seconds, rec.StepTime})
		rec.Time, rec.Seconds, rec.StepTime = "", 0, nil
	}
	return r, all
}

// Measured is the inverse of Unmeasured.
func (r Result) Measured(all []Measurement) (Result, error) {
	if len(all) != len(r.Records) {
		return r, errors.New("sweep: a result whose records have no measurements")
	}
	for i, m := range all {
		rec := &r.Records[i]
		rec.Time, rec.Seconds, rec.StepTime = m.Time, m.Seconds, m.StepTime
	}
	return r, nil
}
