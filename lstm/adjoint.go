package lstm

// An Adjoint computes gradients of a meta-loss with respect to φ. It holds
// working memory whose size does not depend on the number of coordinates. It can
// serve many networks, one after another. It belongs to one goroutine.
type Adjoint struct {
	a adjoint[float32]
}

// Unroll adds the gradient of a meta-loss with respect to φ to dphi. The meta-loss
// is over a window of K steps that began in state start:
//
//	L(φ) = Σ_{t=1..K} w_t f_t(θ_t),   θ_{t+1} = θ_t + u_t
//
// Second derivatives are left out: the gradients that the network reads count as
// constants (Andrychowicz et al. 2016, section 2.1). grads are the K+1 gradients
// ∇f_0(θ_0) … ∇f_K(θ_K) of n coordinates each. weights are w_1 … w_K; nil means
// all 1. The work is spread over GOMAXPROCS goroutines; the result does not
// depend on their number. Wrong lengths panic.
//
// contexts are State.Context after each of the K updates. They count as constants too. For a network without eyes
// contexts is nil.
func (a *Adjoint) Unroll(dphi []float64, start *State, grads, contexts [][]float32, weights []float64) {
	if len(grads) == 0 {
		panic(errWindow)
	}
	a.a.run(dphi, &start.s, grads[:len(grads)-1], contexts, grads[1:], weights, nil, nil)
}

// Step goes backwards through one update: the update that the network makes in state
// start when it reads grad. It gets the adjoints after the update: lambda of the
// parameters, and mu of the state. It adds φ's part to dphi, overwrites mu with the
// adjoint of the state before the update, and dgrad with the adjoint of the gradient:
//
//	dphi  += ∂u/∂φᵀ λ + ∂S/∂φᵀ μ
//	mu    = ∂u/∂sᵀ λ + ∂S/∂sᵀ μ
//	dgrad = ∂u/∂gᵀ λ + ∂S/∂gᵀ μ
//
// context is State.Context after the update, which counts as a constant: nil for a network without eyes. mu has the
// layout of a state: a Clone that was set to Zero. With Step a caller can
// differentiate an unroll through the gradients too. Wrong lengths panic.
func (a *Adjoint) Step(dphi []float64, start *State, grad, context, lambda []float32, mu *State, dgrad []float32) {
	one := &a.a.one
	one[0][0], one[1][0], one[2][0] = grad, lambda, context
	a.a.run(dphi, &start.s, one[0][:], one[2][:], one[1][:], nil, &mu.s, dgrad)
	one[0][0], one[1][0], one[2][0] = nil, nil, nil
}
