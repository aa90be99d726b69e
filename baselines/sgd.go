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

// Needs implements optimizer.Rule: gradients alone.
func (SGD) Needs() optimizer.Needs { return optimizer.Needs{} }

// Start implements optimizer.Rule. It panics if the rule is not valid.
func (r SGD) Start(layout optimizer.Layout) optimizer.State {
	return &sgdState{
		memory: newMemory(r, "sgd", layout, 0),
		scale:  float32(-or(r.LearningRate, 1e-3)),
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
