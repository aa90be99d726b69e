package compare_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"learnedopt/baselines"
	"learnedopt/compare"
	"learnedopt/optimizer"
)

// line is f_t(θ) = c·(t+1) for any θ, with score c.
type line struct {
	c float64
	t int
}

func (l *line) Dim() int             { return 1 }
func (l *line) Seek(t int)           { l.t = t }
func (l *line) Init(theta []float32) { theta[0] = 0 }
func (l *line) LossGrad(theta, grad []float32) (float64, error) {
	l.t++
	grad[0] = 1
	if math.Abs(float64(theta[0])) > 1e6 {
		return math.Inf(1), nil
	}
	return l.c * float64(l.t), nil
}
func (l *line) Score([]float32) (float64, float64, error) { return l.c, l.c / 100, nil }

func compareLines(t *testing.T) *compare.Comparison {
	t.Helper()
	cmp, err := compare.Evaluate(t.Context(), compare.EvalConfig{
		Family: family(func(rng *rand.Rand) (optimizer.Problem, error) {
			return &line{c: float64(1 + rng.IntN(9))}, nil
		}),
		Contenders: []compare.Contender{
			{Name: "slow", Kind: compare.Baseline, Rule: baselines.SGD{LearningRate: 0.1}, LearningRate: 0.1},
			{Name: "wild", Kind: compare.Baseline, Rule: baselines.SGD{LearningRate: 1e6}, LearningRate: 1e6},
			{Name: "learned", Kind: compare.Learned, Rule: baselines.SGD{LearningRate: 0.001}},
		},
		Steps: 7, Runs: 5, Seed: 3,
	})
	if err != nil {
		t.Fatal(err)
	}
	return cmp
}

// TestEvaluateSumsUp recomputes by hand what Evaluate reports of losses c·(t+1).
func TestEvaluateSumsUp(t *testing.T) {
	cmp := compareLines(t)
	c := 0.0
	for _, x := range cmp.Rules[0].Curve[:1] {
		c = float64(x) // the mean of c over instances
	}
	slow, wild, learned := cmp.Rules[0], cmp.Rules[1], cmp.Rules[2]
	if len(slow.Curve) != 8 || !near(float64(slow.Curve[7]), 8*c, 1e-12) {
		t.Errorf("curve %v, want eight multiples of %v", slow.Curve, c)
	}
	if !near(float64(slow.MeanLoss), 4.5*c, 1e-12) || !near(float64(slow.FinalLoss), 6*c, 1e-12) {
		t.Errorf("mean %v and final %v, want %v and %v", slow.MeanLoss, slow.FinalLoss, 4.5*c, 6*c)
	}
	lo, hi := slow.MeanLossCI95[0], slow.MeanLossCI95[1]
	if !(lo < slow.MeanLoss && slow.MeanLoss < hi && lo >= 4.5 && hi <= 9*4.5) {
		t.Errorf("interval [%v, %v] around %v", lo, hi, slow.MeanLoss)
	}
	if *slow.ValidLoss != c || !near(*slow.TestAccuracy, c/100, 1e-12) {
		t.Errorf("valid loss %v and accuracy %v, want %v and %v", *slow.ValidLoss, *slow.TestAccuracy, c, c/100)
	}
	if wild.Diverged != 5 || wild.MeanLoss.Finite() || wild.Curve[7].Finite() || !wild.Curve[0].Finite() || wild.ValidLoss != nil {
		t.Errorf("diverged runs are reported as %+v", wild)
	}
	if learned.LearningRate != nil || *slow.LearningRate != 0.1 {
		t.Error("learning rates are wrong")
	}
	if slow.MeanLoss != learned.MeanLoss || slow.MeanLossCI95 != learned.MeanLossCI95 {
		t.Error("the rules did not see the same instances or resamples")
	}
}

// TestComparisonJSON pins the keys that other programs read.
func TestComparisonJSON(t *testing.T) {
	data, err := json.Marshal(compareLines(t))
	if err != nil {
		t.Fatal(err)
	}
	var back struct {
		Task        string
		Steps, Runs int
		Rules       []map[string]any
	}
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if back.Task != "test" || back.Steps != 7 || back.Runs != 5 || len(back.Rules) != 3 {
		t.Errorf("read back %+v", back)
	}
	for _, key := range strings.Fields("name kind learning_rate mean_loss mean_loss_ci95 final_loss diverged curve valid_loss test_accuracy") {
		if _, ok := back.Rules[0][key]; !ok {
			t.Errorf("no key %q", key)
		}
	}
	if back.Rules[1]["mean_loss"] != nil || back.Rules[2]["learning_rate"] != nil {
		t.Error("what is infinite or missing must be null")
	}
	var cmp compare.Comparison
	if err := json.Unmarshal(data, &cmp); err != nil {
		t.Fatal(err)
	}
	if !math.IsInf(float64(cmp.Rules[1].MeanLoss), 1) || cmp.Rules[0].MeanLoss != compareLines(t).Rules[0].MeanLoss {
		t.Error("a comparison does not survive JSON")
	}
}

