package gonumopt

import (
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/optimize"

	"learnedopt/optimizer"
)

// LineSearch is a method of gonum's Minimize whose search directions are the updates of a
// rule:
//
//	x_{t+1} = x_t + α_t u_t,   (u_t, s_{t+1}) = m(∇f(x_t), s_t)
//
// One of gonum's line searches finds α_t, starting from the trial step α = 1. With
// optimize.Backtracking an update that lowers f enough is taken unchanged, and f
// never rises. The rule sees one gradient per line search, and does not learn
// α_t. Use it for objectives that are computed exactly: minibatches mislead a line search.
//
// If u_t is non-finite or not a direction of descent (⟨u_t, ∇f⟩ ≥ 0), or if the gradient
// overflows float32, the direction is −∇f. Its trial step is as long as u_t; if u_t has no usable
// length, it is optimize.QuadraticStepSize's first step, 1/‖∇f‖_∞. Fallbacks counts these directions.
// The rule's state is kept, except after a non-finite update: then it starts afresh.
//
// The Linesearcher decides the evaluations, and every finished line search is a major
// iteration. A line search that fails ends the run with optimize.Failure and gonum's error, such
// as optimize.ErrLinesearcherFailure or optimize.ErrNoProgress; near a minimum most line searches
// fail in the end. An accepted point with a non-finite value or gradient ends the run with
// optimize.Failure and a *optimizer.DivergedError. The start is checked as Method checks it. The
// result is the last major iteration.
//
// A rule with a guard (metaopt.Guarded) is refused: the line search takes the guard's place.
//
// Like gonum's methods, a LineSearch is also an optimize.NextDirectioner, for your own
// optimize.LinesearchMethod. It belongs to one call of Minimize at a time.
type LineSearch struct {
	// Rule is the update rule. Minimize panics if it is nil.
	Rule optimizer.Rule
	// Linesearcher looks for α; nil means a new optimize.Backtracking.
	Linesearcher optimize.Linesearcher
	// GradStopThreshold is as in Method.
	GradStopThreshold float64

	search    *optimize.LinesearchMethod // nil until the first line search of the run
	steps     int
	fallbacks int
	state     optimizer.State

	theta, grad, update []float32
	status              optimize.Status
	err                 error
}

var (
	_ optimize.Method          = (*LineSearch)(nil)
	_ optimize.Statuser        = (*LineSearch)(nil)
	_ optimize.NextDirectioner = (*LineSearch)(nil)
)

// Fallbacks returns the number of directions of the last run that were −∇f instead of an update.
func (l *LineSearch) Fallbacks() int { return l.fallbacks }

// Init implements optimize.Method. It panics if there is no Rule.
func (l *LineSearch) Init(dim, tasks int) int {
	if l.Rule == nil {
		panic(errRule)
	}
	l.search, l.steps, l.fallbacks = nil, 0, 0
	l.status, l.err = optimize.NotTerminated, nil
	return 1
}

// Run implements optimize.Method.
func (l *LineSearch) Run(operation chan<- optimize.Task, result <-chan optimize.Task, tasks []optimize.Task) {
	l.status, l.err = local{operation: operation, result: result, gradStop: l.GradStopThreshold}.run(l, tasks[0])
	close(operation)
}

// Uses implements optimize.Method. It returns optimize.ErrMissingGrad if there is no gradient, an
// *optimizer.NeedError if the rule needs curvature products, and an error if the rule has a guard.
func (l *LineSearch) Uses(has optimize.Available) (optimize.Available, error) {
	if l.Rule != nil && l.Rule.Needs().NonFinite {
		return optimize.Available{}, errGuard
	}
	return uses(has, l.Rule)
}

// Status implements optimize.Statuser. It says why the method ended the last run, and returns
// optimize.NotTerminated if Minimize ended it.
func (l *LineSearch) Status() (optimize.Status, error) { return l.status, l.err }

// next implements stepper.
func (l *LineSearch) next(_ optimize.Operation, loc *optimize.Location) (optimize.Operation, error) {
	if l.search == nil {
		searcher := l.Linesearcher
		if searcher == nil {
			searcher = &optimize.Backtracking{}
		}
		l.search = &optimize.LinesearchMethod{NextDirectioner: l, Linesearcher: searcher}
		return l.search.Init(loc)
	}
	op, err := l.search.Iterate(loc)
	if err == nil && op == optimize.MajorIteration {
		l.steps++
		if d := check(l.steps, loc); d != nil {
			return optimize.NoOperation, d
		}
	}
	return op, err
}

// InitDirection implements optimize.NextDirectioner. It starts a fresh state and returns its first direction. It
// panics if there is no Rule.
func (l *LineSearch) InitDirection(loc *optimize.Location, dir []float64) (step float64) {
	if l.Rule == nil {
		panic(errRule)
	}
	n := len(dir)
	l.fallbacks, l.state = 0, l.Rule.Start(optimizer.Flat(n))
	l.theta, l.grad, l.update = make([]float32, n), make([]float32, n), make([]float32, n)
	return l.NextDirection(loc, dir)
}

// NextDirection implements optimize.NextDirectioner.
func (l *LineSearch) NextDirection(loc *optimize.Location, dir []float64) (step float64) {
	length := l.propose(loc, dir)
	if length > 0 && floats.Dot(dir, loc.Gradient) < 0 {
		return 1
	}
	l.fallbacks++
	for i, g := range loc.Gradient {
		dir[i] = -g
	}
	if length > 0 {
		return length / floats.Norm(dir, 2)
	}
	return 1 / floats.Norm(dir, math.Inf(1))
}

// propose writes the rule's update at loc into dir and returns its length, 0 if the update is not usable.
func (l *LineSearch) propose(loc *optimize.Location, dir []float64) (length float64) {
	narrow(l.grad, loc.Gradient)
	if optimizer.NonFinite(l.grad) >= 0 {
		return 0
	}
	narrow(l.theta, loc.X)
	_, err := l.state.Update(l.update, optimizer.Point{Grad: l.grad, Theta: l.theta, Loss: loc.F, Step: l.steps})
	if err != nil || optimizer.NonFinite(l.update) >= 0 {
		l.state = l.Rule.Start(optimizer.Flat(len(dir)))
		return 0
	}
	for i, u := range l.update {
		dir[i] = float64(u)
	}
	return floats.Norm(dir, 2)
}
