package compare

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"learnedopt/internal/stream"
	"learnedopt/optimizer"
)

// The kinds of Contender.
const (
	Learned  = "learned"
	Baseline = "baseline"
)

// A Contender is a rule in a comparison.
type Contender struct {
	Name string
	// Kind is Learned or Baseline.
	Kind string
	Rule optimizer.Rule
	// LearningRate is the rule's tuned learning rate; 0 if the rule has none.
	LearningRate float64
	// Multiplier is the factor on a learned rule's updates, which Rule already multiplies; 0 if it is the rule as it was
	// trained.
	Multiplier float64
}

// A Scorer is a Problem that can measure a final point on data that was not used to optimize it. Score returns
// the loss on the validation split and the accuracy, in [0, 1], on the test split; NaN if the problem has no accuracy.
type Scorer interface {
	Score(theta []float32) (validLoss, testAccuracy float64, err error)
}

// EvalConfig describes a comparison for Evaluate.
type EvalConfig struct {
	Family     optimizer.Family
	Contenders []Contender
	// Steps is the length T of a run, and Runs is the number of instances. Instance i is drawn from the
	// stream (Seed, "test", i). Training and tuning never use these streams.
	Steps, Runs int
	Seed        uint64
	// Progress, if set, is called after each run.
	Progress func(done, total int)
}

// A Comparison is the result of Evaluate. Other programs read its JSON.
type Comparison struct {
	Task  string   `json:"task"`
	Steps int      `json:"steps"`
	Runs  int      `json:"runs"`
	Seed  uint64   `json:"seed"`
	Rules []Result `json:"rules"`
	// Paired has an entry for each learned rule: see Pair.
	Paired []Paired `json:"paired,omitempty"`
}

// A Result is how one contender did.
type Result struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
	// LearningRate is the tuned learning rate, nil if the rule has none.
	LearningRate *float64 `json:"learning_rate"`
	// Multiplier is the factor on a learned rule's updates, nil if it is the rule as it was trained.
	Multiplier *float64 `json:"multiplier,omitempty"`
	// MeanLoss is the mean of f(θ_0) … f(θ_T), and FinalLoss is the mean of the last five losses. Both are
	// averaged over instances. MeanLossCI95 and FinalLossCI95 are their 95 % bootstrap intervals over instances.
	// If any run diverged, all of them are infinite, which is null in JSON.
	MeanLoss      Number    `json:"mean_loss"`
	MeanLossCI95  [2]Number `json:"mean_loss_ci95"`
	FinalLoss     Number    `json:"final_loss"`
	FinalLossCI95 [2]Number `json:"final_loss_ci95"`
	Diverged      int       `json:"diverged"`
	// HandedOver is the number of runs that the rule's Guard handed over; nil if the rule has no Guard.
	HandedOver *int `json:"handed_over,omitempty"`
	// MeanLosses holds the mean loss of each instance, in order. Rules are paired by these losses.
	MeanLosses []Number `json:"mean_losses"`
	// FinalLosses holds the final loss of each instance, in order.
	FinalLosses []Number `json:"final_losses"`
	// ValidLoss and TestAccuracy are measured after the last step. They are nil if the problem is no Scorer
	// or if a run diverged. TestAccuracy is nil, too, if the problem has no accuracy.
	ValidLoss    *float64 `json:"valid_loss,omitempty"`
	TestAccuracy *float64 `json:"test_accuracy,omitempty"`
	// Curve is the mean over instances of f(θ_t), t = 0 … T. CurveCI95 is its 95 % bootstrap interval.
	Curve     []Number    `json:"curve"`
	CurveCI95 [2][]Number `json:"curve_ci95"`
	// StepTime is the time of a step on the machine where it was measured (Time), nil if nobody measured.
	StepTime *StepTime `json:"step_time,omitempty"`
}

// Evaluate runs every contender on the same fresh instances, from the same starting points, on the same
// minibatches, each with a fresh state.
func Evaluate(ctx context.Context, cfg EvalConfig) (*Comparison, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	job := optimizer.Job{
		Family:     cfg.Family,
		Instance:   Instances(cfg.Seed),
		Runs:       cfg.Runs,
		Steps:      cfg.Steps,
		LossesOnly: true,
		Progress:   cfg.Progress,
	}
	scores := make([][]split, len(cfg.Contenders))
	handovers := make([]*handoverCount, len(cfg.Contenders))
	for r, c := range cfg.Contenders {
		rule, count := countHandovers(c.Rule)
		handovers[r] = count
		job.Rules = append(job.Rules, rule)
		scores[r] = make([]split, cfg.Runs)
	}
	job.Finish = func(r, i int, p optimizer.Problem, out optimizer.Outcome) (err error) {
		if s, ok := p.(Scorer); ok && out.Diverged == nil {
			scores[r][i].known = true
			scores[r][i].validLoss, scores[r][i].testAccuracy, err = s.Score(out.Theta)
		}
		return err
	}
	outcomes, err := optimizer.RunAll(ctx, job)
	if err != nil {
		return nil, err
	}
	cmp := &Comparison{Task: cfg.Family.Name(), Steps: cfg.Steps, Runs: cfg.Runs, Seed: cfg.Seed}
	for r, c := range cfg.Contenders {
		res := NewResult(c, outcomes[r], allSteps(cfg.Steps), cfg.Seed)
		res.addScores(scores[r])
		res.HandedOver = handovers[r].total()
		cmp.Rules = append(cmp.Rules, res)
	}
	cmp.Pair()
	return cmp, nil
}

