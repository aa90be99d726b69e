package optimizer

// A LossState is a State that also looks at the loss, and at the parameters, and may
// go elsewhere than an update from where it is: a guard that goes back. Run calls
// StepLoss in place of Update where a state has it.
type LossState interface {
	State
	// StepLoss takes one step: it reads the loss f_t(θ_t) and the gradient at theta and
	// overwrites theta by θ_{t+1}. Loss and gradient may be non-finite. If the state cannot go on in
	// finite numbers, theta stays as it was and the divergence is returned. Wrong
	// lengths panic; grad is neither kept nor changed.
	StepLoss(theta, grad []float32, loss float64) *DivergedError
}
