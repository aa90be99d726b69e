package metaopt_test

import (
	"errors"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"learnedopt/baselines"
	"learnedopt/compare"
	"learnedopt/lstm"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
	"learnedopt/tasks"
)

// breaking is u = 1; at step at it is u = value.
type breaking struct {
	at    int
	value float32
}

func (breaking) Needs() optimizer.Needs                   { return optimizer.Needs{} }
func (b breaking) Start(optimizer.Layout) optimizer.State { return &b }
func (b *breaking) Update(dst []float32, _ optimizer.Point) (optimizer.Move, error) {
	dst[0], dst[1] = 1, 1
	if b.at == 0 {
		dst[1] = b.value
	}
	b.at--
	return 0, nil
}

// TestGuardOfNonFinite expects a handover at the first non-finite value. It expects a
// divergence if there is no point to go back to yet, or no rule left to hand over to.
func TestGuardOfNonFinite(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	ones := []float32{1, 1}
	for cause, c := range map[string]struct {
		rule breaking
		grad []float32
		loss float64
	}{
		"loss":      {breaking{at: -1}, ones, math.Inf(1)},
		"gradient":  {breaking{at: -1}, []float32{1, nan}, 3},
		"update":    {breaking{2, inf}, ones, 3},
		"parameter": {breaking{2, math.MaxFloat32}, ones, 3},
	} {
		var handovers []metaopt.Handover
		g := metaopt.Guard{Fallback: baselines.SGD{LearningRate: 0.5}, OnHandover: func(h metaopt.Handover) { handovers = append(handovers, h) }}
		rule := metaopt.Guarded{Rule: c.rule, Guard: g}
		moving := start(rule, 2)
		theta := []float32{0, 2e38}
		step := func(grad []float32, loss float64) {
			t.Helper()
			if d := moving.step(theta, grad, loss); d != nil {
				t.Fatalf("%s: %v", cause, d)
			}
		}
		step(ones, 5)
		step(ones, 4)
		want := slices.Clone(theta)
		want[0]-- // θ_1, where step 1 began: step 2 is not a new best
		step(c.grad, c.loss)
		if cause == "update" || cause == "parameter" {
			want[0]++ // the loss of step 2 was a new best
		}
		if len(handovers) != 1 || handovers[0].Step != 2 || handovers[0].Cause != cause || handovers[0].Loss != c.loss {
			t.Errorf("%s: handed over %+v", cause, handovers)
		}
		if !slices.Equal(theta, want) {
			t.Errorf("%s: back to %v, want %v", cause, theta, want)
		}
		step(ones, 4)
		if want[0] -= 0.5; !slices.Equal(theta, want) {
			t.Errorf("%s: the fallback goes to %v, want %v", cause, theta, want)
		}
		if d := moving.step(theta, ones, math.NaN()); d == nil || d.Step != 4 || d.What != "loss" {
			t.Errorf("%s: the fallback takes a loss of NaN: %v", cause, d)
		}
		if d := moving.step(theta, []float32{inf, 1}, 1); d == nil || d.What != "gradient" || d.Coordinate != 0 {
			t.Errorf("%s: the fallback takes an infinite gradient: %v", cause, d)
		}
		if !slices.Equal(theta, want) || len(handovers) != 1 {
			t.Errorf("%s: a divergence moved θ to %v, or handed over again: %+v", cause, theta, handovers)
		}
		if cause == "loss" || cause == "gradient" {
			if d := start(rule, 2).step(theta, c.grad, c.loss); d == nil || d.What != cause || d.Step != 0 {
				t.Errorf("%s: the first step has nothing to go back to: %v", cause, d)
			}
		}
	}
}