func (cfg EvalConfig) validate() error {
	switch {
	case cfg.Family == nil:
		return errors.New("compare: no family of problems to evaluate on")
	case len(cfg.Contenders) == 0:
		return errors.New("compare: no rules to evaluate")
	case cfg.Steps < 1 || cfg.Runs < 1:
		return fmt.Errorf("compare: %d steps and %d runs; both must be positive", cfg.Steps, cfg.Runs)
	}
	for _, c := range cfg.Contenders {
		if err := validRule(c.Rule); err != nil {
			return fmt.Errorf("compare: contender %q: %w", c.Name, err)
		}
	}
	return nil
}

// validRule returns an error if the rule is nil or invalid. Starting an invalid rule panics, and Evaluate starts
// rules in goroutines, where the caller cannot recover the panic.
func validRule(rule optimizer.Rule) error {
	if rule == nil {
		return errors.New("no rule")
	}
	if v, ok := rule.(interface{ Validate() error }); ok {
		return v.Validate()
	}
	return nil
}

// split holds a run's results on the validation and test splits.
type split struct {
	known                   bool
	validLoss, testAccuracy float64
}

// Instances returns the random sources from which Evaluate draws its instances: the streams (seed, "test", i).
func Instances(seed uint64) func(i int) *rand.Rand { return Streams(seed, "test") }

func allSteps(steps int) []int {
	at := make([]int, steps+1)
	for t := range at {
		at[t] = t
	}
	return at
}

// NewResult sums up the runs of a contender as Evaluate does, but computes the curve only at the steps in at.
// A bootstrap at each of 10,000 steps would take longer than the runs of a small task. seed is the seed of the
// comparison. HandedOver, ValidLoss and TestAccuracy do not follow from the outcomes and stay nil.
func NewResult(c Contender, outcomes []optimizer.Outcome, at []int, seed uint64) Result {
	score := NewScore(outcomes)
	res := Result{Name: c.Name, Kind: c.Kind, MeanLoss: score.MeanLoss, FinalLoss: score.FinalLoss, Diverged: score.Diverged}
	if c.LearningRate != 0 {
		res.LearningRate = &c.LearningRate
	}
	if c.Multiplier != 0 {
		res.Multiplier = &c.Multiplier
	}
	means, finals := make([]float64, len(outcomes)), make([]float64, len(outcomes))
	for i, out := range outcomes {
		means[i], finals[i] = meanLoss(out), finalLoss(out)
		res.MeanLosses = append(res.MeanLosses, Number(means[i]))
		res.FinalLosses = append(res.FinalLosses, Number(finals[i]))
	}
	// Every rule and step uses the same resamples, so intervals differ only because the data differ.
	lo, hi := bootstrap(means, stream.New(seed, "bootstrap", 0))
	res.MeanLossCI95 = [2]Number{Number(lo), Number(hi)}
	lo, hi = bootstrap(finals, stream.New(seed, "bootstrap", 0))
	res.FinalLossCI95 = [2]Number{Number(lo), Number(hi)}
	column := make([]float64, len(outcomes))
	for _, t := range at {
		sum := 0.0
		for i, out := range outcomes {
			column[i] = math.Inf(1)
			if t < len(out.Losses) && Number(out.Losses[t]).Finite() {
				column[i] = out.Losses[t]
			}
			sum += column[i]
		}
		lo, hi := bootstrap(column, stream.New(seed, "bootstrap", 0))
		res.Curve = append(res.Curve, Number(sum/float64(len(column))))
		res.CurveCI95[0] = append(res.CurveCI95[0], Number(lo))
		res.CurveCI95[1] = append(res.CurveCI95[1], Number(hi))
	}
	return res
}

func (r *Result) addScores(scores []split) {
	var loss, accuracy float64
	for _, s := range scores {
		if !s.known {
			return
		}
		loss += s.validLoss / float64(len(scores))
		accuracy += s.testAccuracy / float64(len(scores))
	}
	if r.ValidLoss = &loss; !math.IsNaN(accuracy) {
		r.TestAccuracy = &accuracy
	}
}
