package implicit

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"

	"learnedopt/qp"
)

// cell is z = tanh(Wz + c), with ‖W‖ < 1.
type cell struct {
	n    int
	w, c []float64
}

func newCell(r *rand.Rand, n int) *cell {
	m := &cell{n, make([]float64, n*n), make([]float64, n)}
	for i := range m.w {
		m.w[i] = 0.9 * r.NormFloat64() / (2 * math.Sqrt(float64(n)))
	}
	for i := range m.c {
		m.c[i] = r.NormFloat64()
	}
	return m
}

func (m *cell) f(dst, z []float64) {
	for i := range dst {
		dst[i] = math.Tanh(dot(m.w[i*m.n:i*m.n+m.n], z) + m.c[i])
	}
}

func (m *cell) residual(dst, z []float64) {
	m.f(dst, z)
	for i := range dst {
		dst[i] = z[i] - dst[i]
	}
}

// jacobian is I − diag(1 − z²)·W, with 1 − tanh² taken at the argument.
func (m *cell) jacobian(dst, z []float64) {
	m.f(dst[:m.n], z)
	slopes := make([]float64, m.n)
	for i, v := range dst[:m.n] {
		slopes[i] = 1 - v*v
	}
	for i := range m.n {
		for j := range m.n {
			dst[i*m.n+j] = -slopes[i] * m.w[i*m.n+j]
		}
		dst[i*m.n+i]++
	}
}

func (m *cell) transposed(j []float64) func(dst, v []float64) {
	return func(dst, v []float64) {
		clear(dst)
		for i, vi := range v {
			for k := range dst {
				dst[k] += j[i*m.n+k] * vi
			}
		}
	}
}

// TestEquilibrium finds the same equilibrium by Newton and by Anderson, the same adjoint by LU and by GMRES, the derivative of
// differences, and that of backpropagation through iterations to convergence.
func TestEquilibrium(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 10, 40} {
		m := newCell(r, n)
		z, other := make([]float64, n), make([]float64, n)
		if _, err := (Newton{}).Solve(z, m.residual, m.jacobian); err != nil {
			t.Fatal(err)
		}
		evaluations, err := Anderson{}.Solve(other, m.f)
		if err != nil {
			t.Fatal(err)
		}
		plain := make([]float64, n)
		_, err = Anderson{Memory: 1, MaxIterations: evaluations}.Solve(plain, m.f)
		if n == 40 && err == nil {
			t.Errorf("memory 5 takes as many evaluations as memory 1: %d", evaluations)
		}
		v, j := make([]float64, n), make([]float64, n*n)
		for i := range v {
			v[i] = r.NormFloat64()
		}
		m.jacobian(j, z)
		w, byProducts := make([]float64, n), make([]float64, n)
		if err := Adjoint(w, v, Jacobian{Dense: j}); err != nil {
			t.Fatal(err)
		}
		if err := Adjoint(byProducts, v, Jacobian{Transposed: m.transposed(j)}); err != nil {
			t.Fatal(err)
		}
		// Backpropagation through many steps z ← f(z) from the equilibrium on.
		unrolled, carry, next := make([]float64, n), append([]float64(nil), v...), make([]float64, n)
		for range 400 {
			clear(next)
			for i := range n {
				unrolled[i] += carry[i]
				for k := range n {
					if i == k {
						next[k] += carry[i] * (1 - j[i*n+k])
					} else {
						next[k] -= carry[i] * j[i*n+k]
					}
				}
			}
			carry, next = next, carry
		}
		for i := range n {
			if math.Abs(z[i]-other[i]) > 1e-10 {
				t.Fatalf("n %d: Newton %v, Anderson %v", n, z[i], other[i])
			}
			if math.Abs(w[i]-byProducts[i]) > 1e-10 || math.Abs(w[i]-unrolled[i]) > 1e-10 {
				t.Errorf("n %d: adjoint %.12g by LU, %.12g by GMRES, %.12g unrolled", n, w[i], byProducts[i], unrolled[i])
			}
			// ∂ℓ/∂c_i = (1 − z_i²) w_i against a difference of the equilibrium: the step 1e-5 is off by 1e-10.
			const step = 1e-5
			keep := m.c[i]
			var l [2]float64
			for side, sign := range [...]float64{1, -1} {
				m.c[i] = keep + sign*step
				moved := append([]float64(nil), z...)
				if _, err := (Newton{}).Solve(moved, m.residual, m.jacobian); err != nil {
					t.Fatal(err)
				}
				l[side] = dot(v, moved)
			}
			m.c[i] = keep
			want := (l[0] - l[1]) / (2 * step)
			if got := (1 - z[i]*z[i]) * w[i]; math.Abs(got-want) > 1e-7*(1+math.Abs(want)) {
				t.Errorf("n %d: ∂ℓ/∂c_%d = %.10g, differences %.10g", n, i, got, want)
			}
		}
	}
}

