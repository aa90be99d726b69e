package qp

import "math"

// InteriorPoint solves by Mehrotra's predictor and corrector (Mehrotra 1992) on the homogeneous embedding of the
// optimality conditions for a quadratic objective (Goulart and Chen 2024, arXiv:2405.12762, section 3):
//
//	Qx + Aᵀy + Gᵀz + qτ = 0,   Ax = bτ,   Gx + s = hτ,   xᵀQx/τ + qᵀx + bᵀy + hᵀz + κ = 0,   s, z, τ, κ ≥ 0.
//
// A point with τ > 0 is a solution times τ; one with κ > 0 is a certificate that there is none. Its memory grows
// with the first problem and is used again: a further solve of the same size does not allocate, if n and p are at most 320.
//
// The zero value is ready for use. It belongs to one goroutine.
type InteriorPoint struct {
	Options Options

	scaled
	o        Options // with defaults
	v        []float64
	s        []float64 // m
	tau      float64
	kappa    float64
	best     []float64 // n + p + m, then s
	work     workspace
	resized  bool
	solution bool
	factored bool // the system of the derivative is
	weak     []int
	proving  bool // this solver looks for a certificate of another one's problem
	// Of the solution, in the user's units: what Gradient needs.
	z, nu, lambda []float64
	form          int // numbers of Q in the problem
	adjoint       []float64
}

var _ Solver = (*InteriorPoint)(nil)

// workspace holds vectors of one solve.
type workspace struct {
	qx, aty  []float64 // n: Qx and Aᵀy + Gᵀz
	ax, gx   []float64 // p, m
	r        []float64 // n + p + m: residuals of the embedding
	rt       float64   // its last residual
	rhs      []float64 // n + p + m
	one, two []float64 // n + p + m: the two solutions of a step
	first    []float64 // n + p + m: the predictor's direction
	w        []float64 // m: s/z
	comp     []float64 // m: what s∘Δz + z∘Δs is to be
	ds, ds1  []float64 // m
	dtau     float64
	dkappa   float64
}

func (w *workspace) resize(n, p, m int) {
	w.qx, w.aty, w.ax, w.gx = grow(w.qx, n), grow(w.aty, n), grow(w.ax, p), grow(w.gx, m)
	all := n + p + m
	w.r, w.rhs, w.one, w.two, w.first = grow(w.r, all), grow(w.rhs, all), grow(w.one, all), grow(w.two, all), grow(w.first, all)
	w.w, w.comp, w.ds, w.ds1 = grow(w.w, m), grow(w.comp, m), grow(w.ds, m), grow(w.ds1, m)
}

// Solve implements Solver.
func (s *InteriorPoint) Solve(dst *Solution, p *Problem) error { return s.run(dst, p, false) }

// SolveFrom solves as Solve does, but starts at the point in dst, say the solution of a problem nearby. It panics if the
// sizes are not those of the problem.
func (s *InteriorPoint) SolveFrom(dst *Solution, p *Problem) error { return s.run(dst, p, true) }

func (s *InteriorPoint) run(dst *Solution, p *Problem, warm bool) (err error) {
	s.solution, s.factored = false, false
	if s.o, err = s.Options.withDefaults(100); err != nil {
		return err
	}
	if err := s.load(p); err != nil {
		return err
	}
	if warm && (len(dst.Z) != s.n || len(dst.Nu) != s.p || len(dst.Lambda) != s.m || len(dst.Slack) != s.m) {
		panic(errWarm)
	}
	s.v, s.s, s.best = grow(s.v, s.n+s.p+s.m), grow(s.s, s.m), grow(s.best, s.n+s.p+2*s.m)
	s.work.resize(s.n, s.p, s.m)
	s.resized, s.proximal = false, true
	dst.Iterations = 0
	if warm {
		s.startAt(dst)
	} else if !s.start(dst) {
		return s.fail(dst, p, "the matrices are too ill-conditioned to be factored")
	}
	dst.resize(s.n, s.p, s.m)
	if s.m > 0 || !s.exact() {
		if err := s.iterate(dst, p); err != nil {
			return err
		}
	}
	s.normalize()
	if s.m > 0 && s.o.Smoothing == 0 {
		s.polish(dst)
	}
	if s.m > 0 && s.o.Smoothing > 0 && !s.center(dst) {
		return s.fail(dst, p, "the smoothed problem's central point was not reached; take a larger Smoothing")
	}
	s.finish(dst, p)
	if w := dst.Residuals.worst(); !(w <= s.o.Acceptable) {
		return &NotConvergedError{dst.Iterations, dst.Residuals, "no further progress"}
	}
	s.solution = true
	return nil
}

