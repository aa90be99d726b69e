package metaopt_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"learnedopt/baselines"
	"learnedopt/lstm"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
	"learnedopt/rules"
)

// hillside writes the gradient of f(θ) = ½ Σ c_i (θ_i − 1)², c_i from 1 to 2, and returns f.
func hillside[F float32 | float64](grad, theta []F) (loss float64) {
	for i, x := range theta {
		c := 1 + F(i)/F(len(theta))
		grad[i] = c * (x - 1)
		loss += float64(c*(x-1)*(x-1)) / 2
	}
	return loss
}

// grouped cuts x into groups; one group is empty and one has one element.
func grouped[F any](x []F) [][]F { return [][]F{x[:1], x[1:1], x[1 : len(x)/2], x[len(x)/2:]} }

// A way is one of the kinds of steps.
type way struct {
	name  string
	start func(run *metaopt.Run) *walk
}

// A walk is a run downhill.
type walk struct {
	run   *metaopt.Run
	step  func() error
	theta func() []float64
}

func ways(n int) []way {
	return []way{
		{"float32", func(r *metaopt.Run) *walk {
			theta, grad := make([]float32, n), make([]float32, n)
			return &walk{r, func() error { return r.StepLoss(theta, grad, hillside(grad, theta)) }, func() []float64 { return in64(theta) }}
		}},
		{"float32 groups", func(r *metaopt.Run) *walk {
			theta, grad := make([]float32, n), make([]float32, n)
			tg, gg := grouped(theta), grouped(grad)
			return &walk{r, func() error { r.SetLoss(hillside(grad, theta)); return r.StepGroups(tg, gg) }, func() []float64 { return in64(theta) }}
		}},
		{"float64", func(r *metaopt.Run) *walk {
			theta, grad := make([]float64, n), make([]float64, n)
			return &walk{r, func() error { r.SetLoss(hillside(grad, theta)); return r.Step64(theta, grad) }, func() []float64 { return slices.Clone(theta) }}
		}},
		{"float64 groups", func(r *metaopt.Run) *walk {
			theta, grad := make([]float64, n), make([]float64, n)
			tg, gg := grouped(theta), grouped(grad)
			return &walk{r, func() error { r.SetLoss(hillside(grad, theta)); return r.StepGroups64(tg, gg) }, func() []float64 { return slices.Clone(theta) }}
		}},
	}
}

