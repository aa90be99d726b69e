package gorgoniaopt_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	gorgoniaopt "learnedopt/adapters/gorgonia"
	"learnedopt/baselines"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
)

const runSteps = 12

// A solver gives the same steps as the rule on one flat vector, bit for bit, and sets gradients to 0.
func TestStepIsTheRule(t *testing.T) {
	for name, rule := range rules(t) {
		rng := source("rule")
		theta := normal(rng, modelSize)
		want, m, solver := startFlat(rule, theta), model(theta), gorgoniaopt.New(rule)
		for step := range runSteps {
			grad := normal(rng, modelSize)
			feed(m, grad)
			if err := solver.Step(m); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			want.step(grad)
			same(t, weights(m), want.theta, fmt.Sprintf("%s, step %d", name, step))
			same(t, gradients(m), make([]float32, modelSize), name+": gradients after the step")
		}
		if solver.Steps() != runSteps {
			t.Errorf("%s: %d steps, want %d", name, solver.Steps(), runSteps)
		}
	}
}

// A node keeps its state when the order of the nodes or the tensor of its value changes.
func TestOrderDoesNotMatter(t *testing.T) {
	rng := source("order")
	theta := normal(rng, modelSize)
	rule := clipped{}
	want, m, solver := startFlat(rule, theta), model(theta), gorgoniaopt.New(rule)
	for step := range runSteps {
		grad := normal(rng, modelSize)
		feed(m, grad)
		passed := slices.Clone(m)
		if step > 0 {
			rng.Shuffle(len(passed), func(i, j int) { passed[i], passed[j] = passed[j], passed[i] })
		}
		if err := solver.Step(passed); err != nil {
			t.Fatal(err)
		}
		want.step(grad)
		same(t, weights(m), want.theta, fmt.Sprint("step ", step))
		w := m[0].(*parameter)
		w.value = w.value.(*tensor.Dense).Clone().(*tensor.Dense)
	}
}

// Float64 weights keep their precision beyond float32.
func TestFloat64(t *testing.T) {
	rng := source("float64")
	const n = 7
	value, grad, want := make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range value {
		value[i] = 1 + rng.NormFloat64()*1e-9
	}
	copy(want, value)
	scalar, wantScalar := gorgonia.NewF64(1+1e-12), 1+1e-12
	p := &parameter{value: tensor.New(tensor.WithShape(n), tensor.WithBacking(value)), grad: tensor.New(tensor.WithShape(n), tensor.WithBacking(grad))}
	q := &parameter{value: scalar, grad: gorgonia.NewF64(0)}
	rule := decayed{} // sees the weights
	state := rule.Start(optimizer.Flat(n + 1))
	solver := gorgoniaopt.New(rule)
	theta32, grad32, update := make([]float32, n+1), make([]float32, n+1), make([]float32, n+1)
	for range runSteps {
		for i := range grad {
			grad[i] = rng.NormFloat64() * 1e-8
			theta32[i], grad32[i] = float32(want[i]), float32(grad[i])
		}
		*q.grad.(*gorgonia.F64) = 1e-5
		theta32[n], grad32[n] = float32(wantScalar), 1e-5
		if _, err := state.Update(update, optimizer.Point{Grad: grad32, Theta: theta32}); err != nil {
			t.Fatal(err)
		}
		if err := solver.Step([]gorgonia.ValueGrad{p, q}); err != nil {
			t.Fatal(err)
		}
		for i := range want {
			want[i] += float64(update[i])
		}
		wantScalar += float64(update[n])
		if !slices.Equal(value, want) || float64(*scalar) != wantScalar {
			t.Fatalf("weights %v and %v, want %v and %v", value, *scalar, want, wantScalar)
		}
		if !slices.Equal(grad, make([]float64, n)) || *q.grad.(*gorgonia.F64) != 0 {
			t.Fatalf("gradients %v and %v after the step", grad, q.grad)
		}
	}
	if want[0] == float64(float32(want[0])) {
		t.Error("the weights fit in float32: the test shows nothing")
	}
}

