package qp

import "math"

// Certificates must be this exact, relative to the equilibrated problem. The first is for certificates that the iterations come
// across, which a feasible problem with a solution far away could have too; the second for those of problems that have not been solved.
const (
	strictly = 1e-9
	loosely  = 1e-6
	// A sum of products that is smaller than this part of their absolute values proves nothing: it is their rounding.
	cancelled = 1e-10
)

// products returns the sum of the absolute values of the products of which dot is the sum.
func products(x, y []float64) (sum float64) {
	for i, v := range x {
		sum += math.Abs(v * y[i])
	}
	return sum
}

// certificate returns how exact a certificate the present point is, and the error that it proves, nil if it proves none.
func (s *InteriorPoint) certificate(certified float64) (exact float64, proof error) {
	w, n, p := &s.work, s.n, s.p
	y, z := s.v[n:n+p], s.v[n+p:]
	exact = math.Inf(1)
	right := dot(s.b, y) + dot(s.h, z)
	if right < -cancelled*(products(s.b, y)+products(s.h, z)) {
		exact = norm(w.aty) / -right
	}
	if exact <= certified {
		// bᵀν + hᵀλ = −1 in the user's units.
		e := &InfeasibleError{Nu: make([]float64, p), Lambda: make([]float64, s.m)}
		f := 1 / (-right * s.beta)
		for i, v := range y {
			e.Nu[i] = f * v * s.fa[i]
		}
		for i, v := range z {
			e.Lambda[i] = f * v * s.fg[i]
		}
		for i, v := range w.aty {
			e.Residual = max(e.Residual, math.Abs(v)*f/s.e[i])
		}
		return exact, e
	}
	linear := dot(s.lin, s.v[:n])
	if linear >= -cancelled*products(s.lin, s.v[:n]) {
		return exact, nil
	}
	leaves := max(norm(w.qx), norm(w.ax))
	for _, v := range w.gx {
		leaves = max(leaves, v)
	}
	if leaves > certified*-linear {
		return min(exact, leaves/-linear), nil
	}
	e := &UnboundedError{Ray: make([]float64, n)}
	// qᵀd = −1 in the user's units; the scaled q is cβEq.
	f := s.scaling.c * s.beta / -linear
	for i := range e.Ray {
		e.Ray[i] = f * s.v[i] * s.e[i]
	}
	for i, v := range w.qx {
		e.Residual = max(e.Residual, math.Abs(v)*f/(s.scaling.c*s.beta*s.beta*s.e[i]))
	}
	for i, v := range w.ax {
		e.Residual = max(e.Residual, math.Abs(v)*f/s.fa[i])
	}
	for i, v := range w.gx {
		e.Residual = max(e.Residual, v*f/s.fg[i])
	}
	return leaves / -linear, e
}

// prove looks for a certificate where the iterations found neither a solution nor one: it solves the linear programs of
// which certificates are the solutions, which are feasible and bounded. It returns nil if there is none.
func (s *InteriorPoint) prove() error {
	if s.proving {
		return nil
	}
	n, p, m := s.n, s.p, s.m
	var q []float64
	if s.q.diagonal {
		q = make([]float64, n*n)
		for i, v := range s.q.q {
			q[i*n+i] = v
		}
	} else {
		q = s.q.q
	}
	a, g := s.a.dump(), s.g.dump()
	// A ray: minimize qᵀd subject to Qd = 0, Ad = 0, Gd ≤ 0, −1 ≤ d ≤ 1.
	ray := &Problem{Linear: s.lin, A: append(append([]float64(nil), q...), a...), B: make([]float64, n+p),
		G: append([]float64(nil), g...), H: make([]float64, m)}
	ray.limit(0, n, -1, 1)
	if d := attempt(ray); d != nil {
		clear(s.v)
		copy(s.v, d)
		s.tau = 1
		s.measure()
		_, proof := s.certificate(loosely)
		if proof != nil {
			return proof
		}
	}
	// Farkas' multipliers: minimize bᵀν + hᵀλ subject to Aᵀν + Gᵀλ = 0, −1 ≤ ν ≤ 1, 0 ≤ λ ≤ 1.
	farkas := &Problem{Linear: append(append([]float64(nil), s.b...), s.h...), A: make([]float64, n*(p+m)), B: make([]float64, n)}
	for j := range n {
		for i := range p {
			farkas.A[j*(p+m)+i] = a[i*n+j]
		}
		for i := range m {
			farkas.A[j*(p+m)+p+i] = g[i*n+j]
		}
	}
	farkas.limit(0, p, -1, 1)
	farkas.limit(p, p+m, 0, 1)
	if v := attempt(farkas); v != nil {
		clear(s.v)
		copy(s.v[n:], v)
		for i, z := range s.v[n+p:] {
			s.v[n+p+i] = max(z, 0)
		}
		s.tau = 1
		s.measure()
		_, proof := s.certificate(loosely)
		if proof != nil {
			return proof
		}
	}
	return nil
}