func in64(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

func (w *walk) steps(t *testing.T, n int) {
	t.Helper()
	for range n {
		if err := w.step(); err != nil {
			t.Fatal(err)
		}
	}
}

// eager hands over after a few steps wherever the loss rises.
func eager(rule optimizer.Rule) optimizer.Rule {
	return metaopt.Guarded{Rule: rule, Guard: metaopt.Guard{Window: 2, Rise: metaopt.Rise{Tolerance: 0.01, Patience: 1}, Fallback: baselines.Adam{LearningRate: 0.05}}}
}

// someRules are learned and hand-designed, bare, wrapped and guarded; at least one of the guards acts.
func someRules(t *testing.T) map[string]optimizer.Rule {
	t.Helper()
	adam := baselines.Adam{LearningRate: 0.1}
	rule := map[string]optimizer.Rule{
		"adam":               adam,
		"diverging, guarded": eager(wild(t).Network),
	}
	for _, name := range metaopt.PretrainedNames() {
		opt, err := metaopt.Pretrained(name)
		if err != nil {
			t.Fatal(err)
		}
		rule[name] = opt.Rule()
		rule[name+", guarded"] = eager(opt.Rule())
		rule[name+", wrapped"] = rules.ClipNorm{Max: 2, Rule: rules.Scaled{
			Rule: rules.WeightDecay{Rule: opt.Rule(), Decay: 0.01},
			By:   rules.WarmUp{Steps: 5, Then: rules.InverseSqrt{Steps: 10}},
		}}
		rule[name+", warm start under guard"] = eager(rules.WarmStart{Steps: 10, First: adam, Then: opt.Rule(), Observe: true})
	}
	wrapped := rules.Scaled{Rule: rules.WeightDecay{Rule: eager(wild(t).Network), Decay: 0.01}, By: rules.StepDecay{Factor: 0.9}}
	rule["wrapped guard"] = wrapped
	rule["groups"] = rules.Groups{{N: 5, Rule: rule["quadratic"]}, {Rule: rule["mlp, wrapped"]}}
	rule["warm start of a guard"] = rules.WarmStart{Steps: 10, First: wrapped, Then: eager(wild(t).Network)}
	return rule
}

// TestWaysAgree expects the same run from one slice and from groups, bit for bit, and in float32 the same run as
// optimizer.Run's. In float64 the updates of the 40 steps may differ by the rounding of gradients.
func TestWaysAgree(t *testing.T) {
	const n, steps = 37, 40
	for name, rule := range someRules(t) {
		var ends [][]float64
		for _, w := range ways(n) {
			k := w.start(startRun(rule, n))
			k.run.SetTotal(steps) // optimizer.Run tells it too
			k.steps(t, steps)
			if k.run.Steps() != steps || k.run.Len() != n {
				t.Errorf("%s, %s: %d steps of %d coordinates", name, w.name, k.run.Steps(), k.run.Len())
			}
			ends = append(ends, k.theta())
		}
		if !slices.Equal(ends[0], ends[1]) || !slices.Equal(ends[2], ends[3]) {
			t.Errorf("%s: groups end elsewhere than one slice: %v, %v and %v, %v", name, ends[0][:3], ends[1][:3], ends[2][:3], ends[3][:3])
		}
		out, err := optimizer.Run(t.Context(), rule, hill(n), steps)
		if err != nil || out.Diverged != nil {
			t.Fatal(name, err, out.Diverged)
		}
		if !slices.Equal(in64(out.Theta), ends[0]) {
			t.Errorf("%s: the run ends at %v, the one loop at %v", name, ends[0][:3], out.Theta[:3])
		}
		short, wide := ways(n)[0].start(startRun(rule, n)), ways(n)[2].start(startRun(rule, n))
		short.steps(t, 8)
		wide.steps(t, 8)
		for i, x := range short.theta() {
			if y := wide.theta()[i]; math.Abs(x-y) > 1e-4*max(1, math.Abs(x)) {
				t.Errorf("%s: θ[%d] = %v in float64, %v in float32", name, i, y, x)
				break
			}
		}
	}
}

type hill int

func (b hill) Dim() int             { return int(b) }
func (b hill) Init(theta []float32) { clear(theta) }
func (b hill) LossGrad(theta, grad []float32) (float64, error) {
	return hillside(grad, theta), nil
}

// TestStep64ByHand expects updates computed from rounded gradients and added in float64.
func TestStep64ByHand(t *testing.T) {
	run := startRun(baselines.SGD{LearningRate: 1}, 2)
	theta, grad := []float64{1, 1 << 40}, []float64{0.1, 1}
	if err := run.Step64(theta, grad); err != nil {
		t.Fatal(err)
	}
	if want := []float64{1 - float64(float32(0.1)), 1<<40 - 1}; !slices.Equal(theta, want) {
		t.Errorf("θ = %v, want %v", theta, want)
	}
	if grad[0] != 0.1 {
		t.Error("the gradient changed")
	}
	// A rule that needs the parameters sees them rounded: u = −θ/4.
	run = startRun(rules.WeightDecay{Rule: baselines.SGD{LearningRate: 1}, Decay: 0.25}, 1)
	theta = []float64{1 + 0x1p-40}
	if err := run.StepGroups64([][]float64{theta}, [][]float64{{0}}); err != nil {
		t.Fatal(err)
	}
	if want := 1 + 0x1p-40 - 0.25; theta[0] != want {
		t.Errorf("θ = %v, want %v", theta[0], want)
	}
}

// TestNothingMoves expects every kind of step to leave all parameters unchanged at a non-finite value and to say where
// it is. After a non-finite gradient the run must continue as if the step had not been tried.
func TestNothingMoves(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for name, c := range map[string]struct {
		rule        optimizer.Rule
		theta, grad float64 // of the last coordinate
		what        string
		value       float64
		only64      bool
		steps       int
	}{
		"NaN":             {baselines.Momentum{LearningRate: 0.001, Momentum: 0.9}, 0, nan, "gradient", nan, false, 1},
		"infinite":        {baselines.Momentum{LearningRate: 0.001, Momentum: 0.9}, 0, inf, "gradient", inf, false, 1},
		"beyond float32":  {baselines.Momentum{LearningRate: 0.001, Momentum: 0.9}, 0, -1e39, "gradient", -1e39, true, 1},
		"decay":           {rules.WeightDecay{Rule: baselines.SGD{LearningRate: 0.001}}, 0, nan, "gradient", nan, false, 1},
		"update":          {baselines.SGD{LearningRate: 1e30}, 0, 1e30, "update", -inf, false, 2},
		"parameter":       {baselines.SGD{LearningRate: 1}, -3e38, 3e38, "parameter", -inf, false, 2},
		"large parameter": {rules.WeightDecay{Rule: baselines.SGD{LearningRate: 0.001}}, 1e39, 1, "parameter", 1e39, true, 1},
	} {
		const n = 6
		for k, kind := range []string{"float32", "float32 groups", "float64", "float64 groups"} {
			wide := k >= 2
			if c.only64 && !wide {
				continue
			}
			if wide && name == "parameter" {
				continue // a float64 has room
			}
			run, twin := startRun(c.rule, n), startRun(c.rule, n)
			good := make([]float64, n)
			good[0], good[1] = 1e-3, -1e-3
			start, theta := make([]float64, n), make([]float64, n)
			step := func(r *metaopt.Run, theta, grad []float64) error {
				if wide && k == 3 {
					return r.StepGroups64(grouped(theta), grouped(grad))
				} else if wide {
					return r.Step64(theta, grad)
				}
				t32, g32 := in32(theta), in32(grad)
				defer func() { copy(theta, in64(t32)) }()
				if k == 1 {
					return r.StepGroups(grouped(t32), grouped(g32))
				}
				return r.Step(t32, g32)
			}
			if err := errors.Join(step(run, theta, good), step(twin, start, good)); err != nil {
				t.Fatal(err)
			}
			theta[n-1] = c.theta
			if !wide {
				theta[n-1] = float64(float32(c.theta))
			}
			before, bad := slices.Clone(theta), slices.Clone(good)
			bad[n-1] = c.grad
			err := step(run, theta, bad)
			var d *optimizer.DivergedError
			if !errors.As(err, &d) || d.What != c.what || d.Coordinate != n-1 || d.Step != 1 || !(d.Value == c.value || d.Value != d.Value && c.value != c.value) {
				t.Errorf("%s, %s: %+v", name, kind, err)
			}
			if !slices.Equal(theta, before) {
				t.Errorf("%s, %s: θ moved from %v to %v", name, kind, before, theta)
			}
			if run.Steps() != c.steps {
				t.Errorf("%s, %s: %d steps count, want %d", name, kind, run.Steps(), c.steps)
			}
			if c.what != "gradient" {
				continue
			}
			if err := errors.Join(step(run, theta, good), step(twin, start, good)); err != nil || !slices.Equal(theta, start) {
				t.Errorf("%s, %s: after a refused gradient the run is at %v, want %v: %v", name, kind, theta, start, err)
			}
		}
	}
}

func in32(x []float64) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = float32(v)
	}
	return y
}

