package gonumopt_test

import (
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/optimize"

	"learnedopt/metaopt"
	"learnedopt/optimizer"
)

// A ruleFunc is a rule without memory: u = f(x, g). x is nil unless the rule needs it.
type ruleFunc func(dst, theta, grad []float32)

func (ruleFunc) Needs() optimizer.Needs                   { return optimizer.Needs{} }
func (f ruleFunc) Start(optimizer.Layout) optimizer.State { return funcState{f} }

type funcState struct{ f ruleFunc }

func (s funcState) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	s.f(dst, nil, p.Grad)
	return 0, nil
}

// A pointRule is a ruleFunc that needs the point.
type pointRule struct{ ruleFunc }

func (pointRule) Needs() optimizer.Needs                   { return optimizer.Needs{Theta: true} }
func (r pointRule) Start(optimizer.Layout) optimizer.State { return pointState{funcState{r.ruleFunc}} }

type pointState struct{ funcState }

func (s pointState) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	s.f(dst, p.Theta, p.Grad)
	return 0, nil
}

// scaled is u = factor·g.
func scaled(factor float32) ruleFunc {
	return func(dst, _, grad []float32) {
		for i, g := range grad {
			dst[i] = factor * g
		}
	}
}

// bowl is f(x) = ½ Σ (i+1) x_i².
func bowl() optimize.Problem {
	return optimize.Problem{
		Func: func(x []float64) float64 {
			sum := 0.0
			for i, v := range x {
				sum += float64(i+1) * v * v / 2
			}
			return sum
		},
		Grad: func(grad, x []float64) {
			for i, v := range x {
				grad[i] = float64(i+1) * v
			}
		},
	}
}

// at returns p with other values from evaluation n on, counted from 0: Func returns value, and the last coordinate of
// Grad is slope, unless they are nil.
func at(p optimize.Problem, n int, value, slope *float64) optimize.Problem {
	funcs, grads := 0, 0
	q := p
	q.Func = func(x []float64) float64 {
		funcs++
		if value != nil && funcs > n {
			return *value
		}
		return p.Func(x)
	}
	q.Grad = func(grad, x []float64) {
		p.Grad(grad, x)
		grads++
		if slope != nil && grads > n {
			grad[len(grad)-1] = *slope
		}
	}
	return q
}

func pointer(x float64) *float64 { return &x }

// A memory records what a run of Minimize announces.
type memory struct {
	ops    []optimize.Operation
	majors [][]float64 // x of each major iteration
	values []float64   // its f
	after  func()      // called after each major iteration, if set
}

func (*memory) Init() error { return nil }

func (m *memory) Record(loc *optimize.Location, op optimize.Operation, _ *optimize.Stats) error {
	m.ops = append(m.ops, op)
	if op == optimize.MajorIteration {
		m.majors = append(m.majors, slices.Clone(loc.X))
		m.values = append(m.values, loc.F)
		if m.after != nil {
			m.after()
		}
	}
	return nil
}

// endless returns settings for a run of exactly the given number of steps.
func endless(steps int, m *memory) *optimize.Settings {
	s := &optimize.Settings{Converger: optimize.NeverTerminate{}, MajorIterations: steps + 1}
	if m != nil {
		s.Recorder = m
	}
	return s
}

func pretrained(t testing.TB, name string) optimizer.Rule {
	t.Helper()
	o, err := metaopt.Pretrained(name)
	if err != nil {
		t.Fatal(err)
	}
	return o.Rule()
}

// same tells whether all of a and b have the same bits.
func same(a, b []float64) bool {
	return slices.EqualFunc(a, b, func(x, y float64) bool { return math.Float64bits(x) == math.Float64bits(y) })
}
