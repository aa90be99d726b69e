package lstm

// Follow adds to dphi the gradient with respect to φ of a function L(u_0, …, u_{K−1}) of the
// updates themselves:
//
//	dphi += Σ_{t<K} du_t/dφᵀ ∂L/∂u_t
//
// The network makes the updates from state start when it reads grads, which count as
// constants, and so do contexts, what the network saw (State.Context, nil without eyes). slopes are the derivatives ∂L/∂u_t at these updates. du_t/dφ includes the
// effect of φ through the states of earlier steps. grads and slopes are K slices of n
// coordinates each; wrong lengths panic. slopes is overwritten.
func (a *Adjoint) Follow(dphi []float64, start *State, grads, contexts, slopes [][]float32) {
	a.a.follow(dphi, &start.s, grads, contexts, slopes)
}

// Follow is Adjoint.Follow in float64.
func (a *ReferenceAdjoint) Follow(dphi []float64, start *ReferenceState, grads, contexts, slopes [][]float64) {
	a.a.follow(dphi, &start.s, grads, contexts, slopes)
}

// follow calls run so that λ_{t+1} = slopes[t]. run sums the seeds from the window's end
// to get λ, so the seeds are differences of slopes.
func (a *adjoint[T]) follow(dphi []float64, start *state[T], grads, contexts, slopes [][]T) {
	if len(grads) == 0 || len(slopes) != len(grads) {
		panic(errWindow)
	}
	for _, slope := range slopes {
		if len(slope) != start.n {
			panic(errLength)
		}
	}
	for t, slope := range slopes[:len(slopes)-1] {
		for i, next := range slopes[t+1] {
			slope[i] -= next
		}
	}
	a.run(dphi, start, grads, contexts, slopes, nil, nil, nil)
}
