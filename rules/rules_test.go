package rules_test

import (
	"math"
	"strings"
	"testing"

	"learnedopt/baselines"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
	"learnedopt/optimizer/optimizertest"
	"learnedopt/rules"
)

// halved puts any number of coordinates into two groups.
type halved struct{ first, second optimizer.Rule }

func (halved) Needs() optimizer.Needs { return optimizer.Needs{} }
func (h halved) Start(layout optimizer.Layout) optimizer.State {
	n := layout.Len()
	if n < 2 {
		return h.first.Start(optimizer.Flat(n))
	}
	return rules.Groups{{N: n / 2, Rule: h.first}, {Rule: h.second}}.Start(optimizer.Flat(n))
}

func learned(t *testing.T, name string) *metaopt.Optimizer {
	t.Helper()
	opt, err := metaopt.Pretrained(name)
	if err != nil {
		t.Fatal(err)
	}
	return opt
}

// TestConform runs the conformance suite on each wrapper and on some nested wrappers.
func TestConform(t *testing.T) {
	adam, net := baselines.Adam{LearningRate: 0.1}, learned(t, "quadratic").Rule()
	guarded := metaopt.Guarded{Rule: net}
	decay := rules.WeightDecay{Rule: adam, Decay: 0.01}
	for name, rule := range map[string]optimizer.Rule{
		"scaled":                rules.Scaled{Rule: net, By: rules.InverseSqrt{Steps: 2}},
		"decay":                 decay,
		"clip value":            rules.ClipValue{Rule: adam, Max: 0.1},
		"warm start":            rules.WarmStart{Steps: 3, First: adam, Then: net},
		"warm start, observing": rules.WarmStart{Steps: 3, First: adam, Then: rules.WeightDecay{Rule: net}, Observe: true},
		"no warm start":         rules.WarmStart{First: adam, Then: net},
		"resting":               rules.Resting{Rule: net},
		"resting, guarded":      rules.Resting{Rule: guarded, Decay: 0.5},
		"over a guard":          rules.Scaled{Rule: rules.WeightDecay{Rule: guarded, Decay: 0.1}, By: rules.Cosine{Steps: 4}},
		"under a guard":         metaopt.Guarded{Rule: rules.Scaled{Rule: decay, By: rules.WarmUp{Steps: 3}}},
		"warm start, guarded":   rules.WarmStart{Steps: 3, First: guarded, Then: adam},
	} {
		t.Run(name, func(t *testing.T) { optimizertest.Conform(t, rule) })
	}
	for name, rule := range map[string]optimizer.Rule{
		"clip norm": rules.ClipNorm{Rule: net, Max: 0.5},
		"groups":    halved{adam, net},
		"composed":  rules.ClipNorm{Rule: halved{decay, rules.Scaled{Rule: rules.ClipNorm{Rule: net, Max: 1}, By: rules.StepDecay{Factor: 0.1, Every: 2}}}, Max: 3},
	} {
		t.Run(name, func(t *testing.T) { optimizertest.ConformInOrder(t, rule) })
	}
}

// updates returns a rule's updates at θ = point; each row of gradients is one step.
func updates(rule optimizer.Rule, point []float32, grads ...[]float32) [][]float32 {
	state, all := rule.Start(optimizer.Flat(len(point))), [][]float32{}
	for _, g := range grads {
		u := make([]float32, len(point))
		if _, err := state.Update(u, optimizer.Point{Grad: g, Theta: point}); err != nil {
			panic(err)
		}
		all = append(all, u)
	}
	return all
}

// always is a rule whose updates are the same, whatever the gradients are.
type always float32

func (always) Needs() optimizer.Needs                   { return optimizer.Needs{} }
func (a always) Start(optimizer.Layout) optimizer.State { return a }
func (a always) Update(dst []float32, _ optimizer.Point) (optimizer.Move, error) {
	for i := range dst {
		dst[i] = float32(a)
	}
	return 0, nil
}

