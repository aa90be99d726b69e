package baselines

import (
	"errors"

	"learnedopt/optimizer"
)

// RMSProp divides by the root of a running mean of squared gradients:
//
//	v_t = ρ v_{t−1} + (1−ρ) g_t²,   v_0 = 0
//	u_t = −α g_t / (√v_t + ε)
//
// as in torch.optim.RMSprop, neither centred nor with momentum (Tieleman and
// Hinton 2012, lecture 6e).
type RMSProp struct {
	// LearningRate is α; 0 means 0.01.
	LearningRate float64 `json:"learning_rate"`
	// Alpha is the smoothing constant ρ in [0, 1), which PyTorch calls
	// alpha; 0 means 0.99.
	Alpha float64 `json:"alpha"`
	// Epsilon is ε; 0 means 1e-8.
	Epsilon float64 `json:"epsilon"`
}

var _ optimizer.Rule = RMSProp{}

// Validate returns an error if a field is out of its range.
func (r RMSProp) Validate() error {
	return errors.Join(
		inRange("rmsprop", "learning rate", r.LearningRate, 0, limit),
		inRange("rmsprop", "alpha", r.Alpha, 0, 1),
		inRange("rmsprop", "epsilon", r.Epsilon, 0, limit))
}

// Needs implements optimizer.Rule: gradients alone.
func (RMSProp) Needs() optimizer.Needs { return optimizer.Needs{} }

// Start implements optimizer.Rule. It panics if the rule is not valid.
func (r RMSProp) Start(layout optimizer.Layout) optimizer.State {
	alpha := or(r.Alpha, 0.99)
	return &rmspropState{
		memory:  newMemory(r, "rmsprop", layout, 1),
		scale:   float32(-or(r.LearningRate, 1e-2)),
		keep:    float32(alpha),
		take:    float32(1 - alpha),
		epsilon: float32(or(r.Epsilon, 1e-8)),
	}
}

type rmspropState struct {
	memory
	scale, keep, take, epsilon float32
}

// Update implements optimizer.State.
func (s *rmspropState) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	grad := p.Grad
	s.step(dst, grad)
	v := s.vectors[0]
	for i, g := range grad {
		v[i] = float32(s.keep*v[i]) + float32(float32(s.take*g)*g)
		dst[i] = float32(s.scale*g) / (sqrt(v[i]) + s.epsilon)
	}
	return 0, nil
}
