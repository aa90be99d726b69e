package gonumopt

import (
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/optimize"

	"learnedopt/optimizer"
)

// both are the evaluations that a location needs before it can be a major iteration.
const both = optimize.FuncEvaluation | optimize.GradEvaluation

// defaultGradStop is the default threshold of gonum's local methods.
const defaultGradStop = 1e-12

// A stepper chooses the next operation after op was carried out at loc. It is an evaluation
// at loc.X, which the stepper may have moved, or a major iteration.
type stepper interface {
	next(op optimize.Operation, loc *optimize.Location) (optimize.Operation, error)
}

// A local runs one optimization from a starting point. It follows the protocol that gonum's
// optimize.Method describes, in the order of gonum's own local methods: it evaluates the start,
// checks it and announces it as the first major iteration.
type local struct {
	operation chan<- optimize.Task
	result    <-chan optimize.Task
	gradStop  float64
	best      *bestPoint // nil unless the best point is announced at the end
}

// run returns the status and the error of a run that the method ended, and optimize.NotTerminated
// if Minimize ended it.
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

// done ends the run on the method's decision.
func (l local) done(task optimize.Task, status optimize.Status, err error) (optimize.Status, error) {
	task.Op = optimize.MethodDone
	l.operation <- task
	l.drain()
	return status, err
}

// drain waits until no more results come, and then announces the best point if it is
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
	return floats.Norm(gradient, math.Inf(1)) < threshold // false for a NaN threshold
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

// check returns a divergence at step t if loc has a non-finite value or gradient. A value of −Inf is allowed:
// Minimize ends such a run with optimize.FunctionNegativeInfinity.
func check(t int, loc *optimize.Location) *optimizer.DivergedError {
	if math.IsInf(loc.F, -1) {
		return nil
	}
	if d := optimizer.CheckLoss(t, loc.F); d != nil {
		return d
	}
	return checkGradient(t, loc.Gradient, nonFinite(loc.Gradient))
}

// checkGradient returns a divergence at coordinate i of the gradient, nil if i is negative.
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

// A bestPoint is a copy of the major iteration with the smallest value.
type bestPoint struct {
	optimize.Location
	older bool // the best point is older than the last major iteration
}

func (b *bestPoint) see(loc *optimize.Location) {
	if b.older = b.X != nil && b.F < loc.F; b.older {
		return
	}
	b.F = loc.F
	b.X = append(b.X[:0], loc.X...)
	b.Gradient = append(b.Gradient[:0], loc.Gradient...)
}

// uses asks for a gradient, like gonum's gradient-based methods, and refuses a rule that needs more than gonum has.
func uses(has optimize.Available, rule optimizer.Rule) (optimize.Available, error) {
	if !has.Grad {
		return optimize.Available{}, optimize.ErrMissingGrad
	}
	if rule != nil { // Init panics on nil
		if err := rule.Needs().Met(optimizer.Needs{Theta: true, Loss: true}); err != nil {
			return optimize.Available{}, err
		}
	}
	return optimize.Available{Grad: true}, nil
}