// TestMarkovChain checks the derivative of the discounted value V = r + γPV with respect to the rewards: Σ_i ∂(μᵀV)/∂r_i is
// 1/(1 − γ) for every distribution μ and stochastic matrix P.
func TestMarkovChain(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, gamma := range []float64{0.5, 0.9, 0.99} {
		const n = 30
		j, mu := make([]float64, n*n), make([]float64, n)
		total := 0.0
		for i := range n {
			mu[i] = r.ExpFloat64()
			total += mu[i]
			sum := 0.0
			for k := range n {
				j[i*n+k] = r.ExpFloat64()
				sum += j[i*n+k]
			}
			for k := range n {
				j[i*n+k] *= -gamma / sum
			}
			j[i*n+i]++
		}
		scale(mu, 1/total)
		for name, jacobian := range map[string]Jacobian{"LU": {Dense: j}, "GMRES": {Transposed: (&cell{n: n}).transposed(j)}} {
			w := make([]float64, n)
			if err := Adjoint(w, mu, jacobian); err != nil {
				t.Fatal(err)
			}
			sum := 0.0
			for _, v := range w {
				sum += v
			}
			if math.Abs(sum-1/(1-gamma)) > 1e-10 {
				t.Errorf("γ %g, %s: Σ ∂V/∂r = %.13g, want %.13g", gamma, name, sum, 1/(1-gamma))
			}
		}
	}
}

// TestLinear compares with the closed form z = (I − W)⁻¹c of a linear cell.
func TestLinear(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	m := newCell(r, 12)
	z := make([]float64, m.n)
	if _, err := (Anderson{}).Solve(z, func(dst, z []float64) {
		for i := range dst {
			dst[i] = dot(m.w[i*m.n:i*m.n+m.n], z) + m.c[i]
		}
	}); err != nil {
		t.Fatal(err)
	}
	a := mat.NewDense(m.n, m.n, nil)
	for i := range m.n {
		for j := range m.n {
			a.Set(i, j, -m.w[i*m.n+j])
		}
		a.Set(i, i, 1-m.w[i*m.n+i])
	}
	var want mat.VecDense
	if err := want.SolveVec(a, mat.NewVecDense(m.n, m.c)); err != nil {
		t.Fatal(err)
	}
	for i, v := range z {
		if math.Abs(v-want.AtVec(i)) > 1e-10 {
			t.Errorf("z_%d = %.12g, want %.12g", i, v, want.AtVec(i))
		}
	}
}

// TestQuadraticProgram differentiates a quadratic program as the root of its optimality conditions, and compares with package qp.
func TestQuadraticProgram(t *testing.T) {
	p := qp.Problem{Q: []float64{4, 1, 1, 2}, Linear: []float64{1, 1}, A: []float64{1, 1}, B: []float64{1},
		G: []float64{-1, 0, 0, -1}, H: []float64{0, -0.8}}
	var s qp.InteriorPoint
	var out qp.Solution
	if err := s.Solve(&out, &p); err != nil {
		t.Fatal(err)
	}
	var want qp.Gradient
	if err := s.Gradient(&want, qp.Upstream{Z: []float64{1, -2}, Nu: []float64{0.5}, Lambda: []float64{0.25, 3}}); err != nil {
		t.Fatal(err)
	}
	// Unknowns z, ν, λ; F = (Qz + q + Aᵀν + Gᵀλ, Az − b, λ∘(Gz − h)).
	j := []float64{
		4, 1, 1, -1, 0,
		1, 2, 1, 0, -1,
		1, 1, 0, 0, 0,
		-out.Lambda[0], 0, 0, -out.Slack[0], 0,
		0, -out.Lambda[1], 0, 0, -out.Slack[1],
	}
	w := make([]float64, 5)
	if err := Adjoint(w, []float64{1, -2, 0.5, 0.25, 3}, Jacobian{Dense: j}); err != nil {
		t.Fatal(err)
	}
	got := []float64{-w[0], -w[1], w[2], out.Lambda[0] * w[3], out.Lambda[1] * w[4]}
	for i, v := range append(append(append([]float64(nil), want.Linear...), want.B...), want.H...) {
		if math.Abs(got[i]-v) > 1e-9 {
			t.Errorf("derivative %d: %.12g, package qp %.12g", i, got[i], v)
		}
	}
}

