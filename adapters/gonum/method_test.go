package gonumopt_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gonum.org/v1/gonum/optimize"
	"gonum.org/v1/gonum/optimize/functions"

	gonumopt "learnedopt/adapters/gonum"
	"learnedopt/baselines"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
	"learnedopt/tasks"
)

var wood = optimize.Problem{Func: functions.Wood{}.Func, Grad: functions.Wood{}.Grad}

// byHand is the documented loop, without gonum: parameters in float64, the rule in float32.
func byHand(rule optimizer.Rule, p optimize.Problem, x0 []float64, steps int) (points [][]float64) {
	n := len(x0)
	x, g := slices.Clone(x0), make([]float64, n)
	theta, grad, update := make([]float32, n), make([]float32, n), make([]float32, n)
	state := rule.Start(optimizer.Flat(n))
	for t := 0; ; t++ {
		points = append(points, slices.Clone(x))
		if t == steps {
			return points
		}
		p.Grad(g, x)
		for i := range n {
			theta[i], grad[i] = float32(x[i]), float32(g[i])
		}
		if _, err := state.Update(update, optimizer.Point{Grad: grad, Theta: theta}); err != nil {
			panic(err)
		}
		for i := range n {
			x[i] += float64(update[i])
		}
	}
}

// decay is u = −0.1 g − 0.01 θ.
var decay = pointRule{func(dst, theta, grad []float32) {
	for i, g := range grad {
		dst[i] = -0.1*g - 0.01*theta[i]
	}
}}

func TestMethodIsTheLoopByHand(t *testing.T) {
	for name, c := range map[string]struct {
		rule optimizer.Rule
		p    optimize.Problem
		x    []float64
	}{
		"quadratic":         {pretrained(t, "quadratic"), bowl(), []float64{1. / 3, -2, 0.7}},
		"quadratic-uniform": {pretrained(t, "quadratic-uniform"), wood, []float64{-3, -1, -3, -1}},
		"mlp":               {pretrained(t, "mlp"), wood, []float64{-3, -1, -3, -1}},
		"adam":              {baselines.Adam{LearningRate: 0.1}, wood, []float64{-3, -1, -3, -1}},
		"decay":             {decay, bowl(), []float64{1. / 3, -2, 0.7}},
	} {
		const steps = 60
		var m memory
		result, err := optimize.Minimize(c.p, c.x, endless(steps, &m), &gonumopt.Method{Rule: c.rule})
		if err != nil || result.Status != optimize.IterationLimit {
			t.Fatalf("%s: %v, %v", name, result, err)
		}
		want := byHand(c.rule, c.p, c.x, steps)
		if len(m.majors) != steps { // the last one ends the run and is the result
			t.Fatalf("%s: %d major iterations recorded, want %d", name, len(m.majors), steps)
		}
		for k, x := range append(m.majors, result.X) {
			if !same(x, want[k]) {
				t.Fatalf("%s: x_%d = %v, want %v", name, k, x, want[k])
			}
		}
		if f := c.p.Func(result.X); result.F != f {
			t.Errorf("%s: f = %v, want %v", name, result.F, f)
		}
		g := make([]float64, len(c.x))
		if c.p.Grad(g, result.X); !same(result.Gradient, g) {
			t.Errorf("%s: gradient %v, want %v", name, result.Gradient, g)
		}
		s := result.Stats
		if s.MajorIterations != steps+1 || s.FuncEvaluations != steps+1 || s.GradEvaluations != steps+1 || s.HessEvaluations != 0 {
			t.Errorf("%s: stats %+v, want %d of each", name, s, steps+1)
		}
	}
}

// shared is a problem of this module as one of gonum's. failing, if not negative, is the step whose loss is NaN.
func shared(p optimizer.Problem, failing int) (optimize.Problem, []float64) {
	n, step := p.Dim(), 0
	theta, grad, x := make([]float32, n), make([]float32, n), make([]float64, n)
	p.Init(theta)
	for i, v := range theta {
		x[i] = float64(v)
	}
	return optimize.Problem{
		Func: func(x []float64) float64 {
			for i, v := range x {
				theta[i] = float32(v)
			}
			loss, _ := p.LossGrad(theta, grad)
			if step++; step == failing+1 {
				return math.NaN()
			}
			return loss
		},
		Grad: func(g, _ []float64) {
			for i, v := range grad {
				g[i] = float64(v)
			}
		},
	}, x
}

