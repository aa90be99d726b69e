package qp

import "errors"

// ErrSingular says that there is no derivative because the solution is not unique.
var ErrSingular = errors.New("qp: the system of the derivative is singular to working precision: the solution is not unique, or its active constraints depend on each other; make Q positive definite, or solve with a Smoothing")

// An Upstream holds the derivatives of a loss ℓ with respect to a solution. Empty slices mean 0.
type Upstream struct {
	// Z is ∂ℓ/∂z (n), Nu ∂ℓ/∂ν (p) and Lambda ∂ℓ/∂λ (m).
	Z, Nu, Lambda []float64
	// Value is the derivative with respect to the optimal value.
	Value float64
}

// A Gradient holds the derivatives of a loss with respect to the numbers of a Problem, in its layout. A Q
// of n² numbers has a symmetric derivative: that of the symmetric part. If the problem has no Q, neither has the gradient.
type Gradient struct {
	Q, Linear, A, B, G, H []float64
}

func (d *Gradient) resize(form, n, p, m int) {
	d.Q, d.Linear = grow(d.Q, form), grow(d.Linear, n)
	d.A, d.B = grow(d.A, p*n), grow(d.B, p)
	d.G, d.H = grow(d.G, m*n), grow(d.H, m)
}

// Gradient implements Solver. It solves one system, which is factored already if no row is weakly active:
//
//	⎡Q  Aᵀ  Gᵀ⎤ ⎡w_z⎤   ⎡∂ℓ/∂z⎤
//	⎢A  0   0 ⎥ ⎢w_ν⎥ = ⎢∂ℓ/∂ν⎥   for the active rows of G, w_λ = 0 for the others
//	⎣G  0   0 ⎦ ⎣w_λ⎦   ⎣∂ℓ/∂λ⎦
//
// after which ∂ℓ/∂q = −w_z, ∂ℓ/∂b = w_ν, ∂ℓ/∂h = w_λ, ∂ℓ/∂Q = −½(w_z zᵀ + z w_zᵀ), ∂ℓ/∂A = −(ν w_zᵀ + w_ν zᵀ) and
// ∂ℓ/∂G = −(λ w_zᵀ + w_λ zᵀ) (Amos and Kolter 2017, equation 8). The optimal value adds the derivatives of the Lagrangian. With a
// Smoothing no row is active or inactive: −s/λ stands in the last block, for all rows.
//
// It returns a *WeaklyActiveError where the solution has no derivative, unless Options.Weak says otherwise, ErrSingular where it is not unique, and panics if
// the last Solve did not return nil.
func (s *InteriorPoint) Gradient(dst *Gradient, up Upstream) error {
	if !s.solution {
		panic(errUnsolved)
	}
	up.check(s.n, s.p, s.m)
	if len(s.weak) > 0 && s.o.Weak == Refuse && (len(up.Z) > 0 || len(up.Nu) > 0 || len(up.Lambda) > 0) {
		return &WeaklyActiveError{append([]int(nil), s.weak...)}
	}
	if !s.factored && !s.split(false) {
		return ErrSingular
	}
	s.adjoint = grow(s.adjoint, s.n+s.p+s.m)
	return s.differentiate(dst, up, s.work.w, s.adjoint, &point{s.z, s.nu, s.lambda, s.form})
}

// check panics if a derivative has not the length of what it belongs to.
func (up *Upstream) check(n, p, m int) {
	for _, c := range [...]struct{ got, want int }{{len(up.Z), n}, {len(up.Nu), p}, {len(up.Lambda), m}} {
		if c.got != 0 && c.got != c.want {
			panic(errUpstream)
		}
	}
}

// point is a solution in the user's units.
type point struct {
	z, nu, lambda []float64
	form          int
}

// differentiate solves the adjoint system of the scaled problem for W = diag(w) and multiplies out.
func (s *scaled) differentiate(dst *Gradient, up Upstream, w, adjoint []float64, at *point) error {
	n, p, m := s.n, s.p, s.m
	dst.resize(at.form, n, p, m)
	// In the user's units the system is M⁻¹·scaled·M⁻¹ for a diagonal M.
	root := s.scaling.c * s.beta
	unit := func(i int) float64 {
		switch {
		case i < n:
			return s.beta * s.e[i]
		case i < n+p:
			return s.fa[i-n] / root
		}
		return s.fg[i-n-p] / root
	}
	rhs := s.rhsOf(up)
	for i := range rhs {
		rhs[i] *= unit(i)
	}
	if got := s.solve(adjoint, rhs, w); !(got <= 1e-6) {
		return ErrSingular
	}
	// Multiply objective's factor back: scaled = c·M·K·M with the objective's c.
	for i := range adjoint {
		adjoint[i] *= unit(i) * s.scaling.c
	}
	wz, wn, wl := adjoint[:n], adjoint[n:n+p], adjoint[n+p:]
	v := up.Value
	switch {
	case at.form == n:
		for i, z := range at.z {
			dst.Q[i] = (v*z/2 - wz[i]) * z
		}
	case at.form > 0:
		for i, zi := range at.z {
			row := dst.Q[i*n : i*n+n]
			for j, zj := range at.z {
				row[j] = (v*zi*zj - wz[i]*zj - zi*wz[j]) / 2
			}
		}
	}
	for i, z := range at.z {
		dst.Linear[i] = v*z - wz[i]
	}
	outer(dst.A, dst.B, at.nu, wn, wz, at.z, v)
	outer(dst.G, dst.H, at.lambda, wl, wz, at.z, v)
	return nil
}

// outer writes the derivatives with respect to the rows and right-hand sides of constraints with the duals y.
func outer(matrix, right, y, wy, wz, z []float64, value float64) {
	n := len(z)
	for i := range right {
		right[i] = wy[i] - value*y[i]
		f, g := y[i], value*y[i]-wy[i]
		row := matrix[i*n : i*n+n]
		for j := range row {
			row[j] = g*z[j] - f*wz[j]
		}
	}
}

// rhsOf copies an upstream gradient into memory of the linear systems.
func (s *scaled) rhsOf(up Upstream) []float64 {
	s.upstream = grow(s.upstream, s.n+s.p+s.m)
	clear(s.upstream)
	copy(s.upstream, up.Z)
	copy(s.upstream[s.n:], up.Nu)
	copy(s.upstream[s.n+s.p:], up.Lambda)
	return s.upstream
}