// A non-finite gradient leaves weights, gradients and state unchanged, and the error names it. The
// run then continues as if the step had not been tried.
func TestNonFiniteGradient(t *testing.T) {
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(-1))} {
		for name, rule := range rules(t) {
			rng := source("atomic")
			theta := normal(rng, modelSize)
			want, m, solver := startFlat(rule, theta), model(theta), gorgoniaopt.New(rule)
			for step := range 6 {
				grad := normal(rng, modelSize)
				if step == 3 {
					damaged := slices.Clone(grad)
					damaged[6+12+4+2+1] = bad // of k, at [1 0 … ]
					feed(m, damaged)
					err := solver.Step(m)
					var named *gorgoniaopt.DivergedError
					var plain *optimizer.DivergedError
					if !errors.As(err, &named) || !errors.As(err, &plain) || named.Node != "k" || !slices.Equal(named.At, []int{1, 1, 1, 1}) ||
						plain.Coordinate != 25 || plain.Step != 3 || plain.What != "gradient" {
						t.Fatalf("%s: %#v", name, err)
					}
					if !strings.Contains(err.Error(), "k") || !strings.Contains(err.Error(), "[1 1 1 1]") || !strings.Contains(err.Error(), "ZeroGrads") {
						t.Errorf("%s: error %q", name, err)
					}
					same(t, weights(m), want.theta, name+": weights after the error")
					same(t, gradients(m), damaged, name+": gradients after the error")
					if err := gorgoniaopt.ZeroGrads(m); err != nil {
						t.Fatal(err)
					}
					same(t, gradients(m), make([]float32, modelSize), name+": gradients after ZeroGrads")
				}
				feed(m, grad)
				if err := solver.Step(m); err != nil {
					t.Fatal(err)
				}
				want.step(grad)
				same(t, weights(m), want.theta, fmt.Sprintf("%s, step %d", name, step))
			}
		}
	}
}

// A sum that overflows float32 is not written either, and the error shows float64 gradients that float32 cannot hold
// unrounded.
func TestOverflow(t *testing.T) {
	w := &parameter{"w", dense([]float32{1, 3e38}, 2), dense([]float32{1, -3e38}, 2)}
	b := &parameter{"b", gorgonia.NewF32(5), gorgonia.NewF32(5)}
	for rate, what := range map[float32]string{1: "parameter", 10: "update"} {
		err := gorgoniaopt.New(sgd{rate}).Step([]gorgonia.ValueGrad{b, w})
		var d *gorgoniaopt.DivergedError
		if !errors.As(err, &d) || d.Node != "w" || d.Diverged.What != what || !slices.Equal(d.At, []int{1}) {
			t.Errorf("rate %v: %v", rate, err)
		}
		same(t, floats(w.value), []float32{1, 3e38}, what)
		same(t, floats(b.value), []float32{5}, what)
		same(t, floats(b.grad), []float32{5}, what)
	}
	big := &parameter{value: gorgonia.NewF64(1), grad: gorgonia.NewF64(-1e300)}
	err := gorgoniaopt.New(sgd{1}).Step([]gorgonia.ValueGrad{big})
	if err == nil || !strings.Contains(err.Error(), "gradient of node 0 is -1e+300 in float32") {
		t.Errorf("a gradient of 1e300: %v", err)
	}
}