// limit adds the rows low ≤ z_j ≤ high for first ≤ j < end.
func (p *Problem) limit(first, end int, low, high float64) {
	n := len(p.Linear)
	for j := first; j < end; j++ {
		for _, sign := range [...]float64{1, -1} {
			row := make([]float64, n)
			row[j] = sign
			p.G = append(p.G, row...)
		}
		p.H = append(p.H, high, -low)
	}
}

// attempt returns the solution of a problem, nil if none was found.
func attempt(p *Problem) []float64 {
	s := &InteriorPoint{proving: true}
	var out Solution
	if err := s.Solve(&out, p); err != nil {
		return nil
	}
	return out.Z
}

// weakly is the size of s and z, in the equilibrated problem, below which both make a constraint weakly active. At a gap of
// 1e-12 both are about 1e-6 there, and one of them is 1e-9 or less where the other is 1e-3.
const weakly = 1e-5

// normalize makes τ = 1 and finds weakly active rows.
func (s *InteriorPoint) normalize() {
	for i := range s.v {
		s.v[i] /= s.tau
	}
	for i := range s.s {
		s.s[i] /= s.tau
	}
	s.tau, s.kappa = 1, 0
	s.weak = s.weak[:0]
	z := s.v[s.n+s.p:]
	least := weakly
	for i, v := range z {
		least = max(least, 3*math.Sqrt(min(v*s.s[i], 1e-4)))
	}
	for i, v := range z {
		if v < least && s.s[i] < least {
			s.weak = append(s.weak, i)
		}
	}
}

// finish writes the point, with τ = 1, into dst in the user's units.
func (s *InteriorPoint) finish(dst *Solution, p *Problem) {
	n := s.n
	dst.Residuals = s.measure()
	if s.o.Smoothing > 0 {
		// The gap is what was asked for, not an error.
		dst.Residuals.Gap = 0
	}
	dual := 1 / (s.scaling.c * s.beta)
	for i := range dst.Z {
		dst.Z[i] = s.v[i] * s.beta * s.e[i]
	}
	for i := range dst.Nu {
		dst.Nu[i] = s.v[n+i] * dual * s.fa[i]
	}
	for i, z := range s.v[n+s.p:] {
		dst.Lambda[i] = z * dual * s.fg[i]
		dst.Slack[i] = s.s[i] * s.beta / s.fg[i]
	}
	dst.WeaklyActive = append(dst.WeaklyActive, s.weak...)
	dst.Value = p.Value(dst.Z)
	s.z, s.nu, s.lambda = append(s.z[:0], dst.Z...), append(s.nu[:0], dst.Nu...), append(s.lambda[:0], dst.Lambda...)
	s.form = len(p.Q)
}

// center moves from a solution to the point of the central path with λ_i s_i = Smoothing, by Newton's method.
func (s *InteriorPoint) center(dst *Solution) bool {
	w, n, p := &s.work, s.n, s.p
	mu := s.o.Smoothing * s.scaling.c
	z, apart := s.v[n+p:], math.Sqrt(mu)
	for i := range s.s {
		s.s[i] = max(s.s[i], apart)
		z[i] = max(z[i], apart)
	}
	s.weak = s.weak[:0]
	before := math.Inf(1)
	for range 4 * s.o.MaxIterations {
		res := s.measure()
		off := 0.0
		for i := range s.s {
			w.comp[i] = s.s[i]*z[i] - mu
			off = max(off, math.Abs(w.comp[i])/mu)
			w.w[i] = s.s[i] / z[i]
		}
		worst := max(res.Primal, res.Dual, off)
		// 1e-13 is near rounding: go on while it helps.
		if worst <= 1e-13 || worst <= 1e-9 && worst > before/2 {
			return true
		}
		before = worst
		if !s.factor(w.w) {
			return false
		}
		dst.Iterations++
		for i, r := range w.r {
			w.rhs[i] = -r
		}
		for i, c := range w.comp {
			w.rhs[n+p+i] += c / z[i]
		}
		s.sound(w.first, w.rhs, w.w)
		for i := range w.ds {
			w.ds[i] = -(w.comp[i] + s.s[i]*w.first[n+p+i]) / z[i]
		}
		w.dtau, w.dkappa = 0, 0
		alpha := 0.9 * s.longest(w.first, w.ds)
		if alpha == 0.9 {
			alpha = 1
		}
		for i, d := range w.first {
			s.v[i] += alpha * d
		}
		for i, d := range w.ds {
			s.s[i] += alpha * d
		}
	}
	return false
}
