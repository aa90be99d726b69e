package baselines

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"

	"learnedopt/internal/stream"
	"learnedopt/optimizer"
)

// A TuneConfig says on which problems, and from which grid, learning rates are tuned.
type TuneConfig struct {
	// Family draws the tuning instances. It must be set.
	Family optimizer.Family
	// Steps is the length T of a run; 0 means 100.
	Steps int
	// Runs is the number of instances; 0 means 10.
	Runs int
	// Grid holds the learning rates to try, positive and ascending; nil
	// means DefaultGrid().
	Grid []float64
	// Seed fixes the instances: instance i is drawn from the stream
	// (Seed, "tune", i), which no evaluation uses.
	Seed uint64
	// New makes the rule of a name at a learning rate; nil means this package's New.
	// Set it to tune your own rules.
	New func(name string, learningRate float64) (optimizer.Rule, error)
	// Progress, if set, is called after each run with the number of finished runs.
	Progress func(done, total int)
}

// DefaultGrid returns GridOf(4), 21 learning rates.
func DefaultGrid() []float64 { return GridOf(4) }

// GridOf returns n learning rates per decade from 1e-4 to 10, 5n+1 in total:
//
//	10^(e/n),   e = −4n … n
//
// It panics if n is not positive.
func GridOf(n int) []float64 {
	if n < 1 {
		panic(errGrid)
	}
	grid := make([]float64, 0, 5*n+1)
	for e := -4 * n; e <= n; e++ {
		grid = append(grid, math.Pow(10, float64(e)/float64(n)))
	}
	return grid
}

// GridFor returns the learning rates that the tuning of the named rule tries: the grid, or the default learning rate
// alone if the rule is Untuned.
func GridFor(name string, grid []float64) []float64 {
	if Untuned(name) {
		return []float64{DefaultLearningRate(name)}
	}
	return grid
}

// Effort returns a cheaper tuning for runs of many steps: the number of instances and of learning rates
// per decade, from the numbers that a short run would use. For more than 500 steps it reduces the
// instances to runs·500/steps, but not below 2; for more than 1,000 steps it reduces the grid to at most
// 3 learning rates per decade, 16 in total. It never raises either number.
func Effort(steps, runs, grid int) (int, int) {
	if steps > 1000 {
		grid = min(grid, 3)
	}
	if steps > 500 {
		runs = max(runs*500/steps, min(runs, 2))
	}
	return runs, grid
}

// Validate returns an error if a field is out of its range, or if there is no family.
func (c TuneConfig) Validate() error {
	var errs []error
	if c.Family == nil {
		errs = append(errs, errors.New("baselines: tune: no family of problems"))
	}
	if c.Steps < 0 {
		errs = append(errs, fmt.Errorf("baselines: tune: %d steps; want at least 1, or 0 for 100", c.Steps))
	}
	if c.Runs < 0 {
		errs = append(errs, fmt.Errorf("baselines: tune: %d runs; want at least 1, or 0 for 10", c.Runs))
	}
	if c.Grid != nil && len(c.Grid) == 0 {
		errs = append(errs, errors.New("baselines: tune: the grid is empty; nil is the default grid"))
	}
	last := 0.0
	for i, lr := range c.Grid {
		if !(lr > last && lr < limit) {
			errs = append(errs, fmt.Errorf("baselines: tune: grid[%d] is %v after %v; want positive, finite, ascending learning rates", i, lr, last))
			break
		}
		last = lr
	}
	return errors.Join(errs...)
}

// Tune finds the best learning rate of the named rule: the one with the smallest mean of
//
//	f(θ_0) … f(θ_T)
//
// averaged over the tuning instances.
func Tune(ctx context.Context, name string, cfg TuneConfig) (Tuned, error) {
	tuned, err := TuneAll(ctx, []string{name}, cfg)
	if len(tuned) == 0 {
		return Tuned{}, err
	}
	return tuned[0], err
}

