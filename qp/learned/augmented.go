package learned

import (
	"math"

	"gonum.org/v1/gonum/floats"

	"learnedopt/qp"
)

// augmented is the augmented Lagrangian of an equilibrated problem (Hestenes, Powell; Rockafellar 1973 for inequalities),
//
//	L(x) = ½xᵀQx + qᵀx + (ρ/2)‖Ax − b + ν/ρ‖² + (ρ/2)‖max(Gx − h + λ/ρ, 0)‖²
//
// as a function of u, x = base + unit·u, divided by curvature·unit²: its Hessian is at most about I, and the root mean square of its
// gradient at u = 0 is 1 after rebase, whatever the problem's size and units. So a rule that was trained on small problems sees similar numbers
// on large ones.
type augmented struct {
	qp.Equilibrated
	rho, curvature, unit float64
	y                    []float64 // p + m: ν, λ
	base, slope          []float64 // n: ∇L(base)
	at                   []float64 // p + m: t = Ax − b + ν/ρ and Gx − h + λ/ρ at the base
	moved                []float64 // p + m: ρ(s − s_0) of the last point, with s = t in rows of A and max(t, 0) in those of G
	active               []bool    // p + m: whether s is not 0 because of the bound
	x, step, work        []float64 // n
}

// load equilibrates a problem and sets the scales. penalty is ρσ² relative to the size of the objective, where σ is the largest singular value of
// (A; G).
func (l *augmented) load(p *qp.Problem, penalty float64) error {
	if err := l.Load(p); err != nil {
		return err
	}
	n, e, m := l.Sizes()
	for _, v := range []*[]float64{&l.base, &l.slope, &l.x, &l.step, &l.work} {
		*v = resize(*v, n)
	}
	l.y, l.at, l.moved = resize(l.y, e+m), resize(l.at, e+m), resize(l.moved, e+m)
	if len(l.active) != e+m {
		l.active = make([]bool, e+m)
	}
	clear(l.y)
	q := l.largest(func(dst, v []float64) { l.Hessian(dst, v) })
	linear, _, _ := l.Vectors()
	l.rho = penalty * math.Max(q, floats.Norm(linear, math.Inf(1)))
	if e+m > 0 {
		square := l.largest(func(dst, v []float64) {
			l.Rows(l.moved, v)
			clear(dst)
			l.AddTransposed(dst, l.moved)
		})
		if square > 0 {
			l.rho /= square
		}
		q += l.rho * square
	}
	if l.rho == 0 {
		l.rho = 1
	}
	if l.curvature = q; q == 0 {
		l.curvature = 1
	}
	clear(l.x)
	l.rebase()
	return nil
}

// rebase makes the last point the base, and chooses the unit. It reports whether the gradient there is not 0.
func (l *augmented) rebase() bool {
	copy(l.base, l.x)
	l.refresh()
	l.unit = 1
	rms := floats.Norm(l.slope, 2) / math.Sqrt(float64(len(l.x))) / l.curvature
	if rms > 0 {
		l.unit = rms
	}
	return rms > 0
}

// refresh computes at the base, for the present multipliers, what value needs.
func (l *augmented) refresh() {
	linear, b, h := l.Vectors()
	l.Hessian(l.slope, l.base)
	floats.Add(l.slope, linear)
	l.Rows(l.at, l.base)
	floats.Sub(l.at[:len(b)], b)
	floats.Sub(l.at[len(b):], h)
	for i := range l.at {
		l.at[i] += l.y[i] / l.rho
		l.moved[i] = l.rho * l.side(i, l.at[i])
	}
	l.AddTransposed(l.slope, l.moved)
}

// side returns s for a t.
func (l *augmented) side(i int, t float64) float64 {
	if _, b, _ := l.Vectors(); i < len(b) {
		return t
	}
	return math.Max(t, 0)
}

// largest estimates the largest eigenvalue of a symmetric matrix from below, by the power method.
func (l *augmented) largest(mul func(dst, v []float64)) float64 {
	v, next := l.x, l.work
	for i := range v {
		v[i] = 1 + math.Sin(float64(i*i)) // not orthogonal to anything in particular
	}
	value := 0.0
	for range 12 {
		size := floats.Norm(v, 2)
		if size == 0 {
			return 0
		}
		floats.Scale(1/size, v)
		mul(next, v)
		value = floats.Norm(next, 2)
		v, next = next, v
	}
	return value
}

// value returns L(x) − L(base) over curvature·unit² and writes its gradient. Differences are taken before sums, so that neither loses digits near the
// base.
func (l *augmented) value(grad, u []float64) float64 {
	for j, v := range u {
		l.step[j] = l.unit * v
		l.x[j] = l.base[j] + l.step[j]
	}
	l.Hessian(grad, l.step)
	value := 0.0
	for j, d := range l.step {
		value += d * (l.slope[j] + grad[j]/2)
		grad[j] += l.slope[j]
	}
	l.Rows(l.moved, l.step)
	for i, d := range l.moved {
		t0 := l.at[i]
		t := t0 + d
		s0, s := l.side(i, t0), l.side(i, t)
		l.active[i] = s == t
		// (s² − s_0² − 2 s_0 d) is 0 or more.
		term := 0.0
		switch {
		case s0 == t0 && s == t:
			term, l.moved[i] = d*d, l.rho*d
		case s0 == t0:
			term, l.moved[i] = t0*(t0-2*t), -l.rho*t0
		default:
			term, l.moved[i] = s*s, l.rho*s
		}
		value += l.rho / 2 * term
	}
	l.AddTransposed(grad, l.moved)
	floats.Scale(1/(l.curvature*l.unit), grad)
	return value / (l.curvature * l.unit * l.unit)
}

// product writes the Hessian at u, where value was called last, times v.
func (l *augmented) product(dst, v []float64) {
	l.Hessian(dst, v)
	rows := make([]float64, len(l.active))
	l.Rows(rows, v)
	for i, active := range l.active {
		if !active {
			rows[i] = 0
		}
		rows[i] *= l.rho
	}
	l.AddTransposed(dst, rows)
	floats.Scale(1/l.curvature, dst)
}

// move moves the multipliers after value(·, u): ν ← ν + ρ(Ax − b), λ ← max(λ + ρ(Gx − h), 0). Then call refresh or rebase.
func (l *augmented) move() {
	for i, d := range l.moved {
		l.y[i] = l.side(i, l.rho*l.side(i, l.at[i])+d)
	}
}

func resize(x []float64, n int) []float64 {
	if cap(x) >= n {
		return x[:n]
	}
	return make([]float64, n)
}
