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
	"learnedopt/sweep/results"
)

// A Sweep is a grid of comparisons.
type Sweep struct {
	Axes     []Axis    `json:"axes"`
	Cells    []Cell    `json:"cells"`
	Settings []Setting `json:"settings,omitempty"`
	// Styles holds the rules' places in the lists of colours, by name; see report.Places.
	Styles   map[string]int `json:"styles"`
	Versions []string       `json:"versions"`
	Seeds    []string       `json:"seeds"`
	// Planned is the number of cells of the grid, 0 if it is not known.
	Planned int `json:"planned"`

	manifest *results.Manifest // nil without sweep.json
}

// An Axis is a setting that a sweep varies, with its values in order.
type Axis struct {
	Name   string   `json:"name"`
	Values []string `json:"values"`
}

// A Cell holds the rules that ran at one combination of the axes' values.
type Cell struct {
	Index int               `json:"index"` // index in Sweep.Cells
	At    map[string]string `json:"at"`
	Name  string            `json:"name"` // "units 20, steps 100"
	Task  string            `json:"task"`
	Steps int               `json:"steps"`
	Seed  string            `json:"seed"`
	Rules []Rule            `json:"rules"`
	Pairs []Pair            `json:"pairs"`
	Best  []Pair            `json:"best"` // of each learned rule with the best tuned rule of the cell, as in the heat maps of package report/comparison

	records []results.Record
	work    int // the work of comparing the rules: pairs times instances
}

// A Pair compares a learned rule with a hand-designed one in a cell.
type Pair struct {
	Learned  string `json:"learned"`
	Baseline string `json:"baseline"`
	Ratio    Num    `json:"ratio"` // ratio of the mean losses
	CI95     [2]Num `json:"ci95"`
	Verdict  string `json:"verdict"`
	// SpeedUp and Censored are the fields Factor and Censored of results.SpeedUp. SpeedUp is nil if there is none.
	SpeedUp  *Num `json:"speed_up,omitempty"`
	Censored bool `json:"censored,omitempty"`
	// InTime is the speed-up in wall time, nil if it is not known.
	InTime *Num `json:"speed_up_in_time,omitempty"`
}

// Bounds on what a page shows of a sweep.
const (
	maxCells     = 5000
	maxAxes      = 20
	maxValues    = maxCells
	maxInstances = 1000
	maxReach     = 20000
	maxRecords   = 20000
	// maxWork bounds the number of pairs in a sweep times the number of their instances. At the bound the bootstrap takes
	// a minute or two.
	maxWork = 1 << 24
)

// A sweepLog reads the lines of a cells.jsonl.
type sweepLog struct {
	sweep    Sweep
	manifest manifest
	axes     []Axis // the manifest's axes
	problems problems
	rules    []Rule         // names and kinds of all rules, in the order of their colours
	index    map[string]int // index of a cell by its values
	records  int            // number of lines that were added
	bad      int            // number of lines that could not be read
	work     int            // work of all cells
	unpaired bool           // whether some pairs are left out because of maxWork
}

func newSweepLog(m manifest) *sweepLog {
	l := &sweepLog{manifest: m, axes: m.axes(), index: map[string]int{}}
	if l.sweep.Settings, l.sweep.manifest = m.settings, m.Manifest; m.Manifest != nil {
		l.sweep.Planned = len(m.Cells)
	}
	if m.Manifest != nil {
		for _, onBase := range []bool{false, true} { // pictures of curves leave out the rules that are tuned on the base task, if there are others
			for _, r := range m.Rules {
				if (r.Tuned == results.TuneBase) == onBase {
					l.rules = append(l.rules, Rule{Name: clean(r.Name, maxName), Learned: r.Kind == compare.Learned})
				}
			}
		}
	}
	l.order()
	return l
}