// TestBootstrapCovers draws many samples of ten values from a skewed distribution with mean 1, and counts how often
// the interval holds the mean. The percentile bootstrap of ten values is known to be narrow: it covers the mean in
// about 86 % of the cases.
func TestBootstrapCovers(t *testing.T) {
	covered := 0
	const trials = 200
	for k := range trials {
		cmp, err := compare.Evaluate(t.Context(), compare.EvalConfig{
			Family: family(func(rng *rand.Rand) (optimizer.Problem, error) { return &line{c: rng.ExpFloat64()}, nil }),
			Contenders: []compare.Contender{
				{Name: "sgd", Kind: compare.Baseline, Rule: baselines.SGD{LearningRate: 0.001}},
			},
			Steps: 1, Runs: 10, Seed: uint64(k),
		})
		if err != nil {
			t.Fatal(err)
		}
		if ci := cmp.Rules[0].MeanLossCI95; ci[0] <= 1.5 && 1.5 <= ci[1] { // the mean of c and 2c
			covered++
		}
	}
	if covered < trials*78/100 || covered > trials*95/100 {
		t.Errorf("%d of %d intervals cover the mean", covered, trials)
	}
}

func TestEvaluateRejects(t *testing.T) {
	good := compare.EvalConfig{
		Family: family(bowls), Steps: 1, Runs: 1,
		Contenders: []compare.Contender{{Name: "sgd", Kind: compare.Baseline, Rule: baselines.SGD{LearningRate: 0.001}}},
	}
	for name, change := range map[string]func(*compare.EvalConfig){
		"no family": func(c *compare.EvalConfig) { c.Family = nil },
		"no rules":  func(c *compare.EvalConfig) { c.Contenders = nil },
		"no steps":  func(c *compare.EvalConfig) { c.Steps = 0 },
		"no runs":   func(c *compare.EvalConfig) { c.Runs = -1 },
	} {
		cfg := good
		change(&cfg)
		if _, err := compare.Evaluate(t.Context(), cfg); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if _, err := compare.Evaluate(t.Context(), good); err != nil { // one step, one run
		t.Error(err)
	}
}

// A run that diverged has no mean loss, even if all its losses are finite: here its last update is not finite.
func TestADivergenceCountsWhateverTheLosses(t *testing.T) {
	out := []optimizer.Outcome{{Losses: []float64{1, 2}, Diverged: &optimizer.DivergedError{Step: 1, What: "update"}}, {Losses: []float64{1, 2, 3}}}
	r := compare.NewResult(compare.Contender{Name: "x", Kind: compare.Learned}, out, []int{0, 1, 2}, 0)
	inf := compare.Number(math.Inf(1))
	if r.Diverged != 1 || !slices.Equal(r.MeanLosses, []compare.Number{inf, 2}) || !slices.Equal(r.FinalLosses, []compare.Number{inf, 2}) || r.MeanLoss != inf || r.FinalLoss != inf {
		t.Errorf("%+v", r)
	}
	if !slices.Equal(r.Curve, []compare.Number{1, 2, inf}) {
		t.Errorf("curve %v", r.Curve)
	}
}

// A curve at chosen steps equals the whole curve at these steps, and the rest of the result is the same. FinalLoss is
// the mean of FinalLosses.
func TestNewResultAtSomeSteps(t *testing.T) {
	f := family(func(rng *rand.Rand) (optimizer.Problem, error) { return &line{c: float64(1 + rng.IntN(9))}, nil })
	whole := compareLines(t).Rules[0]
	out, err := optimizer.RunAll(t.Context(), optimizer.Job{
		Rules: []optimizer.Rule{baselines.SGD{LearningRate: 0.1}}, Family: f, Instance: compare.Instances(3), Runs: 5, Steps: 7,
	})
	if err != nil {
		t.Fatal(err)
	}
	c := compare.Contender{Name: "slow", Kind: compare.Baseline, LearningRate: 0.1}
	some := compare.NewResult(c, out[0], []int{0, 5, 7}, 3)
	mean := compare.Number(0)
	for _, x := range some.FinalLosses {
		mean += x / 5
	}
	if some.Name != "slow" || *some.LearningRate != 0.1 || some.MeanLoss != whole.MeanLoss || some.FinalLossCI95 != whole.FinalLossCI95 ||
		math.Abs(float64(mean/some.FinalLoss-1)) > 1e-12 {
		t.Errorf("%+v is not of %+v", some, whole)
	}
	if len(some.Curve) != 3 || len(some.CurveCI95[0]) != 3 || len(some.CurveCI95[1]) != 3 {
		t.Fatalf("%d points of the curve, want 3", len(some.Curve))
	}
	for k, at := range []int{0, 5, 7} {
		if some.Curve[k] != whole.Curve[at] || some.CurveCI95[0][k] != whole.CurveCI95[0][at] || some.CurveCI95[1][k] != whole.CurveCI95[1][at] {
			t.Errorf("step %d: %v, want %v", at, some.Curve[k], whole.Curve[at])
		}
	}
}
