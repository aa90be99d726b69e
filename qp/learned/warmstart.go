package learned

import (
	"math"

	"learnedopt/qp"
)

// WarmStart solves by ADMM (qp.Iteration) from a point that a network guesses: six steps from the cold start, the network, and then a fixed
// number of further steps. The network reads how each coordinate moved in the first steps, and says how much further it will go: a
// learned extrapolation, after the learned warm starts of Sambharya, Hall, Amos and Stellato 2023 (arXiv:2309.07835), whose networks are for
// programs of one size. Since ADMM's steps follow, a bad guess costs time, but no correctness.
//
// It belongs to one goroutine.
type WarmStart struct {
	// Options of the solver: Tolerance is 1e-6 unless set, and Acceptable 1e-4; MaxIterations is the largest number of steps, 0 means 4,000.
	// There is no Smoothing.
	Options qp.Options
	// Weights are those of the network (NetworkSize), or nil: then it is ADMM with a fixed penalty.
	Weights []float32
	// Penalty is that of qp.Iteration; 0 means its default.
	Penalty float64
	// Fixed, if not 0, is a number of steps, 6 at least, after which a Solve returns without an error whatever the residuals are.
	Fixed int
	// Each, if set, is called after every tenth step and the last one with the present point, which it must not keep, and ends the solve by returning false.
	Each func(*qp.Solution) bool

	it       qp.Iteration
	v        []float64
	probe    probe
	solution bool
}

var _ qp.Solver = (*WarmStart)(nil)

// probe holds the first steps of ADMM on one problem, and what the network makes of them.
type probe struct {
	steps    [probes + 1][]float64 // v_0 … v_6
	scale    [3]float64            // of the kinds' last steps
	f        []float64             // features of each coordinate
	h        []float64             // hidden units of each coordinate
	from, to [3]int
}

// run takes the first steps and describes the coordinates.
func (p *probe) run(it *qp.Iteration) {
	n, e, m := it.Sizes()
	size := n + e + m
	p.from, p.to = [3]int{0, n, n + e}, [3]int{n, n + e, size}
	for k := range p.steps {
		p.steps[k] = resize(p.steps[k], size)
	}
	it.Cold(p.steps[0])
	for k := range probes {
		it.Step(p.steps[k+1], p.steps[k])
	}
	p.f, p.h = resize(p.f, size*features), resize(p.h, size*hidden)
	_, b, h := it.Vectors()
	last := p.steps[probes]
	for kind := range 3 {
		// The root mean square of the steps of this kind, and by which factor they shrink.
		var rms [probes]float64
		for k := range rms {
			for i := p.from[kind]; i < p.to[kind]; i++ {
				d := p.steps[k+1][i] - p.steps[k][i]
				rms[k] += d * d
			}
			rms[k] = math.Sqrt(rms[k] / float64(max(1, p.to[kind]-p.from[kind])))
		}
		scale := rms[probes-1]
		if scale == 0 {
			scale = 1 // nothing moves: all features are 0
		}
		p.scale[kind] = scale
		for i := p.from[kind]; i < p.to[kind]; i++ {
			f := p.f[i*features : (i+1)*features]
			for k := range probes {
				f[k] = math.Asinh((p.steps[k+1][i] - p.steps[k][i]) / scale)
			}
			rest := f[probes:]
			rest[0] = math.Asinh(last[i] / scale)
			rest[1], rest[2] = 0, 0
			switch kind {
			case 1:
				rest[1] = math.Asinh((last[i] - b[i-n]) / scale)
			case 2:
				distance := last[i] - h[i-n-e]
				rest[1] = math.Asinh(distance / scale)
				rest[2] = math.Tanh(distance / scale)
			}
			rest[3] = ratio(rms[probes-1], rms[probes-2])
			rest[4] = ratio(rms[probes-2], rms[probes-3])
			rest[5] = 1
		}
	}
}

