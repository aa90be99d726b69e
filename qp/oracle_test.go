package qp

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// nonnegative returns −I and 0, the constraint z ≥ 0.
func nonnegative(n int) (g, h []float64) {
	g, h = make([]float64, n*n), make([]float64, n)
	for i := range n {
		g[i*n+i] = -1
	}
	return g, h
}

func ones(n int) []float64 {
	x := make([]float64, n)
	fill(x, 1)
	return x
}

// simplex is min ½ε‖z‖² − rᵀz over the simplex.
func simplex(epsilon float64, r ...float64) *Problem {
	n := len(r)
	p := &Problem{Q: make([]float64, n), Linear: make([]float64, n), A: ones(n), B: []float64{1}}
	for i, v := range r {
		p.Q[i], p.Linear[i] = epsilon, -v
	}
	p.G, p.H = nonnegative(n)
	return p
}

// jacobian returns ∂z/∂x row by row (row i: z_i), for the field of the gradient that pick returns.
func jacobian(t *testing.T, s *InteriorPoint, n int, pick func(*Gradient) []float64) []float64 {
	t.Helper()
	var rows []float64
	for i := range n {
		up := make([]float64, n)
		up[i] = 1
		var g Gradient
		if err := s.Gradient(&g, Upstream{Z: up}); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, pick(&g)...)
	}
	return rows
}

// TestTwoVariables has the numbers of a published example (libdqp): P = 2I, three inequalities, one active.
func TestTwoVariables(t *testing.T) {
	s, out := mustSolve(t, &Problem{Q: []float64{2, 0, 0, 2}, Linear: []float64{0, 0}, G: []float64{-1, -1, -1, 0, 0, -1}, H: []float64{-1, 0, 0}})
	near(t, "z", out.Z, []float64{0.5, 0.5}, 1e-9)
	near(t, "λ", out.Lambda, []float64{1, 0, 0}, 1e-9)
	h := jacobian(t, s, 2, func(g *Gradient) []float64 { return g.H })
	near(t, "∂z/∂h", h, []float64{-0.5, 0, 0, -0.5, 0, 0}, 1e-9)
	q := jacobian(t, s, 2, func(g *Gradient) []float64 { return g.Linear })
	near(t, "∂z/∂q", q, []float64{-0.25, 0.25, 0.25, -0.25}, 1e-9)
}

// TestCVXOPTExample has the numbers of the first example of CVXOPT's manual, and derivatives worked out by hand.
func TestCVXOPTExample(t *testing.T) {
	p := &Problem{Q: []float64{4, 1, 1, 2}, Linear: []float64{1, 1}, A: []float64{1, 1}, B: []float64{1}}
	p.G, p.H = nonnegative(2)
	s, out := mustSolve(t, p)
	near(t, "z", out.Z, []float64{0.25, 0.75}, 1e-9)
	near(t, "ν", out.Nu, []float64{-2.75}, 1e-9)
	near(t, "value", []float64{out.Value}, []float64{1.875}, 1e-9)
	near(t, "∂z/∂b", jacobian(t, s, 2, func(g *Gradient) []float64 { return g.B }), []float64{0.25, 0.75}, 1e-9)
	near(t, "∂z/∂q", jacobian(t, s, 2, func(g *Gradient) []float64 { return g.Linear }), []float64{-0.25, 0.25, 0.25, -0.25}, 1e-9)
	var g Gradient
	if err := s.Gradient(&g, Upstream{Value: 1}); err != nil {
		t.Fatal(err)
	}
	near(t, "∂value/∂b", g.B, []float64{2.75}, 1e-9)
	near(t, "∂value/∂q", g.Linear, out.Z, 1e-9)
	p.Linear = []float64{0, 0}
	_, out = mustSolve(t, p)
	near(t, "z without q", out.Z, []float64{0.25, 0.75}, 1e-9)
	near(t, "ν without q", out.Nu, []float64{-1.75}, 1e-9)
}

