package baselines

import "learnedopt/optimizer"

// SGD is gradient descent:
//
//	u_t = −α g_t
//
// as in torch.optim.SGD (Robbins and Monro 1951).
type SGD struct {
	// LearningRate is α; 0 means 0.001, the default since PyTorch 2.
	LearningRate float64 `json:"learning_rate"`
}

var _ optimizer.Rule = SGD{}

// Validate returns an error if the learning rate is negative or not finite.
func (r SGD) Validate() error {
	return inRange("sgd", "learning rate", r.LearningRate, 0, limit)
}

// Start implements optimizer.Rule. It panics if the rule is not valid.
func (r SGD) Start(n int) optimizer.State {
	return &sgdState{
		memory: newMemory(r, "sgd", n, 0),
		scale:  float32(-or(r.LearningRate, 1e-3)),
	}
}

type sgdState struct {
	memory
	scale float32
}

// Update implements optimizer.State.
func (s *sgdState) Update(dst, grad []float32) {
	s.step(dst, grad)
	for i, g := range grad {
		dst[i] = s.scale * g
	}
}
