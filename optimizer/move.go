package optimizer

// A Move is what a LossUpdater wants done with the parameters; flags combine.
type Move uint8

const (
	// Keep θ_t: a later Return goes back to it.
	Keep Move = 1 << iota
	// Return to the θ kept last, which may be the one just kept, in place of adding the
	// update. It is then forgotten: before another Return there is another Keep.
	Return
)

// A LossUpdater is a LossState that leaves the parameters, and the copy of those that it may go
// back to, to its caller: so they may be of any precision, and other states may be
// put around it.
type LossUpdater interface {
	LossState
	// UpdateLoss reads the loss f_t(θ_t) and the gradient at theta, of which either may be
	// non-finite, and writes the update into dst unless the move is Return. dst and
	// theta + dst are then finite. A divergence is returned where the state cannot go on in finite
	// numbers: there is nothing to be done then. Wrong lengths panic; dst may be grad,
	// not theta, and neither theta nor, unless it is dst, grad are kept or changed.
	UpdateLoss(dst, theta, grad []float32, loss float64) (Move, *DivergedError)
}

// Apply makes a move: it keeps theta in kept, adds update to theta, puts kept back. All have
// the same length, save that kept may be shorter where the move is zero.
func Apply[F float32 | float64](move Move, theta []F, update []float32, kept []F) {
	if move&Keep != 0 {
		copy(kept, theta)
	}
	if move&Return != 0 {
		copy(theta, kept)
		return
	}
	for i, u := range update {
		theta[i] += F(u)
	}
}

// A Mover takes the steps of a LossUpdater on float32 parameters: it is the StepLoss
// of most. Its memory is two floats a coordinate, one while there is nothing to go back to.
type Mover struct {
	// Kept are the parameters to go back to; nil if there are none.
	Kept   []float32
	update []float32
}

// StepLoss takes a step of state on theta, as LossState's does.
func (m *Mover) StepLoss(state LossUpdater, theta, grad []float32, loss float64) *DivergedError {
	if m.update == nil {
		m.update = make([]float32, len(theta))
	}
	move, diverged := state.UpdateLoss(m.update, theta, grad, loss)
	if diverged != nil {
		return diverged
	}
	if move&Keep != 0 && m.Kept == nil {
		m.Kept = make([]float32, len(theta))
	}
	Apply(move, theta, m.update, m.Kept)
	if move&Return != 0 {
		m.Kept = nil
	}
	return nil
}

// CheckSum returns a divergence if the parameters θ_t + u_t that an update leads to are not
// finite. It changes nothing.
func CheckSum[F float32 | float64](t int, theta []F, update []float32) *DivergedError {
	for i, u := range update {
		if sum := theta[i] + F(u); sum-sum != 0 {
			return &DivergedError{Step: t, What: "parameter", Coordinate: i, Value: float64(sum)}
		}
	}
	return nil
}