// TuneAll tunes several rules. A rule that is Untuned runs at its default alone, unless New is set, and is
// returned at it even if it diverged. All learning rates of all rules run on the same
// instances, minibatches and starting points. Each instance is sampled once. Instances are spread
// over GOMAXPROCS goroutines; the result does not depend on their number. A rule that
// diverges at every learning rate gives an *UntunableError. A rule that needs something that the problems do not offer gives an error that
// names it and wraps an *optimizer.NeedError, before any run. The errors of several rules
// are joined, and the results are complete nevertheless.
func TuneAll(ctx context.Context, names []string, cfg TuneConfig) ([]Tuned, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Steps == 0 {
		cfg.Steps = 100
	}
	if cfg.Runs == 0 {
		cfg.Runs = 10
	}
	if cfg.Grid == nil {
		cfg.Grid = DefaultGrid()
	}
	untuned, gridFor := Untuned, GridFor
	if cfg.New == nil {
		cfg.New = New
	} else {
		untuned = func(string) bool { return false }
		gridFor = func(_ string, grid []float64) []float64 { return grid }
	}
	rules, owners := make([]optimizer.Rule, 0, len(names)*len(cfg.Grid)), []string(nil)
	for _, name := range names {
		for _, lr := range gridFor(name, cfg.Grid) {
			rule, err := cfg.New(name, lr)
			if err != nil {
				return nil, err
			}
			rules, owners = append(rules, rule), append(owners, name)
		}
	}
	if err := cfg.offered(owners, rules); err != nil {
		return nil, err
	}
	outcomes, err := optimizer.RunAll(ctx, optimizer.Job{
		Rules:      rules,
		Family:     cfg.Family,
		Instance:   cfg.instance,
		Runs:       cfg.Runs,
		Steps:      cfg.Steps,
		LossesOnly: true,
		Progress:   cfg.Progress,
	})
	if err != nil {
		return nil, fmt.Errorf("baselines: tune: %w", err)
	}
	all := make([]Tuned, len(names))
	var errs []error
	for k, name := range names {
		grid := gridFor(name, cfg.Grid)
		all[k] = Tuned{
			Name: name, Family: cfg.Family.Name(), Steps: cfg.Steps, Runs: cfg.Runs, Seed: cfg.Seed,
			Grid: make([]GridPoint, len(grid)),
		}
		for i, lr := range grid {
			all[k].Grid[i] = score(lr, outcomes[i])
		}
		best := all[k].best()
		if untuned(name) {
			best = 0
		}
		if best < 0 {
			errs = append(errs, &UntunableError{Name: name, Lowest: grid[0], Highest: grid[len(grid)-1]})
		} else {
			all[k].Rule = rules[best]
			all[k].LearningRate = grid[best]
			all[k].AtEdge = !untuned(name) && (best == 0 || best == len(grid)-1)
		}
		rules, outcomes = rules[len(grid):], outcomes[len(grid):]
	}
	return all, errors.Join(errs...)
}

// instance draws tuning instance i.
func (c TuneConfig) instance(i int) *rand.Rand { return stream.New(c.Seed, "tune", uint64(i)) }

// offered returns an error that names the first rule that needs something of a problem which the family's do not offer. names has the name of each rule.
func (c TuneConfig) offered(names []string, rules []optimizer.Rule) (err error) {
	if c.Runs == 0 || !slices.ContainsFunc(rules, func(r optimizer.Rule) bool { return r.Needs().OfProblem() }) {
		return nil
	}
	p, err := c.Family.Sample(c.instance(0))
	if err != nil {
		return fmt.Errorf("baselines: tune: %w", err)
	}
	if closer, ok := p.(io.Closer); ok {
		defer func() { err = errors.Join(err, closer.Close()) }()
	}
	for i, r := range rules {
		if err := r.Needs().Met(optimizer.Offers(p)); err != nil {
			return fmt.Errorf("baselines: %s on %s: %w", names[i], c.Family.Name(), err)
		}
	}
	return nil
}

// lastLosses is the number of last losses whose mean is FinalLoss.
const lastLosses = 5

// score averages the losses of one learning rate's runs, in their order.
func score(learningRate float64, runs []optimizer.Outcome) GridPoint {
	p := GridPoint{LearningRate: learningRate}
	for _, out := range runs {
		if out.Diverged != nil {
			p.Diverged++
			continue
		}
		p.MeanLoss += mean(out.Losses) / float64(len(runs))
		p.FinalLoss += mean(out.Losses[max(0, len(out.Losses)-lastLosses):]) / float64(len(runs))
	}
	unusable := func(x float64) bool { return p.Diverged > 0 || math.IsNaN(x) || math.IsInf(x, 0) }
	if unusable(p.MeanLoss) || unusable(p.FinalLoss) {
		p.MeanLoss, p.FinalLoss = math.Inf(1), math.Inf(1)
	}
	return p
}

// mean divides before it adds, so that finite losses do not overflow.
func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v / float64(len(x))
	}
	return sum
}
