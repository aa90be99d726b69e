package metaopt

import (
	"context"
	"fmt"
	"math"

	"learnedopt/lstm"
	"learnedopt/optimizer"
)

// An Estimator estimates the gradient of the meta-loss with respect to φ.
type Estimator interface {
	// Estimate takes the next k inner steps of the episode and adds the
	// estimate for that window to dphi. If the window diverged, dphi is left
	// as it was.
	Estimate(ctx context.Context, dphi []float64, ep *Episode, k int) (Window, error)
}

// TruncatedBackprop differentiates one window at a time,
//
//	L(φ) = Σ_{t=1..K} w_t f_t(θ_t),
//
// with θ_0 and s_0, where the window starts, taken as given (Andrychowicz et
// al. 2016, section 2.1). The original code adds f_0(θ_0), which does not depend on
// φ. It holds working memory and belongs to one goroutine; the zero value is the
// paper's estimator.
type TruncatedBackprop struct {
	// SecondDerivatives also differentiates through the gradients that the
	// network reads, which the paper takes as given. It costs a Hessian-vector
	// product a step: exact where the problem is an optimizer.HessianVector, else
	// a central difference of gradients on the same data.
	SecondDerivatives bool
	// Weights are w_1 … w_K. Default: 1 each.
	Weights []float64

	adjoint lstm.Adjoint
	start   *lstm.State
	grads   [][]float32
	// With second derivatives: the points and states of the window.
	thetas [][]float32
	states []*lstm.State
	mu     *lstm.State
	lambda []float32
	dgrad  []float32
	hv     []float32
	point  []float32
}

var _ Estimator = (*TruncatedBackprop)(nil)

// Estimate implements Estimator.
func (tb *TruncatedBackprop) Estimate(ctx context.Context, dphi []float64, ep *Episode, k int) (Window, error) {
	if tb.Weights != nil && len(tb.Weights) != k {
		return Window{}, fmt.Errorf("metaopt: %d weights for a window of %d steps", len(tb.Weights), k)
	}
	tb.reserve(ep, k)
	if tb.SecondDerivatives {
		return tb.full(ctx, dphi, ep, k)
	}
	tb.start.CopyFrom(ep.State)
	w, err := ep.Unroll(ctx, tb.grads[:k+1], nil)
	if err != nil || w.Diverged != nil {
		return w, err
	}
	tb.adjoint.Unroll(dphi, tb.start, tb.grads[:k+1], tb.Weights)
	return w, nil
}

// full is Estimate with second derivatives. With λ and μ the multipliers of the
// step equations of θ and s,
//
//	λ_t = w_t g_t + λ_{t+1} + H_t (∂u_t/∂g_tᵀ λ_{t+1} + ∂S/∂g_tᵀ μ_{t+1})
func (tb *TruncatedBackprop) full(ctx context.Context, dphi []float64, ep *Episode, k int) (Window, error) {
	first := ep.Step
	w, err := ep.Unroll(ctx, tb.grads[:k+1], func(t int) {
		copy(tb.thetas[t], ep.Theta)
		tb.states[t].CopyFrom(ep.State)
	})
	if err != nil || w.Diverged != nil {
		return w, err
	}
	weight := func(t int) float32 { // of f(θ_t)
		switch {
		case t == 0:
			return 0
		case tb.Weights == nil:
			return 1
		}
		return float32(tb.Weights[t-1])
	}
	tb.mu.Zero()
	for i, g := range tb.grads[k] {
		tb.lambda[i] = weight(k) * g
	}
	for t := k - 1; t >= 0; t-- {
		tb.adjoint.Step(dphi, tb.states[t], tb.grads[t], tb.lambda, tb.mu, tb.dgrad)
		if t == 0 {
			break // λ_0 belongs to θ_0, which is given
		}
		if err := tb.hessianVector(ep, first+t, tb.thetas[t]); err != nil {
			return w, err
		}
		wt := weight(t)
		for i, g := range tb.grads[t] {
			tb.lambda[i] += wt*g + tb.hv[i]
		}
	}
	ep.seek(ep.Step + 1) // the gradient at ep.Step is already known
	return w, nil
}

// hessianVector computes hv = ∇²f_t(θ)·dgrad.
func (tb *TruncatedBackprop) hessianVector(ep *Episode, t int, theta []float32) error {
	if h, ok := ep.Problem.(optimizer.HessianVector); ok {
		ep.seek(t)
		return h.HessianVector(tb.hv, theta, tb.dgrad)
	}
	// A central difference along v with the largest step h·‖v‖∞ = ε^{1/3}·‖θ‖∞:
	// there the rounding of float32 gradients, ε/h, and the truncation, h², balance.
	largest, scale := 0.0, 1.0
	for i, v := range tb.dgrad {
		largest = max(largest, math.Abs(float64(v)))
		scale = max(scale, math.Abs(float64(theta[i])))
	}
	if largest == 0 {
		clear(tb.hv)
		return nil
	}
	const cubeRootEpsilon = 4e-3
	h := float32(cubeRootEpsilon * scale / largest)
	for side, sign := range []float32{1, -1} {
		for i, v := range tb.dgrad {
			tb.point[i] = theta[i] + sign*h*v
		}
		ep.seek(t)
		grad := tb.hv
		if side == 1 {
			grad = tb.thetas[len(tb.thetas)-1]
		}
		if _, err := ep.Problem.LossGrad(tb.point, grad); err != nil {
			return err
		}
	}
	for i, g := range tb.thetas[len(tb.thetas)-1] {
		tb.hv[i] = (tb.hv[i] - g) / (2 * h)
	}
	return nil
}

// reserve makes room for windows of k steps of the episode.
func (tb *TruncatedBackprop) reserve(ep *Episode, k int) {
	n := len(ep.Theta)
	if tb.start == nil || !tb.start.Fits(ep.State) {
		tb.start = ep.State.Clone()
		tb.grads, tb.thetas, tb.states = nil, nil, nil
	}
	for len(tb.grads) < k+1 {
		tb.grads = append(tb.grads, make([]float32, n))
	}
	if !tb.SecondDerivatives || len(tb.states) >= k {
		return
	}
	for len(tb.states) < k {
		tb.states = append(tb.states, ep.State.Clone())
	}
	for len(tb.thetas) < k+1 { // one more, for a difference of gradients
		tb.thetas = append(tb.thetas, make([]float32, n))
	}
	tb.mu = ep.State.Clone()
	tb.lambda, tb.dgrad = make([]float32, n), make([]float32, n)
	tb.hv, tb.point = make([]float32, n), make([]float32, n)
}
