package baselines

import "learnedopt/optimizer"

// SGD is gradient descent:
//
//	u_t = −α g_t
//
// as in torch.optim.SGD (Robbins and Monro 1951).
type SGD struct {
	// LearningRate is α. It must be set: torch.optim's default is 0.001.
	LearningRate float64 `json:"learning_rate"`
}

var _ optimizer.Rule = SGD{}

// Validate returns an error if the learning rate is not positive or not finite.
func (r SGD) Validate() error {
	return learningRate("sgd", r.LearningRate)
}

// Needs implements optimizer.Rule: gradients alone.
func (SGD) Needs() optimizer.Needs { return optimizer.Needs{} }

// Start implements optimizer.Rule. It panics if the rule is not valid.
func (r SGD) Start(layout optimizer.Layout) optimizer.State {
	return &sgdState{
		memory: newMemory(r, "sgd", layout, 0),
		scale:  float32(-r.LearningRate),
	}
}

type sgdState struct {
	memory
	scale float32
}

// Update implements optimizer.State.
func (s *sgdState) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	grad := p.Grad
	s.step(dst, grad)
	for i, g := range grad {
		dst[i] = s.scale * g
	}
	return 0, nil
}
