package gonumopt_test

import (
	"errors"
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/optimize"
	"gonum.org/v1/gonum/optimize/functions"

	gonumopt "learnedopt/adapters/gonum"
	"learnedopt/optimizer"
)

// searched is the documented loop with handwritten backtracking, without gonum.
func searched(rule optimizer.Rule, p optimize.Problem, x0 []float64, steps int) (points [][]float64, shortened int) {
	n := len(x0)
	x, g, trial := slices.Clone(x0), make([]float64, n), make([]float64, n)
	grad, update, dir := make([]float32, n), make([]float32, n), make([]float64, n)
	state := rule.Start(optimizer.Flat(n))
	for t := 0; ; t++ {
		points = append(points, slices.Clone(x))
		if t == steps {
			return points, shortened
		}
		p.Grad(g, x)
		for i := range n {
			grad[i] = float32(g[i])
		}
		state.Update(update, optimizer.Point{Grad: grad})
		for i := range n {
			dir[i] = float64(update[i])
		}
		alpha, slope := 1.0, floats.Dot(g, dir)
		if slope >= 0 {
			length := floats.Norm(dir, 2)
			floats.ScaleTo(dir, -1, g)
			alpha, slope = length/floats.Norm(g, 2), floats.Dot(g, dir)
		}
		for first := true; ; first = false {
			if floats.AddScaledTo(trial, x, alpha, dir); p.Func(trial) <= p.Func(x)+1e-4*alpha*slope {
				break
			}
			if first {
				shortened++
			}
			alpha /= 2
		}
		copy(x, trial)
	}
}

func TestLineSearchIsTheLoopByHand(t *testing.T) {
	for _, name := range []string{"quadratic", "quadratic-uniform", "mlp"} {
		const steps = 40
		rule, x := pretrained(t, name), []float64{-3, -1, -3, -1}
		var m memory
		method := &gonumopt.LineSearch{Rule: rule}
		result, err := optimize.Minimize(wood, x, endless(steps, &m), method)
		if err != nil {
			t.Fatal(name, err)
		}
		want, shortened := searched(rule, wood, x, steps)
		for k, x := range append(m.majors, result.X) {
			if !same(x, want[k]) {
				t.Fatalf("%s: x_%d = %v, want %v", name, k, x, want[k])
			}
		}
		for k := 1; k < len(m.values); k++ {
			if !(m.values[k] < m.values[k-1]) {
				t.Errorf("%s: f rises from %v to %v", name, m.values[k-1], m.values[k])
			}
		}
		if shortened == 0 || shortened == steps {
			t.Errorf("%s: %d of %d steps were shortened: one case is not tried", name, shortened, steps)
		}
		if result.MajorIterations != steps+1 || result.GradEvaluations != steps+1 || result.FuncEvaluations <= steps+1 {
			t.Errorf("%s: %+v", name, result.Stats)
		}
	}
}

// With each of gonum's line searches, a rule that only gives a direction of descent reaches a minimum.
func TestLinesearchers(t *testing.T) {
	for name, searcher := range map[string]optimize.Linesearcher{
		"unless set":   nil,
		"backtracking": &optimize.Backtracking{},
		"bisection":    &optimize.Bisection{},
		"more-thuente": &optimize.MoreThuente{},
	} {
		for factor, what := range map[float32]string{-0.01: "too short", -30: "too long"} {
			settings := &optimize.Settings{GradientThreshold: 1e-6, Converger: optimize.NeverTerminate{}, FuncEvaluations: 20000}
			p := optimize.Problem{Func: functions.Beale{}.Func, Grad: functions.Beale{}.Grad}
			result, err := optimize.Minimize(p, []float64{1, 1}, settings, &gonumopt.LineSearch{Rule: scaled(factor), Linesearcher: searcher})
			if err != nil || result.Status != optimize.GradientThreshold || !floats.EqualApprox(result.X, []float64{3, 0.5}, 1e-5) {
				t.Errorf("%s, steps %s: x = %v, %v, %v", name, what, result.X, result.Status, err)
			}
		}
	}
}

// A countedSearcher counts the line searches.
type countedSearcher struct {
	optimize.Linesearcher
	searches int
}

func (h *countedSearcher) Init(value, derivative, step float64) optimize.Operation {
	h.searches++
	return h.Linesearcher.Init(value, derivative, step)
}

func TestLinesearcherIsTheOneSet(t *testing.T) {
	searcher := &countedSearcher{Linesearcher: &optimize.Bisection{}}
	result, err := optimize.Minimize(wood, []float64{-3, -1, -3, -1}, endless(10, nil), &gonumopt.LineSearch{Rule: scaled(-1e-4), Linesearcher: searcher})
	if err != nil || searcher.searches != 10 {
		t.Errorf("%d searches for 10 steps: %v, %v", searcher.searches, result, err)
	}
}

// counting starts states of f and counts them.
type counting struct {
	ruleFunc
	started *int
}

func (counting) Needs() optimizer.Needs { return optimizer.Needs{} }
func (c counting) Start(layout optimizer.Layout) optimizer.State {
	*c.started++
	return c.ruleFunc.Start(layout)
}

