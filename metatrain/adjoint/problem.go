package adjoint

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/num/hyperdual"

	"learnedopt/lstm"
)

// A Loss is f_t(θ) in hyper-dual numbers, which also compute the gradient and the Hessian (Fike and Alonso 2011). It must
// not keep or change theta.
type Loss func(t int, theta []hyperdual.Number) hyperdual.Number

// A Problem is an unroll of T steps from a fresh state, small enough for one dense matrix.
type Problem struct {
	// Network is the shape of the network. Phi holds its parameters φ in the order of lstm.Network's Tensors.
	Network lstm.Config
	Phi     []float64
	// Loss is the optimizee. Theta0 is its starting point θ_0 of n coordinates.
	Loss   Loss
	Theta0 []float64
	// Steps is T.
	Steps int
	// Weights are w_1 … w_T. Default: 1 each.
	Weights []float64
}

// maxUnknowns bounds the matrix to 512 MiB.
const maxUnknowns = 8192

// Validate returns an error if p is invalid or needs too large a matrix.
func (p Problem) Validate() error {
	size, err := lstm.Size(p.Network)
	switch {
	case err != nil:
		return err
	case len(p.Phi) != size:
		return fmt.Errorf("adjoint: %d parameters for a network of %d", len(p.Phi), size)
	case p.Loss == nil:
		return errors.New("adjoint: no loss")
	case len(p.Theta0) == 0:
		return errors.New("adjoint: a starting point of no coordinates")
	case p.Steps < 1:
		return fmt.Errorf("adjoint: %d steps; there must be at least 1", p.Steps)
	case p.Weights != nil && len(p.Weights) != p.Steps:
		return fmt.Errorf("adjoint: %d weights for %d steps", len(p.Weights), p.Steps)
	case len(p.Theta0) > maxUnknowns || p.Steps > maxUnknowns || p.unknowns() > maxUnknowns:
		return fmt.Errorf("adjoint: %d coordinates and %d steps are too many unknowns for a dense matrix, which has at most %d; use Check, or fewer of either",
			len(p.Theta0), p.Steps, maxUnknowns)
	}
	return nil
}

func (p Problem) unknowns() int {
	return p.Steps * len(p.Theta0) * (2 + stateSize(p.Network.WithDefaults()))
}

// weight is w_t, t ≥ 1.
func (p Problem) weight(t int) float64 {
	if p.Weights == nil {
		return 1
	}
	return p.Weights[t-1]
}

// derivatives returns f_t(θ), ∇f_t(θ) and, in row-major order, ∇²f_t(θ). It evaluates the loss once for each pair of
// coordinates, with an infinitesimal in both.
func (p Problem) derivatives(t int, theta []float64) (loss float64, grad, hessian []float64, err error) {
	n := len(theta)
	grad, hessian = make([]float64, n), make([]float64, n*n)
	for i := range n {
		for j := range n {
			x := make([]hyperdual.Number, n)
			for k, v := range theta {
				x[k].Real = v
			}
			x[i].E1mag, x[j].E2mag = 1, 1
			f := p.Loss(t, x)
			loss, grad[i], hessian[i*n+j] = f.Real, f.E1mag, f.E1E2mag
			for _, v := range []float64{f.Real, f.E1mag, f.E1E2mag} {
				if math.IsNaN(v) || math.IsInf(v, 0) {
					return 0, nil, nil, fmt.Errorf("adjoint: the loss or a derivative of it is %v at step %d; choose a start or parameters from which the unroll stays finite", v, t)
				}
			}
		}
	}
	return loss, grad, hessian, nil
}
