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
// as in torch.optim.RMSprop, not centred and without momentum (Tieleman and
// Hinton 2012, lecture 6e).
type RMSProp struct {
	// LearningRate is α. It must be set: torch.optim's default is 0.01.
	LearningRate float64 `json:"learning_rate"`
	// Alpha is the smoothing constant ρ in (0, 1), which PyTorch calls
	// alpha. It must be set: torch.optim's default is 0.99, and 0 would keep no mean.
	Alpha float64 `json:"alpha"`
	// Epsilon is ε; 0 means 1e-8, torch.optim's default. Without ε the update of a coordinate
	// with no gradient so far would be 0/0. Use 1e-30 for an ε with no other effect.
	Epsilon float64 `json:"epsilon"`
}

var _ optimizer.Rule = RMSProp{}

// WithDefaults returns r with ε set to its default if it is 0.
func (r RMSProp) WithDefaults() RMSProp {
	r.Epsilon = or(r.Epsilon, 1e-8)
	return r
}

// Validate returns an error if a field is out of its range.
func (r RMSProp) Validate() error {
	alpha := inRange("rmsprop", "alpha", r.Alpha, 0, 1, "")
	if r.Alpha == 0 {
		alpha = unset("rmsprop", "alpha", "keeps no mean: each step would be as long as the learning rate, whatever the gradient", "Alpha, torch.optim's default is 0.99")
	}
	return errors.Join(
		learningRate("rmsprop", r.LearningRate), alpha,
		inRange("rmsprop", "epsilon", r.Epsilon, 0, limit, forDefault))
}

// Needs implements optimizer.Rule: gradients alone.
func (RMSProp) Needs() optimizer.Needs { return optimizer.Needs{} }

// Start implements optimizer.Rule. It panics if the rule is not valid.
func (r RMSProp) Start(layout optimizer.Layout) optimizer.State {
	r = r.WithDefaults()
	return &rmspropState{
		memory:  newMemory(r, "rmsprop", layout, 1),
		scale:   float32(-r.LearningRate),
		keep:    float32(r.Alpha),
		take:    float32(1 - r.Alpha),
		epsilon: float32(r.Epsilon),
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
