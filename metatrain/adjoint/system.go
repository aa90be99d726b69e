package adjoint

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/num/dual"
)

// A Mask says which blocks of the Jacobian are left out. The zero value leaves out none and gives the exact gradient.
type Mask struct {
	// FirstOrder leaves out ∂∇_t/∂θ_t at every step. The gradients that the network reads then count as constants
	// (Andrychowicz et al. 2016, section 2.1).
	FirstOrder bool
	// Unroll is the length K of a window, which must divide T. It leaves out all blocks through which a window
	// depends on the previous window. A window's start then counts as a constant: truncation. 0 means T, one window.
	Unroll int
}

// A System is the linearised unroll of a Problem: its trajectory and all its derivatives. It is immutable.
type System struct {
	p     Problem
	n, s  int         // number of coordinates, and of state variables per coordinate
	theta [][]float64 // θ_0 … θ_T
	loss  []float64   // f_0(θ_0) … f_T(θ_T)
	grad  [][]float64 // ∇f_0(θ_0) … ∇f_T(θ_T)

	jacobian *mat.Dense    // ∂G/∂z, unmasked
	dphi     *mat.Dense    // ∂G/∂φ
	df       *mat.VecDense // ∂F/∂z
}

// Assemble runs the unroll and computes its derivatives by dual numbers. It returns an error if p is invalid, or if a loss
// or a derivative of a loss is not finite.
func Assemble(p Problem) (*System, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	p.Network = p.Network.WithDefaults()
	sys := &System{p: p, n: len(p.Theta0), s: stateSize(p.Network)}
	unknowns := p.unknowns()
	sys.jacobian = mat.NewDense(unknowns, unknowns, nil)
	sys.dphi = mat.NewDense(unknowns, len(p.Phi), nil)
	sys.df = mat.NewVecDense(unknowns, nil)

	theta, state := append([]float64(nil), p.Theta0...), make([]float64, sys.n*sys.s)
	for t := 0; ; t++ {
		loss, grad, hessian, err := p.derivatives(t, theta)
		if err != nil {
			return nil, err
		}
		sys.theta, sys.loss, sys.grad = append(sys.theta, theta), append(sys.loss, loss), append(sys.grad, grad)
		if t > 0 {
			for i, g := range grad {
				sys.df.SetVec(sys.atTheta(t)+i, p.weight(t)*g)
			}
		}
		if t == p.Steps {
			return sys, nil
		}
		if t > 0 {
			for i := range grad {
				for j := range grad {
					sys.jacobian.Set(sys.atGrad(t)+i, sys.atTheta(t)+j, hessian[i*sys.n+j])
				}
			}
		}
		theta, state = sys.step(t, grad, theta, state)
	}
}

// step takes step t and fills in its derivatives, coordinate by coordinate and network input by network input.
func (sys *System) step(t int, grad, theta, state []float64) (nextTheta, nextState []float64) {
	for i := range sys.n {
		g, s := real(grad[i]), duals(state[i*sys.s:][:sys.s])
		net := network{sys.p.Network, duals(sys.p.Phi)}
		u, next := net.step(g, s, t)
		nextTheta = append(nextTheta, theta[i]+u.Real)
		for _, v := range next {
			nextState = append(nextState, v.Real)
		}

		atTheta, atState := sys.atTheta(t+1)+i, sys.atState(t+1)+i*sys.s
		enter := func(m *mat.Dense, column int, input *dual.Number) {
			input.Emag = 1
			u, next := net.step(g, s, t)
			input.Emag = 0
			m.Set(atTheta, column, u.Emag)
			for j, v := range next {
				m.Set(atState+j, column, v.Emag)
			}
		}
		enter(sys.jacobian, sys.atGrad(t)+i, &g)
		if t > 0 {
			sys.jacobian.Set(atTheta, sys.atTheta(t)+i, 1)
			for j := range s {
				enter(sys.jacobian, sys.atState(t)+i*sys.s+j, &s[j])
			}
		}
		for k := range net.phi {
			enter(sys.dphi, k, &net.phi[k])
		}
	}
	return nextTheta, nextState
}

// atGrad, atTheta and atState return the index in z of the first component of ∇_t (0 ≤ t < T), of θ_t and of s_t
// (0 < t ≤ T).
func (sys *System) atGrad(t int) int  { return t * sys.group() }
func (sys *System) atTheta(t int) int { return (t-1)*sys.group() + sys.n }
func (sys *System) atState(t int) int { return (t-1)*sys.group() + 2*sys.n }

// group is the number of unknowns of a step.
func (sys *System) group() int { return sys.n * (2 + sys.s) }

