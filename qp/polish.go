package qp

// split factors the system of the optimality conditions in which active inequalities are equalities and the others are
// absent: its W, in s.work.w, is 0 for active rows and a large number for others. The factorisation has a W > 0 in place of 0, which
// refinement takes out again (method of multipliers): so it does not matter whether active rows depend on each other. Weakly
// active rows are active or not, as said. With a Smoothing no row is either: W is s/z.
func (s *InteriorPoint) split(weaklyToo bool) bool {
	const small, large = 1e-8, 1e13
	w := s.work.w
	for i, v := range s.s {
		z := s.v[s.n+s.p+i]
		switch {
		case s.o.Smoothing > 0:
			w[i] = v / z
		case z > v:
			w[i] = small
		default:
			w[i] = large
		}
	}
	for _, i := range s.weak {
		w[i] = large
		if weaklyToo {
			w[i] = small
		}
	}
	s.proximal = false
	if !s.factor(w) {
		return false
	}
	for i, v := range w {
		if v == small && s.o.Smoothing == 0 {
			w[i] = 0
		}
	}
	s.factored = !weaklyToo || len(s.weak) == 0
	return true
}

// polish takes the solution, with τ = 1, to the exact one of its active set, if that is nearer.
func (s *InteriorPoint) polish(dst *Solution) {
	w, n, p := &s.work, s.n, s.p
	before := s.measure().worst()
	copy(s.best, s.v)
	copy(s.best[len(s.v):], s.s)
	if !s.split(true) {
		return
	}
	dst.Iterations++
	z := s.v[n+p:]
	for i := range z {
		if w.w[i] > 0 {
			z[i] = 0
		} else {
			s.s[i] = 0
		}
	}
	s.measure()
	for i, r := range w.r {
		w.rhs[i] = -r
	}
	for i := range z {
		if w.w[i] > 0 {
			w.rhs[n+p+i] = 0
		}
	}
	s.solve(w.one, w.rhs, w.w)
	for i, d := range w.one {
		s.v[i] += d
	}
	s.g.mul(w.gx, s.v[:n])
	ok := true
	for i := range z {
		if w.w[i] > 0 {
			z[i] = 0
			s.s[i] = s.h[i] - w.gx[i]
			ok = ok && s.s[i] > 0
			continue
		}
		// A multiplier of a weakly active row may be off by rounding.
		ok = ok && z[i] > -1e-12
		z[i] = max(z[i], 0)
	}
	if after := s.measure().worst(); !ok || !(after <= max(before, 1e-14)) {
		copy(s.v, s.best)
		copy(s.s, s.best[len(s.v):])
	}
}