// A guarded rule gives the same run as metaopt.Run in float64, bit for bit, through a handover and a non-finite loss.
func TestGuardedIsARun(t *testing.T) {
	const steps = 80
	sample := func() optimizer.Problem {
		p, err := tasks.Quadratic{Dims: 5, Batch: 4}.Sample(rand.New(rand.NewPCG(3, 0)))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for name, c := range map[string]struct {
		rule    optimizer.Rule
		failing int // step
		cause   string
	}{
		"as trained":     {pretrained(t, "quadratic"), -1, ""},
		"rises":          {scaled(0.001), -1, "rise"},
		"a loss is none": {pretrained(t, "quadratic"), 9, "loss"},
	} {
		var handovers []metaopt.Handover
		rule := metaopt.Guarded{Rule: c.rule, Guard: metaopt.Guard{
			Fallback:   baselines.Adam{LearningRate: 0.01},
			OnHandover: func(h metaopt.Handover) { handovers = append(handovers, h) },
		}}
		p, want := shared(sample(), c.failing)
		losses := guardedRun(t, rule, p, want, steps)
		p, x := shared(sample(), c.failing)
		var m memory
		settings := endless(steps, &m)
		if c.failing >= 0 {
			settings.MajorIterations-- // the point of the non-finite loss is not a major iteration
		}
		result, err := optimize.Minimize(p, x, settings, &gonumopt.Method{Rule: rule})
		if err != nil {
			t.Fatal(name, err)
		}
		for i, want := range want {
			if result.X[i] != want {
				t.Fatalf("%s: coordinate %d is %v, want %v", name, i, result.X[i], want)
			}
		}
		losses = slices.DeleteFunc(losses, math.IsNaN)
		if got := append(m.values, result.F); !slices.Equal(got, losses) {
			t.Errorf("%s: values %v, want %v", name, got, losses)
		}
		if c.cause == "" {
			if len(handovers) != 0 {
				t.Errorf("%s: handed over: %+v", name, handovers)
			}
		} else if len(handovers) != 2 || handovers[0].Cause != c.cause || handovers[1].Cause != c.cause || handovers[0].Step != handovers[1].Step {
			t.Errorf("%s: handovers %+v, want one of each run for a %q", name, handovers, c.cause)
		}
	}
}

// guardedRun moves x by a rule, told the losses, and returns them.
func guardedRun(t *testing.T, rule optimizer.Rule, p optimize.Problem, x []float64, steps int) (losses []float64) {
	t.Helper()
	run, err := metaopt.StartRule(rule, optimizer.Flat(len(x)), optimizer.Needs{Theta: true, Loss: true})
	if err != nil {
		t.Fatal(err)
	}
	grad := make([]float64, len(x))
	for k := 0; ; k++ {
		f := p.Func(x)
		losses = append(losses, f)
		if k == steps {
			return losses
		}
		p.Grad(grad, x)
		run.SetLoss(f)
		if err := run.Step64(x, grad); err != nil {
			t.Fatal(err)
		}
	}
}

// Uses returns an error if a rule needs what gonum does not have, and for a guard under a line search. Minimize calls
// Uses before the first evaluation.
func TestNeeds(t *testing.T) {
	has := optimize.Available{Grad: true, Hess: true}
	for says, method := range map[string]optimize.Method{
		"Hessian-vector products": &gonumopt.Method{Rule: curved{}},
		"needs Hessian":           &gonumopt.LineSearch{Rule: curved{}},
		"guard's place":           &gonumopt.LineSearch{Rule: metaopt.Guarded{Rule: scaled(-0.1)}},
	} {
		if _, err := method.Uses(has); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, want one that says %q", err, says)
		}
	}
	if _, err := (&gonumopt.Method{Rule: metaopt.Guarded{Rule: scaled(-0.1)}}).Uses(has); err != nil {
		t.Errorf("a guard: %v", err)
	}
}

// curved needs what gonum's problems do not have.
type curved struct{ ruleFunc }

func (curved) Needs() optimizer.Needs { return optimizer.Needs{Metrics: optimizer.Hessian} }

// If the gradient at the start overflows float32, a guard has no point to go back to.
func TestGuardedDiverges(t *testing.T) {
	rule := metaopt.Guarded{Rule: scaled(-0.1)}
	result, err := optimize.Minimize(at(bowl(), 0, nil, pointer(1e60)), []float64{1, 2}, endless(5, nil), &gonumopt.Method{Rule: rule})
	var diverged *optimizer.DivergedError
	if !errors.As(err, &diverged) || diverged.What != "gradient" || diverged.Coordinate != 1 || result.Status != optimize.Failure {
		t.Errorf("%v, %v", result, err)
	}
}