func TestSimplex(t *testing.T) {
	s, out := mustSolve(t, simplex(1, 0.5, 0.2, 0.1))
	near(t, "z", out.Z, []float64{17. / 30, 8. / 30, 5. / 30}, 1e-9)
	// ∂z/∂x = I − 11ᵀ/3, and q = −x.
	third := 1. / 3
	near(t, "∂z/∂q", jacobian(t, s, 3, func(g *Gradient) []float64 { return g.Linear }),
		[]float64{third - 1, third, third, third, third - 1, third, third, third, third - 1}, 1e-9)

	_, out = mustSolve(t, simplex(1, 0.1, 0.2, -0.1))
	near(t, "portfolio, ε = 1", out.Z, []float64{11. / 30, 14. / 30, 5. / 30}, 1e-9)
	s, out = mustSolve(t, simplex(0, 0.1, 0.2, -0.1))
	near(t, "portfolio, ε = 0", out.Z, []float64{0, 1, 0}, 1e-9)
	near(t, "its derivative", jacobian(t, s, 3, func(g *Gradient) []float64 { return g.Linear }), make([]float64, 9), 1e-9)
}

// TestSparsemax compares with the closed form of the projection on the simplex (Martins and Astudillo 2016): sort, threshold.
func TestSparsemax(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		n := 2 + r.IntN(30)
		x := normal(r, n)
		s, out := mustSolve(t, simplex(1, x...))
		sorted := slices.Clone(x)
		slices.Sort(sorted)
		slices.Reverse(sorted)
		sum, threshold, support := 0.0, 0.0, 0
		for i, v := range sorted {
			sum += v
			if 1+float64(i+1)*v > sum {
				threshold, support = (sum-1)/float64(i+1), i+1
			}
		}
		want := make([]float64, n)
		for i, v := range x {
			want[i] = max(v-threshold, 0)
		}
		near(t, "sparsemax", out.Z, want, 1e-9)
		// The derivative is diag(s) − ssᵀ/|S| for the indicator s of the support.
		derivative := make([]float64, n*n)
		for i := range n {
			for j := range n {
				if want[i] > 0 && want[j] > 0 {
					derivative[i*n+j] = 1 / float64(support)
					if i == j {
						derivative[i*n+j]--
					}
				}
			}
		}
		near(t, "its derivative", jacobian(t, s, n, func(g *Gradient) []float64 { return g.Linear }), derivative, 1e-8)
	}
}

func TestBox(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 30 {
		n := 1 + r.IntN(20)
		p := &Problem{Q: ones(n), Linear: make([]float64, n), G: make([]float64, 2*n*n), H: make([]float64, 2*n)}
		x, want, inside := normal(r, n), make([]float64, n), make([]float64, n*n)
		for i, v := range x {
			low, high := -0.5-r.Float64()/2, 0.5+r.Float64()/2
			p.Linear[i] = -v
			p.G[2*i*n+i], p.H[2*i] = 1, high
			p.G[(2*i+1)*n+i], p.H[2*i+1] = -1, -low
			want[i] = min(max(v, low), high)
			if want[i] == v {
				inside[i*n+i] = -1
			}
		}
		s, out := mustSolve(t, p)
		near(t, "clip", out.Z, want, 1e-9)
		near(t, "its derivative", jacobian(t, s, n, func(g *Gradient) []float64 { return g.Linear }), inside, 1e-8)
	}
}

// TestEqualities compares with one dense solve of the optimality conditions.
func TestEqualities(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 30 {
		n := 2 + r.IntN(20)
		d := draw(r, shape{n: n, p: r.IntN(n), rank: n})
		s, out := mustSolve(t, &d.Problem)
		if out.Iterations != 1 {
			t.Errorf("%d factorisations without inequalities, want 1", out.Iterations)
		}
		near(t, "z", out.Z, d.z, 1e-9)
		near(t, "ν", out.Nu, d.nu, 1e-9)
		up := normal(r, n)
		var g Gradient
		if err := s.Gradient(&g, Upstream{Z: up}); err != nil {
			t.Fatal(err)
		}
		p := len(d.B)
		k := mat.NewDense(n+p, n+p, nil)
		right := mat.NewVecDense(n+p, nil)
		for i := range n {
			right.SetVec(i, up[i])
			for j := range n {
				k.Set(i, j, d.Q[i*n+j])
			}
			for l := range p {
				k.Set(i, n+l, d.A[l*n+i])
				k.Set(n+l, i, d.A[l*n+i])
			}
		}
		var w mat.VecDense
		if err := w.SolveVec(k, right); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if math.Abs(g.Linear[i]+w.AtVec(i)) > 1e-8*mat.Norm(&w, math.Inf(1)) {
				t.Errorf("∂ℓ/∂q: %v, want %v", g.Linear[i], -w.AtVec(i))
			}
		}
	}
}