// TestGuardGoesBackIn64 expects a guard to restore float64 parameters bit for bit, although float32 could not hold
// them. The guard may be under wrappers, and the loss may be NaN.
func TestGuardGoesBackIn64(t *testing.T) {
	guard := metaopt.Guarded{Rule: constant(1), Guard: metaopt.Guard{Window: 1, Rise: metaopt.Rise{Tolerance: 0.1, Patience: 1}, Fallback: baselines.SGD{LearningRate: 0.25}}}
	for name, rule := range map[string]optimizer.Rule{
		"guard":      guard,
		"wrapped":    rules.ClipNorm{Max: 100, Rule: rules.Scaled{Rule: rules.WeightDecay{Rule: guard}}},
		"warm start": rules.WarmStart{Steps: 9, First: guard, Then: baselines.SGD{LearningRate: 0.001}},
	} {
		for _, bad := range []float64{9, math.NaN()} {
			run := startRun(rule, 3)
			theta := []float64{math.Pi, 1e-300, -math.E}
			grad := [][]float64{{1}, {1, 1}}
			groups := [][]float64{theta[:1], theta[1:]}
			var best []float64
			for _, loss := range []float64{8, 7, 8, bad} {
				if loss == 7 {
					best = slices.Clone(theta)
				}
				run.SetLoss(loss)
				if err := run.StepGroups64(groups, grad); err != nil {
					t.Fatal(err)
				}
				if _, ok := run.HandedOver(); ok {
					break
				}
			}
			if h, ok := run.HandedOver(); !ok || h.Best != 7 || !slices.Equal(theta, best) {
				t.Errorf("%s: handed over %v %+v, back to %v, want %v", name, ok, h, theta, best)
			}
			run.SetLoss(7)
			if err := run.StepGroups64(groups, grad); err != nil || theta[0] != best[0]-0.25 || theta[2] != best[2]-0.25 {
				t.Errorf("%s: the fallback goes to %v from %v: %v", name, theta, best, err)
			}
		}
	}
}