// Every fault of a model gives an error that says what to do, and changes nothing.
func TestModelErrors(t *testing.T) {
	other := &parameter{"other", gorgonia.NewF32(0), gorgonia.NewF32(0)}
	for name, c := range map[string]struct {
		spoil func(m []gorgonia.ValueGrad) []gorgonia.ValueGrad
		want  string
		later bool // only after the first step
	}{
		"subset":     {func(m []gorgonia.ValueGrad) []gorgonia.ValueGrad { return m[:2] }, "2 nodes, want the 3", true},
		"more":       {func(m []gorgonia.ValueGrad) []gorgonia.ValueGrad { return append(slices.Clone(m), other) }, "4 nodes, want the 3", true},
		"none":       {func(m []gorgonia.ValueGrad) []gorgonia.ValueGrad { return nil }, "nodes", false},
		"another":    {func(m []gorgonia.ValueGrad) []gorgonia.ValueGrad { return []gorgonia.ValueGrad{m[0], other, m[2]} }, "other is none of the nodes", true},
		"twice":      {func(m []gorgonia.ValueGrad) []gorgonia.ValueGrad { return []gorgonia.ValueGrad{m[0], m[1], m[0]} }, "w is listed twice", false},
		"nil":        {func(m []gorgonia.ValueGrad) []gorgonia.ValueGrad { return []gorgonia.ValueGrad{m[0], nil, m[2]} }, "node", false},
		"no pointer": {func(m []gorgonia.ValueGrad) []gorgonia.ValueGrad { return []gorgonia.ValueGrad{m[0], slice{}, m[2]} }, "node", false},
		"no value": {func(m []gorgonia.ValueGrad) []gorgonia.ValueGrad {
			m[1].(*parameter).value = nil
			return m
		}, "k has", false},
		"no gradient": {func(m []gorgonia.ValueGrad) []gorgonia.ValueGrad {
			m[2].(*parameter).grad = nil
			return m
		}, "BindDualValues", false},
		"reshaped": {func(m []gorgonia.ValueGrad) []gorgonia.ValueGrad {
			m[0].(*parameter).value, m[0].(*parameter).grad = dense(make([]float32, 6), 3, 2), dense(make([]float32, 6), 3, 2)
			return m
		}, "w is now float32 of shape (3, 2), at the first step it was float32 of shape [2 3]", true},
		"retyped": {func(m []gorgonia.ValueGrad) []gorgonia.ValueGrad {
			m[2].(*parameter).value, m[2].(*parameter).grad = gorgonia.NewF64(0), gorgonia.NewF64(0)
			return m
		}, "b is now float64", true},
		"gradient's shape": {func(m []gorgonia.ValueGrad) []gorgonia.ValueGrad {
			m[0].(*parameter).grad = dense(make([]float32, 6), 3, 2)
			return m
		}, "its gradient float32 of shape (3, 2)", false},
		"gradient's type": {func(m []gorgonia.ValueGrad) []gorgonia.ValueGrad {
			m[2].(*parameter).grad = gorgonia.NewF64(0)
			return m
		}, "its gradient float64", false},
		"integers": {func(m []gorgonia.ValueGrad) []gorgonia.ValueGrad {
			m[0].(*parameter).value = tensor.New(tensor.WithShape(2, 3), tensor.Of(tensor.Int))
			return m
		}, "want float32 or float64", false},
		"integer scalar": {func(m []gorgonia.ValueGrad) []gorgonia.ValueGrad {
			m[2].(*parameter).value = gorgonia.NewI(1)
			return m
		}, "want *tensor.Dense, *gorgonia.F32 or *gorgonia.F64", false},
		"mask": {func(m []gorgonia.ValueGrad) []gorgonia.ValueGrad {
			w := m[0].(*parameter).value.(*tensor.Dense)
			w.ResetMask()
			return m
		}, "masked", false},
	} {
		for _, later := range []bool{true, false} {
			if c.later && !later {
				continue
			}
			m, solver := model(make([]float32, modelSize)), gorgoniaopt.New(clipped{})
			if later {
				if err := solver.Step(m); err != nil {
					t.Fatal(err)
				}
			}
			grad := normal(source("errors"), modelSize)
			feed(m, grad)
			values, kept := []gorgonia.Value{}, weights(m)
			for _, n := range m {
				values = append(values, n.Value())
			}
			err := solver.Step(c.spoil(slices.Clone(m)))
			if !errors.Is(err, gorgoniaopt.ErrModel) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s, later %v: error %v, want one of %q", name, later, err, c.want)
			}
			var now []float32
			for _, v := range values {
				now = append(now, floats(v)...)
			}
			same(t, now, kept, name)
		}
	}
	if err := gorgoniaopt.New(baselines.Adam{LearningRate: -1}).Step(model(make([]float32, modelSize))); err == nil || !strings.Contains(err.Error(), "learning rate") {
		t.Errorf("an invalid rule: %v", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a rule of nil did not panic")
		}
	}()
	gorgoniaopt.New(nil)
}

// slice is a ValueGrad that cannot be told from another.
type slice []int

func (slice) Value() gorgonia.Value         { return gorgonia.NewF32(0) }
func (slice) Grad() (gorgonia.Value, error) { return gorgonia.NewF32(0), nil }

