package rules_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"learnedopt/baselines"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
	"learnedopt/rules"
)

// A probe is a rule that writes down what it is told and answers as a test wants.
type probe struct {
	needs  optimizer.Needs
	layout *optimizer.Layout
	update func(dst []float32, p optimizer.Point) error
}

func (r probe) Needs() optimizer.Needs { return r.needs }

func (r probe) Start(layout optimizer.Layout) optimizer.State {
	if r.layout != nil {
		*r.layout = layout
	}
	return probeState(r)
}

type probeState probe

func (s probeState) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	clear(dst)
	if s.update == nil {
		return 0, nil
	}
	return 0, s.update(dst, p)
}

// coupled is a curvature with M v = θ_0 (Σ v) (1, 2, 3, 4): every coordinate depends on all others.
type coupled struct{ fails error }

func (coupled) Metrics() optimizer.Metric { return optimizer.Hessian }

func (c coupled) CurvatureProduct(dst, theta, v []float32, _ optimizer.Metric, step int) error {
	sum := float32(0)
	for _, x := range v {
		sum += x
	}
	for i := range dst {
		dst[i] = float32(i+1) * sum * theta[0] * float32(step)
	}
	return c.fails
}

func (coupled) CanTry() bool { return true }

// Try says the sums of both points.
func (c coupled) Try(theta, to []float32, step int) (optimizer.Trial, error) {
	var t optimizer.Trial
	for i := range theta {
		t.Change += float64(theta[i])
		t.KL += float64(to[i])
	}
	return t, c.fails
}

// A group's rule sees its own part of θ, of the gradient, of the layout and of the curvature.
func TestGroupsTellTheirParts(t *testing.T) {
	layout, err := optimizer.NewLayout(
		optimizer.Tensor{Name: "w", Shape: []int{1, 2}, Kind: optimizer.Matrix, OutputAxis: 1},
		optimizer.Tensor{Name: "b", Shape: []int{2}, Kind: optimizer.Bias})
	if err != nil {
		t.Fatal(err)
	}
	var first, second optimizer.Layout
	var theta, grad, product, again []float32
	var trial optimizer.Trial
	rule := rules.Groups{
		{N: 2, Rule: probe{layout: &first}},
		{Rule: probe{
			needs:  optimizer.Needs{Theta: true, Metrics: optimizer.Hessian},
			layout: &second,
			update: func(dst []float32, p optimizer.Point) error {
				theta, grad = slices.Clone(p.Theta), slices.Clone(p.Grad)
				product, again = make([]float32, 2), make([]float32, 2)
				var err error
				trial, err = p.Curvature.(optimizer.Trier).Try(p.Theta, []float32{10, 20}, p.Step)
				return errors.Join(err,
					p.Curvature.CurvatureProduct(product, p.Theta, []float32{1, 2}, optimizer.Hessian, p.Step),
					p.Curvature.CurvatureProduct(again, p.Theta, []float32{1, 2}, p.Curvature.Metrics(), p.Step))
			},
		}},
	}
	if n := rule.Needs(); !n.Theta || n.Metrics != optimizer.Hessian {
		t.Errorf("the groups need %+v", n)
	}
	state := rule.Start(layout)
	p := optimizer.Point{Grad: []float32{1, 2, 3, 4}, Theta: []float32{5, 6, 7, 8}, Curvature: coupled{}, Step: 3}
	if _, err := state.Update(make([]float32, 4), p); err != nil {
		t.Fatal(err)
	}
	if w := first.Tensors(); len(w) != 1 || w[0].Name != "w" || w[0].Kind != optimizer.Matrix {
		t.Errorf("the first group's tensors are %+v", w)
	}
	if b := second.Tensors(); len(b) != 1 || b[0].Name != "b" || b[0].From != 0 {
		t.Errorf("the second group's tensors are %+v", b)
	}
	if !slices.Equal(theta, []float32{7, 8}) || !slices.Equal(grad, []float32{3, 4}) {
		t.Errorf("the second group is told θ = %v and the gradient %v", theta, grad)
	}
	// Σ v = 3 and θ_0 = 5 at step 3: rows 3 and 4 of 45, and nothing of what was there before.
	if want := []float32{135, 180}; !slices.Equal(product, want) || !slices.Equal(again, want) {
		t.Errorf("products %v and %v, want %v", product, again, want)
	}
	// The other group's 5 and 6 stay in both points.
	if want := (optimizer.Trial{Change: 26, KL: 41}); trial != want {
		t.Errorf("trial %v, want %v", trial, want)
	}
	if err := (rules.Groups{{Rule: probe{needs: optimizer.Needs{Factors: true}}}}).Validate(); err == nil {
		t.Error("a group with a rule that factors all layers")
	}
	failed := errors.New("no product")
	p.Curvature = coupled{failed}
	if _, err := state.Update(make([]float32, 4), p); !errors.Is(err, failed) {
		t.Errorf("error %v, want the curvature's own", err)
	}
}