// ratio returns the logarithm of a quotient of sizes, 0 if one of them is.
func ratio(a, b float64) float64 {
	if a == 0 || b == 0 {
		return 0
	}
	return math.Log(a / b)
}

// guess writes the point from which ADMM goes on.
func (p *probe) guess(v []float64, weights []float32) {
	copy(v, p.steps[probes])
	for kind := range 3 {
		w := kindOf(weights, kind)
		for i := p.from[kind]; i < p.to[kind]; i++ {
			v[i] += p.scale[kind] * w.output(p.h[i*hidden:(i+1)*hidden], p.f[i*features:(i+1)*features])
		}
	}
}

// back adds the derivatives of a loss with respect to the weights, given those with respect to the guess.
func (p *probe) back(d []float64, up []float64, weights []float32) {
	for kind := range 3 {
		w := kindOf(weights, kind)
		for i := p.from[kind]; i < p.to[kind]; i++ {
			w.back(d[kind*perKind:(kind+1)*perKind], p.h[i*hidden:(i+1)*hidden], p.f[i*features:(i+1)*features], p.scale[kind]*up[i])
		}
	}
}

// Solve implements qp.Solver. The error is an *qp.InputError, a *qp.NotConvexError or a *qp.NotConvergedError. With the last, dst holds the last
// point.
func (s *WarmStart) Solve(dst *qp.Solution, p *qp.Problem) error {
	s.solution = false
	tolerance, acceptable, limit := s.Options.Tolerance, s.Options.Acceptable, s.Options.MaxIterations
	switch {
	case s.Options.Smoothing != 0:
		return &qp.InputError{Field: "Smoothing", Index: -1, Reason: "a WarmStart has none; use a qp.InteriorPoint"}
	case !(tolerance >= 0) || !(acceptable >= 0):
		return &qp.InputError{Field: "Options", Index: -1, Reason: "want a Tolerance and an Acceptable of 0 (the default) or larger"}
	case limit < 0 || s.Fixed < 0 || s.Fixed > 0 && s.Fixed < probes || limit > 0 && limit < probes:
		return &qp.InputError{Field: "Fixed", Index: -1, Reason: "want numbers of steps of 6 or more, or 0 (the default)"}
	case s.Weights != nil && len(s.Weights) != NetworkSize:
		panic(errWeights)
	}
	if tolerance == 0 {
		tolerance = 1e-6
	}
	if acceptable == 0 {
		acceptable = 1e-4
	}
	if limit == 0 {
		limit = 4000
	}
	if s.Fixed > 0 {
		limit = s.Fixed
	}
	if err := s.it.Load(p, s.Penalty); err != nil {
		return err
	}
	s.probe.run(&s.it)
	s.v = resize(s.v, len(s.probe.steps[0]))
	copy(s.v, s.probe.steps[probes])
	if s.Weights != nil {
		s.probe.guess(s.v, s.Weights)
	}
	for t := probes; ; t++ {
		if t == limit || t%10 == 0 && (s.Fixed == 0 || s.Each != nil) {
			s.it.Write(dst, p, s.v, t)
			if r := worst(dst.Residuals); t == limit || s.Fixed == 0 && r <= tolerance || s.Each != nil && !s.Each(dst) {
				if s.Fixed == 0 && s.Each == nil && !(r <= acceptable) {
					return &qp.NotConvergedError{Iterations: t, Residuals: dst.Residuals, Reason: "the largest number of steps"}
				}
				s.solution = true
				return nil
			}
		}
		s.it.Step(s.v, s.v)
	}
}

// Gradient implements qp.Solver, by the linear system of the optimality conditions at the approximate point: see qp.Equilibrated.Gradient. It
// panics if the last Solve returned an error.
func (s *WarmStart) Gradient(dst *qp.Gradient, up qp.Upstream) error {
	if !s.solution {
		panic(errUnsolved)
	}
	return s.it.Gradient(dst, up)
}
