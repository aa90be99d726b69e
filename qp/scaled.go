package qp

import (
	"math"

	"gonum.org/v1/gonum/lapack/lapack64"
)

// scaled is a problem after equilibration, with the linear systems of its matrices.
type scaled struct {
	kkt
	scaling
	lin, b, h []float64
	scratch   []float64
	upstream  []float64 // n + p + m
}

// load validates, copies and equilibrates a problem, and checks that it is convex.
func (s *scaled) load(p *Problem) error {
	if err := s.take(p); err != nil {
		return err
	}
	return s.checkConvex()
}

// take is load without the check, which for a dense Q is a factorisation.
func (s *scaled) take(p *Problem) error {
	if err := p.Validate(); err != nil {
		return err
	}
	s.n, s.p, s.m = p.Sizes()
	s.q.set(p.Q, s.n)
	s.a.set(p.A, s.p, s.n)
	s.g.set(p.G, s.m, s.n)
	s.lin, s.b, s.h = grow(s.lin, s.n), grow(s.b, s.p), grow(s.h, s.m)
	copy(s.lin, p.Linear)
	copy(s.b, p.B)
	copy(s.h, p.H)
	s.scratch = grow(s.scratch, 2*s.n+s.p+s.m)
	s.equilibrate(&s.kkt, s.lin, s.b, s.h, s.scratch)
	if c := s.scaling.c; !(c > 1e-280) || c > 1e280 || !(s.beta > 1e-280) || s.beta > 1e280 {
		return &InputError{"Linear", -1, "the objective and the right-hand sides differ by too many orders of magnitude to be scaled; choose other units"}
	}
	s.reset(s.n, s.p, s.m)
	return nil
}

// checkConvex looks for a negative eigenvalue that is larger than rounding.
func (s *scaled) checkConvex() error {
	const rounding = 1e-11
	if s.q.diagonal {
		for _, v := range s.q.q {
			if v < -rounding {
				return &NotConvexError{}
			}
		}
		return nil
	}
	copy(s.hess, s.q.q)
	shift := rounding * max(norm(s.q.q), math.SmallestNonzeroFloat64)
	for i := range s.n {
		s.hess[i*s.n+i] += shift
	}
	if _, ok := lapack64.Potrf(s.symmetric(s.hess, s.n)); !ok {
		return &NotConvexError{}
	}
	return nil
}