func TestNonFinite(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	nothing := ruleFunc(func(dst, _, _ []float32) { dst[1] = float32(inf) })
	for name, c := range map[string]struct {
		rule   optimizer.Rule
		p      optimize.Problem
		want   error
		steps  int // that count
		status optimize.Status
	}{
		"NaN at the start":      {scaled(-.1), at(bowl(), 0, &nan, nil), optimize.ErrFunc(nan), -1, optimize.Failure},
		"infinity at the start": {scaled(-.1), at(bowl(), 0, &inf, nil), optimize.ErrFunc(inf), -1, optimize.Failure},
		"slope at the start":    {scaled(-.1), at(bowl(), 0, nil, &inf), optimize.ErrGrad{Grad: inf, Index: 1}, -1, optimize.Failure},
		"value":                 {scaled(-.1), at(bowl(), 3, &nan, nil), &optimizer.DivergedError{Step: 3, What: "loss", Coordinate: -1, Value: nan}, 2, optimize.Failure},
		"infinite value":        {scaled(-.1), at(bowl(), 3, &inf, nil), &optimizer.DivergedError{Step: 3, What: "loss", Coordinate: -1, Value: inf}, 2, optimize.Failure},
		"slope":                 {scaled(-.1), at(bowl(), 3, nil, &nan), &optimizer.DivergedError{Step: 3, What: "gradient", Coordinate: 1, Value: nan}, 2, optimize.Failure},
		"slope over float32":    {scaled(-.1), at(bowl(), 3, nil, pointer(-1e39)), &optimizer.DivergedError{Step: 3, What: "gradient", Coordinate: 1, Value: -1e39}, 3, optimize.Failure},
		"update":                {nothing, bowl(), &optimizer.DivergedError{Step: 0, What: "update", Coordinate: 1, Value: inf}, 0, optimize.Failure},
		"no least value":        {scaled(-.1), at(bowl(), 3, pointer(-inf), &nan), nil, 3, optimize.FunctionNegativeInfinity},
	} {
		method := &gonumopt.Method{Rule: c.rule}
		result, err := optimize.Minimize(c.p, []float64{1, 2}, endless(9, nil), method)
		if (err == nil) != (c.want == nil) || err != nil && err.Error() != c.want.Error() {
			t.Errorf("%s: error %v, want %v", name, err, c.want)
		}
		var got, want *optimizer.DivergedError
		if errors.As(c.want, &want) && (!errors.As(err, &got) || got.Step != want.Step || got.What != want.What || got.Coordinate != want.Coordinate) {
			t.Errorf("%s: error %#v, want %#v", name, err, c.want)
		}
		if result.Status != c.status {
			t.Errorf("%s: status %v, want %v", name, result.Status, c.status)
		}
		if status, own := method.Status(); c.want != nil && (status != optimize.Failure || own.Error() != err.Error()) || c.want == nil && status != optimize.NotTerminated {
			t.Errorf("%s: the method's status is %v, %v", name, status, own)
		}
		if result.MajorIterations != c.steps+1 {
			t.Errorf("%s: %d major iterations, want %d", name, result.MajorIterations, c.steps+1)
		}
		if c.steps >= 0 {
			if want := byHand(c.rule, bowl(), []float64{1, 2}, c.steps)[c.steps]; !same(result.X, want) {
				t.Errorf("%s: x = %v, want %v", name, result.X, want)
			}
		}
	}
}