func TestGuardedRun(t *testing.T) {
	opt := someOptimizer(t, lstm.Config{Hidden: 3})
	guarded, err := opt.WithGuard(metaopt.Guard{Window: 1, Rise: metaopt.Rise{Tolerance: 0.1, Patience: 1}})
	if err != nil {
		t.Fatal(err)
	}
	theta, grad := []float32{1, 2, 3}, []float32{1, -1, 0.5}
	run := guarded.Start(optimizer.Flat(3))
	if err := run.Step(theta, grad); err == nil || !strings.Contains(err.Error(), "StepLoss") || !slices.Equal(theta, []float32{1, 2, 3}) {
		t.Errorf("Step without a loss: %v, θ = %v", err, theta)
	}
	if err := errors.Join(run.StepLoss(theta, grad, 1), run.StepLoss(theta, grad, 3)); err != nil {
		t.Fatal(err)
	}
	if h, ok := run.HandedOver(); !ok || h != (metaopt.Handover{Step: 1, Cause: "rise", Loss: 3, Best: 1}) || !slices.Equal(theta, []float32{1, 2, 3}) {
		t.Errorf("handed over %v %+v, θ = %v", ok, h, theta)
	}
	// Adam's first step has the length of its learning rate.
	if err := run.StepLoss(theta, grad, 1); err != nil || !near(float64(theta[0]), 1-0.003, 1e-6) || !near(float64(theta[1]), 2+0.003, 1e-6) {
		t.Errorf("the fallback goes to %v: %v", theta, err)
	}
	var diverged *optimizer.DivergedError
	if err := run.StepLoss(theta, grad, math.NaN()); !errors.As(err, &diverged) || diverged.What != "loss" {
		t.Errorf("a loss of NaN: %v", err)
	}
	// Without a guard a non-finite loss is refused like a non-finite gradient.
	bare, before := opt.Start(optimizer.Flat(3)), slices.Clone(theta)
	if err := bare.StepLoss(theta, grad, math.Inf(1)); !errors.As(err, &diverged) || diverged.What != "loss" || !slices.Equal(theta, before) {
		t.Errorf("an infinite loss without a guard: %v", err)
	}
	if _, ok := bare.HandedOver(); ok {
		t.Error("a run without a guard was handed over")
	}
}

func TestGuardAllocations(t *testing.T) {
	opt, err := someOptimizer(t, lstm.Config{Hidden: 3}).WithGuard(metaopt.Guard{Rise: metaopt.Rise{Tolerance: 0.1, Patience: 1}})
	if err != nil {
		t.Fatal(err)
	}
	theta, grad := make([]float32, 100), make([]float32, 100)
	run, loss := opt.Start(optimizer.Flat(100)), 1000.0
	step := func() {
		loss-- // a new best each time
		if err := run.StepLoss(theta, grad, loss); err != nil {
			t.Fatal(err)
		}
	}
	step()
	if n := testing.AllocsPerRun(20, step); n != 0 {
		t.Errorf("a guarded step allocates %v times", n)
	}
	loss = 1e6
	step()
	if _, ok := run.HandedOver(); !ok {
		t.Fatal("no handover")
	}
	if n := testing.AllocsPerRun(20, step); n != 0 {
		t.Errorf("a step of the fallback allocates %v times", n)
	}
}

