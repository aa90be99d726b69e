package baselines

import (
	"errors"

	"learnedopt/optimizer"
)

// AdaGrad divides by the root of the sum of all squared gradients:
//
//	v_t = v_{t−1} + g_t²,   v_0 = 0
//	u_t = −α g_t / (√v_t + ε)
//
// as in torch.optim.Adagrad (Duchi, Hazan and Singer 2011, section 1.1, with
// diagonal matrices).
type AdaGrad struct {
	// LearningRate is α; 0 means 0.01.
	LearningRate float64 `json:"learning_rate"`
	// Epsilon is ε; 0 means 1e-10.
	Epsilon float64 `json:"epsilon"`
}

var _ optimizer.Rule = AdaGrad{}

// Validate returns an error if a field is out of its range.
func (r AdaGrad) Validate() error {
	return errors.Join(
		inRange("adagrad", "learning rate", r.LearningRate, 0, limit),
		inRange("adagrad", "epsilon", r.Epsilon, 0, limit))
}

// Needs implements optimizer.Rule: gradients alone.
func (AdaGrad) Needs() optimizer.Needs { return optimizer.Needs{} }

// Start implements optimizer.Rule. It panics if the rule is not valid.
func (r AdaGrad) Start(layout optimizer.Layout) optimizer.State {
	return &adagradState{
		memory:  newMemory(r, "adagrad", layout, 1),
		scale:   float32(-or(r.LearningRate, 1e-2)),
		epsilon: float32(or(r.Epsilon, 1e-10)),
	}
}

type adagradState struct {
	memory
	scale, epsilon float32
}

// Update implements optimizer.State.
func (s *adagradState) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	grad := p.Grad
	s.step(dst, grad)
	v := s.vectors[0]
	for i, g := range grad {
		v[i] += float32(g * g)
		dst[i] = float32(s.scale*g) / (sqrt(v[i]) + s.epsilon)
	}
	return 0, nil
}