// Unknowns returns the number of unknowns, T·n·(2+S).
func (sys *System) Unknowns() int { return sys.p.unknowns() }

// Losses returns f_0(θ_0) … f_T(θ_T).
func (sys *System) Losses() []float64 { return append([]float64(nil), sys.loss...) }

// Theta returns θ_t, 0 ≤ t ≤ T.
func (sys *System) Theta(t int) []float64 { return append([]float64(nil), sys.theta[t]...) }

// Gradient returns ∇f_t(θ_t), 0 ≤ t ≤ T.
func (sys *System) Gradient(t int) []float64 { return append([]float64(nil), sys.grad[t]...) }

// Jacobian returns J = ∂G/∂z, with the blocks that the mask leaves out set to 0. It returns an error if the mask's Unroll
// does not divide T.
func (sys *System) Jacobian(m Mask) (*mat.Dense, error) {
	if m.Unroll < 0 || m.Unroll > 0 && sys.p.Steps%m.Unroll != 0 {
		return nil, fmt.Errorf("adjoint: %d steps are not a whole number of windows of %d; choose steps divisible by unroll", sys.p.Steps, m.Unroll)
	}
	j := mat.DenseCopyOf(sys.jacobian)
	size := sys.group()
	for t := 1; t < sys.p.Steps; t++ { // step 0 depends on no earlier unknown
		rows := 0
		switch {
		case m.Unroll > 0 && t%m.Unroll == 0:
			rows = size
		case m.FirstOrder:
			rows = sys.n // ∇_t
		default:
			continue
		}
		j.Slice(t*size, t*size+rows, (t-1)*size, t*size).(*mat.Dense).Zero()
	}
	return j, nil
}

// A Solution is the result of System.Solve.
type Solution struct {
	// Gradient is dF/dφ.
	Gradient []float64
	// Multipliers is Λ, in the order of the unknowns.
	Multipliers []float64

	sys *System
}

// Lambda returns λ_t, the multiplier of θ_t, 0 < t ≤ T. It has n numbers.
func (s *Solution) Lambda(t int) []float64 { return s.Multipliers[s.sys.atTheta(t):][:s.sys.n] }

// Mu returns μ_t, the multiplier of s_t, 0 < t ≤ T. It has n·S numbers.
func (s *Solution) Mu(t int) []float64 { return s.Multipliers[s.sys.atState(t):][:s.sys.n*s.sys.s] }

// V returns v_t, the multiplier of ∇_t, 0 ≤ t < T. It has n numbers:
//
//	v_t = ∂u/∂∇_tᵀ λ_{t+1} + ∂S/∂∇_tᵀ μ_{t+1} .
func (s *Solution) V(t int) []float64 { return s.Multipliers[s.sys.atGrad(t):][:s.sys.n] }

// Solve solves (I − J)ᵀ Λ = ∂F/∂z by LU decomposition, with the masked J. It returns Λ and the meta-gradient
// dF/dφ = Λᵀ ∂G/∂φ. With several windows the gradient is the sum over windows. It returns an error if the mask's Unroll
// does not divide T, or if the gradient is not finite.
func (sys *System) Solve(m Mask) (*Solution, error) {
	j, err := sys.Jacobian(m)
	if err != nil {
		return nil, err
	}
	j.Scale(-1, j)
	for i := range sys.Unknowns() {
		j.Set(i, i, 1+j.At(i, i))
	}
	var lu mat.LU
	lu.Factorize(j.T())
	var multipliers, gradient mat.VecDense
	// The matrix is triangular with ones on its diagonal, so it has an inverse. RNNProp divides the first gradients by
	// ε, which can make the condition number so large that gonum warns. The warning is ignored: substitution is backward
	// stable whatever the scales.
	var condition mat.Condition
	if err := lu.SolveVecTo(&multipliers, false, sys.df); err != nil && !errors.As(err, &condition) {
		return nil, fmt.Errorf("adjoint: solving for the multipliers: %w", err)
	}
	gradient.MulVec(sys.dphi.T(), &multipliers)
	for i, d := range gradient.RawVector().Data {
		if math.IsNaN(d) || math.IsInf(d, 0) {
			return nil, fmt.Errorf("adjoint: component %d of the gradient is %v; take fewer steps or smaller parameters", i, d)
		}
	}
	return &Solution{Gradient: gradient.RawVector().Data, Multipliers: multipliers.RawVector().Data, sys: sys}, nil
}

func duals(x []float64) []dual.Number {
	d := make([]dual.Number, len(x))
	for i, v := range x {
		d[i].Real = v
	}
	return d
}
