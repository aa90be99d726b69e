package optimizer

// A PointState is a State whose update also depends on where the parameters are, as
// weight decay's does. Its Update, which is not told, panics.
type PointState interface {
	State
	// UpdateAt is Update at the parameters theta, which are neither kept nor changed;
	// dst may be grad, not theta.
	UpdateAt(dst, theta, grad []float32)
}

// Update writes the update of state at theta into dst: by UpdateAt where the state has it.
func Update(state State, dst, theta, grad []float32) {
	if s, ok := state.(PointState); ok {
		s.UpdateAt(dst, theta, grad)
		return
	}
	state.Update(dst, grad)
}