// add adds a line and returns the indices of the cells that it changed. The caller then calls compare
// and order, once for many lines, to update everything that follows from the records.
func (l *sweepLog) add(data []byte) (changed []int) {
	var r results.Record
	if err := json.Unmarshal(data, &r); err != nil || r.Validate() != nil || r.Rule.Name == "" ||
		r.Runs > maxInstances || len(r.Reach) > maxReach || len(r.Cell) > maxAxes || l.records >= maxRecords {
		l.bad++
		return nil
	}
	l.records++
	keep := spread(len(r.Curve), cellPoints)
	r.CurveSteps, r.Curve = pick(r.CurveSteps, keep), pick(r.Curve, keep)
	r.CurveCI95 = [2][]compare.Number{pick(r.CurveCI95[0], keep), pick(r.CurveCI95[1], keep)}
	if l.manifest.Manifest == nil {
		return l.put(r)
	}
	for _, p := range l.manifest.places[r.Key] { // a record of another sweep has no place
		if own, ok := l.manifest.Place(r, &l.manifest.Cells[p.cell], p.rule); ok {
			changed = append(changed, l.put(own)...)
		}
	}
	return changed
}

// put puts a record into its cell and returns the cell's index, or nil if there is no room.
func (l *sweepLog) put(r results.Record) []int {
	at := map[string]string{}
	for k, v := range r.Cell {
		at[clean(k, maxName)] = clean(v, maxName)
	}
	where := l.name(at)
	i, known := l.index[where]
	if !known {
		if len(l.sweep.Cells) >= maxCells {
			l.bad++
			return nil
		}
		i = len(l.sweep.Cells)
		l.index[where] = i
		l.sweep.Cells = append(l.sweep.Cells, Cell{Index: i, At: at, Name: where, Task: clean(r.Task, maxText), Steps: r.Steps, Seed: fmt.Sprint(r.Seed)})
	}
	c := &l.sweep.Cells[i]
	// If the cell already has a record of the same rule, the later line counts.
	c.records = slices.DeleteFunc(c.records, func(old results.Record) bool { return old.Rule.Name == r.Rule.Name })
	if len(c.records) >= maxRules {
		l.bad++
		return nil
	}
	c.records = append(c.records, r)
	name := clean(r.Rule.Name, maxName)
	if l.manifest.Manifest == nil && len(l.rules) < maxRules && !slices.ContainsFunc(l.rules, func(k Rule) bool { return k.Name == name }) {
		l.rules = append(l.rules, Rule{Name: name, Learned: r.Rule.Kind == compare.Learned})
	}
	l.remember(&l.sweep.Versions, r.Version)
	l.remember(&l.sweep.Seeds, fmt.Sprint(r.Seed))
	if r.Diverged > 0 {
		text := fmt.Sprintf("%s diverged in %d of %d runs", clean(r.Rule.Name, maxName), r.Diverged, r.Runs)
		if len(r.DivergedAt) > 0 {
			text += ": " + clean(strings.Join(r.DivergedAt[:min(len(r.DivergedAt), 3)], "; "), maxText)
		}
		l.problems.add(where, text)
	}
	return []int{i}
}

func (l *sweepLog) remember(list *[]string, s string) {
	if s = clean(s, maxName); !slices.Contains(*list, s) && len(*list) < 20 {
		*list = append(*list, s)
	}
}

// name returns a cell's values as "units 20, steps 100", in the order of the axes in sweep.json. Axes that sweep.json does not
// list come last.
func (l *sweepLog) name(at map[string]string) string {
	keys := slices.Sorted(maps.Keys(at))
	place := func(key string) int {
		i := slices.IndexFunc(l.axes, func(a Axis) bool { return a.Name == key })
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

// order sets the sweep's axes, which are the axes of sweep.json, or else the axes that the cells have, and the colours of its rules.
func (l *sweepLog) order() {
	l.sweep.Axes = slices.Clone(l.axes)
	l.sweep.Styles = stylesOf(l.rules)
	if l.manifest.Manifest != nil {
		return
	}
	values := map[string]map[string]bool{}
	for _, c := range l.sweep.Cells {
		for k, v := range c.At {
			if values[k] == nil {
				values[k] = map[string]bool{}
			}
			values[k][v] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		l.sweep.Axes = append(l.sweep.Axes, Axis{name, slices.SortedFunc(maps.Keys(values[name]), compareValues)})
	}
}

// compareValues orders numbers by size and puts them before other texts.
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

// complete reports whether every rule has its result in every cell of the grid.
func (l *sweepLog) complete() bool {
	if l.manifest.Manifest == nil || len(l.sweep.Cells) < len(l.manifest.Cells) {
		return false
	}
	return !slices.ContainsFunc(l.sweep.Cells, func(c Cell) bool { return len(c.records) < len(l.manifest.Rules) })
}
