package lstm

// An Adjoint computes gradients of a meta-loss with respect to φ. It holds
// working memory, which does not grow with the number of coordinates, and may be
// used for many networks one after another. It belongs to one goroutine.
type Adjoint struct {
	a adjoint[float32]
}

// Unroll adds to dphi the gradient with respect to φ of the meta-loss of a
// window of K steps that began in state start,
//
//	L(φ) = Σ_{t=1..K} w_t f_t(θ_t),   θ_{t+1} = θ_t + u_t,
//
// without second derivatives: the gradients that the network reads are taken
// as given (Andrychowicz et al. 2016, section 2.1). grads are the K+1 gradients
// ∇f_0(θ_0) … ∇f_K(θ_K) of n coordinates each; weights are w_1 … w_K, nil for
// all 1. The work is spread over GOMAXPROCS goroutines; the result does not
// depend on how many.
func (a *Adjoint) Unroll(dphi []float64, start *State, grads [][]float32, weights []float64) {
	if len(grads) == 0 {
		panic(errWindow)
	}
	a.a.run(dphi, &start.s, grads[:len(grads)-1], grads[1:], weights, nil, nil)
}

// Step goes backwards through the one update that the network makes in state
// start on reading grad: given the adjoints λ of the parameters and mu of the
// state after it, it adds the share of φ to dphi, overwrites mu with the adjoint
// of the state before it, and dgrad with the adjoint of the gradient:
//
//	dphi  += ∂u/∂φᵀ λ + ∂S/∂φᵀ μ
//	mu    = ∂u/∂sᵀ λ + ∂S/∂sᵀ μ
//	dgrad = ∂u/∂gᵀ λ + ∂S/∂gᵀ μ
//
// mu is laid out as a state is; NewState makes one that is 0. With it an unroll
// can be differentiated through the gradients themselves.
func (a *Adjoint) Step(dphi []float64, start *State, grad, lambda []float32, mu *State, dgrad []float32) {
	one := &a.a.one
	one[0][0], one[1][0] = grad, lambda
	a.a.run(dphi, &start.s, one[0][:], one[1][:], nil, &mu.s, dgrad)
	one[0][0], one[1][0] = nil, nil
}
