package baselines

import (
	"errors"

	"learnedopt/optimizer"
)

// Momentum is gradient descent with a heavy ball:
//
//	b_t = μ b_{t−1} + g_t,   b_0 = 0
//	u_t = −α b_t
//
// as in torch.optim.SGD with momentum (Sutskever et al. 2013). The learning rate is
// outside the sum; in Polyak 1964, equation 9, it is inside.
type Momentum struct {
	// LearningRate is α. It must be set: torch.optim's default is 0.001.
	LearningRate float64 `json:"learning_rate"`
	// Momentum is μ in (0, 1). It must be set: 0.9 is common, and without momentum the rule is SGD.
	Momentum float64 `json:"momentum"`
}

// Nesterov is gradient descent with Nesterov's momentum:
//
//	b_t = μ b_{t−1} + g_t,   b_0 = 0
//	u_t = −α (g_t + μ b_t)
//
// as in torch.optim.SGD with momentum and nesterov=True (Nesterov 1983, in
// the form of Sutskever et al. 2013, equations 3–4, with the gradient taken at θ_t).
type Nesterov struct {
	// LearningRate is α. It must be set: torch.optim's default is 0.001.
	LearningRate float64 `json:"learning_rate"`
	// Momentum is μ in (0, 1). It must be set: 0.9 is common, and without momentum the rule is SGD.
	Momentum float64 `json:"momentum"`
}

var (
	_ optimizer.Rule = Momentum{}
	_ optimizer.Rule = Nesterov{}
)

// Validate returns an error if a field is out of its range.
func (r Momentum) Validate() error { return validateMomentum("momentum", r.LearningRate, r.Momentum) }

// Validate returns an error if a field is out of its range.
func (r Nesterov) Validate() error { return validateMomentum("nesterov", r.LearningRate, r.Momentum) }

func validateMomentum(rule string, rate, momentum float64) error {
	if momentum == 0 {
		return errors.Join(learningRate(rule, rate), unset(rule, "momentum", "is SGD", "Momentum, say to 0.9, or use SGD"))
	}
	return errors.Join(learningRate(rule, rate), inRange(rule, "momentum", momentum, 0, 1, ""))
}

// Needs implements optimizer.Rule: gradients alone.
func (Momentum) Needs() optimizer.Needs { return optimizer.Needs{} }

// Start implements optimizer.Rule. It panics if the rule is not valid.
func (r Momentum) Start(layout optimizer.Layout) optimizer.State {
	return (*momentumState)(newVelocity(r, "momentum", layout, r.LearningRate, r.Momentum))
}

// Needs implements optimizer.Rule: gradients alone.
func (Nesterov) Needs() optimizer.Needs { return optimizer.Needs{} }

// Start implements optimizer.Rule. It panics if the rule is not valid.
func (r Nesterov) Start(layout optimizer.Layout) optimizer.State {
	return (*nesterovState)(newVelocity(r, "nesterov", layout, r.LearningRate, r.Momentum))
}

// A velocity is the state of both rules. Its only vector is b_t.
type velocity struct {
	memory
	scale, momentum float32
}

func newVelocity(rule validator, name string, layout optimizer.Layout, rate, momentum float64) *velocity {
	return &velocity{
		memory:   newMemory(rule, name, layout, 1),
		scale:    float32(-rate),
		momentum: float32(momentum),
	}
}

type (
	momentumState velocity
	nesterovState velocity
)

// Update implements optimizer.State.
func (s *momentumState) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	grad := p.Grad
	s.step(dst, grad)
	b := s.vectors[0]
	for i, g := range grad {
		b[i] = float32(s.momentum*b[i]) + g
		dst[i] = s.scale * b[i]
	}
	return 0, nil
}

// Update implements optimizer.State.
func (s *nesterovState) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	grad := p.Grad
	s.step(dst, grad)
	b := s.vectors[0]
	for i, g := range grad {
		b[i] = float32(s.momentum*b[i]) + g
		dst[i] = s.scale * (g + float32(s.momentum*b[i]))
	}
	return 0, nil
}
