package htmlreport

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"learnedopt/compare"
)

// A Sweep is a grid of comparisons.
type Sweep struct {
	Axes     []Axis    `json:"axes"`
	Cells    []Cell    `json:"cells"`
	Settings []Setting `json:"settings,omitempty"`
	Versions []string  `json:"versions"`
	Seeds    []string  `json:"seeds"`
	// Planned is the number of cells of the grid, 0 if no file tells it.
	Planned int `json:"planned"`
}

// An Axis is what a sweep varies, with its values in order.
type Axis struct {
	Name   string   `json:"name"`
	Values []string `json:"values"`
}

// A Cell is the rules at one value of every axis.
type Cell struct {
	Index int               `json:"index"` // in Sweep.Cells
	At    map[string]string `json:"at"`
	Name  string            `json:"name"` // "units 20, steps 100"
	Task  string            `json:"task"`
	Steps int               `json:"steps"`
	Seed  string            `json:"seed"`
	Rules []Rule            `json:"rules"`
	Pairs []Pair            `json:"pairs"`

	records []record
}

// A Pair is a learned rule against a hand-designed one in a cell.
type Pair struct {
	Learned  string `json:"learned"`
	Baseline string `json:"baseline"`
	Ratio    Num    `json:"ratio"` // of mean losses
	CI95     [2]Num `json:"ci95"`
	Verdict  string `json:"verdict"`
	// SpeedUp is how many times the steps of the learned rule the hand-designed one needs to reach its final loss, nil if
	// no one measured it; Censored: it did not get there, so that it is at least that.
	SpeedUp  *Num `json:"speed_up,omitempty"`
	Censored bool `json:"censored,omitempty"`
}

// A record is a line of cells.jsonl: package sweep's Record, as far as a page needs it.
type record struct {
	Key         string              `json:"key"`
	Version     string              `json:"version"`
	Task        string              `json:"task"`
	Cell        map[string]string   `json:"cell"`
	Steps       int                 `json:"steps"`
	Runs        int                 `json:"runs"`
	Seed        uint64              `json:"seed"`
	Rule        recordRule          `json:"rule"`
	MeanLosses  []compare.Number    `json:"mean_losses"`
	FinalLosses []compare.Number    `json:"final_losses"`
	Diverged    int                 `json:"diverged"`
	DivergedAt  []string            `json:"diverged_at"`
	CurveSteps  []int               `json:"curve_steps"`
	Curve       []compare.Number    `json:"curve"`
	CurveCI95   [2][]compare.Number `json:"curve_ci95"`
	// Reach, of hand-designed rules, is the least that the mean curve has been at steps 0, ReachEvery, 2·ReachEvery, ….
	Reach      []compare.Number `json:"reach"`
	ReachEvery int              `json:"reach_every"`
	SpeedUp    map[string]struct {
		Factor   float64 `json:"factor"`
		Censored bool    `json:"censored"`
	} `json:"speed_up"`
	Paired map[string]struct {
		Ratio   compare.Number    `json:"ratio"`
		CI95    [2]compare.Number `json:"ci95"`
		Verdict string            `json:"verdict"`
	} `json:"paired"`

	curve *Curve // what is kept of Curve and CurveCI95
}

type recordRule struct {
	Name         string   `json:"name"`
	Kind         string   `json:"kind"`
	Source       string   `json:"source"`
	Digest       string   `json:"digest"`
	LearningRate *float64 `json:"learning_rate"`
	Tuned        string   `json:"tuned"`
}

// Bounds of what a sweep may make of a page.
const (
	maxCells     = 5000
	maxAxes      = 20
	maxValues    = 200
	maxInstances = 1000
	maxReach     = 20000
	maxRecords   = 20000
)

// A sweepLog reads the lines of a cells.jsonl.
type sweepLog struct {
	sweep    Sweep
	manifest manifest
	problems problems
	index    map[string]int // of a cell, by its values
	records  int            // lines that were taken in
	bad      int            // lines that were not
}

func newSweepLog(m manifest) *sweepLog {
	l := &sweepLog{manifest: m, index: map[string]int{}}
	l.sweep.Settings, l.sweep.Planned = m.settings, m.planned
	l.order()
	return l
}