// TestByHand expects updates that were computed by hand. SGD with learning rate 1 is u = −g.
func TestByHand(t *testing.T) {
	sgd := baselines.SGD{LearningRate: 1}
	momentum := baselines.Momentum{LearningRate: 1, Momentum: 0.5} // b ← b/2 + g, u = −b
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	one, point := []float32{1, 1}, []float32{8, -16}
	for name, c := range map[string]struct {
		rule  optimizer.Rule
		grads [][]float32
		want  [][]float32
	}{
		"scaled":             {rules.Scaled{Rule: sgd, By: rules.StepDecay{Factor: 0.5}}, [][]float32{{4, -8}, {4, -8}, {4, -8}}, [][]float32{{-4, 8}, {-2, 4}, {-1, 2}}},
		"not scaled":         {rules.Scaled{Rule: sgd}, [][]float32{{4, -8}}, [][]float32{{-4, 8}}},
		"decay":              {rules.WeightDecay{Rule: sgd, Decay: 0.25}, [][]float32{one}, [][]float32{{-3, 3}}},
		"decay, scaled":      {rules.WeightDecay{Rule: sgd, Decay: 0.25, By: rules.StepDecay{Factor: 0.5}}, [][]float32{one, one}, [][]float32{{-3, 3}, {-2, 1}}},
		"decay is decoupled": {rules.WeightDecay{Rule: momentum, Decay: 0.25}, [][]float32{one, one}, [][]float32{{-3, 3}, {-3.5, 2.5}}},
		"norm":               {rules.ClipNorm{Rule: sgd, Max: 2.5}, [][]float32{{3, 4}, {1.5, 2}, {0, 1}, {nan, 3}, {inf, 3}}, [][]float32{{-1.5, -2}, {-1.5, -2}, {0, -1}, {nan, -3}, {-inf, -3}}},
		"norm of 1":          {rules.ClipNorm{Rule: sgd, Max: 1}, [][]float32{{0, -3e38}, {3e-30, 0}}, [][]float32{{0, 1}, {-3e-30, 0}}},
		"value":              {rules.ClipValue{Rule: sgd, Max: 2}, [][]float32{{3, -4}, {2, -1}, {nan, -inf}}, [][]float32{{-2, 2}, {-2, 1}, {nan, inf}}},
		"value of 1":         {rules.ClipValue{Rule: sgd, Max: 1}, [][]float32{{3, -0.5}}, [][]float32{{-1, 0.5}}},
		"clipped before":     {rules.ClipValue{Rule: momentum, Max: 1}, [][]float32{{3, 3}, {0, 3}}, [][]float32{{-1, -1}, {-0.5, -1.5}}},
		"groups":             {rules.Groups{{1, sgd}, {0, momentum}}, [][]float32{{1, 1}, {1, 1}}, [][]float32{{-1, -1}, {-1, -1.5}}},
		"decay of a group":   {rules.Groups{{Rule: sgd}, {1, rules.WeightDecay{Rule: sgd, Decay: 0.5}}}, [][]float32{one}, [][]float32{{-1, 7}}},
		"norm of all groups": {rules.ClipNorm{Rule: rules.Groups{{1, sgd}, {1, sgd}}, Max: 2.5}, [][]float32{{3, 4}}, [][]float32{{-1.5, -2}}},
		"norm of each group": {rules.Groups{{1, rules.ClipNorm{Rule: sgd, Max: 2.5}}, {1, rules.ClipNorm{Rule: sgd, Max: 5}}}, [][]float32{{3, 4}}, [][]float32{{-2.5, -4}}},
		"warm start":         {rules.WarmStart{Steps: 2, First: sgd, Then: momentum}, [][]float32{one, one, one, one}, [][]float32{{-1, -1}, {-1, -1}, {-1, -1}, {-1.5, -1.5}}},
		"observing":          {rules.WarmStart{Steps: 2, First: sgd, Then: momentum, Observe: true}, [][]float32{one, one, one, one}, [][]float32{{-1, -1}, {-1, -1}, {-1.75, -1.75}, {-1.875, -1.875}}},
		"resting":            {rules.Resting{Rule: always(1), Decay: 0.5}, [][]float32{{0, 1}, {0, 0}, {2, 0}, {0, -3}, {nan, 0}}, [][]float32{{0, 1}, {0, 0.5}, {1, 0.25}, {0.5, 1}, {1, 0.5}}},
		"resting at once":    {rules.Resting{Rule: momentum, Decay: 1e-9}, [][]float32{{1, 0}, {0, 1}, {1, 0}}, [][]float32{{-1, 0}, {-0.5e-9, -1}, {-1.25, -0.5e-9}}},
		"resting by default": {rules.Resting{Rule: always(1)}, [][]float32{one, {0, 0}}, [][]float32{one, {0.9, 0.9}}},
		"no first steps":     {rules.WarmStart{First: sgd, Then: momentum, Observe: true}, [][]float32{one, one}, [][]float32{{-1, -1}, {-1.5, -1.5}}},
	} {
		for step, u := range updates(c.rule, point, c.grads...) {
			for i := range u {
				if w := c.want[step][i]; u[i] != w && (u[i] == u[i] || w == w) {
					t.Errorf("%s: the update of step %d is %v, want %v", name, step, u, c.want[step])
					break
				}
			}
		}
	}
}