func TestLimits(t *testing.T) {
	x := []float64{1, 2}
	stopped := errors.New("stopped")
	evaluations := 0
	status := bowl()
	status.Status = func() (optimize.Status, error) {
		if evaluations++; evaluations > 5 { // gonum asks once before the run
			return optimize.Failure, stopped
		}
		return optimize.NotTerminated, nil
	}
	for name, c := range map[string]struct {
		p                   optimize.Problem
		settings            optimize.Settings
		stop                float64
		want                optimize.Status
		majors, evaluations int
		err                 error
	}{
		"major iterations": {bowl(), optimize.Settings{MajorIterations: 7}, 0, optimize.IterationLimit, 7, 7, nil},
		"values":           {bowl(), optimize.Settings{FuncEvaluations: 7}, 0, optimize.FunctionEvaluationLimit, 6, 7, nil},
		"gradients":        {bowl(), optimize.Settings{GradEvaluations: 7}, 0, optimize.GradientEvaluationLimit, 6, 7, nil},
		"one value":        {bowl(), optimize.Settings{FuncEvaluations: 1}, 0, optimize.FunctionEvaluationLimit, 0, 1, nil},
		"one iteration":    {bowl(), optimize.Settings{MajorIterations: 1}, 0, optimize.IterationLimit, 1, 1, nil},
		"time":             {bowl(), optimize.Settings{Runtime: time.Nanosecond}, 0, optimize.RuntimeLimit, 1, 1, nil},
		"the problem":      {status, optimize.Settings{}, 0, optimize.Failure, 4, 5, stopped},
		// The gradient is (0.9ᵏ, 4·0.8ᵏ): below 1 from k = 7 on.
		"Settings' gradient": {bowl(), optimize.Settings{GradientThreshold: 1}, 0, optimize.GradientThreshold, 8, 8, nil},
		"Method's gradient":  {bowl(), optimize.Settings{}, 1, optimize.GradientThreshold, 8, 8, nil},
		// 0.9ᵏ < 1e-12 from k = 263 on.
		"unless set": {bowl(), optimize.Settings{}, 0, optimize.GradientThreshold, 264, 264, nil},
		// The run continues until float32 holds no smaller gradient, and stands still there.
		"never": {bowl(), optimize.Settings{MajorIterations: 999}, math.NaN(), optimize.IterationLimit, 999, 999, nil},
	} {
		c.settings.Converger = optimize.NeverTerminate{}
		method := &gonumopt.Method{Rule: scaled(-0.1), GradStopThreshold: c.stop}
		result, err := optimize.Minimize(c.p, x, &c.settings, method)
		if !errors.Is(err, c.err) || result.Status != c.want {
			t.Errorf("%s: %v, %v; want %v", name, result.Status, err, c.want)
		}
		if s := result.Stats; s.MajorIterations != c.majors || s.FuncEvaluations != c.evaluations || s.GradEvaluations != c.evaluations {
			t.Errorf("%s: %+v, want %d major iterations and %d evaluations", name, s, c.majors, c.evaluations)
		}
		if k := c.majors - 1; k >= 0 {
			if want := byHand(method.Rule, bowl(), x, k)[k]; !same(result.X, want) {
				t.Errorf("%s: x = %v, want %v", name, result.X, want)
			}
		}
	}
	// A start that needs no step.
	result, err := optimize.Minimize(bowl(), []float64{0, 0}, nil, &gonumopt.Method{Rule: scaled(-0.1)})
	if err != nil || result.Status != optimize.GradientThreshold || result.FuncEvaluations != 1 {
		t.Errorf("from the minimum: %v after %d evaluations, %v", result.Status, result.FuncEvaluations, err)
	}
	// Minimize's own convergence.
	still := ruleFunc(func(dst, _, _ []float32) { clear(dst) })
	result, err = optimize.Minimize(bowl(), x, nil, &gonumopt.Method{Rule: still})
	if err != nil || result.Status != optimize.FunctionConvergence || result.MajorIterations != 101 {
		t.Errorf("without an update: %v after %d major iterations, %v", result.Status, result.MajorIterations, err)
	}
}

// A recorder sees, in turn, the start, every evaluation and every major iteration, and the end.
func TestRecorder(t *testing.T) {
	var m memory
	settings := endless(4, &m)
	settings.Concurrent = 8 // makes no difference
	if _, err := optimize.Minimize(bowl(), []float64{1, 2}, settings, &gonumopt.Method{Rule: scaled(-0.1)}); err != nil {
		t.Fatal(err)
	}
	const evaluation = optimize.FuncEvaluation | optimize.GradEvaluation
	want := []optimize.Operation{optimize.InitIteration}
	for range 4 {
		want = append(want, evaluation, optimize.MajorIteration)
	}
	want = append(want, evaluation, optimize.PostIteration) // the last major iteration ends the run: gonum records the end
	if !slices.Equal(m.ops, want) {
		t.Errorf("recorded %v, want %v", m.ops, want)
	}
}