// start finds the first point from the system with W = I (Mehrotra).
func (s *InteriorPoint) start(dst *Solution) bool {
	w := &s.work
	fill(w.w, 1)
	if !s.factor(w.w) {
		return false
	}
	dst.Iterations++
	s.goal(w.rhs)
	s.proximal = s.m > 0
	s.sound(s.v, w.rhs, w.w)
	s.proximal = true
	s.tau, s.kappa = 1, 1
	z := s.v[s.n+s.p:]
	low, high := math.Inf(1), math.Inf(-1)
	for i, v := range z {
		s.s[i] = -v
		low, high = min(low, v), max(high, v)
	}
	// A number just above 0 would be as bad a start as one below.
	const apart = 0.1
	if high > -apart {
		for i := range s.s {
			s.s[i] += 1 + high
		}
	}
	if low < apart {
		for i := range z {
			z[i] += 1 - low
		}
	}
	return true
}

// goal writes (−q, b, h).
func (s *InteriorPoint) goal(r []float64) {
	for i, v := range s.lin {
		r[i] = -v
	}
	copy(r[s.n:], s.b)
	copy(r[s.n+s.p:], s.h)
}

// startAt takes the first point from a solution, with slacks and multipliers far enough from 0 to move on from.
func (s *InteriorPoint) startAt(from *Solution) {
	const away = 1e-3
	n, p := s.n, s.p
	for i, v := range from.Z {
		s.v[i] = v / (s.beta * s.e[i])
	}
	for i, v := range from.Nu {
		s.v[n+i] = v * s.scaling.c * s.beta / s.fa[i]
	}
	sum := 0.0
	for i := range s.s {
		s.s[i] = max(from.Slack[i]*s.fg[i]/s.beta, away)
		s.v[n+p+i] = max(from.Lambda[i]*s.scaling.c*s.beta/s.fg[i], away)
		sum += s.s[i] * s.v[n+p+i]
	}
	s.tau, s.kappa = 1, max(sum/float64(s.m+1), away*away)
}

// exact reports whether the first system, without inequalities, was the whole problem.
func (s *InteriorPoint) exact() bool {
	if s.tau != 1 {
		return false
	}
	s.kappa = 0
	ok := s.measure().worst() <= s.o.Tolerance
	if !ok {
		s.kappa = 1
	}
	return ok
}

