package sweep

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"

	"learnedopt/baselines"
	"learnedopt/compare"
	"learnedopt/metaopt"
	"learnedopt/sweep/results"
	"learnedopt/tasks"
	"learnedopt/versus"
)

// The values of Config.Tune: where the learning rates of hand-designed rules are tuned. See package results.
const (
	TuneBase = results.TuneBase
	TuneCell = results.TuneCell
	TuneBoth = results.TuneBoth
)

// Tunes returns the valid values of Config.Tune.
func Tunes() []string { return []string{TuneBase, TuneCell, TuneBoth} }

// An Axis is a setting and the values that it takes in the sweep, in canonical text.
type Axis = results.Axis

// StepsAxis is the key of the axis whose values are horizons T.
const StepsAxis = results.StepsAxis

// maxCells bounds the number of cells of a sweep: a larger number is taken for a mistake.
const maxCells = 4096

// KLGuardSuffix ends the name of a learned rule under a KL guard.
const KLGuardSuffix = "+kl-guard"

// A Learned is a learned optimizer of a sweep.
type Learned struct {
	// Name is the name that is shown. Source says where the optimizer comes from.
	Name, Source string
	Optimizer    *metaopt.Optimizer `json:"-"`
}

// A Config describes a sweep: tasks, horizons, optimizers and how they are tuned. Its JSON lacks what stands beside it: the folder of
// data sets and the optimizers themselves.
type Config struct {
	// Task is the base task; the axes change it. DataDir is the folder of data sets, as in Spec.Family.
	Task    tasks.Spec
	DataDir string `json:"-"`
	// Axes span the cells: one cell for each combination of their values; the first axis changes slowest. Without axes
	// there is one cell.
	Axes []Axis
	// Steps is the horizon T, unless StepsAxis is among the axes. Runs is the number of instances in each cell.
	Steps, Runs int
	Seed        uint64
	Learned     []Learned
	// Rules are hand-designed rules, by their names in package baselines. Tune is TuneBase, TuneCell or TuneBoth.
	// Tuning uses TuneRuns instances and Grid learning rates a decade; on long horizons baselines.Effort
	// reduces both.
	Rules          []string
	Tune           string
	TuneRuns, Grid int
	// TuneLearned adds each learned rule once more with a factor on its updates, which is tuned as learning rates are: where Tune
	// says, on the same instances, over as many values (versus.Multipliers).
	TuneLearned bool
	// KLGuard, if not 0, adds each learned rule once more under a metaopt.KLGuard of this radius with the defaults of its other fields.
	KLGuard float64
	// Times measures in each cell how long a step of each rule takes that has no record yet (compare.Time).
	Times bool
	// Reach bounds the search for speed-ups: results.ReachRule runs for Reach·T steps to get as low as a learned rule does
	// in T.
	Reach int
}

// Validate reports the first mistake in the configuration. It does not look at the tasks.
func (c Config) Validate() error {
	switch {
	case c.Steps < 1 || c.Runs < 1 || c.TuneRuns < 1 || c.Grid < 1 || c.Reach < 1:
		return fmt.Errorf("sweep: %d steps, %d runs, %d tuning runs, %d learning rates a decade, reach %d; all must be positive",
			c.Steps, c.Runs, c.TuneRuns, c.Grid, c.Reach)
	case !slices.Contains(Tunes(), c.Tune):
		return fmt.Errorf("sweep: tuning on %q; want base, cell or both", c.Tune)
	case c.KLGuard < 0 || math.IsNaN(c.KLGuard) || math.IsInf(c.KLGuard, 0):
		return fmt.Errorf("sweep: a KL guard of radius %v; want a positive number of nats, or 0 for none", c.KLGuard)
	case len(c.Learned)+len(c.Rules) == 0:
		return errors.New("sweep: no optimizer; name one")
	}
	cells := 1
	for i, a := range c.Axes {
		if _, err := NewAxis(a.Key, a.Values); err != nil {
			return err
		}
		if slices.ContainsFunc(c.Axes[:i], func(b Axis) bool { return a.Key == b.Key }) {
			return fmt.Errorf("sweep: axis %s is there twice; give it all its values at once", a.Key)
		}
		if cells *= len(a.Values); cells > maxCells {
			return fmt.Errorf("sweep: more than %d cells; shorten the axes", maxCells)
		}
	}
	for i, l := range c.Learned {
		if slices.ContainsFunc(c.Learned[:i], func(m Learned) bool { return l.Name == m.Name }) {
			return fmt.Errorf("sweep: two learned rules are called %s", l.Name)
		}
	}
	return nil
}

// rules returns the optimizers: the learned ones, then each hand-designed one once for each way to tune it. learned[k] is the
// index in c.Learned of rule k, if it is one of those.
func (c Config) rules() (rules []results.Rule, learned []int, err error) {
	var places []string // where rules are tuned
	for _, p := range []struct{ tuned, unless string }{{TuneCell, TuneBase}, {TuneBase, TuneCell}} {
		if c.Tune != p.unless {
			places = append(places, p.tuned)
		}
	}
	for i, l := range c.Learned {
		// The digest covers the parameters and the configuration alone: renaming a rule does not change it.
		var b bytes.Buffer
		if err := metaopt.Write(&b, &metaopt.Optimizer{Network: l.Optimizer.Network}); err != nil {
			return nil, nil, fmt.Errorf("sweep: %s: %w", l.Name, err)
		}
		sum := sha256.Sum256(b.Bytes())
		plain := results.Rule{Name: l.Name, Kind: compare.Learned, Source: l.Source, Digest: hex.EncodeToString(sum[:])}
		rules, learned = append(rules, plain), append(learned, i)
		if c.KLGuard != 0 {
			bounded := plain
			bounded.Name, bounded.KLGuard = l.Name+KLGuardSuffix, c.KLGuard
			rules, learned = append(rules, bounded), append(learned, i)
		}
		for _, tuned := range places {
			if c.TuneLearned {
				rule := plain
				rule.Name, rule.Tuned = tunedName(l.Name+versus.TunedSuffix, tuned), tuned
				rules, learned = append(rules, rule), append(learned, i)
			}
		}
	}
	for _, name := range c.Rules {
		if err := baselines.CheckName(name); err != nil {
			return nil, nil, fmt.Errorf("sweep: %w", err)
		}
		for _, tuned := range places {
			rules, learned = append(rules, results.Rule{Name: tunedName(name, tuned), Kind: compare.Baseline, Baseline: name, Tuned: tuned}), append(learned, -1)
		}
	}
	for i, r := range rules {
		if slices.ContainsFunc(rules[:i], func(s results.Rule) bool { return r.Name == s.Name }) {
			return nil, nil, fmt.Errorf("sweep: two rules are called %s; name each once", r.Name)
		}
	}
	return rules, learned, nil
}

// tunedName is the name of a rule that is tuned in a place.
func tunedName(name, tuned string) string {
	if tuned == TuneCell {
		return name + " (tuned here)"
	}
	return name + " (tuned on the base task)"
}
