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
// A rule whose state is an optimizer.LossState (metaopt.Guarded) is told values and gradients that are not
// finite too, and goes on if it can; such points are no major iterations.
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
	m.steps, m.state = 0, m.Rule.Start(dim)
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

// Uses implements optimize.Method: the error is optimize.ErrMissingGrad if there is no gradient.
func (m *Method) Uses(has optimize.Available) (optimize.Available, error) { return uses(has) }

// Status implements optimize.Statuser: why the last run ended itself, optimize.NotTerminated
// if Minimize ended it.
func (m *Method) Status() (optimize.Status, error) { return m.status, m.err }

// next implements stepper.
func (m *Method) next(op optimize.Operation, loc *optimize.Location) (optimize.Operation, error) {
	byLoss, _ := m.state.(optimizer.LossState)
	if op != optimize.MajorIteration {
		diverged := check(m.steps, loc)
		if diverged == nil {
			return optimize.MajorIteration, nil
		}
		if byLoss == nil {
			return optimize.NoOperation, diverged
		}
	}
	var diverged *optimizer.DivergedError
	if byLoss != nil {
		diverged = m.stepLoss(byLoss, loc)
	} else {
		diverged = m.step(loc)
	}
	if diverged != nil {
		return optimize.NoOperation, diverged
	}
	m.steps++
	return both, nil
}

// step adds the update at loc to loc.X.
func (m *Method) step(loc *optimize.Location) *optimizer.DivergedError {
	narrow(m.grad, loc.Gradient)
	if d := checkGradient(m.steps, loc.Gradient, optimizer.NonFinite(m.grad)); d != nil {
		return d
	}
	narrow(m.theta, loc.X)
	optimizer.Update(m.state, m.update, m.theta, m.grad)
	if d := optimizer.Check(m.steps, "update", m.update); d != nil {
		return d
	}
	// The sum needs no check: the largest float32 is lost in the rounding of the largest float64.
	for i, u := range m.update {
		loc.X[i] += float64(u)
	}
	return nil
}

// stepLoss lets a LossState move loc.X.
func (m *Method) stepLoss(state optimizer.LossState, loc *optimize.Location) *optimizer.DivergedError {
	narrow(m.grad, loc.Gradient)
	narrow(m.theta, loc.X)
	if d := state.StepLoss(m.theta, m.grad, loc.F); d != nil {
		return d
	}
	for i, x := range m.theta {
		loc.X[i] = float64(x)
	}
	return nil
}