// iterate moves to a solution or returns the error of another answer.
func (s *InteriorPoint) iterate(dst *Solution, p *Problem) error {
	w := &s.work
	bestWorst, least, since := math.Inf(1), math.Inf(1), 0
	var bestTau float64
	for {
		res := s.measure()
		worst := res.worst()
		var proof error
		if worst > s.o.Acceptable {
			var exact float64
			if exact, proof = s.certificate(strictly); exact < least*0.9 && bestWorst > s.o.Acceptable {
				least, since = exact, -1
			}
		}
		if worst < bestWorst*0.9 {
			since = -1
		}
		since++
		if worst < bestWorst {
			bestWorst, bestTau = worst, s.tau
			copy(s.best, s.v)
			copy(s.best[len(s.v):], s.s)
		}
		if worst <= s.o.Tolerance {
			if !s.resize() {
				return nil
			}
			bestWorst, least = math.Inf(1), math.Inf(1)
			continue
		}
		if proof != nil {
			return proof
		}
		reason := ""
		switch {
		case math.IsNaN(worst):
			reason = "a number overflowed"
		case since > 8 || since > 3 && bestWorst <= s.o.Acceptable:
			reason = "no further progress"
		case dst.Iterations >= s.o.MaxIterations:
			reason = "the largest number of iterations"
		default:
			for i, v := range s.s {
				w.w[i] = v / s.v[s.n+s.p+i]
			}
			if !s.factor(w.w) {
				reason = "a system that cannot be factored"
				break
			}
			dst.Iterations++
			if s.step() < 1e-10 {
				reason = "steps too short to get on"
			}
		}
		if reason != "" {
			copy(s.v, s.best)
			copy(s.s, s.best[len(s.v):])
			s.tau = bestTau
			if bestWorst <= s.o.Acceptable {
				return nil
			}
			if proof := s.prove(); proof != nil {
				return proof
			}
			copy(s.v, s.best)
			s.tau = bestTau
			return s.fail(dst, p, reason)
		}
	}
}

// fail writes the best point into dst.
func (s *InteriorPoint) fail(dst *Solution, p *Problem, reason string) error {
	dst.resize(s.n, s.p, s.m)
	s.normalize()
	s.finish(dst, p)
	return &NotConvergedError{dst.Iterations, dst.Residuals, reason}
}

// measure computes the residuals of the embedding, and those of the solution that it stands for.
func (s *InteriorPoint) measure() Residuals {
	w, n, p := &s.work, s.n, s.p
	x, y, z := s.v[:n], s.v[n:n+p], s.v[n+p:]
	s.q.mul(w.qx, x)
	clear(w.aty)
	s.a.addTransposed(w.aty, y)
	s.g.addTransposed(w.aty, z)
	s.a.mul(w.ax, x)
	s.g.mul(w.gx, x)
	for i, q := range s.lin {
		w.r[i] = w.qx[i] + w.aty[i] + q*s.tau
	}
	for i, b := range s.b {
		w.r[n+i] = w.ax[i] - b*s.tau
	}
	largest := 0.0
	for i, h := range s.h {
		w.r[n+p+i] = w.gx[i] + s.s[i] - h*s.tau
		largest = max(largest, s.s[i]*z[i])
	}
	xqx, linear, right := dot(x, w.qx), dot(s.lin, x), dot(s.b, y)+dot(s.h, z)
	w.rt = xqx/s.tau + linear + right + s.kappa
	t := s.tau
	// Relative to large numbers everything is small, along a ray for instance: no further than this.
	relative := func(size float64) float64 { return min(max(1, size/t), 1e4) }
	return Residuals{
		Primal: max(norm(w.r[n:n+p]), norm(w.r[n+p:])) / t / relative(norm(x)),
		Dual:   norm(w.r[:n]) / t / relative(max(norm(w.qx), norm(w.aty))),
		Gap:    max(math.Abs(xqx/t+linear+right)/t, largest/(t*t)) / max(1, math.Abs(xqx/(2*t)+linear)/t),
	}
}

// poor is a step so short that a centering one is worth another solve.
const poor = 0.5

