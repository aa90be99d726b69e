package qp

import "math"

// approximate is a point of an equilibrated problem that need not be a solution: that of a first-order method.
type approximate struct {
	scaled
	x, rows []float64 // n; p + m: copies of the constraints' rows, within their bounds
	dual    []float64 // p + m
	ax      []float64 // p + m
	qx, aty []float64 // n
	w       []float64 // m
	// In the user's units.
	z, nu, lambda []float64
	form          int
	adjoint       []float64
}

// room makes room for a point of the problem that was loaded.
func (s *approximate) room() {
	n, rows := s.n, s.p+s.m
	s.x, s.rows, s.dual, s.ax = grow(s.x, n), grow(s.rows, rows), grow(s.dual, rows), grow(s.ax, rows)
	s.qx, s.aty = grow(s.qx, n), grow(s.aty, n)
}

// residuals measures the present point as the interior-point method does, with s = h − z.
func (s *approximate) residuals() Residuals {
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
func (s *approximate) from(dst *Solution) {
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
func (s *approximate) write(dst *Solution, p *Problem, res Residuals, iterations int) {
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

// gradient differentiates by the system of InteriorPoint.Gradient at the point that was written last. A row is active if its multiplier is larger
// than its slack.
func (s *approximate) gradient(dst *Gradient, up Upstream) error {
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
