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
// where α_t is what a line search of gonum's finds, from the trial step α = 1 on. So with
// optimize.Backtracking an update that lowers f enough is taken as it is and f
// never rises. The rule sees one gradient a line search, and does not learn what α_t
// was. For an objective that is computed exactly: minibatches mislead a line search.
//
// Where u_t is not finite or no direction of descent (⟨u_t, ∇f⟩ ≥ 0), and where the gradient
// overflows float32, the direction is −∇f, with a trial step as long as u_t or, if there is no
// such length, optimize.QuadraticStepSize's first, 1/‖∇f‖_∞; Fallbacks counts these. The rule's state goes on,
// unless its update was not finite: then it starts afresh.
//
// Evaluations are those that the Linesearcher asks for, and each line search that ended is a major
// iteration. One that fails, as most do in the end near a minimum, ends the run with
// optimize.Failure and gonum's error, such as optimize.ErrLinesearcherFailure or
// optimize.ErrNoProgress; so does an accepted point whose value or gradient is not finite, with a
// *optimizer.DivergedError. The start is checked as by Method. The result is the last major iteration.
//
// A rule with a guard (metaopt.Guarded) is refused: the line search is in the guard's place.
//
// A LineSearch is an optimize.NextDirectioner too, for an optimize.LinesearchMethod of your own, as
// gonum's methods are. It belongs to one call of Minimize at a time.
type LineSearch struct {
	// Rule is the update rule. Without one Minimize panics.
	Rule optimizer.Rule
	// Linesearcher looks for α; nil means a new optimize.Backtracking.
	Linesearcher optimize.Linesearcher
	// GradStopThreshold is as in Method.
	GradStopThreshold float64

	search    *optimize.LinesearchMethod // nil until the first of the run
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

// Fallbacks returns how many directions of the last run were −∇f in place of an update.
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

// Uses implements optimize.Method: the error is optimize.ErrMissingGrad if there is no gradient. A rule that needs
// curvature products, or has a guard, is refused.
func (l *LineSearch) Uses(has optimize.Available) (optimize.Available, error) {
	if l.Rule != nil && l.Rule.Needs().NonFinite {
		return optimize.Available{}, errGuard
	}
	return uses(has, l.Rule)
}

// Status implements optimize.Statuser: why the last run ended itself, optimize.NotTerminated
// if Minimize ended it.
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

// InitDirection implements optimize.NextDirectioner: the first direction of a fresh state. It panics if
// there is no Rule.
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

// propose writes the rule's update at loc into dir and returns its length, 0 if it has none.
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
