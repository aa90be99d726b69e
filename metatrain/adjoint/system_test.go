package adjoint_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/num/hyperdual"

	"learnedopt/lstm"
	"learnedopt/metatrain/adjoint"
)

func assemble(t *testing.T, p adjoint.Problem) *adjoint.System {
	t.Helper()
	sys, err := adjoint.Assemble(p)
	if err != nil {
		t.Fatal(err)
	}
	return sys
}

func solve(t *testing.T, sys *adjoint.System, m adjoint.Mask) *adjoint.Solution {
	t.Helper()
	solution, err := sys.Solve(m)
	if err != nil {
		t.Fatal(err)
	}
	return solution
}

// TestMultipliersAreAdjoints compares λ, μ and v with their formulas in docs/mathematics.md. Without second derivatives, λ
// is a reverse cumulative sum of gradients within its window. With them, v adds the Hessian's term. Nothing after the
// horizon adds to them.
func TestMultipliersAreAdjoints(t *testing.T) {
	for _, s := range settings(t, lstm.Config{Hidden: 3, Scale: 0.5}) {
		p := s.problem()
		sys := assemble(t, p)
		weight := func(i int) float64 {
			if p.Weights == nil {
				return 1
			}
			return p.Weights[i-1]
		}
		for mode, mask := range s.modes() {
			solution := solve(t, sys, mask)
			k := mask.Unroll
			if k == 0 {
				k = steps
			}
			next, hv := make([]float64, len(s.start)), make([]float64, len(s.start))
			for i := steps; i > 0; i-- {
				want := make([]float64, len(s.start))
				for j, g := range sys.Gradient(i) {
					want[j] = weight(i) * g
				}
				if i%k != 0 {
					if !mask.FirstOrder {
						hessianVector(i, hv, sys.Theta(i), solution.V(i))
					}
					for j := range want {
						want[j] += next[j] + hv[j]
					}
				}
				if d := distance(solution.Lambda(i), want); !(d < 1e-12) {
					t.Errorf("%s: λ_%d is %v, want %v", mode, i, solution.Lambda(i), want)
				}
				zero := !slices.ContainsFunc(solution.Mu(i), func(m float64) bool { return math.Abs(m) > 1e-13 })
				if zero != (i%k == 0) {
					t.Errorf("%s: μ_%d is %v at the end of a window: %v", mode, i, solution.Mu(i), i%k == 0)
				}
				next = solution.Lambda(i)
			}
		}
	}
}

// TestTrajectory compares the values in the dual numbers with an ordinary run: the losses, the gradients, and θ in the
// order of the unknowns.
func TestTrajectory(t *testing.T) {
	for _, cfg := range configs {
		p := settings(t, cfg)[1].problem()
		sys := assemble(t, p)
		ref, err := lstm.NewReference(p.Network, p.Phi)
		if err != nil {
			t.Fatal(err)
		}
		theta, g, u := slices.Clone(p.Theta0), make([]float64, 3), make([]float64, 3)
		state := ref.NewState(3)
		for k := range steps + 1 {
			f := lossGrad(k, theta, g)
			if math.Abs(sys.Losses()[k]-f) > 1e-12 || distance(sys.Gradient(k), g) > 1e-12 || distance(sys.Theta(k), theta) > 1e-12 {
				t.Fatalf("%s: step %d: loss %g, gradient %v, θ %v; want %g, %v, %v", name(cfg), k, sys.Losses()[k], sys.Gradient(k), sys.Theta(k), f, g, theta)
			}
			state.Update(u, g)
			for i := range theta {
				theta[i] += u[i]
			}
		}
	}
}