// step takes one predictor-corrector step and returns its length.
func (s *InteriorPoint) step() float64 {
	w, m := &s.work, float64(s.m)
	z := s.v[s.n+s.p:]
	// The answer to a change of τ is the same for both.
	s.goal(w.rhs)
	s.sound(w.two, w.rhs, w.w)

	mu := (dot(s.s, z) + s.tau*s.kappa) / (m + 1)
	for i := range w.comp {
		w.comp[i] = s.s[i] * z[i]
	}
	s.direction(w.first, w.ds1, 1, s.tau*s.kappa)
	alpha := s.longest(w.first, w.ds1)
	sigma := (1 - alpha) * (1 - alpha) * (1 - alpha)
	dz := w.first[s.n+s.p:]
	for i := range w.comp {
		w.comp[i] += w.ds1[i]*dz[i] - sigma*mu
	}
	s.direction(w.first, w.ds, 1-sigma, s.tau*s.kappa+w.dtau*w.dkappa-sigma*mu)
	alpha = s.longest(w.first, w.ds)
	if alpha < poor {
		// The second-order correction is of a step that cannot be taken: center instead, or products λ_i s_i of very different
		// size let steps stay short.
		const central = 0.5
		for i := range w.comp {
			w.comp[i] = s.s[i]*z[i] - central*mu
		}
		s.direction(w.first, w.ds, 1-central, s.tau*s.kappa-central*mu)
		alpha = s.longest(w.first, w.ds)
	}
	alpha = min(1, 0.995*alpha)
	for i, d := range w.first {
		s.v[i] += alpha * d
	}
	for i, d := range w.ds {
		s.s[i] += alpha * d
	}
	s.tau += alpha * w.dtau
	s.kappa += alpha * w.dkappa
	// The embedding is homogeneous: keep its numbers near 1.
	if f := 1 / max(s.tau, s.kappa); f < 0.1 || f > 10 {
		for _, v := range [...][]float64{s.v, s.s} {
			for i := range v {
				v[i] *= f
			}
		}
		s.tau *= f
		s.kappa *= f
	}
	return alpha
}

// direction solves for the step that takes the residuals to 1 − share of themselves, and complementarity by w.comp and tk.
func (s *InteriorPoint) direction(dv, ds []float64, share, tk float64) {
	w, n, p := &s.work, s.n, s.p
	z := s.v[n+p:]
	for i, r := range w.r {
		w.rhs[i] = -share * r
	}
	for i, c := range w.comp {
		w.rhs[n+p+i] += c / z[i]
	}
	s.sound(w.one, w.rhs, w.w)
	// (2Qξ + q)ᵀ, b and h against the two solutions, with ξ = x/τ.
	along := func(v []float64) float64 {
		return 2*dot(w.qx, v[:n])/s.tau + dot(s.lin, v[:n]) + dot(s.b, v[n:n+p]) + dot(s.h, v[n+p:])
	}
	bend := dot(s.v[:n], w.qx) / (s.tau * s.tau)
	w.dtau = (-share*w.rt + tk/s.tau - along(w.one)) / (along(w.two) - bend - s.kappa/s.tau)
	for i := range dv {
		dv[i] = w.one[i] + w.dtau*w.two[i]
	}
	for i := range ds {
		ds[i] = -(w.comp[i] + s.s[i]*dv[n+p+i]) / z[i]
	}
	w.dkappa = -(tk + s.kappa*w.dtau) / s.tau
}

// longest returns the step, at most 1, at which the first of s, z, τ and κ reaches 0.
func (s *InteriorPoint) longest(dv, ds []float64) float64 {
	alpha := 1.0
	z, dz := s.v[s.n+s.p:], dv[s.n+s.p:]
	for i := range ds {
		if ds[i] < 0 {
			alpha = min(alpha, -s.s[i]/ds[i])
		}
		if dz[i] < 0 {
			alpha = min(alpha, -z[i]/dz[i])
		}
	}
	if s.work.dtau < 0 {
		alpha = min(alpha, -s.tau/s.work.dtau)
	}
	if s.work.dkappa < 0 {
		alpha = min(alpha, -s.kappa/s.work.dkappa)
	}
	return alpha
}

// resize divides out the size of a solution that is far smaller than the right-hand sides, so that tolerances are relative
// to it; false means that there was no need.
func (s *InteriorPoint) resize() bool {
	size := norm(s.v[:s.n]) / s.tau
	if s.resized || size > 1e-2 || size < 1e-7 {
		return false
	}
	s.resized = true
	before := s.scaling.c * s.beta
	s.scaling.resize(&s.kkt, s.lin, s.b, s.h, size)
	after := s.scaling.c * s.beta
	for i := range s.v {
		if i < s.n {
			s.v[i] /= size
		} else {
			s.v[i] *= after / before
		}
	}
	for i := range s.s {
		s.s[i] /= size
	}
	return true
}
