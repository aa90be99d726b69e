package qp

import "math"

// ADMM solves by the alternating direction method of multipliers in the form of OSQP (Stellato, Banjac, Goulart, Bemporad and Boyd 2020,
// arXiv:1711.08013, algorithm 1): one factorisation of the system with a fixed penalty, then cheap iterations. It is first
// order: a few digits come fast, many take long. Its tolerance is 1e-6 unless set, and Acceptable 1e-4; it finds no certificates.
//
// The zero value is ready for use. It belongs to one goroutine.
type ADMM struct {
	Options Options
	// Penalty is ρ of inequalities in the equilibrated problem; equalities have 1,000 times as much. 0 means 0.1.
	Penalty float64
	// Fixed, if not 0, is a number of iterations after which a Solve returns without an error whatever the residuals are.
	Fixed int

	scaled
	o        Options
	penalty  float64   // the present ρ
	w        []float64 // m
	x, rows  []float64 // n; p + m: copies of the constraints' rows
	dual     []float64 // p + m
	rhs, sol []float64 // n + p + m
	ax       []float64 // p + m
	qx, aty  []float64 // n
	solution bool
	z        []float64
	nu       []float64
	lambda   []float64
	form     int
	adjoint  []float64
}

var _ Solver = (*ADMM)(nil)

const (
	relaxation = 1.6
	sigma      = 1e-6
)

// Solve implements Solver.
func (s *ADMM) Solve(dst *Solution, p *Problem) error { return s.run(dst, p, false) }

// SolveFrom solves as Solve does from the point in dst on. It panics if the sizes are not those of the problem.
func (s *ADMM) SolveFrom(dst *Solution, p *Problem) error { return s.run(dst, p, true) }

func (s *ADMM) run(dst *Solution, p *Problem, warm bool) error {
	s.solution = false
	o := s.Options
	if o.Tolerance == 0 {
		o.Tolerance = 1e-6
	}
	if o.Acceptable == 0 {
		o.Acceptable = 1e-4
	}
	var err error
	if s.o, err = o.withDefaults(4000); err != nil {
		return err
	}
	if s.Penalty < 0 || s.Fixed < 0 || o.Smoothing != 0 {
		return &InputError{"ADMM", -1, "want a Penalty and a number of Fixed iterations of 0 (the default) or more, and no Smoothing"}
	}
	if err := s.load(p); err != nil {
		return err
	}
	n, e, m := s.n, s.p, s.m
	if warm && (len(dst.Z) != n || len(dst.Nu) != e || len(dst.Lambda) != m || len(dst.Slack) != m) {
		panic(errWarm)
	}
	s.x, s.rows, s.dual, s.ax = grow(s.x, n), grow(s.rows, e+m), grow(s.dual, e+m), grow(s.ax, e+m)
	s.rhs, s.sol, s.qx, s.aty = grow(s.rhs, n+e+m), grow(s.sol, n+e+m), grow(s.qx, n), grow(s.aty, n)
	clear(s.x)
	clear(s.rows)
	clear(s.dual)
	if warm {
		s.from(dst)
	}
	dst.resize(n, e, m)
	penalty := s.Penalty
	if penalty == 0 {
		penalty = 0.1
	}
	// Q is taken with σ added, as part of δ: the x-step is proximal.
	s.proximal, s.delta = false, sigma
	if !s.factorADMM(penalty) {
		return &NotConvergedError{0, Residuals{1, 1, 1}, "the matrices are too ill-conditioned to be factored"}
	}
	limit := s.o.MaxIterations
	if s.Fixed > 0 {
		limit = s.Fixed
	}
	res := Residuals{math.Inf(1), math.Inf(1), math.Inf(1)}
	k := 0
	for k < limit {
		s.iterate()
		k++
		if s.Fixed == 0 && k%10 != 0 || k < limit && s.Fixed > 0 {
			continue
		}
		res = s.residuals()
		if res.worst() <= s.o.Tolerance {
			break
		}
		// Balance the residuals now and then (OSQP, section 5.2).
		if s.Fixed == 0 && k%200 == 0 {
			if f := math.Sqrt(res.Primal / math.Max(res.Dual, 1e-300)); f > 5 || f < 0.2 {
				penalty = min(max(penalty*f, 1e-6), 1e6)
				if !s.factorADMM(penalty) {
					break
				}
			}
		}
	}
	s.write(dst, p, res, k)
	if s.Fixed == 0 && !(res.worst() <= s.o.Acceptable) {
		return &NotConvergedError{k, res, "the largest number of iterations"}
	}
	s.solution = true
	return nil
}

// factorADMM factors the system of an iteration,
//
//	⎡Q + σI  Aᵀ  Gᵀ⎤
//	⎢A    −1/ρ_e   ⎥,   ρ_e = 1000 ρ.
//	⎣G        −1/ρ ⎦
func (s *ADMM) factorADMM(penalty float64) bool {
	s.penalty = penalty
	s.w = grow(s.w, s.m)
	fill(s.w, 1/penalty)
	s.soft = 1 / (1000 * penalty)
	return s.factor(s.w)
}