func TestFailures(t *testing.T) {
	var singular *SingularError
	if err := Adjoint(make([]float64, 2), []float64{1, 0}, Jacobian{Dense: []float64{1, 2, 2, 4}}); !errors.As(err, &singular) {
		t.Errorf("singular matrix: %v", err)
	}
	if err := Adjoint(make([]float64, 1), []float64{1}, Jacobian{Dense: []float64{math.NaN()}}); !errors.As(err, &singular) {
		t.Errorf("NaN: %v", err)
	}
	var not *NotConvergedError
	if err := Adjoint(make([]float64, 2), []float64{1, 0}, Jacobian{Transposed: func(dst, v []float64) { dst[0], dst[1] = v[0]+2*v[1], 2*v[0]+4*v[1] }}); !errors.As(err, &not) || not.Method != "GMRES" {
		t.Errorf("singular products: %v", err)
	}
	if _, err := (Anderson{MaxIterations: 20}).Solve([]float64{1}, func(dst, z []float64) { dst[0] = z[0]*z[0] + 1 }); !errors.As(err, &not) || not.Method != "Anderson" {
		t.Errorf("no fixed point: %v", err)
	}
	if _, err := (Newton{}).Solve([]float64{1}, func(dst, z []float64) { dst[0] = z[0]*z[0] + 1 }, func(dst, z []float64) { dst[0] = 2 * z[0] }); !errors.As(err, &not) && !errors.As(err, &singular) {
		t.Errorf("no root: %v", err)
	}
	for name, f := range map[string]func(){
		"length":  func() { _ = Adjoint(make([]float64, 1), make([]float64, 2), Jacobian{Dense: make([]float64, 4)}) },
		"matrix":  func() { _ = Adjoint(make([]float64, 2), make([]float64, 2), Jacobian{Dense: make([]float64, 3)}) },
		"nothing": func() { _ = Adjoint(make([]float64, 2), make([]float64, 2), Jacobian{}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

func ExampleAdjoint() {
	// z = ½ cos z + x has one solution; how does it depend on x?
	const x = 0.3
	z := []float64{0}
	if _, err := (Anderson{}).Solve(z, func(dst, z []float64) { dst[0] = math.Cos(z[0])/2 + x }); err != nil {
		fmt.Println(err)
	}
	w := make([]float64, 1) // (1 + ½ sin z) w = 1
	if err := Adjoint(w, []float64{1}, Jacobian{Dense: []float64{1 + math.Sin(z[0])/2}}); err != nil {
		fmt.Println(err)
	}
	fmt.Printf("z = %.6f, dz/dx = %.6f\n", z[0], w[0])
	// Output: z = 0.686678, dz/dx = 0.759310
}

// TestCell checks Solve and Adjoint against the general routines.
func TestCell(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	m := newCell(r, 6)
	c := &Cell{N: 6, D: 1, W: m.w, U: make([]float64, 6), B: make([]float64, 6)}
	for i, v := range m.c {
		c.U[i], c.B[i] = r.NormFloat64(), v
	}
	x := []float64{0.7}
	for i := range m.c {
		m.c[i] += c.U[i] * x[0]
	}
	z, want := make([]float64, 6), make([]float64, 6)
	if err := c.Solve(z, x); err != nil {
		t.Fatal(err)
	}
	if _, err := (Newton{}).Solve(want, m.residual, m.jacobian); err != nil {
		t.Fatal(err)
	}
	j, a, w := make([]float64, 36), []float64{1, -1, 2, 0, 0.5, 1}, make([]float64, 6)
	m.jacobian(j, z)
	if err := Adjoint(w, a, Jacobian{Dense: j}); err != nil {
		t.Fatal(err)
	}
	if err := c.Adjoint(a, z); err != nil {
		t.Fatal(err)
	}
	for i := range z {
		if math.Abs(z[i]-want[i]) > 1e-10 || math.Abs(a[i]-w[i]*(1-z[i]*z[i])) > 1e-10 {
			t.Errorf("unit %d: z %g, want %g; δ %g, want %g", i, z[i], want[i], a[i], w[i]*(1-z[i]*z[i]))
		}
	}
}