// TestEvaluateCountsHandovers expects the same comparison, handovers included, for any
// GOMAXPROCS, and no count of handovers for a rule without a guard.
func TestEvaluateCountsHandovers(t *testing.T) {
	var heard atomic.Int64
	tame, err := metaopt.Load("testdata/quadratic.mopt")
	if err != nil {
		t.Fatal(err)
	}
	g := metaopt.Guard{Fallback: baselines.Adam{LearningRate: 0.1}, OnHandover: func(metaopt.Handover) { heard.Add(1) }}
	evaluate := func() *compare.Comparison {
		cmp, err := compare.Evaluate(t.Context(), compare.EvalConfig{
			Family: tasks.QuadraticUniform{Batch: 4},
			Contenders: []compare.Contender{
				{Name: "wild+guard", Kind: compare.Learned, Rule: metaopt.Guarded{Rule: wild(t).Network, Guard: g}},
				{Name: "tame+guard", Kind: compare.Learned, Rule: metaopt.Guarded{Rule: tame.Network, Guard: g}},
				{Name: "tame", Kind: compare.Learned, Rule: tame.Network},
			},
			Steps: 60, Runs: 7,
		})
		if err != nil {
			t.Fatal(err)
		}
		return cmp
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	one := evaluate()
	if n := one.Rules[0].HandedOver; n == nil || *n != 7 || heard.Load() != 7 {
		t.Errorf("%v handovers are counted and %d heard, want 7", n, heard.Load())
	}
	if n := one.Rules[1].HandedOver; n == nil || *n != 0 || one.Rules[2].HandedOver != nil {
		t.Errorf("handovers of a tame rule: %v under guard, %v without", n, one.Rules[2].HandedOver)
	}
	if !slices.Equal(one.Rules[1].Curve, one.Rules[2].Curve) {
		t.Error("the guard changed a run that it did not hand over")
	}
	for _, procs := range []int{2, 3} {
		runtime.GOMAXPROCS(procs)
		for r, rule := range evaluate().Rules {
			if !slices.Equal(rule.Curve, one.Rules[r].Curve) || rule.FinalLoss != one.Rules[r].FinalLoss {
				t.Errorf("GOMAXPROCS %d: %s ends at %v, want %v", procs, rule.Name, rule.FinalLoss, one.Rules[r].FinalLoss)
			}
		}
	}
}

// overflow is f(θ) = ½θ² from θ = 1, infinite above 100.
type overflow struct{}

func (overflow) Dim() int             { return 1 }
func (overflow) Init(theta []float32) { theta[0] = 1 }
func (overflow) LossGrad(theta, grad []float32) (float64, error) {
	grad[0] = theta[0]
	if theta[0] > 100 {
		return math.NaN(), nil
	}
	return float64(theta[0]) * float64(theta[0]) / 2, nil
}

// A non-finite loss stays in the record of a run that went on.
func TestEvaluateOfARescuedRun(t *testing.T) {
	cmp, err := compare.Evaluate(t.Context(), compare.EvalConfig{
		Family: only(overflow{}), Steps: 20, Runs: 1,
		Contenders: []compare.Contender{
			{Name: "guarded", Rule: metaopt.Guarded{Rule: constant(60), Guard: metaopt.Guard{Fallback: baselines.SGD{LearningRate: 0.5}}}},
			{Name: "bare", Rule: constant(60)},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	guarded, bare := cmp.Rules[0], cmp.Rules[1]
	if guarded.Diverged != 0 || bare.Diverged != 1 || *guarded.HandedOver != 1 {
		t.Errorf("diverged %d under guard and %d without; %d handovers", guarded.Diverged, bare.Diverged, *guarded.HandedOver)
	}
	if !math.IsInf(float64(guarded.MeanLoss), 1) || !math.IsInf(float64(guarded.Curve[2]), 1) {
		t.Errorf("the mean of losses of which one was NaN is %v, the curve %v there; want +Inf", guarded.MeanLoss, guarded.Curve[2])
	}
	// θ = 1 at step 3, then halved at each step to 20.
	if want := math.Pow(2, -2*17) / 2; !near(float64(guarded.Curve[20])/want, 1, 1e-6) || !guarded.FinalLoss.Finite() {
		t.Errorf("the run ends at %v, want %v", guarded.Curve[20], want)
	}
}

func TestGuardRejects(t *testing.T) {
	opt := someOptimizer(t, lstm.Config{Hidden: 3})
	for says, g := range map[string]metaopt.Guard{
		"window":        {Window: -1},
		"patience":      {Rise: metaopt.Rise{Patience: -2}},
		"stall":         {Stall: -3},
		"tolerance":     {Rise: metaopt.Rise{Tolerance: math.NaN(), Patience: 1}},
		"tolerance of ": {Rise: metaopt.Rise{Tolerance: -0.1, Patience: 1}},
		"set both":      {Rise: metaopt.Rise{Tolerance: 0.1}},
		"learning rate": {Fallback: baselines.Adam{LearningRate: -1}},
	} {
		if _, err := opt.WithGuard(g); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v", g, err)
		}
		mustPanicGuard(t, metaopt.Guarded{Rule: opt.Network, Guard: g})
	}
	mustPanicGuard(t, metaopt.Guarded{})
}

func mustPanicGuard(t *testing.T, g metaopt.Guarded) {
	t.Helper()
	defer func() {
		if text, _ := recover().(string); !strings.HasPrefix(text, "metaopt: ") {
			t.Errorf("%+v: Start panics with %q", g.Guard, text)
		}
	}()
	g.Start(optimizer.Flat(1))
}
