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
	// LearningRate is α. It must be set: torch.optim's default is 0.01.
	LearningRate float64 `json:"learning_rate"`
	// Epsilon is ε; 0 means 1e-10, torch.optim's default. Without ε the update of a coordinate
	// with no gradient so far would be 0/0. Use 1e-30 for an ε with no other effect.
	Epsilon float64 `json:"epsilon"`
}

var _ optimizer.Rule = AdaGrad{}

// WithDefaults returns r with ε set to its default if it is 0.
func (r AdaGrad) WithDefaults() AdaGrad {
	r.Epsilon = or(r.Epsilon, 1e-10)
	return r
}

// Validate returns an error if a field is out of its range.
func (r AdaGrad) Validate() error {
	return errors.Join(
		learningRate("adagrad", r.LearningRate),
		inRange("adagrad", "epsilon", r.Epsilon, 0, limit, forDefault))
}

// Needs implements optimizer.Rule: gradients alone.
func (AdaGrad) Needs() optimizer.Needs { return optimizer.Needs{} }

// Start implements optimizer.Rule. It panics if the rule is not valid.
func (r AdaGrad) Start(layout optimizer.Layout) optimizer.State {
	r = r.WithDefaults()
	return &adagradState{
		memory:  newMemory(r, "adagrad", layout, 1),
		scale:   float32(-r.LearningRate),
		epsilon: float32(r.Epsilon),
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