// add takes a line in and returns the indices of the cells that it changed. What follows
// from the records of cells is made by compare and order, once for many lines.
func (l *sweepLog) add(data []byte) (changed []int) {
	var r record
	if err := json.Unmarshal(data, &r); err != nil || r.Rule.Name == "" || len(r.MeanLosses) == 0 ||
		len(r.MeanLosses) > maxInstances || len(r.FinalLosses) > maxInstances || len(r.Reach) > maxReach || len(r.Cell) > maxAxes || l.records >= maxRecords {
		l.bad++
		return nil
	}
	l.records++
	r.curve = thin(r.CurveSteps, r.Curve, r.CurveCI95, cellPoints)
	r.CurveSteps, r.Curve, r.CurveCI95 = nil, nil, [2][]compare.Number{}
	places := []place{{r.Cell, r.Rule}}
	if l.manifest.places != nil {
		places = l.manifest.places[r.Key] // none of a record of another sweep
	}
	for _, p := range places {
		// What is shown may be called otherwise than when it ran.
		one := r
		one.Cell, one.Rule = p.cell, p.rule
		one.Rule.LearningRate = r.Rule.LearningRate
		if i := l.put(one); i >= 0 {
			changed = append(changed, i)
		}
	}
	return changed
}

// put puts a record in its cell and returns the cell's index, -1 if there is no room.
func (l *sweepLog) put(r record) int {
	at := map[string]string{}
	for k, v := range r.Cell {
		at[clean(k, maxName)] = clean(v, maxName)
	}
	r.Rule.Name = clean(r.Rule.Name, maxName)
	where := l.name(at)
	i, known := l.index[where]
	if !known {
		if len(l.sweep.Cells) >= maxCells {
			l.bad++
			return -1
		}
		i = len(l.sweep.Cells)
		l.index[where] = i
		l.sweep.Cells = append(l.sweep.Cells, Cell{Index: i, At: at, Name: where, Task: clean(r.Task, maxText), Steps: r.Steps, Seed: fmt.Sprint(r.Seed)})
	}
	c := &l.sweep.Cells[i]
	// The same rule of the same cell again: the later line counts.
	c.records = slices.DeleteFunc(c.records, func(old record) bool { return old.Rule.Name == r.Rule.Name })
	if len(c.records) >= maxRules {
		l.bad++
		return -1
	}
	c.records = append(c.records, r)
	l.remember(&l.sweep.Versions, r.Version)
	l.remember(&l.sweep.Seeds, fmt.Sprint(r.Seed))
	if r.Diverged > 0 {
		text := fmt.Sprintf("%s diverged in %d of %d runs", r.Rule.Name, r.Diverged, len(r.MeanLosses))
		if len(r.DivergedAt) > 0 {
			text += ": " + clean(strings.Join(r.DivergedAt[:min(len(r.DivergedAt), 3)], "; "), maxText)
		}
		l.problems.add(where, text)
	}
	return i
}

func (l *sweepLog) remember(list *[]string, s string) {
	if s = clean(s, maxName); !slices.Contains(*list, s) && len(*list) < 20 {
		*list = append(*list, s)
	}
}

// name is a cell's values in the order of the axes, those that sweep.json does not list last: "units 20, steps 100".
func (l *sweepLog) name(at map[string]string) string {
	keys := slices.Sorted(maps.Keys(at))
	place := func(key string) int {
		i := slices.IndexFunc(l.manifest.axes, func(a Axis) bool { return a.Name == key })
		if i < 0 {
			return maxAxes
		}
		return i
	}
	slices.SortStableFunc(keys, func(a, b string) int { return cmp.Compare(place(a), place(b)) })
	var words []string
	for _, k := range keys {
		words = append(words, k+" "+at[k])
	}
	return strings.Join(words, ", ")
}

// order makes the axes: those of sweep.json, and what cells have beside them.
func (l *sweepLog) order() {
	values := map[string]map[string]bool{}
	for _, c := range l.sweep.Cells {
		for k, v := range c.At {
			if values[k] == nil {
				values[k] = map[string]bool{}
			}
			values[k][v] = true
		}
	}
	axes := []Axis{}
	for _, a := range l.manifest.axes {
		a.Values = slices.Clone(a.Values)
		more := slices.SortedFunc(maps.Keys(values[a.Name]), compareValues)
		for _, v := range more {
			if !slices.Contains(a.Values, v) {
				a.Values = append(a.Values, v)
			}
		}
		delete(values, a.Name)
		axes = append(axes, a)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		axes = append(axes, Axis{name, slices.SortedFunc(maps.Keys(values[name]), compareValues)})
	}
	l.sweep.Axes = axes
}

// compareValues orders numbers by size and before other texts.
func compareValues(a, b string) int {
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	switch {
	case errX == nil && errY == nil && x != y:
		return cmp.Compare(x, y)
	case errX == nil && errY != nil:
		return -1
	case errX != nil && errY == nil:
		return 1
	}
	return strings.Compare(a, b)
}