// TestRunUpdate expects the updates that Step adds, and an error before the first step if the caller does not provide
// what the rule needs.
func TestRunUpdate(t *testing.T) {
	opt := someOptimizer(t, lstm.Config{Hidden: 3})
	theta, grad, u := []float32{1, -2}, []float32{3, 4}, make([]float32, 2)
	a, b, c := opt.Start(optimizer.Flat(2)), opt.Start(optimizer.Flat(2)), opt.Start(optimizer.Flat(2))
	update := func(run *metaopt.Run, dst []float32, p optimizer.Point) error {
		move, err := run.Update(dst, p)
		if move != 0 {
			t.Errorf("move %v", move)
		}
		return err
	}
	for range 3 {
		want := slices.Clone(theta)
		in := slices.Clone(grad)
		if err := errors.Join(a.Step(want, grad), update(b, u, optimizer.Point{Grad: grad}), update(c, in, optimizer.Point{Grad: in, Theta: theta})); err != nil {
			t.Fatal(err)
		}
		for i := range theta {
			theta[i] += u[i]
		}
		if !slices.Equal(theta, want) || !slices.Equal(in, u) || b.Steps() != a.Steps() {
			t.Errorf("Update leads to %v, Step to %v; the updates are %v and %v", theta, want, u, in)
		}
	}
	decay := startRun(rules.WeightDecay{Rule: baselines.SGD{LearningRate: 1}, Decay: 0.5}, 2)
	if err := update(decay, u, optimizer.Point{Grad: grad, Theta: []float32{1, -2}}); err != nil || u[0] != -3.5 || u[1] != -3 {
		t.Errorf("weight decay's update is %v: %v", u, err)
	}
	guarded := startRun(eager(opt.Rule()), 2)
	for says, err := range map[string]error{
		"gradient is NaN": update(a, u, optimizer.Point{Grad: []float32{1, float32(math.NaN())}}),
		"loss is NaN":     update(a, u, optimizer.Point{Grad: grad, Loss: math.NaN()}),
		"call StepLoss":   guarded.Step64(in64(theta), in64(grad)),
	} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, want one that says %q", err, says)
		}
	}
	if a.Steps() != 3 || decay.Steps() != 1 || guarded.Steps() != 0 {
		t.Errorf("%d, %d and %d steps count", a.Steps(), decay.Steps(), guarded.Steps())
	}
	large := startRun(baselines.SGD{LearningRate: 1e30}, 2)
	if err := update(large, u, optimizer.Point{Grad: []float32{1, 1e30}}); err == nil || !strings.Contains(err.Error(), "update is -Inf") || large.Steps() != 1 {
		t.Errorf("after %d steps: error %v", large.Steps(), err)
	}
	// A guard keeps the first point, and its Move tells the caller so.
	if move, err := guarded.Update(u, optimizer.Point{Grad: grad, Theta: theta, Loss: 3}); err != nil || move != optimizer.Keep || guarded.Steps() != 1 {
		t.Errorf("the guard's move is %v: %v", move, err)
	}
}

// A rule that needs more than the caller will provide is refused before the first step.
func TestStartRuleRefuses(t *testing.T) {
	sgd := baselines.SGD{LearningRate: 1}
	decay := rules.WeightDecay{Rule: sgd, Decay: 0.5}
	for _, c := range []struct {
		rule optimizer.Rule
		has  optimizer.Needs
		says string
	}{
		{decay, optimizer.Needs{Loss: true}, "needs the parameters"},
		{rules.Groups{{Rule: decay}}, optimizer.Needs{}, "needs the parameters"},
		{rules.WarmStart{First: sgd, Then: decay}, optimizer.Needs{}, "needs the parameters"},
		{eager(sgd), optimizer.Needs{Theta: true}, "needs the loss of each step"},
		{rules.Scaled{Rule: eager(sgd)}, optimizer.Needs{Theta: true}, "needs the loss of each step"},
		{rules.Scaled{}, optimizer.Needs{}, "no rule"},
		{metaopt.Guarded{Rule: eager(sgd)}, optimizer.Needs{Theta: true, Loss: true}, "one run has one guard"},
		{metaopt.Guarded{Rule: sgd, Guard: metaopt.Guard{Fallback: eager(sgd)}}, optimizer.Needs{Theta: true, Loss: true}, "one run has one guard"},
		{rules.WarmStart{First: sgd, Then: eager(sgd), Observe: true}, optimizer.Needs{Theta: true, Loss: true}, "around the warm start"},
		{rules.Groups{{Rule: eager(sgd)}}, optimizer.Needs{Theta: true, Loss: true}, "around the groups"},
	} {
		if run, err := metaopt.StartRule(c.rule, optimizer.Flat(1), c.has); run != nil || err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%T: run %v, error %v, want one that says %q", c.rule, run, err, c.says)
		}
	}
}