// TestActiveSets compares with the best of all active sets of up to 8 inequalities, each solved as an equality problem.
func TestActiveSets(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for k := range 40 {
		n, m := 2+r.IntN(5), 1+r.IntN(8)
		d := draw(r, shape{n: n, p: r.IntN(2), m: m, rank: n, active: 0.5, margin: 0.05})
		z, set := enumerate(&d.Problem)
		s, out := mustSolve(t, &d.Problem)
		near(t, fmt.Sprintf("problem %d", k), out.Z, z, 1e-9)
		// The derivative is that of the equality problem of the active set.
		up := normal(r, n)
		var got, want Gradient
		if err := s.Gradient(&got, Upstream{Z: up}); err != nil {
			t.Fatal(err)
		}
		equal, _ := mustSolve(t, only(&d.Problem, set))
		if err := equal.Gradient(&want, Upstream{Z: up}); err != nil {
			t.Fatal(err)
		}
		scale := 1 + norm(want.Linear)
		near(t, "∂ℓ/∂q", got.Linear, want.Linear, 1e-8*scale)
		near(t, "∂ℓ/∂Q", got.Q, want.Q, 1e-8*scale)
		p := len(d.B)
		active := 0
		for _, l := range d.lambda {
			if l > 0 {
				active++
			}
		}
		if p+active > n {
			continue // the active rows depend on each other, and the multipliers are not unique
		}
		for i, row := range set {
			near(t, "∂ℓ/∂h", got.H[row:row+1], want.B[p+i:p+i+1], 1e-8*scale)
		}
	}
}

// only returns the problem with the inequalities of a set as equalities and no others.
func only(p *Problem, set []int) *Problem {
	n := len(p.Linear)
	q := &Problem{Q: p.Q, Linear: p.Linear, A: slices.Clone(p.A), B: slices.Clone(p.B)}
	for _, i := range set {
		q.A = append(q.A, p.G[i*n:i*n+n]...)
		q.B = append(q.B, p.H[i])
	}
	return q
}

// enumerate returns the feasible point of least value among the minima on all sets of active inequalities, and its set.
func enumerate(p *Problem) (z []float64, set []int) {
	n, e, m := p.Sizes()
	best := math.Inf(1)
	for bits := range 1 << m {
		var active []int
		for i := range m {
			if bits>>i&1 == 1 {
				active = append(active, i)
			}
		}
		q := only(p, active)
		size := n + e + len(active)
		k, right := mat.NewDense(size, size, nil), mat.NewVecDense(size, nil)
		for i := range n {
			right.SetVec(i, -p.Linear[i])
			for j := range n {
				k.Set(i, j, p.Q[i*n+j])
			}
			for l := range q.B {
				k.Set(i, n+l, q.A[l*n+i])
				k.Set(n+l, i, q.A[l*n+i])
			}
		}
		for l, b := range q.B {
			right.SetVec(n+l, b)
		}
		var x mat.VecDense
		if x.SolveVec(k, right) != nil {
			continue
		}
		point := x.RawVector().Data[:n]
		feasible := true
		for i := range m {
			feasible = feasible && dot(p.G[i*n:i*n+n], point) <= p.H[i]+1e-9
		}
		if v := p.Value(point); feasible && v < best {
			best, z, set = v, slices.Clone(point), active
		}
	}
	return z, set
}