// A divergence in a group has the coordinate that the caller knows; the caller's own error is left alone.
func TestGroupsLocateDivergences(t *testing.T) {
	own := &optimizer.DivergedError{Step: 4, What: "update", Coordinate: 1, Value: math.Inf(1)}
	for _, c := range []struct {
		coordinate, want int
	}{{1, 3}, {0, 2}, {-1, -1}} {
		own.Coordinate = c.coordinate
		rule := rules.Groups{
			{N: 2, Rule: baselines.SGD{LearningRate: 1}},
			{Rule: probe{update: func([]float32, optimizer.Point) error { return own }}},
		}
		g := make([]float32, 4)
		_, err := rule.Start(optimizer.Flat(4)).Update(g, optimizer.Point{Grad: g})
		var d *optimizer.DivergedError
		if !errors.As(err, &d) || d.Coordinate != c.want || d.Step != 4 || own.Coordinate != c.coordinate {
			t.Errorf("error %+v, want coordinate %d", err, c.want)
		}
	}
}

// A divergence after a warm start has the step of the run, and rules that do not decide on such points are not asked.
func TestWarmStartLocatesDivergences(t *testing.T) {
	guarded := metaopt.Guarded{Rule: baselines.SGD{LearningRate: 1}}
	nan := math.NaN()
	for name, c := range map[string]struct {
		first, then optimizer.Rule
		losses      []float64
		step        int
	}{
		"no guard yet":         {baselines.SGD{LearningRate: 1}, guarded, []float64{1, nan}, 1},
		"a guard's first step": {baselines.SGD{LearningRate: 1}, guarded, []float64{1, 1, nan}, 2},
		"no guard any more":    {guarded, baselines.SGD{LearningRate: 1}, []float64{1, 1, 1, nan}, 3},
	} {
		rule := rules.WarmStart{Steps: 2, First: c.first, Then: c.then}
		if n := rule.Needs(); !n.NonFinite || !n.Loss || !n.Theta {
			t.Errorf("%s: needs %+v", name, n)
		}
		state := rule.Start(optimizer.Flat(1))
		theta, u := []float32{0}, []float32{0}
		var err error
		for step, loss := range c.losses {
			if err != nil {
				t.Fatalf("%s: step %d: %v", name, step-1, err)
			}
			_, err = state.Update(u, optimizer.Point{Grad: []float32{1}, Theta: theta, Loss: loss})
		}
		var d *optimizer.DivergedError
		if !errors.As(err, &d) || d.Step != c.step || d.What != "loss" {
			t.Errorf("%s: error %+v, want a loss at step %d", name, err, c.step)
		}
	}
}

func TestWhoMayNotHaveAGuard(t *testing.T) {
	guarded, sgd := metaopt.Guarded{Rule: baselines.SGD{LearningRate: 1}}, baselines.SGD{LearningRate: 1}
	for says, rule := range map[string]interface{ Validate() error }{
		"around the warm start": rules.WarmStart{Steps: 1, First: sgd, Then: guarded, Observe: true},
		"around the groups":     rules.Groups{{Rule: rules.Scaled{Rule: guarded}}},
	} {
		if err := rule.Validate(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, want one that says %q", err, says)
		}
	}
	for _, rule := range []interface{ Validate() error }{
		rules.WarmStart{Steps: 1, First: guarded, Then: sgd, Observe: true}, rules.WarmStart{Steps: 1, First: sgd, Then: guarded}, rules.Scaled{Rule: guarded},
	} {
		if err := rule.Validate(); err != nil {
			t.Errorf("%+v: %v", rule, err)
		}
	}
}

// The rule that waits observes points at which all is finite, and no others.
func TestTheWaitingRuleObserves(t *testing.T) {
	var seen []float64
	waits := probe{needs: optimizer.Needs{Loss: true}, update: func(_ []float32, p optimizer.Point) error {
		seen = append(seen, p.Loss)
		return nil
	}}
	guarded := metaopt.Guarded{Rule: baselines.SGD{LearningRate: 1}, Guard: metaopt.Guard{Fallback: baselines.SGD{LearningRate: 1}}}
	state := rules.WarmStart{Steps: 4, First: guarded, Then: waits, Observe: true}.Start(optimizer.Flat(1))
	u, theta := []float32{0}, []float32{0}
	for i, loss := range []float64{1, math.Inf(1), 3, 4, 5} {
		g := []float32{1}
		if i == 2 {
			g[0] = float32(math.NaN())
		}
		if _, err := state.Update(u, optimizer.Point{Grad: g, Theta: theta, Loss: loss}); err != nil && i != 2 {
			t.Fatal(i, err) // at step 2 the fallback diverges, and the step does not count
		}
	}
	if want := []float64{1, 4, 5}; !slices.Equal(seen, want) {
		t.Errorf("the rule that waits saw losses %v, want %v", seen, want)
	}
}
