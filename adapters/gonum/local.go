package gonumopt

import (
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/optimize"

	"learnedopt/optimizer"
)

// both is what a location needs before it is a major iteration.
const both = optimize.FuncEvaluation | optimize.GradEvaluation

// defaultGradStop is that of gonum's local methods.
const defaultGradStop = 1e-12

// A stepper says what follows on a location for which op was carried out: an evaluation
// at loc.X, which it may have moved, or a major iteration.
type stepper interface {
	next(op optimize.Operation, loc *optimize.Location) (optimize.Operation, error)
}

// A local runs one optimization from a starting point, with the protocol that gonum's
// optimize.Method describes and in the order of its own local methods: the start is
// evaluated, checked and announced as the first major iteration.
type local struct {
	operation chan<- optimize.Task
	result    <-chan optimize.Task
	gradStop  float64
	best      *bestPoint // nil unless the best point is to be announced at the end
}

// run returns the status and error of a run that ended itself, and optimize.NotTerminated
// where Minimize ended it.
func (l local) run(s stepper, task optimize.Task) (optimize.Status, error) {
	task.Op = both &^ task.Op
	for started := false; ; {
		if started && task.Op == optimize.MajorIteration && l.best != nil {
			l.best.see(task.Location)
		}
		l.operation <- task
		if task = <-l.result; task.Op == optimize.PostIteration {
			l.drain()
			return optimize.NotTerminated, nil
		}
		if !started {
			started = true
			if err := checkStart(task.Location); err != nil {
				return l.done(task, optimize.Failure, err)
			}
			task.Op = optimize.MajorIteration
			continue
		}
		if task.Op == optimize.MajorIteration && l.stationary(task.Gradient) {
			return l.done(task, optimize.GradientThreshold, nil)
		}
		op, err := s.next(task.Op, task.Location)
		if err != nil {
			return l.done(task, optimize.Failure, err)
		}
		task.Op = op
	}
}

// done ends the run by the method's own decision.
func (l local) done(task optimize.Task, status optimize.Status, err error) (optimize.Status, error) {
	task.Op = optimize.MethodDone
	l.operation <- task
	l.drain()
	return status, err
}

// drain waits until nothing comes any more, and then announces the best point if it is
// not the last one.
func (l local) drain() {
	for range l.result {
	}
	if l.best != nil && l.best.older {
		l.operation <- optimize.Task{Op: optimize.MajorIteration, Location: &l.best.Location}
	}
}

func (l local) stationary(gradient []float64) bool {
	threshold := l.gradStop
	if threshold == 0 {
		threshold = defaultGradStop
	}
	return floats.Norm(gradient, math.Inf(1)) < threshold // never if it is NaN
}

// checkStart returns gonum's errors for a start without a finite value or gradient.
func checkStart(loc *optimize.Location) error {
	if math.IsNaN(loc.F) || math.IsInf(loc.F, 1) {
		return optimize.ErrFunc(loc.F)
	}
	if i := nonFinite(loc.Gradient); i >= 0 {
		return optimize.ErrGrad{Grad: loc.Gradient[i], Index: i}
	}
	return nil
}

// check returns a divergence at step t if loc is not fit for a major iteration. A value of −Inf is:
// there Minimize ends a run with optimize.FunctionNegativeInfinity.
func check(t int, loc *optimize.Location) *optimizer.DivergedError {
	if math.IsInf(loc.F, -1) {
		return nil
	}
	if d := optimizer.CheckLoss(t, loc.F); d != nil {
		return d
	}
	return checkGradient(t, loc.Gradient, nonFinite(loc.Gradient))
}

// checkGradient returns a divergence whose coordinate is i, none if i is negative.
func checkGradient(t int, gradient []float64, i int) *optimizer.DivergedError {
	if i < 0 {
		return nil
	}
	return &optimizer.DivergedError{Step: t, What: "gradient", Coordinate: i, Value: gradient[i]}
}

// nonFinite returns the index of the first NaN or infinity in x, or -1.
func nonFinite(x []float64) int {
	for i, v := range x {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return i
		}
	}
	return -1
}

// narrow rounds x to float32.
func narrow(dst []float32, x []float64) {
	for i, v := range x {
		dst[i] = float32(v)
	}
}

// A bestPoint is a copy of the major iteration of the least value.
type bestPoint struct {
	optimize.Location
	older bool // than the last major iteration
}

func (b *bestPoint) see(loc *optimize.Location) {
	if b.older = b.X != nil && b.F < loc.F; b.older {
		return
	}
	b.F = loc.F
	b.X = append(b.X[:0], loc.X...)
	b.Gradient = append(b.Gradient[:0], loc.Gradient...)
}

// uses asks for a gradient, as gonum's gradient-based methods do, and for what the rule needs.
func uses(has optimize.Available, rule optimizer.Rule) (optimize.Available, error) {
	if !has.Grad {
		return optimize.Available{}, optimize.ErrMissingGrad
	}
	if rule != nil { // Init panics
		if err := rule.Needs().Met(optimizer.Needs{Theta: true, Loss: true}); err != nil {
			return optimize.Available{}, err
		}
	}
	return optimize.Available{Grad: true}, nil
}