// iterate does one step of OSQP: x̃ from the linear system, relaxation, projection of the rows, multipliers.
func (s *ADMM) iterate() {
	n, e := s.n, s.p
	for i, x := range s.x {
		s.rhs[i] = sigma*x - s.lin[i]
	}
	for i, z := range s.rows {
		s.rhs[n+i] = z - s.dual[i]/s.rho(i)
	}
	s.eliminate(s.sol, s.rhs)
	s.a.mul(s.ax[:e], s.sol[:n])
	s.g.mul(s.ax[e:], s.sol[:n])
	for i, x := range s.sol[:n] {
		s.x[i] = relaxation*x + (1-relaxation)*s.x[i]
	}
	for i, ax := range s.ax {
		rho := s.rho(i)
		relaxed := relaxation*ax + (1-relaxation)*s.rows[i]
		z := relaxed + s.dual[i]/rho
		if i < e {
			z = s.b[i]
		} else {
			z = min(z, s.h[i-e])
		}
		s.dual[i] += rho * (relaxed - z)
		s.rows[i] = z
	}
}

func (s *ADMM) rho(i int) float64 {
	if i < s.p {
		return 1000 * s.penalty
	}
	return s.penalty
}

// residuals measures the present point as the interior-point method does, with s = h − z.
func (s *ADMM) residuals() Residuals {
	e := s.p
	s.q.mul(s.qx, s.x)
	clear(s.aty)
	s.a.addTransposed(s.aty, s.dual[:e])
	s.g.addTransposed(s.aty, s.dual[e:])
	s.a.mul(s.ax[:e], s.x)
	s.g.mul(s.ax[e:], s.x)
	var r Residuals
	largest, right := 0.0, 0.0
	for i, ax := range s.ax {
		r.Primal = max(r.Primal, math.Abs(ax-s.rows[i]))
		if i < e {
			right += s.b[i] * s.dual[i]
		} else {
			right += s.h[i-e] * s.dual[i]
			largest = max(largest, s.dual[i]*(s.h[i-e]-s.rows[i]))
		}
	}
	for i, q := range s.lin {
		r.Dual = max(r.Dual, math.Abs(s.qx[i]+q+s.aty[i]))
	}
	xqx, linear := dot(s.x, s.qx), dot(s.lin, s.x)
	r.Primal /= min(max(1, norm(s.x)), 1e4)
	r.Dual /= min(max(1, norm(s.qx), norm(s.aty)), 1e4)
	r.Gap = max(math.Abs(xqx+linear+right), largest) / max(1, math.Abs(xqx/2+linear))
	return r
}

// from takes the starting point from a solution.
func (s *ADMM) from(dst *Solution) {
	dual := s.scaling.c * s.beta
	for i, v := range dst.Z {
		s.x[i] = v / (s.beta * s.e[i])
	}
	for i, v := range dst.Nu {
		s.rows[i], s.dual[i] = s.b[i], v*dual/s.fa[i]
	}
	for i, v := range dst.Lambda {
		s.rows[s.p+i] = s.h[i] - max(dst.Slack[i], 0)*s.fg[i]/s.beta
		s.dual[s.p+i] = max(v, 0) * dual / s.fg[i]
	}
}

// write turns the point into the user's units.
func (s *ADMM) write(dst *Solution, p *Problem, res Residuals, iterations int) {
	dual := 1 / (s.scaling.c * s.beta)
	for i, v := range s.x {
		dst.Z[i] = v * s.beta * s.e[i]
	}
	for i := range dst.Nu {
		dst.Nu[i] = s.dual[i] * dual * s.fa[i]
	}
	for i := range dst.Lambda {
		dst.Lambda[i] = max(s.dual[s.p+i], 0) * dual * s.fg[i]
		dst.Slack[i] = max(s.h[i]-s.rows[s.p+i], 0) * s.beta / s.fg[i]
	}
	dst.Residuals, dst.Iterations, dst.Value = res, iterations, p.Value(dst.Z)
	s.z, s.nu, s.lambda = append(s.z[:0], dst.Z...), append(s.nu[:0], dst.Nu...), append(s.lambda[:0], dst.Lambda...)
	s.form = len(p.Q)
}

// Gradient implements Solver, by the system of InteriorPoint.Gradient at the approximate point: a row is active if its multiplier is
// larger than its slack. It does not look for weakly active rows. It panics if the last Solve returned an error.
func (s *ADMM) Gradient(dst *Gradient, up Upstream) error {
	if !s.solution {
		panic(errUnsolved)
	}
	up.check(s.n, s.p, s.m)
	const small, large = 1e-8, 1e13
	s.w = grow(s.w, s.m)
	for i := range s.w {
		s.w[i] = large
		if s.dual[s.p+i] > s.h[i]-s.rows[s.p+i] {
			s.w[i] = small
		}
	}
	s.delta, s.soft = leastDelta, 0
	if !s.factor(s.w) {
		return ErrSingular
	}
	for i, v := range s.w {
		if v == small {
			s.w[i] = 0
		}
	}
	s.adjoint = grow(s.adjoint, s.n+s.p+s.m)
	return s.differentiate(dst, up, s.w, s.adjoint, &point{s.z, s.nu, s.lambda, s.form})
}
