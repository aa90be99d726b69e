package gonumopt

import (
	"gonum.org/v1/gonum/optimize"

	"learnedopt/optimizer"
)

// Method is an update rule as a method of gonum's Minimize:
//
//	x_{t+1} = x_t + u_t,   (u_t, s_{t+1}) = m(∇f(x_t), s_t)
//
// Every run has a fresh state. Each step is one evaluation of Func and Grad together, at the
// same x and in this order, so that an objective that draws minibatches can draw
// one for both. Every point that is evaluated is a major iteration, the
// start too: MajorIterations of N allows N − 1 steps. An evaluation at which a limit of
// evaluations is reached is not one, as in gonum's own methods: N evaluations are
// N − 2 steps that count. Evaluations are one at a time, whatever Settings.Concurrent is.
//
// There is no line search, and f may rise. Minimize returns the last major iteration and
// not the best one; see ReturnBest. Minimize's default Converger ends a run after 100 major
// iterations without a new least value, and a noisy objective wants optimize.NeverTerminate{}
// with a limit instead.
//
// A start that is not finite is an optimize.ErrFunc or optimize.ErrGrad. Later a value,
// gradient or update that is not finite, or a gradient that overflows float32, ends the run with
// optimize.Failure and a *optimizer.DivergedError; the result is the last point at which all
// was finite. A value of −Inf ends it with optimize.FunctionNegativeInfinity.
//
// A rule that decides on non-finite points (metaopt.Guarded) is told non-finite values and gradients
// too, and goes on if it can; such points are no major iterations. Where it goes back, it goes back to the very x.
//
// A Method belongs to one call of Minimize at a time; rules can be shared.
type Method struct {
	// Rule is the update rule. Without one Minimize panics.
	Rule optimizer.Rule
	// GradStopThreshold ends a run with optimize.GradientThreshold at a major iteration whose
	// gradient is smaller in the infinity norm; 0 means 1e-12, NaN means never.
	GradStopThreshold float64
	// ReturnBest announces the major iteration of the least value once more at the end if
	// it is not the last one, so that Minimize returns it. It costs a copy of x and gradient.
	// Values are compared as they are: with minibatches the least is the luckiest.
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

// Uses implements optimize.Method: the error is optimize.ErrMissingGrad if there is no gradient, and an
// *optimizer.NeedError if the rule needs curvature products.
func (m *Method) Uses(has optimize.Available) (optimize.Available, error) { return uses(has, m.Rule) }

// Status implements optimize.Statuser: why the last run ended itself, optimize.NotTerminated
// if Minimize ended it.
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
		return checkGradient(m.steps, loc.Gradient, i) // with the value before it was rounded
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
	// The sum needs no check: the largest float32 is lost in the rounding of the largest float64.
	x := [1][]float64{loc.X}
	optimizer.Apply(move, x[:], m.update, m.kept)
	return nil
}