// A loss is for one step: the next guarded one needs another.
func TestALossIsUsedUp(t *testing.T) {
	run := startRun(eager(baselines.SGD{LearningRate: 0.001}), 1)
	theta, grad := []float32{1}, []float32{1}
	if err := run.StepLoss(theta, grad, 1); err != nil {
		t.Fatal(err)
	}
	if err := run.Step(theta, grad); err == nil || run.Steps() != 1 {
		t.Errorf("a second step with the first one's loss: %v", err)
	}
	bare := startRun(baselines.SGD{LearningRate: 0.001}, 1)
	if err := bare.StepLoss(theta, grad, math.NaN()); err == nil {
		t.Error("a loss of NaN is accepted")
	}
	if err := bare.Step(theta, grad); err != nil {
		t.Errorf("the step after a loss of NaN: %v", err)
	}
}

func TestRunPanics(t *testing.T) {
	run := startRun(baselines.SGD{LearningRate: 0.001}, 3)
	one, three, wide := make([]float32, 1), make([]float32, 3), make([]float64, 3)
	guarded := startRun(eager(baselines.SGD{LearningRate: 0.001}), 3)
	if err := guarded.StepLoss(three, three, 1); err != nil {
		t.Fatal(err)
	}
	for says, f := range map[string]func(){
		"parameters of 3 elements, gradients of 1;":                                           func() { _ = run.Step(three, one) },
		"parameters of 2 elements, gradients of 2; they must agree slice by slice and have 3": func() { _ = run.Step64(wide[:2], wide[:2]) },
		"parameters of 1 + 1 + 1 elements, gradients of 3":                                    func() { _ = run.StepGroups([][]float32{one, one, one}, [][]float32{three}) },
		"parameters of 1 + 1 elements, gradients of 1 + 1":                                    func() { _ = run.StepGroups([][]float32{one, one}, [][]float32{one, one}) },
		"parameters of 1 + 2 elements, gradients of 2 + 1":                                    func() { _ = run.StepGroups([][]float32{one, three[:2]}, [][]float32{three[:2], one}) },
		"Point.Grad has 1 elements; want 3":                                                   func() { _, _ = run.Update(three, optimizer.Point{Grad: one}) },
		"Point.Theta has 1 elements; want 3":                                                  func() { _, _ = run.Update(three, optimizer.Point{Grad: three, Theta: one}) },
		"no rule":                                                                             func() { startRun(nil, 3) },
		"precision":                                                                           func() { guarded.SetLoss(1); _ = guarded.Step64(wide, wide) },
	} {
		func() {
			defer func() {
				if text, _ := recover().(string); !strings.HasPrefix(text, "metaopt: ") || !strings.Contains(text, says) {
					t.Errorf("the panic is %q, want one that says %q", text, says)
				}
			}()
			f()
		}()
	}
	if run.Steps() != 0 {
		t.Errorf("%d steps count", run.Steps())
	}
}

func TestOnHorizon(t *testing.T) {
	opt := someOptimizer(t, lstm.Config{Hidden: 3})
	opt.Provenance.Steps = 4
	if opt.Horizon() != 4 {
		t.Errorf("the horizon is %d", opt.Horizon())
	}
	theta, grad := []float32{1}, []float32{1}
	for horizon, want := range map[int][]int{4: {5}, 0: nil, 9: nil, 8: {9}} {
		var calls []int
		run := opt.Start(optimizer.Flat(1))
		run.OnHorizon(horizon, func(steps int) { calls = append(calls, steps) })
		for k := range 9 {
			if k == 2 {
				_ = run.Step(theta, []float32{float32(math.NaN())}) // does not count
			}
			if err := run.Step(theta, grad); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(calls, want) {
			t.Errorf("horizon %d: called at %v, want %v", horizon, calls, want)
		}
	}
}