func TestFallback(t *testing.T) {
	nan := float32(math.NaN())
	x := []float64{3, 2} // ∇ = (3, 4), of length 5
	for name, c := range map[string]struct {
		rule   ruleFunc
		grad   float64 // gradient of the last coordinate, if not 0
		dir    []float64
		step   float64
		falls  int
		states int
	}{
		"descends":       {func(dst, _, _ []float32) { dst[0], dst[1] = -2, 1 }, 0, []float64{-2, 1}, 1, 0, 1},
		"ascends":        {func(dst, _, _ []float32) { dst[0], dst[1] = 6, 8 }, 0, []float64{-3, -4}, 2, 1, 1},
		"is orthogonal":  {func(dst, _, _ []float32) { dst[0], dst[1] = 4, -3 }, 0, []float64{-3, -4}, 1, 1, 1},
		"is zero":        {func(dst, _, _ []float32) { clear(dst) }, 0, []float64{-3, -4}, 0.25, 1, 1},
		"is not finite":  {func(dst, _, _ []float32) { dst[0], dst[1] = nan, -1 }, 0, []float64{-3, -4}, 0.25, 1, 2},
		"is not asked":   {func(_, _, _ []float32) { panic("asked") }, 0x1p150, []float64{-3, -0x1p150}, 0x1p-150, 1, 1},
		"reads in float": {scaled(-1), 1 / 3., []float64{-3, -float64(float32(1 / 3.))}, 1, 0, 1},
	} {
		started := 0
		search := &gonumopt.LineSearch{Rule: counting{c.rule, &started}}
		loc := &optimize.Location{X: x, Gradient: []float64{3, 4}}
		if c.grad != 0 {
			loc.Gradient[1] = c.grad
		}
		before := slices.Clone(loc.Gradient)
		dir := make([]float64, 2)
		if step := search.InitDirection(loc, dir); step != c.step || !same(dir, c.dir) {
			t.Errorf("a direction that %s: %v · %v, want %v · %v", name, step, dir, c.step, c.dir)
		}
		if search.Fallbacks() != c.falls || started != c.states {
			t.Errorf("a direction that %s: %d fallbacks, %d states; want %d, %d", name, search.Fallbacks(), started, c.falls, c.states)
		}
		if !same(loc.Gradient, before) || !same(loc.X, []float64{3, 2}) {
			t.Errorf("a direction that %s: the location has changed to %+v", name, loc)
		}
		if search.NextDirection(loc, dir); search.Fallbacks() != 2*c.falls {
			t.Errorf("a direction that %s: %d fallbacks in two, want %d", name, search.Fallbacks(), 2*c.falls)
		}
		if search.InitDirection(loc, dir); search.Fallbacks() != c.falls {
			t.Errorf("a direction that %s: %d fallbacks in a new run, want %d", name, search.Fallbacks(), c.falls)
		}
	}
}

// A rule that climbs is steepest descent with steps as long as its own.
func TestFallbackDescends(t *testing.T) {
	method := &gonumopt.LineSearch{Rule: scaled(0.1)}
	want := byHand(scaled(-0.1), bowl(), []float64{1, 2}, 25)[25]
	for range 2 { // Fallbacks counts the last run only
		result, err := optimize.Minimize(bowl(), []float64{1, 2}, endless(25, nil), method)
		// The length of a step is computed from float32 numbers: 25 roundings of 6e-8.
		if err != nil || !floats.EqualApprox(result.X, want, 2e-6) || method.Fallbacks() != 25 {
			t.Errorf("x = %v, want %v; %d fallbacks, %v", result.X, want, method.Fallbacks(), err)
		}
	}
}

// A LineSearch passes the point to its rule, and serves an optimize.LinesearchMethod.
func TestNextDirectioner(t *testing.T) {
	search := &optimize.LinesearchMethod{NextDirectioner: &gonumopt.LineSearch{Rule: decay}, Linesearcher: &optimize.Backtracking{}}
	loc := &optimize.Location{X: []float64{1. / 3, 2}, Gradient: make([]float64, 2)}
	loc.F = bowl().Func(loc.X)
	bowl().Grad(loc.Gradient, loc.X)
	want := byHand(decay, bowl(), loc.X, 1)[1]
	op, err := search.Init(loc)
	if err != nil || op != optimize.FuncEvaluation || !same(loc.X, want) {
		t.Errorf("x = %v, %v, %v; want %v", loc.X, op, err, want)
	}
}

func TestLineSearchFails(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for name, c := range map[string]struct {
		p      optimize.Problem
		want   error
		status optimize.Status
		majors int
	}{
		"at the start":     {at(bowl(), 0, &inf, nil), optimize.ErrFunc(inf), optimize.Failure, 0},
		"without decrease": {at(bowl(), 3, pointer(5.9), nil), optimize.ErrNoProgress, optimize.Failure, 3},
		"at a slope":       {at(bowl(), 3, nil, &nan), &optimizer.DivergedError{Step: 3, What: "gradient", Coordinate: 1, Value: nan}, optimize.Failure, 3},
		"at no bottom":     {at(bowl(), 3, pointer(-inf), nil), nil, optimize.FunctionNegativeInfinity, 4},
	} {
		method := &gonumopt.LineSearch{Rule: scaled(-0.1)}
		result, err := optimize.Minimize(c.p, []float64{1, 2}, endless(9, nil), method)
		if (err == nil) != (c.want == nil) || err != nil && err.Error() != c.want.Error() || result.Status != c.status {
			t.Errorf("%s: %v, %v; want %v", name, result.Status, err, c.want)
		}
		if result.MajorIterations != c.majors {
			t.Errorf("%s: %d major iterations, want %d", name, result.MajorIterations, c.majors)
		}
		if c.want != nil {
			if status, own := method.Status(); status != optimize.Failure || !errors.Is(own, err) {
				t.Errorf("%s: the method's status is %v, %v", name, status, own)
			}
		}
	}
}
