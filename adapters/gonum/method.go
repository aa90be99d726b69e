package gonumopt

import (
	"gonum.org/v1/gonum/optimize"

	"learnedopt/optimizer"
)

// Method is an update rule as a method of gonum's Minimize:
//
//	x_{t+1} = x_t + u_t,   (u_t, s_{t+1}) = m(∇f(x_t), s_t)
//
// Every run has a fresh state. Each step evaluates Func and then Grad at the same x, so that
// an objective with minibatches can draw one minibatch for both. Every evaluated point is a
// major iteration, the start too: a limit of N MajorIterations allows N − 1 steps. If an
// evaluation reaches the evaluation limit, gonum does not count it as a major iteration, as
// with its own methods: a limit of N evaluations gives N − 2 steps that count. Evaluations
// come one at a time, for any Settings.Concurrent.
//
// There is no line search, and f may rise. Minimize returns the last major iteration,
// not the best one; see ReturnBest. Minimize's default Converger ends a run after 100 major
// iterations without a new smallest value. For a noisy objective, set
// optimize.NeverTerminate{} and a limit instead.
//
// A non-finite start is an optimize.ErrFunc or optimize.ErrGrad. Later, a non-finite value,
// gradient or update, or a gradient that overflows float32, ends the run with
// optimize.Failure and a *optimizer.DivergedError; the result is then the last finite
// point. A value of −Inf ends the run with optimize.FunctionNegativeInfinity.
//
// A rule that handles non-finite points (metaopt.Guarded) sees non-finite values and gradients
// too, and continues if it can. Such points are not major iterations. If the rule goes back to a
// point, it gets exactly the x of that point.
//
// A Method belongs to one call of Minimize at a time; rules can be shared.
type Method struct {
	// Rule is the update rule. Minimize panics if it is nil.
	Rule optimizer.Rule
	// GradStopThreshold ends a run with optimize.GradientThreshold at a major iteration whose
	// gradient is smaller in the infinity norm. 0 means 1e-12; NaN means never.
	GradStopThreshold float64
	// ReturnBest makes Minimize return the major iteration with the smallest value: the method
	// announces it once more at the end if it is not the last one. It costs a copy of x and of the
	// gradient. With minibatches the smallest value belongs to the luckiest minibatch.
	ReturnBest bool

	steps               int
	state               optimizer.State
	theta, grad, update []float32
	kept                []float64 // the x that a guard may go back to
	status              optimize.Status
	err                 error
}

var (
	_ optimize.Method   = (*Method)(nil)
	_ optimize.Statuser = (*Method)(nil)
)

// Init implements optimize.Method. It panics if there is no Rule or dim is not positive.
func (m *Method) Init(dim, tasks int) int {
	if m.Rule == nil {
		panic(errRule)
	}
	m.steps, m.state, m.kept = 0, m.Rule.Start(optimizer.Flat(dim)), nil
	m.theta, m.grad, m.update = make([]float32, dim), make([]float32, dim), make([]float32, dim)
	m.status, m.err = optimize.NotTerminated, nil
	return 1
}

// Run implements optimize.Method.
func (m *Method) Run(operation chan<- optimize.Task, result <-chan optimize.Task, tasks []optimize.Task) {
	l := local{operation: operation, result: result, gradStop: m.GradStopThreshold}
	if m.ReturnBest {
		l.best = new(bestPoint)
	}
	m.status, m.err = l.run(m, tasks[0])
	close(operation)
}

// Uses implements optimize.Method. It returns optimize.ErrMissingGrad if there is no gradient, and an
// *optimizer.NeedError if the rule needs curvature products.
func (m *Method) Uses(has optimize.Available) (optimize.Available, error) { return uses(has, m.Rule) }

// Status implements optimize.Statuser. It says why the method ended the last run, and returns
// optimize.NotTerminated if Minimize ended it.
func (m *Method) Status() (optimize.Status, error) { return m.status, m.err }

// next implements stepper.
func (m *Method) next(op optimize.Operation, loc *optimize.Location) (optimize.Operation, error) {
	if op != optimize.MajorIteration {
		diverged := check(m.steps, loc)
		if diverged == nil {
			return optimize.MajorIteration, nil
		}
		if !m.Rule.Needs().NonFinite {
			return optimize.NoOperation, diverged
		}
	}
	if err := m.step(loc); err != nil {
		return optimize.NoOperation, err
	}
	m.steps++
	return both, nil
}

// step moves loc.X.
func (m *Method) step(loc *optimize.Location) error {
	needs := m.Rule.Needs()
	p := optimizer.Point{Grad: m.grad, Loss: loc.F, Step: m.steps}
	narrow(m.grad, loc.Gradient)
	if i := optimizer.NonFinite(m.grad); i >= 0 && !needs.NonFinite {
		return checkGradient(m.steps, loc.Gradient, i) // its Value is the value before rounding
	}
	if needs.Theta {
		narrow(m.theta, loc.X)
		p.Theta = m.theta
	}
	move, err := optimizer.CheckedUpdate(m.state, needs, m.steps, m.update, p)
	if err != nil {
		return err
	}
	if move&optimizer.Keep != 0 && m.kept == nil {
		m.kept = make([]float64, len(loc.X))
	}
	// The sum cannot overflow: the largest float32 is far below the spacing of the largest float64 numbers.
	x := [1][]float64{loc.X}
	optimizer.Apply(move, x[:], m.update, m.kept)
	return nil
}