// TestJacobianBlocks checks the blocks of J against the table in the package's documentation, and the blocks that the masks
// leave out.
func TestJacobianBlocks(t *testing.T) {
	const n, size = 2, 2 * (2 + 12) // two coordinates of two layers of three units
	p := settings(t, lstm.Config{Hidden: 3, Scale: 0.5})[0].problem()
	sys := assemble(t, p)
	if sys.Unknowns() != steps*size || sys.Unknowns() >= 200 {
		t.Fatalf("%d unknowns, want %d", sys.Unknowns(), steps*size)
	}
	present := func(m adjoint.Mask) (given, crossing int) {
		j, err := sys.Jacobian(m)
		if err != nil {
			t.Fatal(err)
		}
		for row := range sys.Unknowns() {
			for column := range sys.Unknowns() {
				if j.At(row, column) == 0 {
					continue
				}
				step, back := row/size, row/size-column/size
				switch part := row % size; {
				case back == 1 && part < n && (column%size < n || column%size >= 2*n), // ∇ on the previous step's ∇ or s
					back == 1 && column%size < n,          // anything on the previous step's ∇
					back == 0 && column%size >= n,         // anything on θ, s of the same step
					back == 0 && part < n,                 // ∇ on the same step
					back != 0 && back != 1, column >= row: // a step further back, or later
					t.Fatalf("mask %+v: J[%d,%d] = %g belongs to no block", m, row, column, j.At(row, column))
				case back == 1 && part < n:
					given++
				}
				if back == 1 && step%2 == 0 {
					crossing++
				}
			}
		}
		return given, crossing
	}
	given, crossing := present(adjoint.Mask{})
	if given != (steps-1)*n*n || crossing == 0 {
		t.Errorf("%d elements of ∇²f and %d across edges, want %d and some", given, crossing, (steps-1)*n*n)
	}
	if given, crossing := present(adjoint.Mask{FirstOrder: true}); given != 0 || crossing == 0 {
		t.Errorf("first order: %d elements of ∇²f, %d across edges", given, crossing)
	}
	if given, crossing := present(adjoint.Mask{Unroll: 2}); given != 3*n*n || crossing != 0 {
		t.Errorf("windows of 2: %d elements of ∇²f, %d across edges", given, crossing)
	}
	if given, crossing := present(adjoint.Mask{FirstOrder: true, Unroll: 2}); given != 0 || crossing != 0 {
		t.Errorf("first order in windows of 2: %d elements of ∇²f, %d across edges", given, crossing)
	}
	whole, one := solve(t, sys, adjoint.Mask{}), solve(t, sys, adjoint.Mask{Unroll: steps})
	if !slices.Equal(whole.Gradient, one.Gradient) {
		t.Error("one window of T steps is not the whole horizon")
	}
}

func TestErrors(t *testing.T) {
	good := func() adjoint.Problem { return settings(t, lstm.Config{Hidden: 2})[0].problem() }
	for want, change := range map[string]func(p *adjoint.Problem){
		"hidden units":             func(p *adjoint.Problem) { p.Network.Hidden = -1 },
		"parameters for a network": func(p *adjoint.Problem) { p.Phi = p.Phi[1:] },
		"no loss":                  func(p *adjoint.Problem) { p.Loss = nil },
		"no coordinates":           func(p *adjoint.Problem) { p.Theta0 = nil },
		"at least 1":               func(p *adjoint.Problem) { p.Steps = 0 },
		"weights for":              func(p *adjoint.Problem) { p.Weights = []float64{1} },
		"at most 8192":             func(p *adjoint.Problem) { p.Steps, p.Weights = 500, nil },
		"use Check":                func(p *adjoint.Problem) { p.Theta0, p.Steps = make([]float64, 1<<40>>20), math.MaxInt },
		"stays finite": func(p *adjoint.Problem) {
			p.Loss = func(t int, theta []hyperdual.Number) hyperdual.Number {
				if t == 3 {
					return hyperdual.Number{Real: 1, E1E2mag: math.Inf(1)}
				}
				return loss(t, theta)
			}
		},
	} {
		p := good()
		change(&p)
		if _, err := adjoint.Assemble(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one about %q", err, want)
		}
	}
	sys := assemble(t, good())
	for _, k := range []int{-1, 4, 12} {
		if _, err := sys.Solve(adjoint.Mask{Unroll: k}); err == nil || !strings.Contains(err.Error(), "divisible by unroll") {
			t.Errorf("windows of %d of %d steps: %v", k, steps, err)
		}
	}
}

// Overflowing multipliers are an error, not a gradient.
func TestGradientThatOverflows(t *testing.T) {
	p := settings(t, lstm.Config{Hidden: 2})[0].problem()
	p.Weights = slices.Repeat([]float64{1.7e308}, steps)
	if _, err := assemble(t, p).Solve(adjoint.Mask{}); err == nil || !strings.Contains(err.Error(), "of the gradient is") {
		t.Errorf("error %v", err)
	}
}

// TestGradientsOfNothing: as long as all gradients are 0, √v̂ in the RNNProp inputs has no derivative, and it counts as 0.
// φ does not change these gradients, so central differences are as accurate as in TestFullMaskAgainstDifferences.
func TestGradientsOfNothing(t *testing.T) {
	s := settings(t, lstm.Config{Hidden: 3, Inputs: lstm.RNNProp, Scale: 0.5})[0]
	p := s.problem()
	const quiet = 2 // number of first steps at which the optimizee is flat
	p.Loss = func(t int, theta []hyperdual.Number) hyperdual.Number {
		if t < quiet {
			return hyperdual.Number{}
		}
		return loss(t, theta)
	}
	sys := assemble(t, p)
	if sys.Gradient(1)[0] != 0 || sys.Gradient(quiet)[0] == 0 {
		t.Fatalf("gradients %v, %v", sys.Gradient(1), sys.Gradient(quiet))
	}
	if d := distance(solve(t, sys, adjoint.Mask{}).Gradient, differences(t, p, quiet)); !(d <= 1e-7) {
		t.Errorf("%.2g from central differences", d)
	}
}
