package layers

import (
	"errors"
	"fmt"
	"log"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"learnedopt/qp"
)

// node adds a tensor with a value to a graph.
func node(g *gorgonia.ExprGraph, name string, v []float32, shape ...int) *gorgonia.Node {
	return gorgonia.NewTensor(g, tensor.Float32, len(shape), gorgonia.WithShape(shape...), gorgonia.WithName(name),
		gorgonia.WithValue(tensor.New(tensor.WithShape(shape...), tensor.WithBacking(v))))
}

func normal(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

func floats(n *gorgonia.Node) []float32 { return n.Value().Data().([]float32) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// run builds a graph with build, whose nodes are given values, and returns the loss and the gradient of each.
func run(t testing.TB, values [][]float32, shapes [][]int, build func(nodes []*gorgonia.Node) *gorgonia.Node) (float64, [][]float32) {
	t.Helper()
	g := gorgonia.NewGraph()
	var nodes gorgonia.Nodes
	for i, v := range values {
		nodes = append(nodes, node(g, fmt.Sprint("input", i), append([]float32(nil), v...), shapes[i]...))
	}
	loss := build(nodes)
	_, err := gorgonia.Grad(loss, nodes...)
	must(t, err)
	machine := gorgonia.NewTapeMachine(g, gorgonia.BindDualValues(nodes...))
	defer machine.Close()
	must(t, machine.RunAll())
	var grads [][]float32
	for _, n := range nodes {
		d, err := n.Grad()
		must(t, err)
		grads = append(grads, append([]float32(nil), d.Data().([]float32)...))
	}
	return float64(loss.Value().Data().(float32)), grads
}

// weighted is the loss Σ w_ij z_ij.
func weighted(z *gorgonia.Node, w []float32) *gorgonia.Node {
	c := gorgonia.NewConstant(tensor.New(tensor.WithShape(z.Shape()...), tensor.WithBacking(w)))
	return gorgonia.Must(gorgonia.Sum(gorgonia.Must(gorgonia.HadamardProd(z, c))))
}

// check compares all gradients with central differences: of float32 losses of about 1, with a step of 1e-2, so 1e-5 of
// rounding and 1e-4 times third derivatives remain.
func check(t *testing.T, values [][]float32, shapes [][]int, build func([]*gorgonia.Node) *gorgonia.Node) {
	t.Helper()
	_, grads := run(t, values, shapes, build)
	const step = 1e-2
	for k, v := range values {
		for i := range v {
			keep := v[i]
			var l [2]float64
			for side, sign := range [...]float32{1, -1} {
				v[i] = keep + sign*step
				l[side], _ = run(t, values, shapes, build)
			}
			v[i] = keep
			want := (l[0] - l[1]) / (2 * step)
			if got := float64(grads[k][i]); math.Abs(got-want) > 2e-3*(1+math.Abs(want)) {
				t.Errorf("input %d, number %d: gradient %.5g, differences %.5g", k, i, got, want)
			}
		}
	}
}

// TestQuadraticProgramGradients checks every input, shared and one for each row, at a loss of z, ν and λ.
func TestQuadraticProgramGradients(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const rows, n, p, m = 2, 3, 1, 2
	wz, wn, wl := normal(r, rows*n), normal(r, rows*p), normal(r, rows*m)
	for _, batched := range []bool{false, true} {
		values := [][]float32{{3, 0.5, 0, 0.5, 2, 0.3, 0, 0.3, 2.5}, normal(r, rows*n), normal(r, p*n), {0.5}, {-1, 0, 0, 0, 1, 0.2}, {0.1, 0.3}}
		shapes := [][]int{{n, n}, {rows, n}, {p, n}, {p}, {m, n}, {m}}
		if batched {
			for k := range values {
				if k == 1 {
					continue
				}
				values[k] = append(values[k], values[k]...)
				shapes[k] = append([]int{rows}, shapes[k]...)
			}
		}
		check(t, values, shapes, func(x []*gorgonia.Node) *gorgonia.Node {
			s, err := QuadraticProgram(Problem{x[0], x[1], x[2], x[3], x[4], x[5]}, qp.Options{})
			must(t, err)
			return gorgonia.Must(gorgonia.Add(weighted(s.Z, wz), gorgonia.Must(gorgonia.Add(weighted(s.Nu, wn), weighted(s.Lambda, wl)))))
		})
	}
	// A diagonal Q and no equalities.
	check(t, [][]float32{{2, 1, 3}, normal(r, rows*n), {-1, 0, 0}, {0.5}}, [][]int{{n}, {rows, n}, {1, n}, {1}}, func(x []*gorgonia.Node) *gorgonia.Node {
		s, err := QuadraticProgram(Problem{Q: x[0], Linear: x[1], G: x[2], H: x[3]}, qp.Options{})
		must(t, err)
		return weighted(s.Z, wz)
	})
}

// TestSparsemax compares with Gorgonia's own operation.
func TestSparsemax(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	const rows, n = 8, 6
	g := gorgonia.NewGraph()
	x := node(g, "x", normal(r, rows*n), rows, n)
	own := gorgonia.Must(gorgonia.Sparsemax(x))
	negative := make([]float32, n*n)
	for i := range n {
		negative[i*n+i] = -1
	}
	s, err := QuadraticProgram(Problem{
		Q: node(g, "Q", []float32{1, 1, 1, 1, 1, 1}, n), Linear: gorgonia.Must(gorgonia.Neg(x)),
		A: node(g, "A", []float32{1, 1, 1, 1, 1, 1}, 1, n), B: node(g, "b", []float32{1}, 1),
		G: node(g, "G", negative, n, n), H: node(g, "h", make([]float32, n), n),
	}, qp.Options{})
	must(t, err)
	machine := gorgonia.NewTapeMachine(g)
	defer machine.Close()
	must(t, machine.RunAll())
	for i, v := range floats(s.Z) {
		if want := floats(own)[i]; math.Abs(float64(v-want)) > 1e-6 {
			t.Errorf("number %d: %g, Gorgonia's sparsemax %g", i, v, want)
		}
	}
}

func TestEquilibriumGradients(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	const rows, n, d = 3, 4, 2
	w := normal(r, n*n)
	for i := range w {
		w[i] *= 0.2
	}
	weights := normal(r, rows*n)
	check(t, [][]float32{w, normal(r, n*d), normal(r, n), normal(r, rows*d)}, [][]int{{n, n}, {n, d}, {n}, {rows, d}}, func(x []*gorgonia.Node) *gorgonia.Node {
		z, err := Equilibrium(x[0], x[1], x[2], x[3])
		must(t, err)
		return weighted(z, weights)
	})
}

func TestErrors(t *testing.T) {
	g := gorgonia.NewGraph()
	matrix := func(shape ...int) *gorgonia.Node {
		return node(g, fmt.Sprint(shape), make([]float32, tensor.Shape(shape).TotalSize()), shape...)
	}
	for want, p := range map[string]Problem{
		"Linear has to be":       {},
		"A goes with B":          {Linear: matrix(2, 3), A: matrix(1, 3)},
		"G has shape (2, 4)":     {Linear: matrix(2, 3), G: matrix(2, 4), H: matrix(2)},
		"Q has shape (2, 3)":     {Linear: matrix(2, 3), Q: matrix(2, 3)},
		"B has shape (3, 1), wa": {Linear: matrix(2, 3), A: matrix(1, 3), B: matrix(3, 1)},
	} {
		if _, err := QuadraticProgram(p, qp.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	if _, err := Equilibrium(matrix(2, 2), matrix(2, 3), matrix(2), matrix(5, 4)); err == nil {
		t.Error("no error for U of the wrong shape")
	}
	// The second problem is infeasible: z ≤ 0 and −z ≤ −1.
	s, err := QuadraticProgram(Problem{Q: node(g, "q", []float32{1}, 1), Linear: matrix(2, 1), G: node(g, "g", []float32{1, -1}, 2, 1), H: node(g, "h", []float32{0, 1, 0, -1}, 2, 2)}, qp.Options{})
	must(t, err)
	machine := gorgonia.NewTapeMachine(g)
	defer machine.Close()
	err = machine.RunAll()
	var infeasible *qp.InfeasibleError
	if !errors.As(err, &infeasible) && (err == nil || !strings.Contains(err.Error(), "row 1 of the batch: qp: infeasible")) {
		t.Errorf("error %v of %v, want *qp.InfeasibleError of row 1", err, s.Z)
	}
}

// A budget and limits are learned from decisions: someone spends at most b in all and at most h_j on each of three goods, and we see what
// is bought at 40 prices.
func Example() {
	r := rand.New(rand.NewPCG(7, 8))
	const rows, n = 40, 3
	prices, bought := make([]float32, rows*n), make([]float32, rows*n)
	for i := range rows {
		p := qp.Problem{Q: []float64{1, 1, 1}, Linear: make([]float64, n), G: []float64{1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1}, H: []float64{2, 0.5, 1, 1.5}}
		for j := range n {
			prices[i*n+j] = -3 * r.Float32()
			p.Linear[j] = float64(prices[i*n+j])
		}
		var solver qp.InteriorPoint
		var s qp.Solution
		if err := solver.Solve(&s, &p); err != nil {
			log.Fatal(err)
		}
		for j, z := range s.Z {
			bought[i*n+j] = float32(z)
		}
	}

	g := gorgonia.NewGraph()
	limits := node(g, "h", []float32{1, 1, 1, 1}, 4) // the budget, then the limits: all 1 at first
	s, err := QuadraticProgram(Problem{
		Q: node(g, "Q", []float32{1, 1, 1}, n), Linear: node(g, "prices", prices, rows, n),
		G: node(g, "G", []float32{1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1}, 4, n), H: limits,
	}, qp.Options{Weak: qp.AsInactive})
	if err != nil {
		log.Fatal(err)
	}
	target := node(g, "bought", bought, rows, n)
	loss := gorgonia.Must(gorgonia.Mean(gorgonia.Must(gorgonia.Square(gorgonia.Must(gorgonia.Sub(s.Z, target))))))
	if _, err := gorgonia.Grad(loss, limits); err != nil {
		log.Fatal(err)
	}
	machine := gorgonia.NewTapeMachine(g, gorgonia.BindDualValues(limits))
	defer machine.Close()
	solver := gorgonia.NewAdamSolver(gorgonia.WithLearnRate(0.02))
	for range 300 {
		if err := machine.RunAll(); err != nil {
			log.Fatal(err)
		}
		if err := solver.Step(gorgonia.NodesToValueGrads(gorgonia.Nodes{limits})); err != nil {
			log.Fatal(err)
		}
		machine.Reset()
	}
	fmt.Printf("budget and limits: %.2f\n", limits.Value().Data())
	// Output: budget and limits: [2.00 0.50 1.00 1.50]
}