// TestNormPermuted expects the order of the coordinates to change the norm only by rounding: it is a float64 sum of
// 33 squares, with an error of 33·2⁻⁵³, and the product is rounded to float32 once.
func TestNormPermuted(t *testing.T) {
	grad, back := make([]float32, 33), make([]float32, 33)
	for i := range grad {
		grad[i] = float32(math.Sin(float64(i*i)) * math.Pow(10, float64(i%5)))
		back[32-i] = grad[i]
	}
	rule := rules.ClipNorm{Rule: baselines.SGD{LearningRate: 1}, Max: 0.3}
	a, b := updates(rule, grad, grad)[0], updates(rule, back, back)[0]
	sum := 0.0
	for i, x := range a {
		if y := b[32-i]; math.Abs(float64(x-y)) > 1.2e-7*math.Abs(float64(x)) {
			t.Errorf("coordinate %d: %v, in the opposite order %v", i, x, y)
		}
		sum += float64(x) * float64(x)
	}
	if norm := math.Sqrt(sum); math.Abs(norm-0.3) > 0.3*6e-8 {
		t.Errorf("the norm is %v after clipping to 0.3", norm)
	}
}

// Clipping does not change the caller's gradient.
func TestGradientsAreLeftAlone(t *testing.T) {
	for _, rule := range []optimizer.Rule{rules.ClipNorm{Rule: baselines.SGD{LearningRate: 0.001}, Max: 1}, rules.ClipValue{Rule: baselines.SGD{LearningRate: 0.001}, Max: 1}} {
		grad := []float32{30, 40}
		updates(rule, grad, grad)
		if grad[0] != 30 || grad[1] != 40 {
			t.Errorf("%T changed the gradient to %v", rule, grad)
		}
	}
}

func TestSchedules(t *testing.T) {
	for name, c := range map[string]struct {
		s    rules.Schedule
		want []float64
	}{
		"constant":        {rules.Constant(0.3), []float64{0.3, 0.3}},
		"stop":            {rules.Constant(0), []float64{0, 0}},
		"warm-up":         {rules.WarmUp{Steps: 4}, []float64{0.25, 0.5, 0.75, 1, 1, 1}},
		"warm-up, decay":  {rules.WarmUp{Steps: 2, Then: rules.StepDecay{Factor: 0.5}}, []float64{0.5, 1, 1, 0.5, 0.25}},
		"no warm-up":      {rules.WarmUp{}, []float64{1, 1}},
		"cosine":          {rules.Cosine{Steps: 4}, []float64{1, (2 + math.Sqrt2) / 4, 0.5, (2 - math.Sqrt2) / 4, 0, 0}},
		"cosine, floored": {rules.Cosine{Steps: 2, Floor: 0.2}, []float64{1, 0.6, 0.2, 0.2}},
		"step decay":      {rules.StepDecay{Factor: 0.5, Every: 2}, []float64{1, 1, 0.5, 0.5, 0.25}},
		"every step":      {rules.StepDecay{Factor: 0.1}, []float64{1, 0.1, 0.01}},
		"inverse root":    {rules.InverseSqrt{Steps: 2}, []float64{1, 1, math.Sqrt(2. / 3), math.Sqrt(0.5)}},
		"from the start":  {rules.InverseSqrt{}, []float64{1, math.Sqrt(0.5), math.Sqrt(1. / 3), 0.5}},
	} {
		for step, want := range c.want {
			if got := c.s.At(step); math.Abs(got-want) > 1e-15 {
				t.Errorf("%s: %v at step %d, want %v", name, got, step, want)
			}
		}
	}
}