// A guarded rule uses the losses as on a flat vector, and goes back when the losses rise.
func TestStepLoss(t *testing.T) {
	handed := 0
	opt := pretrained(t, "mlp")
	rule := metaopt.Guarded{Rule: opt.Network, Guard: metaopt.Guard{Window: 2, Rise: metaopt.Rise{Tolerance: 0.1, Patience: 2}, OnHandover: func(metaopt.Handover) { handed++ }}}
	rng := source("losses")
	theta := normal(rng, modelSize)
	m, solver := model(theta), gorgoniaopt.New(rule)
	run, want := startRun(t, rule), slices.Clone(theta)
	for step := range runSteps {
		grad, loss := normal(rng, modelSize), float64(step)
		feed(m, grad)
		if step == 1 {
			if err := solver.Step(m); err == nil || !strings.Contains(err.Error(), "StepLoss") {
				t.Fatalf("Step of a guarded rule: %v", err)
			}
		}
		value := []gorgonia.Value{gorgonia.NewF64(loss), gorgonia.NewF32(float32(loss)), dense([]float32{float32(loss)}, 1)}[step%3]
		if err := solver.StepLoss(m, value); err != nil {
			t.Fatal(err)
		}
		if d := run.StepLoss(want, grad, loss); d != nil {
			t.Fatal(d)
		}
		same(t, weights(m), want, fmt.Sprint("step ", step))
		same(t, gradients(m), make([]float32, modelSize), "gradients")
	}
	if handed != 2 || solver.Steps() != runSteps { // the solver's and the flat one
		t.Errorf("%d handovers and %d steps", handed, solver.Steps())
	}

	// Without a guard StepLoss works like Step, except that it checks the loss.
	plain, ref, m2 := gorgoniaopt.New(clipped{}), startFlat(clipped{}, theta), model(theta)
	grad := normal(rng, modelSize)
	feed(m2, grad)
	var d *optimizer.DivergedError
	if err := plain.StepLoss(m2, gorgonia.NewF64(math.NaN())); !errors.As(err, &d) || d.What != "loss" {
		t.Errorf("a loss of NaN: %v", err)
	}
	for _, bad := range []gorgonia.Value{nil, gorgonia.NewI(1), dense([]float32{1, 2}, 2)} {
		if err := plain.StepLoss(m2, bad); err == nil || !strings.Contains(err.Error(), "loss") {
			t.Errorf("a loss %v: %v", bad, err)
		}
	}
	same(t, weights(m2), theta, "after a loss of NaN")
	if err := plain.StepLoss(m2, gorgonia.NewF32(1)); err != nil {
		t.Fatal(err)
	}
	ref.step(grad)
	same(t, weights(m2), ref.theta, "StepLoss without a guard")
	// The guard sees non-finite values; at the first step it cannot go back.
	feed(m, grad)
	fresh := gorgoniaopt.New(rule)
	grad[30] = float32(math.Inf(1))
	feed(m, grad)
	var named *gorgoniaopt.DivergedError
	if err := fresh.StepLoss(m, gorgonia.NewF32(1)); !errors.As(err, &named) || named.Node != "b" || len(named.At) != 0 {
		t.Errorf("an infinite gradient under guard: %v", err)
	}
	same(t, gradients(m), grad, "gradients after the error")
}

// Two solvers with one rule work on two graphs at the same time: -race then shows that they share no changing data.
func TestTwoGraphsAtOnce(t *testing.T) {
	rule := pretrained(t, "mlp").Rule()
	var wg sync.WaitGroup
	results := make([][]float32, 2)
	for i := range results {
		wg.Go(func() {
			r := newRegression(t, 3)
			solver := gorgoniaopt.New(rule)
			for range 20 {
				r.step(t, solver)
			}
			results[i] = r.weights()
		})
	}
	wg.Wait()
	same(t, results[1], results[0], "the second graph")
}

func TestAllocations(t *testing.T) {
	for name, rule := range map[string]optimizer.Rule{"learned": pretrained(t, "mlp").Rule(), "adam": baselines.Adam{LearningRate: 0.001}} {
		m := model(make([]float32, modelSize))
		wide := tensor.New(tensor.WithShape(5, 6), tensor.WithBacking(make([]float64, 30)))
		view, err := wide.Slice(tensor.S(1, 4), tensor.S(2, 6))
		if err != nil {
			t.Fatal(err)
		}
		m = append(m, &parameter{"view", view.(*tensor.Dense), view.(*tensor.Dense).Clone().(*tensor.Dense)})
		solver := gorgoniaopt.New(rule)
		step := func() {
			if err := solver.Step(m); err != nil {
				t.Fatal(err)
			}
		}
		step()
		if n := testing.AllocsPerRun(20, step); n != 0 {
			t.Errorf("%s: %v allocations a step, want 0", name, n)
		}
	}
}
