package lstm

// Follow adds to dphi the gradient with respect to φ of a function of the updates
// themselves, of which slopes are the derivatives ∂L/∂u_t at the K updates that the network
// makes from state start on reading grads, which are taken as given:
//
//	dphi += Σ_{t<K} du_t/dφᵀ ∂L/∂u_t
//
// with what an earlier update's state does to a later one counted in. grads and slopes
// are K slices of n coordinates each. slopes is overwritten.
func (a *Adjoint) Follow(dphi []float64, start *State, grads, slopes [][]float32) {
	a.a.follow(dphi, &start.s, grads, slopes)
}

// Follow is Adjoint.Follow.
func (a *ReferenceAdjoint) Follow(dphi []float64, start *ReferenceState, grads, slopes [][]float64) {
	a.a.follow(dphi, &start.s, grads, slopes)
}

// follow is run with λ_{t+1} = slopes[t]: run adds seeds up from the window's end,
// so the seeds are differences.
func (a *adjoint[T]) follow(dphi []float64, start *state[T], grads, slopes [][]T) {
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
	a.run(dphi, start, grads, slopes, nil, nil, nil)
}
