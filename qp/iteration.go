package qp

// An Iteration is ADMM as a map v → T(v) whose fixed points are the solutions of one problem, for those who choose where it starts, or
// differentiate through it. In the equilibrated problem, with the rows M = (A; G), their penalties ρ and multipliers y,
//
//	v = (x, w),   w = Π(w) + y/ρ   (n + p + m numbers)
//
// where Π(w) is b in the rows of A and min(w, h) in those of G. A row of G is active where w > h; then its multiplier is ρ(w − h), and
// otherwise its slack is h − w. T is piecewise linear. The zero value is ready for Load. It belongs to one goroutine.
type Iteration struct {
	s              ADMM
	ready, written bool
}

// Load copies, equilibrates and factors a problem for ADMM's penalty, 0 for its default. The error is one of those of ADMM.Solve.
func (t *Iteration) Load(p *Problem, penalty float64) error {
	t.ready, t.written = false, false
	if !(penalty >= 0) {
		return &InputError{"Penalty", -1, "want a positive number, or 0 for the default"}
	}
	if penalty == 0 {
		penalty = 0.1
	}
	if err := t.s.load(p); err != nil {
		return err
	}
	t.s.begin()
	t.s.proximal, t.s.delta = false, sigma
	if !t.s.factorADMM(penalty) {
		return &NotConvergedError{0, Residuals{1, 1, 1}, "the matrices are too ill-conditioned to be factored"}
	}
	t.ready = true
	return nil
}

// Sizes returns n, p and m.
func (t *Iteration) Sizes() (n, equalities, inequalities int) { return t.s.n, t.s.p, t.s.m }

// Vectors returns q, b and h of the equilibrated problem, which are not to be changed.
func (t *Iteration) Vectors() (linear, b, h []float64) { return t.s.lin, t.s.b, t.s.h }

// Cold writes the point x = 0 without multipliers into v: w is b in the rows of A and min(0, h) in those of G.
func (t *Iteration) Cold(v []float64) {
	s := &t.s
	if len(v) != s.n+s.p+s.m {
		panic(errPoint)
	}
	clear(v)
	copy(v[s.n:], s.b)
	for i, h := range s.h {
		v[s.n+s.p+i] = min(0, h)
	}
}

// take moves to v.
func (t *Iteration) take(v []float64) {
	s := &t.s
	if len(v) != s.n+s.p+s.m {
		panic(errPoint)
	}
	copy(s.x, v)
	for i, w := range v[s.n:] {
		bound := w
		if i < s.p {
			bound = s.b[i]
		} else if h := s.h[i-s.p]; w > h {
			bound = h
		}
		s.rows[i], s.dual[i] = bound, s.rho(i)*(w-bound)
	}
}

// Step writes T(v) into dst, which may be v. It panics on a wrong length, as the other methods do, and after Gradient, which factors
// another system: Load again.
func (t *Iteration) Step(dst, v []float64) {
	s := &t.s
	t.stepping()
	t.take(v)
	s.iterate()
	copy(dst[:s.n], s.x)
	for i, row := range s.rows {
		dst[s.n+i] = row + s.dual[i]/s.rho(i)
	}
}

// Adjoint writes T'(v)ᵀ·up into dst, which may be up. It costs as much as a Step.
func (t *Iteration) Adjoint(dst, up, v []float64) {
	s := &t.s
	t.stepping()
	n := s.n
	if len(v) != n+s.p+s.m || len(up) != len(v) || len(dst) != len(v) {
		panic(errPoint)
	}
	// T is: solve K(x̃, ·) = (σx − q, 2Π(w) − w), then x ← αx̃ + (1 − α)x and w ← αMx̃ − αΠ(w) + w. K is symmetric.
	clear(s.rhs)
	for i := range n {
		s.rhs[i] = relaxation * up[i]
	}
	for i, u := range up[n:] {
		s.ax[i] = relaxation * u
	}
	s.a.addTransposed(s.rhs[:n], s.ax[:s.p])
	s.g.addTransposed(s.rhs[:n], s.ax[s.p:])
	s.eliminate(s.sol, s.rhs)
	for i := range n {
		dst[i] = (1-relaxation)*up[i] + sigma*s.sol[i]
	}
	for i, u := range up[n:] {
		d := u - s.sol[n+i]
		if i >= s.p && v[n+i] <= s.h[i-s.p] {
			d += 2*s.sol[n+i] - relaxation*u
		}
		dst[n+i] = d
	}
}

// Write turns v into a solution in the user's units, with its residuals and the given number of iterations. p is the problem that was loaded.
func (t *Iteration) Write(dst *Solution, p *Problem, v []float64, iterations int) {
	t.take(v)
	dst.resize(t.s.n, t.s.p, t.s.m)
	t.s.write(dst, p, t.s.residuals(), iterations)
	t.written = true
}

// Gradient is Equilibrated.Gradient at the point that was written last.
func (t *Iteration) Gradient(dst *Gradient, up Upstream) error {
	if !t.written {
		panic(errUnsolved)
	}
	t.ready = false
	return t.s.gradient(dst, up)
}

// stepping panics if the factorisation is that of a gradient.
func (t *Iteration) stepping() {
	if !t.ready {
		panic(errStepping)
	}
}