func TestValidate(t *testing.T) {
	sgd, bad := baselines.SGD{LearningRate: 0.001}, baselines.Adam{LearningRate: -1}
	net := learned(t, "quadratic").Rule()
	for says, rule := range map[string]interface {
		optimizer.Rule
		Validate() error
	}{
		"scaled has no rule":                   rules.Scaled{},
		"adam: learning rate":                  rules.Scaled{Rule: bad},
		"constant: factor is NaN":              rules.Scaled{Rule: sgd, By: rules.Constant(math.NaN())},
		"constant: factor is +Inf":             rules.Scaled{Rule: sgd, By: rules.Constant(math.Inf(-1))},
		"warm-up: number of steps is -1":       rules.Scaled{Rule: sgd, By: rules.WarmUp{Steps: -1}},
		"cosine: number of steps is 0":         rules.Scaled{Rule: sgd, By: rules.WarmUp{Then: rules.Cosine{}}},
		"cosine: floor is 1.5":                 rules.Scaled{Rule: sgd, By: rules.Cosine{Steps: 1, Floor: 1.5}},
		"step decay: factor is 2":              rules.Scaled{Rule: sgd, By: rules.StepDecay{Factor: 2}},
		"step decay: number of steps is -3":    rules.Scaled{Rule: sgd, By: rules.StepDecay{Factor: 0.5, Every: -3}},
		"inverse square root: number of steps": rules.Scaled{Rule: sgd, By: rules.InverseSqrt{Steps: -1}},
		"weight decay has no rule":             rules.WeightDecay{},
		"weight decay: decay is 1":             rules.WeightDecay{Rule: sgd, Decay: 1},
		"clip norm: max is NaN":                rules.ClipNorm{Rule: sgd, Max: math.NaN()},
		"clip value: max is -1":                rules.ClipValue{Rule: sgd, Max: -1},
		"clip norm: max 0 leaves no gradient":  rules.ClipNorm{Rule: sgd},
		"clip value: max 0 leaves no gradient": rules.ClipValue{Rule: sgd},
		"step decay: factor 0 would stop":      rules.Scaled{Rule: sgd, By: rules.StepDecay{Every: 7}},
		"no groups":                            rules.Groups{},
		"group 1 has no rule":                  rules.Groups{{1, sgd}, {}},
		"group 0 of -2 coordinates":            rules.Groups{{-2, sgd}},
		"2 groups have size 0":                 rules.Groups{{0, sgd}, {0, net}},
		"warm start: number of steps is -1":    rules.WarmStart{Steps: -1, First: sgd, Then: sgd},
		"warm start has no rule":               rules.WarmStart{Steps: 1, Then: sgd},
		"beta1":                                rules.ClipNorm{Max: 1, Rule: rules.Groups{{1, baselines.Adam{LearningRate: 1, Betas: [2]float64{1, 0}}}}},
	} {
		if err := rule.Validate(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: error %v, want one that says %q", rule, err, says)
		}
		mustPanic(t, says, func() { rule.Start(optimizer.Flat(1)) })
	}
	for _, rule := range []interface{ Validate() error }{
		rules.Scaled{Rule: net}, rules.WeightDecay{Rule: sgd}, rules.Groups{{0, sgd}},
		rules.WarmStart{First: sgd, Then: net}, rules.Scaled{Rule: sgd, By: rules.Cosine{Steps: 1, Floor: 1}},
	} {
		if err := rule.Validate(); err != nil {
			t.Errorf("%+v: %v", rule, err)
		}
	}
}

func TestPanics(t *testing.T) {
	sgd := baselines.SGD{LearningRate: 0.001}
	guarded := metaopt.Guarded{Rule: sgd}
	decay := rules.WeightDecay{Rule: sgd}
	x := []float32{1}
	for says, f := range map[string]func(){
		"groups have 3":                      func() { rules.Groups{{1, sgd}, {2, sgd}}.Start(optimizer.Flat(4)) },
		"groups have 4":                      func() { rules.Groups{{4, sgd}, {0, sgd}}.Start(optimizer.Flat(4)) },
		"the layout has 4":                   func() { rules.Groups{{5, sgd}, {0, sgd}}.Start(optimizer.Flat(4)) },
		"guard":                              func() { rules.Groups{{0, guarded}}.Start(optimizer.Flat(4)) },
		"moves the parameters":               func() { rules.Groups{{0, jumpy{}}}.Start(optimizer.Flat(1)).Update(x, optimizer.Point{Grad: x}) },
		"Point.Theta is missing":             func() { decay.Start(optimizer.Flat(1)).Update(x, optimizer.Point{Grad: x}) },
		"Point.Theta has 2 elements; want 1": func() { decay.Start(optimizer.Flat(1)).Update(x, optimizer.Point{Grad: x, Theta: []float32{1, 2}}) },
		"dst has 1 elements; want 2":         func() { rules.Groups{{0, sgd}}.Start(optimizer.Flat(2)).Update(x, optimizer.Point{Grad: x}) },
	} {
		mustPanic(t, says, f)
	}
}

// jumpy returns moves although its Needs do not say that it handles non-finite points.
type jumpy struct{}

func (jumpy) Needs() optimizer.Needs                 { return optimizer.Needs{} }
func (jumpy) Start(optimizer.Layout) optimizer.State { return jumpy{} }
func (jumpy) Update([]float32, optimizer.Point) (optimizer.Move, error) {
	return optimizer.Return, nil
}

func mustPanic(t *testing.T, says string, f func()) {
	t.Helper()
	defer func() {
		if text, _ := recover().(string); !strings.Contains(text, says) {
			t.Errorf("the panic is %q, want one that says %q", text, says)
		}
	}()
	f()
}