func TestReturnBest(t *testing.T) {
	// u = −1.6 g: x_0 ← −0.6 x_0 and x_1 ← −2.2 x_1. From (1, 0.01) f falls, then rises.
	rule, x := scaled(-1.6), []float64{1, 0.01}
	const steps = 12
	points := byHand(rule, bowl(), x, steps)
	best := 0
	for k := range points {
		if bowl().Func(points[k]) < bowl().Func(points[best]) {
			best = k
		}
	}
	if best == 0 || best == steps {
		t.Fatalf("the best point is x_%d: nothing is tried", best)
	}
	for name, c := range map[string]struct {
		best   bool
		steps  int
		want   int
		majors int
	}{
		"last":              {false, steps, steps, steps + 1},
		"best":              {true, steps, best, steps + 2},
		"best that is last": {true, best, best, best + 1},
	} {
		method := &gonumopt.Method{Rule: rule, ReturnBest: c.best}
		result, err := optimize.Minimize(bowl(), x, endless(c.steps, nil), method)
		if err != nil || result.Status != optimize.IterationLimit {
			t.Fatal(name, result.Status, err)
		}
		if !same(result.X, points[c.want]) || result.F != bowl().Func(points[c.want]) {
			t.Errorf("%s: x = %v, want %v", name, result.X, points[c.want])
		}
		g := make([]float64, 2)
		if bowl().Grad(g, points[c.want]); !same(result.Gradient, g) {
			t.Errorf("%s: gradient %v, want %v", name, result.Gradient, g)
		}
		if result.MajorIterations != c.majors || result.FuncEvaluations != c.steps+1 {
			t.Errorf("%s: %d major iterations, want %d", name, result.MajorIterations, c.majors)
		}
	}
	// After a divergence too.
	method := &gonumopt.Method{Rule: rule, ReturnBest: true}
	result, err := optimize.Minimize(at(bowl(), steps, pointer(math.NaN()), nil), x, endless(99, nil), method)
	if err == nil || result.Status != optimize.Failure || !same(result.X, points[best]) {
		t.Errorf("after a divergence: x = %v, %v, %v; want %v", result.X, result.Status, err, points[best])
	}
}

// gonum's requirements on its own methods: a second run with the same Method gives the same bits, and known initial
// values save exactly one evaluation.
func TestRunsAgain(t *testing.T) {
	x := []float64{-3, -1, -3, -1}
	for name, method := range map[string]optimize.Method{
		"plain":       &gonumopt.Method{Rule: pretrained(t, "quadratic-uniform")},
		"line search": &gonumopt.LineSearch{Rule: pretrained(t, "quadratic-uniform")},
	} {
		first, err := optimize.Minimize(wood, x, endless(50, nil), method)
		if err != nil {
			t.Fatal(name, err)
		}
		settings := endless(50, nil)
		settings.InitValues = &optimize.Location{F: wood.Func(x), Gradient: make([]float64, 4)}
		wood.Grad(settings.InitValues.Gradient, x)
		second, err := optimize.Minimize(wood, x, settings, method)
		if err != nil {
			t.Fatal(name, err)
		}
		if first.F != second.F || !same(first.X, second.X) {
			t.Errorf("%s: %v, then %v", name, first.X, second.X)
		}
		if second.FuncEvaluations != first.FuncEvaluations-1 || second.GradEvaluations != first.GradEvaluations-1 {
			t.Errorf("%s: %+v, then %+v", name, first.Stats, second.Stats)
		}
		settings.InitValues = &optimize.Location{F: wood.Func(x)}
		third, err := optimize.Minimize(wood, x, settings, method)
		if err != nil || third.FuncEvaluations != first.FuncEvaluations-1 || third.GradEvaluations != first.GradEvaluations {
			t.Errorf("%s, with the value only: %+v, %v", name, third, err)
		}
		if !same(first.X, third.X) {
			t.Errorf("%s: %v, with the value only %v", name, first.X, third.X)
		}
	}
}

func TestUses(t *testing.T) {
	for _, method := range []optimize.Method{&gonumopt.Method{}, &gonumopt.LineSearch{}} {
		if _, err := method.Uses(optimize.Available{Hess: true}); err != optimize.ErrMissingGrad {
			t.Errorf("%T without a gradient: %v", method, err)
		}
		if got, err := method.Uses(optimize.Available{Grad: true, Hess: true}); err != nil || got != (optimize.Available{Grad: true}) {
			t.Errorf("%T uses %+v, %v", method, got, err)
		}
		func() {
			defer func() {
				if r := recover(); r != "gonumopt: no Rule" {
					t.Errorf("%T without a rule: panic %v", method, r)
				}
			}()
			_, err := optimize.Minimize(bowl(), []float64{1}, nil, method)
			t.Errorf("%T without a rule: %v", method, err)
		}()
	}
}

// Concurrent runs share a rule.
func TestConcurrentRuns(t *testing.T) {
	rule, x := pretrained(t, "quadratic-uniform"), []float64{-3, -1, -3, -1}
	want := byHand(rule, wood, x, 30)[30]
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			settings := endless(30, nil)
			settings.Concurrent = 4
			result, err := optimize.Minimize(wood, x, settings, &gonumopt.Method{Rule: rule})
			if err != nil || !same(result.X, want) {
				t.Errorf("%v, %v; want %v", result.X, err, want)
			}
		})
	}
	group.Wait()
}
